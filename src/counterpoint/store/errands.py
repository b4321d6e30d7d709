"""Agents at work on other machines, as rows: what they are to do, what they report, what they are told.

The driver of a run writes errands and notes, and reads reports. That a report counts is recorded in the transaction in
which the journal gets what it says, so it counts exactly once. A worker calls functions that check errand and token, and needs no other right: see
`store.desk`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from counterpoint.store.listener import Heard, Listener
from counterpoint.store.news import News
from counterpoint.store.rows import Along
from counterpoint.store.server import Server

OPEN = text("SELECT agent, id, digest, begun_with FROM errands WHERE run_id = :run_id AND NOT closed")
NEW = text("SELECT errand, n, body FROM reports WHERE run_id = :run_id AND NOT applied ORDER BY errand, n")
INSERT = text(
    "INSERT INTO errands (id, run_id, agent, digest, begun_with, token, body)"
    " VALUES (:id, :run_id, :agent, :digest, :begun_with, :token, :body)"
)
APPLY = text("UPDATE reports SET applied = true WHERE errand = :errand AND n = :n")
NOTE = text("INSERT INTO notes (errand, body) SELECT id, :body FROM errands WHERE id = :errand AND NOT closed")
CLOSE = text(
    "UPDATE errands SET closed = true WHERE id = :errand"
    " AND EXISTS (SELECT 1 FROM heads WHERE heads.run_id = errands.run_id AND epoch = :epoch)"
)
FORGET = text("DELETE FROM errands WHERE id = :errand")
PARCEL = text("SELECT data FROM parcels WHERE errand = :errand AND name = :name")


@dataclass(frozen=True, slots=True)
class OpenErrand:
    """An errand of an earlier attempt that nobody has closed."""

    id: str
    digest: str
    """Of its task: another task is another errand."""
    begun_with: int
    """Rows of the conversation that it was given."""


class Errands:
    """The errands of one run, as its driver has them. What is `Along` is for its journal."""

    def __init__(self, server: Server, listener: Listener, run_id: str, epoch: int) -> None:
        self._epoch = epoch
        self._server = server
        self._listener = listener
        self._run_id = run_id

    async def open(self) -> dict[str, OpenErrand]:
        """Agent → its errand that was under way. Raises StoreError."""
        rows = await self._rows(OPEN)
        return {agent: OpenErrand(errand, digest, begun_with) for agent, errand, digest, begun_with in rows}

    async def reports(self) -> list[tuple[str, int, bytes]]:
        """Errand, number and body of the reports that the journal does not have. Raises StoreError."""
        return [(errand, n, bytes(body)) for errand, n, body in await self._rows(NEW)]

    async def parcel(self, errand: str, name: str) -> bytes | None:
        """What a worker has left with an errand. Raises StoreError."""
        values = {"errand": errand, "name": name}

        def ask(connection: Connection) -> bytes | None:
            return connection.execute(PARCEL, values).scalar()

        found = await self._server.call(lambda: self._server.ask(ask))
        return bytes(found) if found is not None else None

    def news(self) -> News:
        """Tells when there may be reports."""
        return Heard(self._listener, reports_channel(self._run_id))

    async def tell(self, errand: str, body: bytes) -> None:
        """Leaves a note for the agent. Raises StoreError."""
        await self._change(NOTE, {"errand": errand, "body": body}, errand)

    async def close(self, errand: str) -> None:
        """Whoever works on it may report no more; nothing happens where the run has another driver. Raises StoreError."""
        await self._change(CLOSE, {"errand": errand, "epoch": self._epoch}, errand)

    async def _change(self, statement: TextClause, values: dict[str, Any], errand: str) -> None:
        def change(connection: Connection) -> None:
            connection.execute(statement, values)

        def work() -> None:
            self._server.change(change)
            self._server.notify(errand_channel(errand))

        await self._server.call(work)

    def sent(self, errand: str, agent: str, digest: str, begun_with: int, token: str, body: bytes) -> Along:
        row = {"id": errand, "run_id": self._run_id, "agent": agent, "digest": digest, "begun_with": begun_with}
        return Along(INSERT, [{**row, "body": body, "token": hashlib.sha256(token.encode()).digest()}])

    def applied(self, errand: str, n: int) -> Along:
        return Along(APPLY, [{"errand": errand, "n": n}])

    def forgotten(self, errands: Iterable[str]) -> Along:
        """The journal has all that was reported."""
        return Along(FORGET, [{"errand": errand} for errand in errands])

    async def _rows(self, query: TextClause) -> list[Row[Any]]:
        values = {"run_id": self._run_id}

        def ask(connection: Connection) -> list[Row[Any]]:
            return list(connection.execute(query, values).all())

        return await self._server.call(lambda: self._server.ask(ask))


def reports_channel(run_id: str) -> str:
    return f"counterpoint.r.{run_id}"[:63]


def errand_channel(errand: str) -> str:
    return f"counterpoint.e.{hashlib.sha256(errand.encode()).hexdigest()[:40]}"
