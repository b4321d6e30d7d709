"""A journal as everybody but its writer sees it: read-only, while it is written or long after."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from counterpoint.errors import StoreError
from counterpoint.events import (
    Parent,
    Recorded,
    RunCreated,
    RunEnded,
    RunPaused,
    RunStatus,
    RunTagged,
    Value,
    decode,
)
from counterpoint.store.blobs import Blobs
from counterpoint.store.database import can_write, check_version, connect, damaged, engine, store_error, version_of
from counterpoint.store.migrations import STATUS_EVENTS
from counterpoint.store.news import News, Polled
from counterpoint.store.rows import Spoken, read_all_turns, read_events, read_turns

T = TypeVar("T")
Told = tuple[bytes, float]
"""The body of an event, and its time."""
TAGS = (
    "SELECT body, at FROM events WHERE run_id = ? AND type IN ('run_created', 'run_tagged')"
    " ORDER BY type DESC, seq DESC LIMIT 1"
)
LAST_STATUS = (
    f"SELECT body, at FROM events WHERE run_id = ? AND type IN ({', '.join('?' * len(STATUS_EVENTS))})"  # noqa: S608  (no text from outside)
    " ORDER BY seq DESC LIMIT 1"
)
FIRST = "SELECT body, at FROM events WHERE run_id = ? AND seq = 1"
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Origin:
    """How a run began, and who held its journal last."""

    created: RunCreated
    created_at: float
    epoch: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a list shows of a run."""

    status: RunStatus
    """By its last event that says one; whether its process lives, the lease knows."""
    tags: tuple[str, ...]
    parent: Parent | None
    imported: bool = False
    """Another system's: it never goes on."""


Written = tuple[tuple[int, int], ...]
"""Time and size of a journal's files: what has not changed was not written to."""


class JournalReader(ABC):
    """Reads one run's journal, wherever it is; it may be deleted between two calls."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people."""

    @abstractmethod
    async def _ask(self, question: Callable[[Connection], T]) -> T: ...

    @abstractmethod
    def news(self) -> News:
        """Tells when there may be more to read."""

    async def read(self, after: int = 0) -> list[Recorded]:
        """The events behind `after`, in order. Raises JournalFormatError or StoreError."""
        return await self._ask(lambda connection: read_events(connection, self._run_id, after))

    async def value(self, value: Value) -> bytes:
        """The JSON that a value of this run stands for."""
        if value.blob is None:
            return bytes(value.json)
        return await asyncio.to_thread(self._blob, value.blob)

    @abstractmethod
    def _blob(self, name: str) -> bytes: ...

    async def transcript(self, agent: str) -> list[tuple[int, float, bytes]]:
        """Number, time and JSON of each message of an agent, in the order of writing."""
        return await self._ask(lambda connection: read_turns(connection, self._run_id, agent))

    async def all_turns(self, until: float) -> list[Spoken]:
        """The messages of all agents up to a time, in the order of writing."""
        return await self._ask(lambda connection: read_all_turns(connection, self._run_id, until))

    # --- a question that is asked of a thousand journals at once: blocking --------------------------------------------

    def facts(self) -> Facts:
        """What a list shows of the run. Raises JournalFormatError or StoreError."""
        return facts_of(*self._outline(), self.place)

    @abstractmethod
    def _outline(self) -> tuple[Told | None, Told | None, Told | None]:
        """Its last event that says a status, the last that has its tags, and the first."""

    def end(self) -> tuple[RunStatus, float] | None:
        """How and when the run ended; None: by its journal it goes on, or is paused."""
        row = self._last_status()
        event = _decode(row[0], self.place) if row else None
        return (event.status, row[1]) if row is not None and isinstance(event, RunEnded) else None

    def origin(self) -> Origin:
        """How the run began. Raises JournalFormatError or StoreError."""
        row, epoch = self._first()
        created = _decode(row[0], self.place) if row else None
        if row is None or not isinstance(created, RunCreated):
            raise damaged(self.place, f"it is not that of run {self._run_id}")
        return Origin(created, created.parent.at if created.parent else row[1], epoch)

    @abstractmethod
    def _last_status(self) -> Told | None: ...

    @abstractmethod
    def _first(self) -> tuple[Told | None, int]:
        """The first event, and the epoch of the last holder."""


def facts_of(last: Told | None, tagged: Told | None, first: Told | None, place: str) -> Facts:
    """What a list shows of a run, by the events that say it. Raises JournalFormatError."""
    last_said, tags_said, first_said = (_decode(row[0], place) if row else None for row in (last, tagged, first))
    return Facts(_status(last_said), _tags(tags_said), _parent(first_said), _imported(first_said))


def _status(event: object) -> RunStatus:
    match event:
        case RunEnded(status=status):
            return status
        case RunPaused():
            return RunStatus.PAUSED
        case _:
            return RunStatus.RUNNING


def _tags(event: object) -> tuple[str, ...]:
    return event.tags if isinstance(event, RunCreated | RunTagged) else ()


def _parent(event: object) -> Parent | None:
    return event.parent if isinstance(event, RunCreated) else None


def _imported(event: object) -> bool:
    return isinstance(event, RunCreated) and bool(event.imported)


def _decode(body: bytes, place: str) -> object:
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise damaged(place, str(error)) from error


class FolderReader(JournalReader):
    """Reads one run's folder. Each call opens the file anew, past SQLAlchemy where a thousand are asked at once."""

    def __init__(self, folder: Path, run_id: str) -> None:
        super().__init__(run_id)
        self.path = folder / "journal.db"
        self._blobs = Blobs(folder / "blobs")

    @property
    def place(self) -> str:
        return str(self.path)

    def news(self) -> News:
        return Polled(POLL_S)

    def _blob(self, name: str) -> bytes:
        return self._blobs.get(name)

    def last_written(self) -> Written:
        """Something else whenever the journal was written to. Raises nothing: a file that is missing counts too."""
        found: list[tuple[int, int]] = []
        for name in FILES:
            with contextlib.suppress(OSError):
                stat = self.path.with_name(name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def _outline(self) -> tuple[Told | None, Told | None, Told | None]:
        with self._look() as connection:
            last = connection.execute(LAST_STATUS, (self._run_id, *STATUS_EVENTS)).fetchone()
            tagged = connection.execute(TAGS, (self._run_id,)).fetchone()
            return last, tagged, connection.execute(FIRST, (self._run_id,)).fetchone()

    def _last_status(self) -> Told | None:
        with self._look() as connection:
            return connection.execute(LAST_STATUS, (self._run_id, *STATUS_EVENTS)).fetchone()

    def _first(self) -> tuple[Told | None, int]:
        with self._look() as connection:
            row = connection.execute(FIRST, (self._run_id,)).fetchone()
            epochs = connection.execute("SELECT epoch FROM holder WHERE run_id = ?", (self._run_id,)).fetchone()
        return row, epochs[0] if epochs else 0

    @contextlib.contextmanager
    def _look(self) -> Generator[sqlite3.Connection]:
        self._must_be_there()
        try:
            with _readable(self.path) as path, contextlib.closing(connect(path, "read")) as connection:
                check_version(connection.execute("PRAGMA user_version").fetchone()[0], self.path)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise store_error(error, self.path) from error

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._ask_now, question)

    def _ask_now(self, question: Callable[[Connection], T]) -> T:
        self._must_be_there()
        try:
            with _readable(self.path) as path:
                database = engine(path, "read")
                with database.connect() as connection:
                    version_of(connection, self.path)
                    return question(connection)
        except (DatabaseError, OSError) as error:
            raise store_error(error, self.path) from error

    def _must_be_there(self) -> None:
        if not self.path.is_file():
            raise StoreError(
                f"Run {self._run_id} has no journal: {self.path} is missing.",
                hint="Restore the run's folder from a copy, or delete what is left of it.",
            )


FILES = ("journal.db", "journal.db-wal", "journal.db-journal")


@contextlib.contextmanager
def _readable(path: Path) -> Generator[Path]:
    """The journal; or a copy of it, where SQLite would first have to mend or to make something beside it, and may not.

    That is so when the writer was killed while it opened or closed the file, and where nobody can write the folder.
    """
    if not _must_be_copied(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="counterpoint-") as folder:
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path.with_name(name), folder)
        copy = Path(folder) / path.name
        with contextlib.closing(connect(copy, "journal")) as connection:
            _look_at(connection)
        yield copy


def _must_be_copied(path: Path) -> bool:
    if can_write(path.parent) and not path.with_name("journal.db-journal").exists():
        return False
    try:
        with contextlib.closing(connect(path, "read")) as connection:
            _look_at(connection)
    except sqlite3.OperationalError as error:
        return error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
    return False


def _look_at(connection: sqlite3.Connection) -> None:
    """Reads something, so that SQLite does what it has to do first."""
    connection.execute("PRAGMA user_version").fetchone()
