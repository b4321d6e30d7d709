"""The tables, and how their SQLite files are opened. Sizes of pages and the rest are SQLite's own.

Each run's journal is a file of its own with one writer; the index is a small file that everybody writes. See
``docs/how-it-works.md`` for why they differ.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy import Column, Connection, Engine, Float, Integer, LargeBinary, MetaData, String, Table, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from counterpoint.errors import JournalFormatError, JournalFullError, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK = ("SQLITE_IOERR", "SQLITE_CANTOPEN")
ROOM_TO_WORK = 64 * 1024
"""Bytes without which SQLite cannot make its helper files, and says that it cannot open the file."""

JOURNAL = MetaData()
EVENTS = Table(
    "events",
    JOURNAL,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("type", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
TURNS = Table(
    "turns",
    JOURNAL,
    Column("id", Integer, primary_key=True),
    Column("run_id", String, nullable=False, index=True),
    Column("agent", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
HOLDER = Table(
    "holder",
    JOURNAL,
    Column("run_id", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
)

INDEX = MetaData()
RUNS = Table(
    "runs",
    INDEX,
    Column("run_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("cwd", String, nullable=False),
    Column("script", String, nullable=False),
    Column("created_at", Float, nullable=False),
)
LEASES = Table(
    "leases",
    INDEX,
    Column("run_id", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", String, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
    Column("released", Integer, nullable=False),
)
REQUESTS = Table(
    "requests",
    INDEX,
    Column("id", Integer, primary_key=True),
    Column("run_id", String, nullable=False, index=True),
    Column("verb", String, nullable=False),
    Column("target", String),
    Column("body", LargeBinary, nullable=False),
    Column("by", String, nullable=False),
    Column("asked_at", Float, nullable=False),
)

VERSION = 1
"""Of both schemas; kept in SQLite's ``user_version``."""
BUSY_S = 60.0
"""How long a process waits for others that write the same file."""
Mode = Literal["index", "new", "journal", "read"]
_OPTIONS: dict[Mode, str] = {
    "index": "mode=rwc",
    "new": "mode=rwc",
    "journal": "mode=rw",
    "read": "mode=ro",
}


def connect(path: Path, mode: Mode) -> sqlite3.Connection:
    """A connection without SQLAlchemy around it, which costs ten times what one question does.

    ``journal`` writes a file that must be there, ``read`` never writes it, and needs no right to.
    ``new`` is for a file that nobody knows yet: it is not brought to disk, whoever makes it does that in the end.
    """
    uri = f"file:{quote(str(path))}?{_OPTIONS[mode]}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    if mode == "index":
        connection.execute("PRAGMA journal_mode=TRUNCATE")  # one step less than deleting it, in every transaction
    connection.execute(f"PRAGMA synchronous={'OFF' if mode == 'new' else 'FULL'}")
    return connection


def engine(path: Path, mode: Mode) -> Engine:
    """An engine for one file; the modes are those of `connect`."""
    return create_engine(
        "sqlite://", creator=lambda: connect(path, mode), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )


def can_write(folder: Path) -> bool:
    """Whether files can be made and changed there; on a medium that is read-only not even root can."""
    return os.access(folder, os.W_OK)


def bring_to_disk(path: Path) -> None:
    """Returns when a file, or the names in a folder, outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems have nothing to bring to disk for a folder
            raise
    finally:
        os.close(descriptor)


def prepare(connection: Connection, tables: MetaData, path: Path) -> None:
    """Makes the tables of a new file, within the caller's transaction; refuses a file of a newer release."""
    if version_of(connection, path) < VERSION:
        tables.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def version_of(connection: Connection, path: Path) -> int:
    """The version of a file; refuses one that this release cannot read."""
    return check_version(connection.exec_driver_sql("PRAGMA user_version").scalar_one(), path)


def check_version(found: int, path: Path) -> int:
    """Refuses a file of a newer release. Raises JournalFormatError."""
    if found > VERSION:
        raise JournalFormatError(
            f"{path} was written by a newer release (format {found}; this one reads up to {VERSION}).",
            hint="Update Counterpoint to read it.",
        )
    return found


def store_error(error: BaseException, path: Path) -> StoreError:
    """What a failure of SQLite or of the disk means for a person."""
    cause = error.orig if isinstance(error, DatabaseError) and error.orig is not None else error
    code = getattr(cause, "sqlite_errorname", "") or ""
    number = getattr(cause, "errno", None)
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    if code.startswith("SQLITE_FULL") or number in FULL or (code.startswith(DISK) and _is_full(path)):
        return JournalFullError(
            f"No space is left for {path}. What was acknowledged is safe.", hint="Free some space, then resume the run."
        )
    if code.startswith("SQLITE_IOERR"):
        return JournalFullError(
            f"The disk failed for {path}: {said}. What was acknowledged is safe.",
            hint="Check the disk and your quota, then resume the run.",
        )
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(cause, sqlite3.DataError):
        return damaged(path, said)
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            f"Other processes have been writing {path} for {BUSY_S:g} seconds.",
            hint="Try again; on a network file system, move the state folder with --state.",
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or number in (errno.EACCES, errno.EROFS):
        return StoreError(f"{path} cannot be opened or written: {said}.", hint="Check its permissions, or use --state.")
    if "no such table" in said:
        return damaged(path, said)
    return StoreError(f"{path}: {said}.")


def damaged(path: Path | str, why: str) -> JournalFormatError:
    """The error for a file that does not hold what it should."""
    return JournalFormatError(
        f"{path} is damaged, or no journal: {why}.", hint="Restore it from a copy; the other runs are not affected."
    )


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM_TO_WORK
    except OSError:
        return False
