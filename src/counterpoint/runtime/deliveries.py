"""Answers on their way to the script, in the one order that a replay can repeat.

Answers that have a place in the record of earlier attempts go first, lowest place first; only a run of adjacent places
goes in one batch, because the answer to the first may lead to a call whose answer belongs between them. New answers go
behind them, in the order of the journal. Nothing goes that the journal has not on disk.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from counterpoint.sandbox.frames import Delivery

Make = Callable[[], Awaitable[Delivery]]


class Durable(Protocol):
    """What is needed of the journal."""

    @property
    def durable_seq(self) -> int: ...
    async def durable(self, seq: int) -> None: ...


class Deliveries:
    """A queue with one reader. `Make` builds the delivery at the moment it leaves."""

    def __init__(self, journal: Durable) -> None:
        self._journal = journal
        self._placed: list[tuple[int, int, int, Make]] = []
        self._live: deque[tuple[int, Make]] = deque()
        self.heard = 0
        """New answers that have left."""
        self._next_place = 0
        self._count = 0
        self._filled = asyncio.Event()
        self.waiting = asyncio.Event()
        """Set while the script can only wait: it has been given every answer that there is."""

    def live(self, seq: int, make: Make) -> None:
        """A new answer; the journal has it, or will have it, as event `seq`."""
        self._live.append((seq, make))
        self._filled.set()

    def placed(self, place: int, make: Make, *, seq: int = 0) -> None:
        """An answer that was the `place`-th before, recorded then, or now as event `seq`."""
        self._count += 1
        heapq.heappush(self._placed, (place, self._count, seq, make))
        self._filled.set()

    @property
    def empty(self) -> bool:
        return not self._placed and not self._live

    async def take(self) -> list[Delivery]:
        """The next batch, never empty; waits for it. Raises StoreError when the journal failed."""
        while self.empty:
            self._filled.clear()
            self.waiting.set()
            await self._filled.wait()
            self.waiting.clear()
        makes = await (self._take_placed() if self._placed else self._take_live())
        return [await make() for make in makes]

    async def _take_placed(self) -> list[Make]:
        batch: list[Make] = []
        last = 0
        while self._placed and (not batch or self._placed[0][0] == self._next_place):
            place, _, seq, make = heapq.heappop(self._placed)
            self._next_place = place + 1
            last = max(last, seq)
            batch.append(make)
        await self._journal.durable(last)
        return batch

    async def _take_live(self) -> list[Make]:
        await self._journal.durable(self._live[0][0])
        batch: list[Make] = []
        while self._live and self._live[0][0] <= self._journal.durable_seq:
            batch.append(self._live.popleft()[1])
        self.heard += len(batch)
        return batch
