"""Journals of every release stay readable, and a run that an old release began can go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program

GOLDEN = Path(__file__).parent / "golden"
RUNS = sorted(GOLDEN.glob("*/*/"))
OF_THIS_MACHINE = ("journal", "script")


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)


def adopt(cpt: Program, recorded: Path) -> str:
    """Copies a recorded run, and its scripts, to where the program finds them."""
    (run,) = recorded.glob("wf_*")
    shutil.copytree(run, cpt.state / "runs" / run.name)
    for script in recorded.glob("*.js"):
        shutil.copy(script, cpt.folder)
    return run.name


def without_paths(document: Any) -> Any:
    return {name: value for name, value in document.items() if name not in OF_THIS_MACHINE}


def correct(shown: Any) -> None:
    """0.1.0 showed agents that had died with their process as at work; since then they are told as cut off."""
    for agent in shown["agent_list"]:
        if agent["state"] == "running":
            agent["state"] = "interrupted"
    for limit in shown["limits"]:
        if limit["name"] == "concurrency":
            limit["left"], limit["used"] = limit["total"], 0


def test_there_are_recorded_journals_of_this_release():
    assert {path.name for path in RUNS} >= {"whole", "cut"}


@pytest.mark.parametrize("recorded", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_events_are_read_as_they_were_written(cpt: Program, recorded: Path):
    run_id = adopt(cpt, recorded)
    assert cpt("export", run_id, "--jsonl").out == (recorded / "events.jsonl").read_text()


@pytest.mark.parametrize("recorded", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_shown_holds_all_that_was_shown_then(cpt: Program, recorded: Path):
    run_id = adopt(cpt, recorded)
    then = without_paths(json.loads((recorded / "show.json").read_text()))
    now = cpt("show", run_id, "--json").json
    if then["status"] == "interrupted":
        correct(then)
    assert {name: now.get(name) for name in then} == then


def test_a_run_that_an_old_release_left_goes_on_without_asking_again(cpt: Program):
    for recorded in GOLDEN.glob("*/cut"):
        run_id = adopt(cpt, recorded)
        before = cpt("show", run_id, "--json").json
        assert before["status"] == "interrupted"
        after = cpt("resume", run_id, "--json")
        assert after.code == 0, after.err
        assert after.json["agents"]["reused"] == before["agents"]["ok"]
        assert after.json["result"]["race"] == "agent"
