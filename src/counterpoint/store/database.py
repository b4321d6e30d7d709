"""The tables, and how their SQLite files are opened. Sizes of pages and the rest are SQLite's own.

Each run's journal is a file of its own with one writer; the index is a small file that everybody writes. See
``docs/how-it-works.md`` for why they differ.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy import Column, Connection, Engine, Float, Integer, LargeBinary, MetaData, String, Table, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from counterpoint.errors import JournalFormatError, JournalFullError, StoreError

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
Mode = Literal["index", "journal", "read", "frozen"]


def engine(path: Path, mode: Mode) -> Engine:
    """An engine for one file: ``read`` never writes; ``frozen`` is for files in a folder that nobody can write."""
    options = {"read": "?mode=ro", "frozen": "?mode=ro&immutable=1"}.get(mode, "")
    uri = f"file:{quote(str(path))}{options}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
        if mode in ("index", "journal"):
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_mode={'WAL' if mode == 'journal' else 'DELETE'}")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def prepare(connection: Connection, tables: MetaData, path: Path) -> None:
    """Makes the tables of a new file, and refuses a file of a newer release."""
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found > VERSION:
        raise JournalFormatError(
            f"{path} was written by a newer release (format {found}; this one reads up to {VERSION}).",
            hint="Update Counterpoint to read it.",
        )
    if found < VERSION:
        tables.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def check_version(connection: Connection, path: Path) -> None:
    """Refuses a file that this release cannot read."""
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found > VERSION:
        raise JournalFormatError(
            f"{path} was written by a newer release (format {found}; this one reads up to {VERSION}).",
            hint="Update Counterpoint to read it.",
        )


def store_error(error: BaseException, path: Path) -> StoreError:
    """What a failure of SQLite or of the disk means for a person."""
    cause = error.orig if isinstance(error, DatabaseError) and error.orig is not None else error
    code = getattr(cause, "sqlite_errorname", "") or ""
    number = getattr(cause, "errno", None)
    if code.startswith("SQLITE_FULL") or number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return JournalFullError(
            f"No space is left for {path}. What was acknowledged is safe.", hint="Free some space, then resume the run."
        )
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return JournalFormatError(
            f"{path} is damaged, or no journal: {cause}.",
            hint="Restore it from a copy; the other runs are not affected.",
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or number in (errno.EACCES, errno.EROFS):
        return StoreError(
            f"{path} cannot be opened or written: {cause}.", hint="Check its permissions, or use --state."
        )
    if code.startswith("SQLITE_IOERR"):
        return JournalFullError(f"The disk failed for {path}: {cause}.", hint="Check the disk, then resume the run.")
    return StoreError(f"{path}: {cause}.")
