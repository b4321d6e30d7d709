"""Blocking file work in a thread that gives up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from counterpoint.tools.base import ToolError

T = TypeVar("T")


class Patience:
    """How long a thread may go on. It asks between chunks, since nobody can interrupt it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = float("inf")
        self.given_up = False

    def begin(self) -> None:
        """The time runs from now on: waiting for a free thread is not the work's fault."""
        self._until = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raises ToolError when the time is over, or the agent is gone."""
        if self.given_up or time.monotonic() > self._until:
            raise ToolError(
                f"This took longer than {self._seconds:g} seconds. Ask for less: a narrower path or pattern."
            )


async def in_thread(work: Callable[[Patience], T], seconds: float) -> T:
    """`work` in a thread, within `seconds`. On cancellation the thread is told to stop."""
    patience = Patience(seconds)

    def begun() -> T:
        patience.begin()
        return work(patience)

    try:
        return await asyncio.to_thread(begun)
    finally:
        patience.given_up = True
