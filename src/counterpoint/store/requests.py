"""What people ask of a run: written by any process, read by the one that executes it. Receipts are events."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import select

from counterpoint.store.database import REQUESTS
from counterpoint.store.index import Index


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `body` is a JSON object."""

    id: int
    verb: str
    target: str | None
    body: bytes
    by: str
    at: float


class Requests:
    """The requests of all runs of a store."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def ask(self, run_id: str, verb: str, target: str | None, body: bytes, by: str) -> int:
        """Leaves a request and gives its number; numbers grow."""
        row = {"run_id": run_id, "verb": verb, "target": target, "body": body, "by": by, "asked_at": time.time()}
        insert = REQUESTS.insert().values(row)
        key = await self._index.write(lambda connection: connection.execute(insert).inserted_primary_key)
        return int(key[0]) if key else 0

    async def pending(self, run_id: str, after: int) -> list[Asked]:
        """The run's requests with a number over `after`, in order."""
        query = select(REQUESTS).where(REQUESTS.c.run_id == run_id, REQUESTS.c.id > after).order_by(REQUESTS.c.id)
        rows = await self._index.read(lambda connection: connection.execute(query).all())
        return [Asked(row.id, row.verb, row.target, row.body, row.by, row.asked_at) for row in rows]
