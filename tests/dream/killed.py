"""A dream that kills its own process at a stage, for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tests.dream.lived import Place, item, reader, skeptics

from counterpoint.dream.canary import Entries, Outcomes, Try
from counterpoint.testing import Asked, ScriptedModel, Step
from counterpoint.trials import ProjectTasks, Task

FACTS = ("The port is 8080.", "The host is lovelace.", "The queue is drained nightly.")
TASKS = [f"task {n}" for n in range(6)]


def die() -> None:
    """Without a chance to tidy up; a test never returns from it."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Trials that end the process in the middle."""

    names = TASKS
    guards: Sequence[str] = ()

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int], run: Try) -> Outcomes:
        die()
        return {}


class Fine:
    """Trials that always go well."""

    names = TASKS
    guards: Sequence[str] = ()

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int], run: Try) -> Outcomes:
        return {(name, seed): True for name in names for seed in seeds}


def project_tasks() -> ProjectTasks:
    """Trials by agents, in runs."""
    return ProjectTasks([Task(name, "Is it?", "fine") for name in TASKS], memory_tokens=500)


def _wait_for_two(state: Path) -> None:
    """Returns when the newest run has two results on disk: they were paid for, and must not be paid for again."""
    newest = max((state / "runs").glob("*/journal.db"), key=lambda path: path.parent.stat().st_ctime_ns)
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        with contextlib.closing(sqlite3.connect(f"file:{newest}?mode=ro", uri=True)) as connection:
            if connection.execute("SELECT count(*) FROM events WHERE type = 'agent_finished'").fetchone()[0] >= 2:
                return
        time.sleep(0.01)


def answers(stage: str = "", state: Path = Path()) -> ScriptedModel:
    """Readers and skeptics; the third of a stage kills the process, when the work of the first two is on disk."""
    steps = [reader(*(item(f"Known: {text}", text, subject=text) for text in FACTS)), skeptics()]
    steps.append(Step("fine", label="task *", times=None))

    def dying(asked: Asked) -> str:
        _wait_for_two(state)
        die()
        return ""

    fatal = {
        "read": Step(dying, label="reader c3", times=None),
        "refute": Step(dying, label="skeptic 3 *", times=None),
        "trial": Step(dying, label="task 1 #0", times=None),
    }
    return ScriptedModel(*([fatal[stage]] if stage in fatal else []), *steps)


async def dream_and_die(folder: Path, stage: str) -> None:
    place = Place(folder)
    tasks = {"try": Killer(), "trial": project_tasks()}.get(stage, Fine())
    await place.dream(answers(stage, place.state), tasks=tasks, concurrency=1, anywhere=True)
