"""A dream that kills its own process at a stage, for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.dream.lived import Place, item, reader, skeptics

from counterpoint.dream.canary import Entries, Outcomes
from counterpoint.testing import Asked, ScriptedModel, Step

FACTS = ("The port is 8080.", "The host is lovelace.", "The queue is drained nightly.")
TASKS = [f"task {n}" for n in range(6)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Trials that end the process in the middle."""

    names = TASKS
    guards: Sequence[str] = ()

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int]) -> Outcomes:
        die()
        return {}


class Fine:
    """Trials that always go well."""

    names = TASKS
    guards: Sequence[str] = ()

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int]) -> Outcomes:
        return {(name, seed): True for name in names for seed in seeds}


def answers(stage: str = "") -> ScriptedModel:
    """Readers and skeptics; the third of a stage kills the process."""
    steps = [reader(*(item(f"Known: {text}", text, subject=text) for text in FACTS)), skeptics()]

    def dying(asked: Asked) -> str:
        die()
        return ""

    fatal = {"read": Step(dying, label="reader c3", times=None), "refute": Step(dying, label="skeptic 3 *", times=None)}
    return ScriptedModel(*([fatal[stage]] if stage in fatal else []), *steps)


async def dream_and_die(folder: Path, stage: str) -> None:
    place = Place(folder)
    await place.dream(answers(stage), tasks=Killer() if stage == "try" else Fine(), concurrency=1, anywhere=True)
