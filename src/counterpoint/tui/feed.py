"""A run as it comes: folds fed from the journal while it grows, or from a finished one by the clock of a replay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from counterpoint.client import Client
from counterpoint.events import Recorded
from counterpoint.timeline import Timeline
from counterpoint.view import RunView

POLL_S = 0.2
LIVE_CHECK_S = 1.0
STEP_S = 0.1
"""How often the clock of a replay is looked at."""
GAP_S = 5.0
"""A replay passes over longer silence."""


class Feed:
    """The folds of one run. `speed` replays it, so many times as fast as it was; None follows it."""

    def __init__(self, client: Client, run_id: str, *, speed: float | None = None) -> None:
        self.run_id = run_id
        self.speed = speed
        self.view = RunView()
        self.timeline = Timeline()
        self.live = False
        self.playing = True
        self._client = client

    @property
    def replays(self) -> bool:
        return self.speed is not None

    @property
    def moves(self) -> bool:
        """Whether time goes on in this run."""
        return self.live and not self.view.ended and not self.replays

    def now(self) -> float:
        """The time in the run: of the clock while it goes on, else of the last event."""
        return max(time.time(), self.view.last_at) if self.moves else self.view.last_at

    def apply(self, events: list[Recorded]) -> None:
        for recorded in events:
            self.view.apply(recorded)
            self.timeline.apply(recorded)

    async def read(self) -> None:
        """Takes what the journal has now."""
        self.apply(await self._client.events(self.run_id, self.view.last_seq))
        self.live = await self._client.is_live(self.run_id)
        if not self.live:
            self.view.interrupt()

    async def run(self, changed: Callable[[], None]) -> None:
        """Feeds the folds for ever, and tells whenever there is something new."""
        if self.speed is None:
            await self._follow(changed)
        else:
            await self._replay(changed)

    async def _follow(self, changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        checked = -LIVE_CHECK_S
        while True:
            events = await self._client.events(self.run_id, self.view.last_seq)
            self.apply(events)
            was = self.live
            if loop.time() - checked >= LIVE_CHECK_S:
                checked = loop.time()
                self.live = await self._client.is_live(self.run_id)
                if not self.live:
                    self.view.interrupt()
            if events or was != self.live:
                changed()
            await asyncio.sleep(POLL_S if self.live else LIVE_CHECK_S)

    async def _replay(self, changed: Callable[[], None]) -> None:
        events = await self._client.events(self.run_id)
        loop = asyncio.get_running_loop()
        due = at = 0.0
        last = loop.time()
        for n, recorded in enumerate(events):
            if n:
                due += min(GAP_S, max(0.0, recorded.at - events[n - 1].at))
            while at < due:
                now = loop.time()
                at += (now - last) * (self.speed or 1.0) * self.playing
                last = now
                if at < due:
                    changed()
                    await asyncio.sleep(STEP_S)
            self.apply([recorded])
        changed()
