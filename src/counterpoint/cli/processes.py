"""Processes of Counterpoint that outlive the command which starts them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path


def starter(state: Path) -> Callable[[list[str]], Awaitable[None]]:
    """What a face calls with the arguments of a command about a run, as ``["execute", run_id]``."""

    async def start(arguments: list[str]) -> None:
        await asyncio.to_thread(_start, arguments, state)

    return start


def _start(arguments: list[str], state: Path) -> None:
    """What the process says goes into the run's folder."""
    with (state / "runs" / arguments[1] / "process.log").open("ab") as log:
        subprocess.Popen(  # noqa: S603 - our own program; the arguments are a list, no shell reads them
            [sys.executable, "-m", "counterpoint", *arguments, "--state", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "COUNTERPOINT_STATE": str(state)},
        )
