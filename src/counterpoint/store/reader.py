"""A journal as everybody but its writer sees it: read-only, while it is written or long after."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from counterpoint.errors import JournalFormatError
from counterpoint.events import Recorded, RunEnded, RunPaused, RunStatus, Value, decode
from counterpoint.store.blobs import Blobs
from counterpoint.store.database import EVENTS, check_version, engine, store_error
from counterpoint.store.journal import read_events, read_turns

T = TypeVar("T")
STATUS_EVENTS = ("run_created", "run_started", "run_paused", "run_continued", "run_ended")
POLL_S = 0.1


class JournalReader:
    """Reads one run's folder. Each call opens the file anew, so it may be moved or deleted between them."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = folder / "journal.db"
        self._run_id = run_id
        self._blobs = Blobs(folder / "blobs")

    async def read(self, after: int = 0) -> list[Recorded]:
        """The events behind `after`, in order. Raises JournalFormatError or StoreError."""
        return await self._ask(lambda connection: read_events(connection, self._run_id, after))

    async def follow(self, after: int = 0) -> AsyncIterator[Recorded]:
        """The events behind `after`, as they come. It never ends by itself."""
        while True:
            for recorded in await self.read(after):
                after = recorded.seq
                yield recorded
            await asyncio.sleep(POLL_S)

    async def last_status(self) -> RunStatus:
        """The run's status by its last event that says one; whether its process lives, the lease knows."""
        return await self._ask(self._last_status)

    async def value(self, value: Value) -> bytes:
        """The JSON that a value of this run stands for."""
        if value.blob is None:
            return bytes(value.json)
        return await asyncio.to_thread(self._blobs.get, value.blob)

    async def transcript(self, agent: str) -> list[tuple[int, float, bytes]]:
        """Number, time and JSON of each message of an agent, in the order of writing."""
        return await self._ask(lambda connection: read_turns(connection, self._run_id, agent))

    def _last_status(self, connection: Connection) -> RunStatus:
        query = (
            select(EVENTS.c.body)
            .where(EVENTS.c.run_id == self._run_id, EVENTS.c.type.in_(STATUS_EVENTS))
            .order_by(EVENTS.c.seq.desc())
            .limit(1)
        )
        body = connection.execute(query).scalar()
        match decode(body) if body else None:
            case RunEnded(status=status):
                return status
            case RunPaused():
                return RunStatus.PAUSED
            case _:
                return RunStatus.RUNNING

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._ask_now, question)

    def _ask_now(self, question: Callable[[Connection], T]) -> T:
        if not self.path.is_file():
            raise JournalFormatError(f"Run {self._run_id} has no journal: {self.path} is missing.")
        writable = os.access(self.path.parent, os.W_OK)
        database = engine(self.path, "read" if writable else "frozen")
        try:
            with database.connect() as connection:
                check_version(connection, self.path)
                return question(connection)
        except DatabaseError as error:
            raise store_error(error, self.path) from error
        finally:
            database.dispose()
