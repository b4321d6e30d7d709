"""`dream` as it is typed: what it prints, and its exit codes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from tests.dream.lived import Place, item, reader, skeptics
from tests.e2e.conftest import Program
from tests.e2e.conftest import cpt as cpt

from counterpoint.testing import ScriptedModel

FACTS = ("The port is 8080.", "The host is lovelace.", "The queue is drained nightly.")


@pytest.fixture
def place(cpt: Program) -> Place:
    place = Place(cpt.folder)
    place.state = cpt.state
    cpt.folder = place.project
    return place


async def test_proposals_wait_are_shown_with_their_evidence_and_a_persons_word_decides(
    place: Place, cpt: Program
) -> None:
    run_id = await place.lived("Fine.", said=list(FACTS))
    model = ScriptedModel(reader(*(item(f"Known: {text}", text, subject=text) for text in FACTS)), skeptics())
    report = await place.dream(model, trust=False)
    status = cpt("dream", "status", "--json").json
    assert (status["waiting"], status["read_runs"], status["version"]) == (sorted(report.proposals), 1, None)
    listed = cpt("dream", "review", "--no-input")
    assert listed.code == 3
    for text in FACTS:
        assert f"+ Known: {text}" in listed.out
        assert f"“{text}”" in listed.out
    assert f"event 5 of counterpoint export {run_id} --jsonl" in listed.out
    first, second, third = report.proposals
    texts = {p.id: p.new.text for p in place.memory.proposals() if p.new is not None}
    assert cpt("dream", "show", "@last", "--json").json["id"] == report.id
    (place.project / "AGENTS.md").write_text("# House", encoding="utf-8")
    patch = cpt("dream", "show", first, "--patch", "AGENTS.md").out
    assert patch.splitlines()[-2:] == [" # House", f"+- {texts[first]}"]
    applied = cpt("dream", "apply", "@last", "--hunk", first, "--json").json
    assert (applied["applied"], applied["version"]) == ([first], place.memory.head())
    assert cpt("dream", "reject", second, "--never", "--reason", "it moves").out == f"rejected: {second}\n"
    assert cpt("dream", "apply", third).out == f"in force: {third}\n"
    assert {entry.text for entry in place.notes()} == {texts[first], texts[third]}
    other = await place.lived("Fine.", said=[f"Once more: {text}" for text in FACTS])
    report = await place.dream(model, trust=False)
    assert (place.project / "AGENTS.md").read_text() == "# House"
    for name in (run_id, other):
        with contextlib.closing(sqlite3.connect(place.state / "runs" / name / "journal.db")) as journal, journal:
            journal.execute("UPDATE events SET at = at - 1e7")
    collected = cpt("gc", "--json").json
    assert [row["run_id"] for row in collected["runs"] if row["name"] == "work"] == [other]
    assert {row["run_id"]: row["reason"][:21] for row in collected["kept"]} == {run_id: "it proves the note m-"}
    assert texts[second] not in {p.new.text for p in place.memory.proposals() if p.new is not None}


async def test_a_dream_is_priced_rehearsed_with_simulated_agents_and_has_nothing_to_do(
    place: Place, cpt: Program
) -> None:
    for _ in range(2):
        await place.lived(
            ("Bash", "lab build", "no profile\n[exit code 1]"), ("Bash", "lab build --p=x", "ok"), "Done."
        )
    priced = cpt("dream", "run", "--dry-run", "--model", "sim", "--json").json
    assert (priced["sessions"], priced["readers"], priced["usd"]) == (2, 2, 0.0)
    assert not (place.memory.folder / "dreams" / "marks.json").exists()
    elsewhere = ("--model", "openai-compatible:m", "--base-url", "http://127.0.0.1:9/v1")
    assert cpt("dream", "run", "--dry-run", *elsewhere, "--json").json["sessions"] == 2
    rehearsed = cpt("dream", "run", "--model", "sim")
    assert rehearsed.code == 0
    assert "A rehearsal with simulated agents: nothing was changed." in rehearsed.out
    assert "2 of 2 readers answered" in rehearsed.out
    assert place.memory.head() is None
    none = cpt("dream", "run", "--model", "sim", "--since", "1s", "--json").json
    assert (none["status"], none["exit_code"]) == ("nothing", 0)
    assert cpt("dream", "run", "--if-due", "--model", "sim").out.startswith("nothing: 2 new runs, fewer than 5")
    assert cpt("dream", "aply").code == 2
    assert "4,096 fit" in cpt("dream", "run", "--instructions", "x" * 5000).err


async def test_held_out_tasks_are_tried_with_the_notes_of_each_arm(place: Place, cpt: Program) -> None:
    tasks = place.project / ".counterpoint" / "dream" / "tasks.toml"
    assert "tasks.toml" in cpt("dream", "eval", "--model", "sim").err
    tasks.parent.mkdir(parents=True)
    tasks.write_text("[[task]]\nname = 'port'\nprompt = 'Which port?'\nexpect = '8080'\n", encoding="utf-8")
    measured = cpt("dream", "eval", "--arms", "none", "--model", "sim", "--json")
    assert measured.json == {"arms": {"none": {"pairs": 2, "solved": 0}}, "new_minus_old": None}, measured.err
    tasks.write_text("[[task]]\nname = 'port'\nprompt = 'Which port?'\nexpect = '('\n", encoding="utf-8")
    assert "cannot be used" in cpt("dream", "eval", "--model", "sim").err


async def test_a_schedule_is_installed_shown_and_removed(place: Place, cpt: Program) -> None:
    made = cpt(
        "dream",
        "schedule",
        "install",
        "0 4 * * *",
        "--kind",
        "systemd",
        "--only-write",
        "--budget",
        "50k",
        "--model",
        "openai-compatible:m",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--json",
    )
    files = [Path(name) for name in made.json["schedule"]["files"]]
    assert [path.suffix for path in files] == [".service", ".timer"]
    assert "--if-due --every 20" in files[0].read_text()
    assert "--budget 50k --model openai-compatible:m --base-url http://127.0.0.1:9/v1" in files[0].read_text()
    assert cpt("dream", "schedule", "show", "--json").json["schedule"]["cron"] == "0 4 * * *"
    assert cpt("dream", "schedule", "remove").code == 0
    assert not any(path.exists() for path in files)
    assert cpt("dream", "schedule", "install", "tomorrow").code == 2
