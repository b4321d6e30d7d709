"""Agents at work on other machines, as rows: what they are to do, what they report, what they are told.

The driver of a run writes errands and notes, and reads reports. That a report counts is recorded in the transaction in
which the journal gets what it says, so it counts exactly once. A worker calls functions that check errand and token,
and needs no other right: see `store.desk`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, TextClause, text

from counterpoint.store.listener import Heard, Listener
from counterpoint.store.news import News
from counterpoint.store.rows import Along
from counterpoint.store.server import Server

T = TypeVar("T")
OPEN = text("SELECT id, agent, digest, token FROM errands WHERE run_id = :run_id")
NEW = text("SELECT errand, n, body FROM reports WHERE run_id = :run_id AND NOT applied ORDER BY errand, n")
BODY = text("SELECT body FROM errands WHERE id = :errand")
APPLIED = text("SELECT n, body FROM reports WHERE errand = :errand AND applied ORDER BY n")
INSERT = text(
    "INSERT INTO errands (id, run_id, agent, digest, token, body) VALUES (:id, :run_id, :agent, :digest, :token, :body)"
)
APPLY = text("UPDATE reports SET applied = true WHERE errand = :errand AND n = :n")
NOTE = text(
    "INSERT INTO notes (errand, body) SELECT id, :body FROM errands JOIN heads USING (run_id)"
    " WHERE id = :errand AND epoch = :epoch"
)
CLOSE = text("DELETE FROM errands USING heads WHERE id = :errand AND heads.run_id = errands.run_id AND epoch = :epoch")
CLOSE_ALL = text(
    "DELETE FROM errands WHERE id IN (SELECT id FROM errands JOIN heads USING (run_id)"
    " WHERE run_id = :run_id AND epoch = :epoch ORDER BY id FOR UPDATE OF errands)"
)
FORGET = text("DELETE FROM errands WHERE id = :errand")
PARCEL = text("SELECT data FROM parcels WHERE errand = :errand AND name = :name")


@dataclass(frozen=True, slots=True)
class OpenErrand:
    """An errand that is there, and what it was made from."""

    id: str
    agent: str
    digest: str
    """Of its task: another task is another errand."""
    token: str
    """What a worker shows to take it."""


class Errands:
    """The errands of one run, as its driver has them. What is `Along` is for its journal."""

    def __init__(self, server: Server, listener: Listener, run_id: str, epoch: int) -> None:
        self.run_id = run_id
        self._server = server
        self._listener = listener
        self._epoch = epoch

    async def open(self) -> list[OpenErrand]:
        """Those that an earlier attempt has left. Raises StoreError."""
        rows = await self._ask(lambda connection: connection.execute(OPEN, {"run_id": self.run_id}).all())
        return [OpenErrand(*row) for row in rows]

    async def body(self, errand: str) -> bytes:
        """What was sent. Raises StoreError."""
        return bytes(await self._ask(lambda connection: connection.execute(BODY, {"errand": errand}).scalar_one()))

    async def reports(self) -> list[tuple[str, int, bytes]]:
        """Errand, number and body of the reports that the journal does not have. Raises StoreError."""
        rows = await self._ask(lambda connection: connection.execute(NEW, {"run_id": self.run_id}).all())
        return [(errand, n, bytes(body)) for errand, n, body in rows]

    async def applied(self, errand: str) -> list[tuple[int, bytes]]:
        """Number and body of those that it has. Raises StoreError."""
        rows = await self._ask(lambda connection: connection.execute(APPLIED, {"errand": errand}).all())
        return [(n, bytes(body)) for n, body in rows]

    async def parcel(self, errand: str, name: str) -> bytes | None:
        """What a worker has left with an errand. Raises StoreError."""
        values = {"errand": errand, "name": name}
        found = await self._ask(lambda connection: connection.execute(PARCEL, values).scalar())
        return bytes(found) if found is not None else None

    def news(self) -> News:
        """Tells when there may be reports."""
        return Heard(self._listener, reports_channel(self.run_id))

    async def tell(self, errand: str, body: bytes) -> None:
        """Leaves a note for the agent. Raises StoreError."""
        await self._change(NOTE, {"errand": errand, "body": body}, [errand])

    async def close(self, errand: str) -> None:
        """Whoever works on it may report no more. Nothing where the run has another driver. Raises StoreError."""
        await self._change(CLOSE, {"errand": errand}, [errand])

    async def close_all(self, heeded: list[str]) -> None:
        """The same for all of the run; those who work on `heeded` hear of it at once. Raises StoreError."""
        await self._change(CLOSE_ALL, {"run_id": self.run_id}, heeded)

    def sent(self, errand: OpenErrand, body: bytes) -> Along:
        """The errand, durable when `done` has its result."""
        row = {"id": errand.id, "run_id": self.run_id, "agent": errand.agent, "digest": errand.digest}
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Along(INSERT, [{**row, "token": errand.token, "body": body}], done)

    def counted(self, errand: str, n: int) -> Along:
        """The journal has what the report says."""
        return Along(APPLY, [{"errand": errand, "n": n}])

    def forgotten(self, errand: str) -> Along:
        """The journal has its result."""
        return Along(FORGET, [{"errand": errand}])

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        return await self._server.call(lambda: self._server.ask(question))

    async def _change(self, statement: TextClause, values: dict[str, Any], heeded: list[str]) -> None:
        def work() -> None:
            self._server.change(lambda connection: connection.execute(statement, {**values, "epoch": self._epoch}))
            for errand in heeded:
                self._server.notify(errand_channel(errand))

        await self._server.call(work)


def reports_channel(run_id: str) -> str:
    return f"counterpoint.r.{run_id}"[:63]


def errand_channel(errand: str) -> str:
    return f"counterpoint.e.{hashlib.sha256(errand.encode()).hexdigest()[:40]}"
