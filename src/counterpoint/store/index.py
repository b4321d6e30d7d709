"""The shared index: which runs there are, who executes each, and what people ask of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError

from counterpoint.errors import JournalFormatError, StoreError
from counterpoint.store.database import INDEX, VERSION, can_write, engine, prepare, store_error, version_of

T = TypeVar("T")


class Index(Protocol):
    """What everybody reads and writes of all runs: the tables `database.INDEX`."""

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Asks a question, in a thread. Raises StoreError."""
        ...

    async def write(self, change: Callable[[Connection], T], *, of: str | None = None) -> T:
        """Changes something in one transaction; who follows the run `of` hears of it. Raises StoreError."""
        ...

    async def close(self) -> None: ...


class FileIndex:
    """One connection to the index, used by one thread. In a folder that nobody can write it can only be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._frozen = not can_write(path.parent)
        self._connection: Connection | None = None

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Runs `question` in the index's thread."""
        return await self._call(lambda: question(self._open()))

    async def write(self, change: Callable[[Connection], T], *, of: str | None = None) -> T:
        """Runs `change` in one transaction; no other process writes meanwhile. Raises StoreError."""
        if self._frozen:
            raise StoreError(
                f"The state folder {self.path.parent} cannot be written.",
                hint="Check its permissions, or name another with --state.",
            )
        return await self._call(lambda: self._write(change))

    async def close(self) -> None:
        await self._call(self._close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except DatabaseError as error:
            failure = store_error(error, self.path)
            if isinstance(failure, JournalFormatError):
                failure.hint = "It only lists what lies in runs/: delete it while no run goes on, and it is made anew."
            raise failure from error

    def _open(self) -> Connection:
        if self._connection is None:
            connection = self._connect()
            try:
                if version_of(connection, self.path) < VERSION:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    prepare(connection, INDEX, self.path)
                    connection.exec_driver_sql("COMMIT")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _connect(self) -> Connection:
        if not self._frozen:
            return engine(self.path, "index").connect()
        if self.path.exists():
            return engine(self.path, "read").connect()
        return create_engine("sqlite://", isolation_level="AUTOCOMMIT").connect()  # nothing was ever written there

    def _write(self, change: Callable[[Connection], T]) -> T:
        connection = self._open()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            result = change(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            with contextlib.suppress(DatabaseError):
                connection.exec_driver_sql("ROLLBACK")
            raise
        return result

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
