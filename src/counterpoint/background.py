"""Starts a process that executes a run after ours has ended: `counterpoint execute`, which no person calls."""

from __future__ import annotations

import os
import subprocess
import sys
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
    log = (store.run_folder(run_id) / "process.log").open("ab")
    _started[:] = [process for process in _started if process.poll() is None]
    process = subprocess.Popen(  # noqa: S603  (our own program, with arguments of ours)
        [sys.executable, "-m", "counterpoint", "execute", run_id, "--given", told, "--state", state],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, "COUNTERPOINT_STATE": state},
    )
    _started.append(process)
    log.close()
