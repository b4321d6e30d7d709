"""The runs that pages look at: each is folded once, and then only what is new of it."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from counterpoint.client import Client
from counterpoint.view import RunView
from counterpoint.web import slim

KEPT = 8
"""Runs whose fold is kept."""
BATCH = 400
"""Events that go to a page at once."""
POLL_S = 0.15
QUIET_POLL_S = 1.0
"""How often a run is looked at that nobody executes."""
BEAT_S = 15.0
LIVE_CHECK_S = 1.0


@dataclass(slots=True)
class _Fold:
    view: RunView = field(default_factory=RunView)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Two requests at once must not fold the same events twice."""


class Watched:
    """Folds of the runs that were asked for last."""

    kept = KEPT

    def __init__(self, client: Client) -> None:
        self._client = client
        self._folds: OrderedDict[str, _Fold] = OrderedDict()

    async def view(self, run_id: str) -> RunView:
        """The run as its journal has it now."""
        fold = self._folds.setdefault(run_id, _Fold())
        self._folds.move_to_end(run_id)
        while len(self._folds) > KEPT:
            self._folds.popitem(last=False)
        async with fold.lock:
            for recorded in await self._client.events(run_id, fold.view.last_seq):
                fold.view.apply(recorded)
        if fold.view.ended or await self._client.is_live(run_id):
            return fold.view
        view = copy.copy(fold.view)
        view.interrupt()
        return view


async def stream(client: Client, run_id: str, after: int) -> AsyncIterator[bytes]:
    """The run's events behind `after` as server-sent events, for ever: each a JSON array, its id the last number in it.

    Between them come `live` events, whenever a process begins or ceases to execute the run. A reader that is slow gets
    the next batch when it has taken the last: what it has not taken lies in the journal, not in memory.
    """
    yield b"retry: 1000\n\n"
    loop = asyncio.get_running_loop()
    live: bool | None = None
    checked = spoken = 0.0
    while True:
        events = await client.events(run_id, after)
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            after = batch[-1].seq
            yield b"id: %d\nevent: batch\ndata: [%s]\n\n" % (after, b",".join(slim.line(each) for each in batch))
        now = loop.time()
        if events:
            spoken = now
        if live is None or now - checked >= LIVE_CHECK_S:
            checked, before, live = now, live, await client.is_live(run_id)
            if live != before:
                yield b'event: live\ndata: {"live":%s,"seq":%d}\n\n' % (b"true" if live else b"false", after)
        if now - spoken >= BEAT_S:
            spoken = now
            yield b": beat\n\n"
        await asyncio.sleep(POLL_S if live else QUIET_POLL_S)
