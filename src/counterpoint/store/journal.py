"""The one writer of a run's journal. `append` never waits; a thread commits what has come together, in order.

Invariants: seq has no gaps; an event is durable only after every earlier one, and after every large value that it
names; nothing is written once another process holds the run (each transaction checks the holder's epoch), and nothing
is acknowledged once the file is no longer where it was; a failure is final, and everybody who waits hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from counterpoint.errors import JournalFormatError, LeaseLostError, StoreError
from counterpoint.events import Recorded, Value, decode, encode
from counterpoint.store.blobs import INLINE, Blobs, as_value
from counterpoint.store.database import (
    EVENTS,
    HOLDER,
    JOURNAL,
    TURNS,
    bring_to_disk,
    engine,
    prepare,
    store_error,
    version_of,
)

Listener = Callable[[list[Recorded]], None]
Turn = tuple[str, str, int, float, bytes]
Spoken = tuple[str, int, float, bytes]
"""A message of a transcript: agent, number, time, JSON."""

READERS_MS = 500
"""How long a journal that is being closed waits for those who read it just now."""

# The statements of the hot path are SQLite's own and go past SQLAlchemy's compiler: it cost more than the insert.
INSERT_EVENT = "INSERT INTO events (run_id, seq, at, epoch, type, body) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_TURN = "INSERT INTO turns (run_id, agent, n, at, body) VALUES (?, ?, ?, ?, ?)"


def create(
    folder: Path, run_id: str, events: Sequence[Recorded], values: Mapping[str, bytes], turns: Sequence[Spoken] = ()
) -> None:
    """Writes a new journal with these events, transcripts and the large values of both into an empty folder.

    All of it outlasts a loss of power when this returns. Blocking. Raises StoreError.
    """
    path = folder / "journal.db"
    database = engine(path, "new")
    try:
        for name, json in values.items():
            Blobs(folder / "blobs").put(name, json)
        with database.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            prepare(connection, JOURNAL, path)
            connection.execute(HOLDER.insert().values(run_id=run_id, epoch=0))
            connection.exec_driver_sql(INSERT_EVENT, [_row(run_id, 0, recorded) for recorded in events])
            if turns:
                connection.exec_driver_sql(INSERT_TURN, [(run_id, *spoken) for spoken in turns])
            connection.exec_driver_sql("COMMIT")
        bring_to_disk(path)
        bring_to_disk(folder)
    except (DatabaseError, OSError) as error:
        raise store_error(error, path) from error
    finally:
        database.dispose()


class Journal:
    """An open journal. Use it as an async context manager, on one event loop."""

    def __init__(self, folder: Path, run_id: str, epoch: int) -> None:
        self.path = folder / "journal.db"
        self.history: list[Recorded] = []
        """The events that were there when it was opened."""
        self._run_id = run_id
        self._epoch = epoch
        self._blobs = Blobs(folder / "blobs")
        self._fresh: dict[str, bytes] = {}
        self._seq = 0
        self._at = 0.0
        self.durable_seq = 0
        self._listeners: list[Listener] = []
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._failure: StoreError | None = None
        self._broken = asyncio.Event()
        self._queue: deque[Recorded | Turn | tuple[str, bytes]] = deque()
        self._filled = threading.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_all, name=f"journal {run_id}", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def __aenter__(self) -> Journal:
        self._thread.start()
        try:
            await self._opened
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Writes what is left and closes the file. Never raises: who waited for an event has heard of a failure."""
        await self._close()

    async def _close(self) -> None:
        self._closing = True
        self._filled.set()
        await asyncio.to_thread(self._thread.join)

    # --- on the event loop -------------------------------------------------------------------------------------------

    def append(self, event: Any) -> Recorded:
        """Puts an event behind all others; it has its number and time, and is durable later. Raises StoreError."""
        if self._failure is not None:
            raise self._failure
        self._seq += 1
        self._at = max(self._at, time.time())
        recorded = Recorded(self._seq, self._at, event)
        self._put(recorded)
        return recorded

    async def durable(self, seq: int) -> None:
        """Returns when event `seq` is on disk. Raises StoreError when it never will be."""
        if seq <= self.durable_seq:
            return
        if self._failure is not None:
            raise self._failure
        waiter = self._loop.create_future()
        self._waiters.append((seq, waiter))
        await waiter

    async def guard(self) -> NoReturn:
        """Raises StoreError as soon as the journal has failed, whether or not anybody waits for an event."""
        await self._broken.wait()
        raise self._failure or StoreError(f"{self.path} has failed.")

    def add_listener(self, listener: Listener) -> None:
        """From now on `listener` gets the events that became durable, on the event loop."""
        self._listeners.append(listener)

    def write_turn(self, agent: str, n: int, body: bytes) -> None:
        """Adds the `n`-th message of an agent's transcript."""
        self._put((self._run_id, agent, n, time.time(), body))

    async def turns(self, agent: str) -> list[tuple[int, bytes]]:
        """Number and JSON of each message of an agent that is on disk, in the order of writing."""
        return await asyncio.to_thread(self._read_turns, agent)

    def _read_turns(self, agent: str) -> list[tuple[int, bytes]]:
        database = engine(self.path, "read")
        try:
            with database.connect() as connection:
                return [(n, body) for n, _, body in read_turns(connection, self._run_id, agent)]
        except DatabaseError as error:
            raise store_error(error, self.path) from error
        finally:
            database.dispose()

    def value(self, json: bytes, *, apart: bool = False) -> Value:
        """Makes of JSON what an event can hold; a large one is on disk before the event is.

        `apart`: it is kept beside the events whatever its size, so that many events can name it.
        """
        value = as_value(json, 0 if apart else INLINE)
        if value.blob is not None:
            self._fresh[value.blob] = json
            self._put((value.blob, json))
        return value

    async def read_value(self, value: Value) -> bytes:
        """The JSON that a value stands for."""
        if value.blob is None:
            return bytes(value.json)
        return self._fresh.get(value.blob) or await asyncio.to_thread(self._blobs.get, value.blob)

    def _put(self, item: Recorded | Turn | tuple[str, bytes]) -> None:
        self._queue.append(item)
        if not self._filled.is_set():
            self._filled.set()

    def _committed(self, events: list[Recorded], blobs: list[str]) -> None:
        for name in blobs:
            self._fresh.pop(name, None)
        if not events:
            return
        self.durable_seq = events[-1].seq
        while self._waiters and self._waiters[0][0] <= self.durable_seq:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        for listener in self._listeners:
            listener(events)

    def _failed(self, failure: StoreError) -> None:
        self._failure = failure
        self._broken.set()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(failure)
        self._waiters.clear()

    # --- in the writer's thread --------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        database = engine(self.path, "journal")
        try:
            with database.connect() as connection:
                self._open(connection)
                self._tell(self._opened_well)
                while self._write_some(connection):
                    pass
                self._leave_one_file(connection)
        except (DatabaseError, OSError, StoreError) as error:
            failure = error if isinstance(error, StoreError) else store_error(error, self.path)
            self._tell(self._fail, failure)
        finally:
            database.dispose()

    def _opened_well(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _fail(self, failure: StoreError) -> None:
        self._failed(failure)
        if not self._opened.done():
            self._opened.set_exception(failure)

    def _open(self, connection: Connection) -> None:
        version_of(connection, self.path)
        if connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar() != "wal":
            raise StoreError(
                f"{self.path} is on a file system without shared memory, where a journal cannot be kept safely.",
                hint="Name a folder on a local disk with --state.",
            )
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        held = connection.execute(select(HOLDER.c.epoch).where(HOLDER.c.run_id == self._run_id)).scalar()
        if held is not None and held > self._epoch:
            raise LeaseLostError(f"Another process holds run {self._run_id}.")
        connection.execute(HOLDER.delete().where(HOLDER.c.run_id == self._run_id))
        connection.execute(HOLDER.insert().values(run_id=self._run_id, epoch=self._epoch))
        connection.exec_driver_sql("COMMIT")
        self._files = self._look_at_files()
        self.history = read_events(connection, self._run_id, 0)
        if self.history:
            self._seq = self.durable_seq = self.history[-1].seq
            self._at = self.history[-1].at

    def _leave_one_file(self, connection: Connection) -> None:
        """Makes the folder one that can be copied, and read where nothing can be written.

        After the checkpoint the change of mode is a change of one sector, so it needs no journal of its own on disk.
        """
        with contextlib.suppress(DatabaseError):  # somebody reads just now: the two files beside it stay, and are valid
            connection.exec_driver_sql(f"PRAGMA busy_timeout={READERS_MS}")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            if not busy:
                connection.exec_driver_sql("PRAGMA synchronous=OFF")
                connection.exec_driver_sql("PRAGMA journal_mode=DELETE")

    def _look_at_files(self) -> list[tuple[int, int]]:
        """What tells the journal and its log from others of the same name."""
        found = [path.stat() for path in (self.path, self.path.with_name("journal.db-wal"))]
        return [(stat.st_dev, stat.st_ino) for stat in found]

    def _write_some(self, connection: Connection) -> bool:
        """Commits what is in the queue, in one transaction. False when it is empty and the journal closes."""
        if not self._queue:
            if self._closing:
                return False
            self._filled.wait()
        self._filled.clear()
        batch = [self._queue.popleft() for _ in range(len(self._queue))]
        if batch:
            events = [item for item in batch if isinstance(item, Recorded)]
            blobs = [item for item in batch if not isinstance(item, Recorded) and len(item) == 2]
            for name, data in blobs:
                self._blobs.put(name, data)
            turns = [item for item in batch if not isinstance(item, Recorded) and len(item) == 5]
            self._commit(connection, events, turns)
            self._check_place()
            self._tell(self._committed, events, [name for name, _ in blobs])
        return True

    def _commit(self, connection: Connection, events: list[Recorded], turns: list[Turn]) -> None:
        if not events and not turns:
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        held = connection.exec_driver_sql("SELECT epoch FROM holder WHERE run_id = ?", (self._run_id,)).scalar()
        if held != self._epoch:
            connection.exec_driver_sql("ROLLBACK")
            raise LeaseLostError(f"Another process took run {self._run_id} over; nothing more was written here.")
        if events:
            rows = [_row(self._run_id, self._epoch, recorded) for recorded in events]
            connection.exec_driver_sql(INSERT_EVENT, rows)
        if turns:
            connection.exec_driver_sql(INSERT_TURN, turns)
        connection.exec_driver_sql("COMMIT")

    def _check_place(self) -> None:
        """What was just written counts only where others will find it."""
        try:
            moved = self._look_at_files() != self._files
        except FileNotFoundError:
            moved = True
        if moved:
            raise StoreError(
                f"{self.path} was deleted, moved or replaced while the run was writing it.",
                hint="The run has stopped. If the folder was moved, resume it where it is now; deleted, it is lost.",
            )

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *arguments)


def read_events(connection: Connection, run_id: str, after: int) -> list[Recorded]:
    """The events behind `after`. Raises JournalFormatError for what this release cannot read."""
    rows = connection.execute(
        select(EVENTS.c.seq, EVENTS.c.at, EVENTS.c.body)
        .where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after)
        .order_by(EVENTS.c.seq)
    )
    events = [Recorded(seq, at, _decode(body, seq)) for seq, at, body in rows]
    if events and events[-1].seq != after + len(events):
        raise JournalFormatError(
            f"The journal of run {run_id} is damaged: events are missing.",
            hint="Restore the run's folder from a copy; the other runs are not affected.",
        )
    return events


def read_turns(connection: Connection, run_id: str, agent: str) -> list[tuple[int, float, bytes]]:
    """Number, time and JSON of each message of an agent, in the order of writing."""
    rows = connection.execute(
        select(TURNS.c.n, TURNS.c.at, TURNS.c.body)
        .where(TURNS.c.run_id == run_id, TURNS.c.agent == agent)
        .order_by(TURNS.c.id)
    )
    return [(n, at, body) for n, at, body in rows]


def read_all_turns(connection: Connection, run_id: str, until: float) -> list[Spoken]:
    """The messages of all agents up to a time, in the order of writing."""
    rows = connection.execute(
        select(TURNS.c.agent, TURNS.c.n, TURNS.c.at, TURNS.c.body)
        .where(TURNS.c.run_id == run_id, TURNS.c.at <= until)
        .order_by(TURNS.c.id)
    )
    return [(agent, n, at, body) for agent, n, at, body in rows]


def _decode(body: bytes, seq: int) -> Any:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise JournalFormatError(
            f"Event {seq} is of a kind that this release does not know: {error}.",
            hint="Update Counterpoint to read it.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalFormatError(
            f"Event {seq} of the journal is damaged: {error}.",
            hint="Restore the run's folder from a copy; the other runs are not affected.",
        ) from error


def _row(run_id: str, epoch: int, recorded: Recorded) -> tuple[str, int, float, int, str, bytes]:
    tag: str = recorded.event.__struct_config__.tag  # pyright: ignore[reportAssignmentType]  (our tags are texts)
    return run_id, recorded.seq, recorded.at, epoch, tag, encode(recorded.event)
