"""Starts processes that go on after ours has ended: `counterpoint execute`, which no person calls, and dreams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.errors import ProcessEndedError
from counterpoint.runtime.replay import Reuse
from counterpoint.store.leases import STARTS_S
from counterpoint.store.runs import Store

PROGRAM = (sys.executable, "-P", "-m", "counterpoint")
"""Our own program. Without ``-P`` it would import whatever modules lie in the working directory."""
LOOK_S = 0.02


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process is told of its attempt: the part of the orders that is no default."""

    script: str | None = None
    """Path of an edited script."""
    reuse: Reuse = "calls"
    bounds: dict[str, Any] = {}


_started: list[subprocess.Popen[bytes]] = []
"""Nobody waits for them; those that have ended are forgotten when the next one is started."""


async def execute_apart(store: Store, run_id: str, given: Given | None = None) -> None:
    """Starts the process that executes a run, and waits until it does: from then on the run can be stopped and asked.

    What it writes to its streams goes to ``process.log`` in the run's folder. Raises ProcessEndedError.
    """
    told = msgspec.json.encode(given or Given()).decode()
    await starter(store)(["execute", run_id, "--given", told])


def starter(store: Store) -> Callable[[list[str]], Awaitable[None]]:
    """What a face calls with the arguments of a command that executes a run, as ``["execute", run_id]``."""

    async def start(arguments: list[str]) -> None:
        state, run_id = str(store.folder), arguments[1]
        log, since = store.run_folder(run_id) / "process.log", time.time()
        process = await asyncio.to_thread(_start, [*arguments, "--state", state], log, state)
        await _until_begun(store, run_id, process)
        if process.poll() is not None and not await _has_ended(store, run_id, since):
            raise ProcessEndedError(run_id, log)

    return start


def dream_apart(state: Path, folder: Path, budget: str, model: str = "") -> None:
    """Starts a dream over the runs of a project's folder; what it says goes to ``dream.log`` beside the runs."""
    command = ["dream", "run", "--budget", budget, "--no-color", "--state", str(state)]
    _start([*command, *(["--model", model] if model else [])], state / "dream.log", str(state), folder)


async def _until_begun(store: Store, run_id: str, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STARTS_S):
            with store.news(run_id, LOOK_S) as news:
                while process.poll() is None and not await store.is_live(run_id):
                    await news.wait()


async def _has_ended(store: Store, run_id: str, since: float) -> bool:
    """Whether an attempt has ended since then: a short one may have begun and ended while nobody looked."""
    end = await asyncio.to_thread(store.reader(run_id).end)
    return end is not None and end[1] >= since


def _start(arguments: list[str], log: Path, state: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
    _started[:] = [process for process in _started if process.poll() is None]
    with log.open("ab") as said:
        process = subprocess.Popen(  # noqa: S603  (our own program, with arguments of ours)
            [*PROGRAM, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "COUNTERPOINT_STATE": state},
        )
    _started.append(process)
    return process
