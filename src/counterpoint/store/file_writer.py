"""A journal in a file of its own, from the side of its one writer: SQLite, WAL, every commit on disk.

Nothing is written once another process holds the run (each transaction checks the holder's epoch), and nothing is
acknowledged once the file is no longer where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from counterpoint.errors import LeaseLostError, StoreError
from counterpoint.events import Recorded
from counterpoint.store.blobs import Blobs
from counterpoint.store.database import HOLDER, JOURNAL, bring_to_disk, engine, prepare, store_error, version_of
from counterpoint.store.rows import Batch, Spoken, Turn, event_row, read_events, read_turns

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
            connection.exec_driver_sql(INSERT_EVENT, [event_row(run_id, 0, recorded) for recorded in events])
            if turns:
                connection.exec_driver_sql(INSERT_TURN, [(run_id, *spoken) for spoken in turns])
            connection.exec_driver_sql("COMMIT")
        bring_to_disk(path)
        bring_to_disk(folder)
    except (DatabaseError, OSError) as error:
        raise store_error(error, path) from error
    finally:
        database.dispose()


class FileWriter:
    """The one writer of a run's folder."""

    def __init__(self, folder: Path, run_id: str, epoch: int) -> None:
        self.path = folder / "journal.db"
        self._run_id = run_id
        self._epoch = epoch
        self._blobs = Blobs(folder / "blobs")
        self._connection: Connection | None = None
        self._files: list[tuple[int, int]] = []

    @property
    def place(self) -> str:
        return str(self.path)

    def open(self) -> list[Recorded]:
        connection = self._connection = engine(self.path, "journal").connect()
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
        return read_events(connection, self._run_id, 0)

    def write(self, batch: Batch) -> None:
        for name, data in batch.blobs:
            self._blobs.put(name, data)
        if self._connection is not None and (batch.events or batch.turns):
            self._commit(self._connection, batch.events, batch.turns)
        self._check_place()

    def _commit(self, connection: Connection, events: list[Recorded], turns: list[Turn]) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        held = connection.exec_driver_sql("SELECT epoch FROM holder WHERE run_id = ?", (self._run_id,)).scalar()
        if held != self._epoch:
            connection.exec_driver_sql("ROLLBACK")
            raise LeaseLostError(f"Another process took run {self._run_id} over; nothing more was written here.")
        if events:
            rows = [event_row(self._run_id, self._epoch, recorded) for recorded in events]
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

    def _look_at_files(self) -> list[tuple[int, int]]:
        """What tells the journal and its log from others of the same name."""
        found = [path.stat() for path in (self.path, self.path.with_name("journal.db-wal"))]
        return [(stat.st_dev, stat.st_ino) for stat in found]

    def finish(self) -> None:
        """Makes the folder one that can be copied, and read where nothing can be written.

        After the checkpoint the change of mode is a change of one sector, so it needs no journal of its own on disk.
        """
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(DatabaseError):  # somebody reads just now: the two files beside it stay, and are valid
            connection.exec_driver_sql(f"PRAGMA busy_timeout={READERS_MS}")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            if not busy:
                connection.exec_driver_sql("PRAGMA synchronous=OFF")
                connection.exec_driver_sql("PRAGMA journal_mode=DELETE")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection.engine.dispose()

    def explained(self, error: BaseException) -> StoreError:
        return store_error(error, self.path)

    def read_blob(self, name: str) -> bytes:
        return self._blobs.get(name)

    def read_turns(self, agent: str) -> list[tuple[int, bytes]]:
        database = engine(self.path, "read")
        try:
            with database.connect() as connection:
                return [(n, body) for n, _, body in read_turns(connection, self._run_id, agent)]
        except DatabaseError as error:
            raise store_error(error, self.path) from error
        finally:
            database.dispose()
