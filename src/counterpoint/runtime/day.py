"""Today's ceilings: what the other runs of the store, and earlier attempts of this one, have consumed since midnight.

It is read from their journals, which are the only record of it. Runs under way are looked at every few seconds, so
together they may pass a day's ceiling by what they consume within that time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import datetime

from counterpoint.errors import StoreError
from counterpoint.events import NO_USAGE, RunForked, Usage
from counterpoint.runtime.budget import Budget
from counterpoint.store.reader import JournalReader
from counterpoint.store.runs import Store
from counterpoint.view import RunView

LOOK_S = 5.0


class _Consumption:
    """What one run has consumed since a time, as far as its journal was read."""

    def __init__(self, reader: JournalReader, since: float, until_seq: float) -> None:
        self._reader = reader
        self._since = since
        self._until_seq = until_seq
        self._view = RunView()
        self._before: Usage | None = None

    async def look(self) -> Usage:
        for recorded in await self._reader.read(self._view.last_seq):
            if recorded.seq > self._until_seq:
                break
            if self._before is None and recorded.at >= self._since:
                self._before = self._view.usage()
            self._view.apply(recorded)
            if isinstance(recorded.event, RunForked):
                self._before = None  # what came before, its parent has paid
        if self._view.imported:
            return Usage()  # another system has paid for it
        now = self._view.usage()
        before = now if self._before is None else self._before
        return Usage(output_tokens=now.output_tokens - before.output_tokens, usd=(now.usd or 0.0) - (before.usd or 0.0))


class Day:
    """Keeps a budget's ceilings of the day up to date."""

    def __init__(self, store: Store, budget: Budget, run_id: str, until_seq: int) -> None:
        self._store = store
        self._budget = budget
        self._until = {run_id: until_seq}
        self._runs: dict[str, _Consumption] = {}
        self._midnight = _midnight()

    async def look(self) -> None:
        """Reads what is new in the journals of today's runs; nothing where no ceiling is the day's."""
        if not self._budget.has("day"):
            return
        if _midnight() != self._midnight:
            self._midnight, self._runs = _midnight(), {}
        total = NO_USAGE
        for run_id in await self._store.written_since(self._midnight):
            until_seq = self._until.get(run_id, math.inf)
            run = self._runs.get(run_id)
            if run is None:
                run = self._runs[run_id] = _Consumption(self._store.reader(run_id), self._midnight, until_seq)
            total = total + await run.look()
        self._budget.set_elsewhere(total.output_tokens, total.usd or 0.0)

    async def watch(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(StoreError):  # out of reach just now: then nothing is recorded here either
                await self.look()


def _midnight() -> float:
    return (
        datetime.fromtimestamp(time.time()).astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    )
