"""Two times that an agent must keep, under one timer: its wall time, and the time without any progress."""

from __future__ import annotations

import asyncio


class Deadline:
    """To be used as ``async with deadline.timeout:``. What it waits for is in `waiting_for`, for the message."""

    def __init__(self, wall_s: float, stall_s: float) -> None:
        self._now = asyncio.get_running_loop().time
        now = self._now()
        self._stall_s = stall_s
        self._ends_at = now + wall_s
        self.timeout = asyncio.timeout_at(min(self._ends_at, now + stall_s))
        self.waiting_for = "the model"

    def progress(self, wait: float = 0.0) -> None:
        """Something happened; and for `wait` seconds nothing is expected to."""
        if not self.timeout.expired():
            self.timeout.reschedule(min(self._ends_at, self._now() + wait + self._stall_s))

    @property
    def is_stall(self) -> bool:
        """Once it has expired: whether it was for want of progress, the wall time not being over."""
        return (self.timeout.when() or 0.0) < self._ends_at
