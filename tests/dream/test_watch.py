"""What is in force is looked after: stale notes, harmful versions, trials (T8, T17, T18)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.dream.lived import Place, item, reader, skeptics
from tests.memory.notes import note

from counterpoint.api import Workflow, run
from counterpoint.dream.canary import Entries, Outcomes, Try, compare, lower_bound
from counterpoint.dreaming import EXIT_CODES
from counterpoint.memory.entries import Check
from counterpoint.memory.versions import Use
from counterpoint.testing import ScriptedModel


async def test_a_note_whose_file_was_renamed_is_flagged_and_waits_but_is_not_deleted(tmp_path: Path) -> None:
    place = Place(tmp_path)
    settings = place.project / "settings.toml"
    settings.write_text("profile = 'x'\n")
    place.remember(
        note(
            "Profiles are set in settings.toml.", "profile::where", check=Check(kind="path_exists", arg="settings.toml")
        ),
        note("The profile is x.", "profile::which", check=Check(kind="grep", arg="'x' in settings.toml")),
    )
    silent = ScriptedModel()
    assert (await place.dream(silent)).flagged == []
    settings.rename(place.project / "config.toml")
    report = await place.dream(silent)
    assert report.status == "waiting"
    assert sorted(report.flagged) == sorted(entry.id for entry in place.notes())
    assert len(place.notes()) == 2
    assert {(p.op.value, p.risk) for p in place.memory.proposals()} == {("RETIRE", 3)}
    assert (await place.dream(silent)).proposals == {}


async def test_a_harmful_version_is_taken_back_after_a_few_runs_with_a_notice(tmp_path: Path) -> None:
    place = Place(tmp_path)
    good = place.remember(note("Build with profile x.", "build::profile"))
    bad = place.remember(note("Delete the lock file before each build.", "build::lock"), at=20.0)
    for n in range(4):
        place.memory.add_use(Use(run_id=f"wf_g{n}", version=good, loaded=[], outcome="success", at=10.0 + n))
    place.memory.add_use(Use(run_id="wf_b0", version=bad, outcome="failure", at=30.0))
    silent = ScriptedModel()
    assert (await place.dream(silent)).message == "There is no run that has not been read."
    assert place.memory.head() == bad
    place.memory.add_use(Use(run_id="wf_b1", version=bad, outcome="failure", at=31.0))
    failing = Workflow("export const meta = { name: 'w', description: 'a test' }\nthrow new Error('it broke')")
    await run(failing, model=silent, cwd=place.project, state=place.state)
    assert place.memory.head() == good, "the third run in a row that failed with it"
    assert "taken back by the watch: of 3 runs with it 0% went well" in place.memory.moves()[-1].note
    assert [move.kind for move in place.memory.moves()] == ["publish", "publish", "rollback"]


async def test_a_note_that_two_runs_contradict_or_whose_time_is_up_waits_for_a_person(tmp_path: Path) -> None:
    place = Place(tmp_path)
    now = time.time()
    doubted = note("The cache is in var.", "cache::where")
    old = note("The build takes four minutes.", "build::time", review_after=now - 10)
    young = note("The port is 8080.", "port::number", review_after=now + 1000)
    version = place.remember(doubted, old, young)
    for n in range(2):
        place.memory.add_use(Use(run_id=f"wf_{n}", version=version, contradicted=[doubted.id], outcome="success", at=n))
    report = await place.dream(ScriptedModel())
    assert {p.target[0]: p.why for p in place.memory.proposals()} == {
        doubted.id: "2 runs say that it is wrong",
        old.id: "the time has come to look at it again",
    }
    assert (report.status, len(place.notes())) == ("waiting", 3)


class Trials:
    """Tasks that agents solve unless one of their notes has a word in it."""

    def __init__(self, harmful: str, tasks: int = 8) -> None:
        self.names = [f"task {n}" for n in range(tasks)]
        self.guards: list[str] = []
        self.arms = 0
        self._harmful = harmful

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int], run: Try) -> Outcomes:
        self.arms += 1
        harmed = any(entry.active and self._harmful in entry.text for entry in entries.values())
        return {(name, seed): not harmed for name in names for seed in seeds}


SAID = ["The port is 8080.", "The host is lovelace.", "The queue is drained nightly.", "The cache lives in var."]


async def test_a_trial_that_goes_worse_drops_the_culprit_and_puts_the_others_in_force(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=SAID)
    model = ScriptedModel(reader(*(item(f"Known: {text}", text, subject=text) for text in SAID)), skeptics())
    trials = Trials("queue")
    report = await place.dream(model, tasks=trials)
    assert report.published
    assert sorted(entry.text for entry in place.notes()) == sorted(f"Known: {t}" for t in SAID if "queue" not in t)
    (blocked,) = report.blocked
    assert (blocked.check, blocked.text) == ("canary", "Known: The queue is drained nightly.")
    assert report.canary is not None
    assert (report.canary["verdict"], len(report.canary["culprits"])) == ("no worse", 1)
    assert report.version is not None
    assert place.memory.version(report.version).eval == report.canary


async def test_where_everything_harms_nothing_is_published_and_the_gate_says_no(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=SAID[:1])
    model = ScriptedModel(reader(item(f"Known: {SAID[0]}", SAID[0])), skeptics())
    report = await place.dream(model, tasks=Trials("port"))
    assert (report.status, EXIT_CODES[report.status], place.memory.head()) == ("rejected", 7, None)


async def test_with_too_few_tasks_a_version_is_unproven_and_everything_waits_for_a_person(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=SAID[:1])
    model = ScriptedModel(reader(item(f"Known: {SAID[0]}", SAID[0])), skeptics())
    report = await place.dream(model, trust=False, tasks=Trials("nothing", tasks=3))
    assert (report.status, EXIT_CODES[report.status], place.memory.head()) == ("waiting", 3, None)
    assert report.canary is not None
    assert report.canary["verdict"] == "unproven"
    assert [p.state for p in place.memory.proposals()] == ["open"]


def test_the_bound_is_that_of_tasks_and_the_same_each_time() -> None:
    mixed = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [1.0, 1.0]]
    assert lower_bound(mixed) == lower_bound(mixed)
    assert -0.5 < lower_bound(mixed) < sum(map(sum, mixed)) / 12
    old = {(f"t{n}", 0): True for n in range(8)}
    assert compare(old, {**old, ("t0", 0): False}, ["t0"]).verdict == "negative"
    assert compare(old, old, []).verdict == "no worse"
    assert compare(dict.fromkeys(old, False), old, []).verdict == "better"
