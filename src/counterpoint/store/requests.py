"""What people ask of a run: written by any process, read by the one that executes it. Receipts are events."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from counterpoint.store.database import REQUESTS, RUNS
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

        def insert(connection: Connection) -> int:
            connection.execute(RUNS.select().where(RUNS.c.run_id == run_id).with_for_update())  # numbers come in order
            key = connection.execute(REQUESTS.insert().values(row)).inserted_primary_key
            return int(key[0]) if key else 0

        return await self._index.write(insert, of=run_id)

    async def go_on_behind(self, run_id: str, last: Asked) -> None:
        """Lets numbers go on behind a request that the run's journal has: the run may have come from another folder."""
        newest = select(func.max(REQUESTS.c.id))
        row = {"id": last.id, "run_id": run_id, "verb": last.verb, "target": last.target, "body": last.body,
               "by": last.by, "asked_at": last.at}  # fmt: skip

        def insert(connection: Connection) -> None:
            if (connection.execute(newest).scalar() or 0) < last.id:
                connection.execute(REQUESTS.insert().values(row))

        if (await self._index.read(lambda connection: connection.execute(newest).scalar()) or 0) < last.id:
            await self._index.write(insert)

    async def pending(self, run_id: str, after: int) -> list[Asked]:
        """The run's requests with a number over `after`, in order."""
        query = select(REQUESTS).where(REQUESTS.c.run_id == run_id, REQUESTS.c.id > after).order_by(REQUESTS.c.id)
        rows = await self._index.read(lambda connection: connection.execute(query).all())
        return [Asked(row.id, row.verb, row.target, row.body, row.by, row.asked_at) for row in rows]
