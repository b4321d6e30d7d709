"""The store in a PostgreSQL database: the same runs, for as many machines as reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, select, text

from counterpoint.errors import StoreError
from counterpoint.events import Recorded
from counterpoint.store import server_writer
from counterpoint.store.database import EVENTS, LEASES, REQUESTS, RUNS, TURNS
from counterpoint.store.errands import Errands
from counterpoint.store.index import Index
from counterpoint.store.journal import Journal
from counterpoint.store.leases import Lease
from counterpoint.store.listener import Heard, Listener
from counterpoint.store.migrations import BLOBS, HEADS, STATUS_EVENTS
from counterpoint.store.news import News
from counterpoint.store.reader import Facts, JournalReader, Told, facts_of
from counterpoint.store.rows import Spoken
from counterpoint.store.runs import RunRow, Store, newest_first
from counterpoint.store.server import Server
from counterpoint.store.server_writer import ServerWriter, channel, read_blob
from counterpoint.store.shares import Shares

T = TypeVar("T")


class ServerStore(Store):
    """All runs in one database. `folder` is for what stays on this machine: worktrees, logs of processes."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.server = Server(url)
        self._listener = Listener(self.server)

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._listener.close()
        self.server.close()

    async def _open_index(self) -> Index:
        try:
            await asyncio.to_thread(self.server.open)
        except BaseException:
            await asyncio.to_thread(self._close)
            raise
        return ServerIndex(self.server)

    def run_folder(self, run_id: str) -> Path:
        folder = super().run_folder(run_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def news(self, run_id: str, every_s: float) -> News:
        return Heard(self._listener, channel(run_id))

    async def runs(self) -> list[RunRow]:
        return newest_first(await self._indexed())

    def reader(self, run_id: str) -> JournalReader:
        return ServerReader(self.server, run_id, lambda: self.news(run_id, 0))

    def open_journal(self, run_id: str, lease: Lease) -> Journal:
        writer = ServerWriter(self.server, run_id, lease.epoch)
        journal = Journal(writer, run_id)
        writer.back = journal.was_away
        return journal

    def shares(self, run_id: str, priority: int) -> Shares:
        return Shares(self.server, run_id, priority)

    def errands(self, run_id: str, epoch: int) -> Errands:
        """The run's agents on other machines, for the driver that has this epoch."""
        return Errands(self.server, self._listener, run_id, epoch)

    async def remove(self, run_id: str) -> None:
        def forget(connection: Connection) -> None:
            for table in (EVENTS, TURNS, BLOBS, HEADS, RUNS, LEASES, REQUESTS):
                connection.execute(table.delete().where(table.c.run_id == run_id))
            connection.execute(text("DELETE FROM errands WHERE run_id = :run_id"), {"run_id": run_id})

        await self._index.write(forget)

    async def _record(
        self, events: Sequence[Recorded], values: Mapping[str, bytes], turns: Sequence[Spoken], *, begins: bool
    ) -> None:
        await asyncio.to_thread(server_writer.create, self.server, events, values, turns, begins=begins)

    # --- blocking, in a thread ---------------------------------------------------------------------------------------

    def _all_facts(self, run_ids: list[str]) -> dict[str, Facts | StoreError]:
        def ask(connection: Connection) -> list[dict[str, Told]]:
            return [
                _latest(connection, run_ids, EVENTS.c.type.in_(STATUS_EVENTS)),
                _latest(connection, run_ids, EVENTS.c.type == "run_tagged"),
                _latest(connection, run_ids, EVENTS.c.seq == 1),
            ]

        last, tagged, first = self.server.ask(ask)
        return {
            run_id: self._facts_or_error(last.get(run_id), tagged.get(run_id) or first.get(run_id), first.get(run_id))
            for run_id in run_ids
        }

    def _facts_or_error(self, last: Told | None, tagged: Told | None, first: Told | None) -> Facts | StoreError:
        try:
            return facts_of(last, tagged, first, self.server.place)
        except StoreError as error:
            return error

    def _written_since(self, at: float) -> list[str]:
        query = select(HEADS.c.run_id).where(HEADS.c.written_at >= at).order_by(HEADS.c.run_id)
        return list(self.server.ask(lambda connection: connection.execute(query).scalars().all()))


class ServerIndex:
    """The shared tables of the database."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def read(self, question: Callable[[Connection], T]) -> T:
        return await self._server.call(lambda: self._server.ask(question))

    async def write(self, change: Callable[[Connection], T], *, of: str | None = None) -> T:
        def work() -> T:
            result = self._server.change(change)
            if of is not None:
                self._server.notify(channel(of))
            return result

        return await self._server.call(work)

    async def close(self) -> None:
        """The store closes the database."""


class ServerReader(JournalReader):
    """Reads one run's rows."""

    def __init__(self, server: Server, run_id: str, news: Callable[[], News]) -> None:
        super().__init__(run_id)
        self._server = server
        self._news = news

    @property
    def place(self) -> str:
        return f"{self._server.place} ({self._run_id})"

    def news(self) -> News:
        return self._news()

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        return await self._server.call(lambda: self._server.ask(question))

    def _blob(self, name: str) -> bytes:
        return read_blob(self._server, self._run_id, name)

    def _outline(self) -> tuple[Told | None, Told | None, Told | None]:
        first = self._first()[0]
        tags = (EVENTS.c.run_id == self._run_id, EVENTS.c.type == "run_tagged")
        tagged = self._one(select(EVENTS.c.body, EVENTS.c.at).where(*tags).order_by(EVENTS.c.seq.desc()).limit(1))
        return self._last_status(), tagged or first, first

    def _last_status(self) -> Told | None:
        of_status = (EVENTS.c.run_id == self._run_id, EVENTS.c.type.in_(STATUS_EVENTS))
        return self._one(select(EVENTS.c.body, EVENTS.c.at).where(*of_status).order_by(EVENTS.c.seq.desc()).limit(1))

    def _first(self) -> tuple[Told | None, int]:
        row = self._one(select(EVENTS.c.body, EVENTS.c.at).where(EVENTS.c.run_id == self._run_id, EVENTS.c.seq == 1))
        if row is None:
            raise StoreError(f"There is no run {self._run_id} in {self._server.place}.")
        epoch = self._server.ask(
            lambda connection: connection.execute(select(HEADS.c.epoch).where(HEADS.c.run_id == self._run_id)).scalar()
        )
        return row, epoch or 0

    def _one(self, query: Any) -> Told | None:
        row: Row[bytes, float] | None = self._server.ask(lambda connection: connection.execute(query).first())
        return (bytes(row[0]), float(row[1])) if row is not None else None


def _latest(connection: Connection, run_ids: list[str], condition: ColumnElement[bool]) -> dict[str, Told]:
    """The last event of each run for which that holds."""
    query = (
        select(EVENTS.c.run_id, EVENTS.c.body, EVENTS.c.at)
        .distinct(EVENTS.c.run_id)
        .where(EVENTS.c.run_id.in_(run_ids), condition)
        .order_by(EVENTS.c.run_id, EVENTS.c.seq.desc())
    )
    return {run_id: (bytes(body), at) for run_id, body, at in connection.execute(query)}
