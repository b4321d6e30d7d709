"""Starts processes that go on after ours has ended: `counterpoint execute`, which no person calls, and dreams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.runtime.replay import Reuse
from counterpoint.store.runs import Store


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process is told of its attempt: the part of the orders that is no default."""

    script: str | None = None
    """Path of an edited script."""
    reuse: Reuse = "calls"
    bounds: dict[str, Any] = {}


_started: list[subprocess.Popen[bytes]] = []
"""Nobody waits for them; those that have ended are forgotten when the next one is started."""


def execute_apart(store: Store, run_id: str, given: Given | None = None) -> None:
    """Starts the process; what it writes to its streams goes to ``process.log`` in the run's folder."""
    state = str(store.folder)
    told = msgspec.json.encode(given or Given()).decode()
    _start(["execute", run_id, "--given", told, "--state", state], store.run_folder(run_id) / "process.log", state)


def dream_apart(state: Path, folder: Path, budget: str, model: str = "") -> None:
    """Starts a dream over the runs of a project's folder; what it says goes to ``dream.log`` beside the runs."""
    command = ["dream", "run", "--budget", budget, "--no-color", "--state", str(state)]
    _start([*command, *(["--model", model] if model else [])], state / "dream.log", str(state), folder)


def _start(arguments: list[str], log: Path, state: str, folder: Path | None = None) -> None:
    _started[:] = [process for process in _started if process.poll() is None]
    with log.open("ab") as said:
        process = subprocess.Popen(  # noqa: S603  (our own program, with arguments of ours)
            [sys.executable, "-m", "counterpoint", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "COUNTERPOINT_STATE": state},
        )
    _started.append(process)
