"""Answers on their way to the script, in the one order that a replay can repeat.

Live answers go in the order of the journal, and only when the journal has them on disk. Answers that have a place in
the record of an earlier attempt go before live ones, lowest place first; only a run of adjacent places goes in one
batch, because the answer to the first may lead to a call whose answer belongs between them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from counterpoint.sandbox.frames import Delivery


class Durable(Protocol):
    """What is needed of the journal."""

    @property
    def durable_seq(self) -> int: ...
    async def durable(self, seq: int) -> None: ...


class Deliveries:
    """A queue with one reader. `make` builds the delivery at the moment it leaves."""

    def __init__(self, journal: Durable) -> None:
        self._journal = journal
        self._placed: list[tuple[int, int, Callable[[], Awaitable[Delivery]]]] = []
        self._live: deque[tuple[int, Callable[[], Awaitable[Delivery]]]] = deque()
        self._next_place = 0
        self._count = 0
        self._filled = asyncio.Event()
        self.waiting = asyncio.Event()
        """Set while the script can only wait: it has been given every answer that there is."""

    def live(self, seq: int, make: Callable[[], Awaitable[Delivery]]) -> None:
        """An answer that the journal has, or will have, as event `seq`."""
        self._live.append((seq, make))
        self._filled.set()

    def placed(self, place: int, make: Callable[[], Awaitable[Delivery]]) -> None:
        """An answer that was the `place`-th of an earlier attempt."""
        self._count += 1
        heapq.heappush(self._placed, (place, self._count, make))
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
        makes = self._take_placed() or await self._take_live()
        return [await make() for make in makes]

    def _take_placed(self) -> list[Callable[[], Awaitable[Delivery]]]:
        batch: list[Callable[[], Awaitable[Delivery]]] = []
        while self._placed and (not batch or self._placed[0][0] == self._next_place):
            place, _, make = heapq.heappop(self._placed)
            self._next_place = place + 1
            batch.append(make)
        return batch

    async def _take_live(self) -> list[Callable[[], Awaitable[Delivery]]]:
        await self._journal.durable(self._live[0][0])
        batch: list[Callable[[], Awaitable[Delivery]]] = []
        while self._live and self._live[0][0] <= self._journal.durable_seq:
            batch.append(self._live.popleft()[1])
        return batch
