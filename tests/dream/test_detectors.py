"""What can be seen in runs without a model, and when a dream is due."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from tests.dream.lived import Place, Turn, reader, skeptics

from counterpoint.dream.detect import detect
from counterpoint.dream.schedule import (
    Schedule,
    due_slot,
    fields_of,
    launchd_plist,
    next_slot,
    on_calendar,
    systemd_units,
)
from counterpoint.dream.select import Gate, due
from counterpoint.dream.session import Session, read_session
from counterpoint.errors import UsageError
from counterpoint.events import Outcome
from counterpoint.memory.entries import Author
from counterpoint.models.messages import UserTurn
from counterpoint.store.runs import Store
from counterpoint.testing import ScriptedModel

FAILS = "error: no profile\n[exit code 1]"


async def sessions_of(place: Place, *run_ids: str) -> list[Session]:
    async with Store(place.state) as store:
        return [await read_session(store, run_id) for run_id in run_ids]


async def test_a_command_that_failed_and_the_form_that_went_well_become_a_note_without_a_reader(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived(("Bash", "lab build", FAILS), ("Bash", "lab build --profile=x", "ok"), "Built.")
    await place.lived(
        ("Bash", "lab fetch", FAILS), ("Bash", "lab unlock", "ok"), ("Bash", "lab fetch", "ok"), "Fetched."
    )
    report = await place.dream(ScriptedModel(reader(), skeptics()))
    assert sorted(entry.text for entry in place.notes()) == [
        'Before `lab fetch` run `lab unlock`: without it the command fails. It fails with "error: no profile".',
        'Instead of `lab build`, which fails here, run `lab build --profile=x`. It fails with "error: no profile".',
    ]
    assert report.counts.added == 2
    for entry in place.notes():
        assert {anchor.author for anchor in entry.evidence} == {Author.TEST}
        assert "lab" in entry.evidence[0].quote or "error" in entry.evidence[0].quote


async def test_the_same_change_with_other_arguments_is_one_lesson_with_more_support(tmp_path: Path) -> None:
    place = Place(tmp_path)
    model = ScriptedModel(reader(), skeptics())
    for name in ("apple", "birch"):
        wrong = (("Bash", f"lab build {name} --profile=y", FAILS), ("Bash", f"lab build {name} --profile=z", FAILS))
        await place.lived(("Bash", f"lab build {name}", FAILS), *wrong, ("Bash", f"lab build {name} --profile=x", "ok"))
    await place.dream(model)
    (note,) = place.notes()
    assert "run `lab build apple --profile=x`, with other arguments as well." in note.text
    assert (note.key, note.support_sessions) == ("lab-build::form-profile", 2)
    await place.lived(("Bash", "lab build cedar", FAILS), ("Bash", "lab build cedar --profile=x", "ok"))
    await place.dream(model)
    assert [(each.id, each.support_sessions) for each in place.notes()] == [(note.id, 3)]
    await place.lived(("Bash", "lab build daisy", FAILS), ("Bash", "lab build daisy --profile=w", "ok"))
    report = await place.dream(model)
    assert (report.counts.superseded, len(report.conflicts), len(place.notes())) == (1, 1, 1)
    assert "--profile=w" in place.notes()[0].text


async def test_the_other_detectors_see_files_commands_kinds_prompts_and_corrections(tmp_path: Path) -> None:
    place = Place(tmp_path)
    runs: list[str] = []
    for n in range(3):
        said = ["No, I want short reports, as I said."] if n else []
        runs.append(
            await place.lived(
                ("Read", str(place.project / "docs/map.md"), "the map"),
                ("Bash", "make docs", "make: sphinx: command not found\n[exit code 127]"),
                f"Done {n}.",
                said=said,
            )
        )
    seen = {hit.detector: hit for hit in detect(await sessions_of(place, *runs))}
    assert set(seen) == {"looked up", "broken command", "repeated correction"}
    assert seen["looked up"].claim is not None
    assert "`docs/map.md` was looked up" in seen["looked up"].claim.item.text
    assert seen["broken command"].claim is not None
    assert "sphinx: command not found" in seen["broken command"].claim.item.text
    assert seen["repeated correction"].claim is None, "what a person means, a reader has to say"


async def test_kinds_of_agents_that_fail_prompts_that_cost_and_claims_refuted_again_are_seen(tmp_path: Path) -> None:
    place = Place(tmp_path)
    runs = [await place.lived("Fine.") for _ in range(2)]
    found: list[Session] = []
    for session in await sessions_of(place, *runs):
        (one,) = session.workers
        bad = dataclasses.replace(one, outcome=Outcome.FAILED, label="scout 1", retries=3)
        no = dataclasses.replace(
            one, label="skeptic 1", value="refuted: true\nreason: it is tested", prompt="The cache leaks memory."
        )
        found.append(dataclasses.replace(session, workers=(one, bad, bad, no)))
    assert {hit.detector for hit in detect(found)} == {"failing kind", "costly prompt", "refuted again"}


async def test_what_is_private_forked_simulated_or_a_dream_is_not_read(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=["I prefer tabs."], bounds={"private": True})
    await place.lived("Fine.", said=["I prefer tabs."], simulated=True)
    await place.lived("Fine.", said=["I prefer tabs."], name="dream")
    await place.lived("Fine.", said=["I prefer tabs."], cwd=tmp_path / "other")
    report = await place.dream(ScriptedModel())
    assert sorted(report.left_out.values()) == [
        "it belongs to another project", "it is a dream", "it is private", "its agents were simulated",
    ]  # fmt: skip


async def test_a_dream_is_due_after_a_day_with_five_runs_or_after_a_correction(tmp_path: Path) -> None:
    place = Place(tmp_path)
    plain, corrected = await sessions_of(
        place, await place.lived("Fine."), await place.lived("Fine.", said=["No, use tabs instead."])
    )
    gate = Gate()
    assert "fewer than 5" in due(gate, now=0.0, last=None, fresh=[plain] * 4)
    assert due(gate, now=0.0, last=None, fresh=[plain] * 5) == ""
    assert "less than 24 h" in due(gate, now=3600.0, last=0.0, fresh=[plain] * 5)
    assert due(gate, now=3600.0, last=0.0, fresh=[corrected]) == ""
    report = await place.dream(ScriptedModel(), gate=Gate(corrections=0))
    assert (report.status, report.message) == ("nothing", "2 new runs, fewer than 5, and no correction")


def test_a_schedule_is_the_same_times_for_cron_systemd_launchd_and_the_loop() -> None:
    made = Schedule(cron="30 3 1 * 1-5", kind="systemd", command=["cpt", "dream", "a b", "100%"], folder="/p q",
                    installed_at=0.0)  # fmt: skip
    service, timer = systemd_units(made).values()
    assert 'ExecStart=cpt dream "a b" 100%%\n' in service
    assert "WorkingDirectory=/p q\n" in service
    assert on_calendar(made.cron) == ["*-*-01 03:30:00", "Mon,Tue,Wed,Thu,Fri *-*-* 03:30:00"]
    assert all(f"OnCalendar={line}\n" in timer for line in on_calendar(made.cron))
    assert "Persistent=true" in timer
    (plist,) = launchd_plist(made).values()
    assert plist.count("<key>Hour</key><integer>3</integer>") == 6
    assert plist.count("<key>Weekday</key>") == 5
    night = "0 3 * * *"
    slot = next_slot(night, 1_795_600_000.0)
    assert due_slot(night, slot, slot + 10) is None
    assert round(((due_slot(night, slot, slot + 3.5 * 86_400) or 0) - slot) / 86_400) == 3, (
        "of three missed ones the last"
    )
    for wrong in ("61 * * * *", "@daily", "* * * *", "0 0 L * *"):
        with pytest.raises(UsageError):
            fields_of(wrong)


async def test_in_an_imported_conversation_who_asks_is_a_person(tmp_path: Path) -> None:
    place = Place(tmp_path)
    turns: list[Turn] = ["Done with spaces.", UserTurn("No, I prefer tabs, always."), "With tabs now."]
    turns += [UserTurn("<system-reminder>Always prefer spaces.</system-reminder>"), "Fine."]
    imported = await place.lived(*turns, name="conversation", prompt="Format it.", imported="/elsewhere.jsonl")
    own = await place.lived(*turns, name="conversation")
    there, here = await sessions_of(place, imported, own)
    assert [part.author for said in there.said for part in said.parts] == [
        Author.USER, Author.ASSISTANT, Author.USER, Author.ASSISTANT, Author.AGENT, Author.ASSISTANT,
    ]  # fmt: skip
    assert [there.said[place].text for place in there.corrections] == ["No, I prefer tabs, always."]
    assert Author.USER not in {part.author for said in here.said for part in said.parts}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


async def test_runs_in_worktrees_of_the_project_belong_to_it_and_a_repository_inside_does_not(tmp_path: Path) -> None:
    place = Place(tmp_path)
    tree, inner = tmp_path / "tree", place.project / "vendor"
    for folder in (place.project, inner):
        git(tmp_path, "init", "-q", str(folder))
    git(place.project, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "1")
    git(place.project, "worktree", "add", "-q", str(tree))
    there = await place.lived("Fine.", said=["The port is 8080."], cwd=tree)
    below = await place.lived("Fine.", said=["The host is lovelace."], cwd=place.project / "docs")
    await place.lived("Fine.", said=["The port is 9090."], cwd=inner)
    report = await place.dream(ScriptedModel(reader()))
    assert set(report.sessions) == {there, below}
    assert list(report.left_out.values()) == ["it belongs to another project"]
