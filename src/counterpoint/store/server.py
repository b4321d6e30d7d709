"""A PostgreSQL database that holds all runs of a store: connections, and what to do when it is away for a while.

Its address may hold a password, so it is never shown: messages name host and database alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from counterpoint.errors import DatabaseAwayError, JournalFullError, SettingsError, StoreError
from counterpoint.store.migrations import SCHEMA, migrate

T = TypeVar("T")
PATIENCE_S = 20.0
"""How long a question, or a change, waits for a server that is away."""
PAUSE_S = 0.25
OPTIONS = {"connect_timeout": 10, "application_name": "counterpoint"}
AWAY = ("08", "57P")
"""How the codes of errors begin that speak of the connection, and of a server that stops or starts."""
FULL = ("53100", "53200")
NOTIFY = "SELECT pg_notify(%s, '')"
"""Outside of transactions that write: those that notify wait for each other's commits, all over the database."""


class Server:
    """The database. Blocking: call it from threads, as many as like."""

    def __init__(self, url: str, *, at_once: int = 8) -> None:
        """Connects to nothing yet. Raises SettingsError for what is no address of a PostgreSQL database.

        `at_once` is how many questions `call` asks at a time, and how many connections stay open between them.
        """
        self._url = _parsed(url)
        self.place = shown(self._url)
        self._engine = create_engine(
            self._url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_size=at_once, max_overflow=24,
            connect_args=self._options(),
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="database")
        self._closed = threading.Event()
        event.listen(self._engine, "connect", _enter_schema)

    def open(self) -> None:
        """Makes or updates the tables. Waits for nothing: the address may be wrong. Raises StoreError."""
        self.ask(lambda connection: migrate(connection, self.place), patience_s=0)

    def close(self) -> None:
        """Waits for what is being asked just now, and for no server that is away."""
        self._closed.set()
        self._threads.shutdown()
        self._engine.dispose()

    async def call(self, function: Callable[[], T]) -> T:
        """Runs `function` in a thread of the server's."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _options(self) -> dict[str, Any]:
        """What a connection is opened with; what the address says of it goes before."""
        return {name: value for name, value in OPTIONS.items() if name not in self._url.query}

    def connect(self) -> Connection:
        return self._engine.connect()

    def connect_raw(self) -> Any:
        """A connection of psycopg, for who waits for notifications."""
        arguments, options = self._engine.dialect.create_connect_args(self._url)
        return self._engine.dialect.loaded_dbapi.connect(*arguments, **{**options, **self._options()}, autocommit=True)

    def ask(self, question: Callable[[Connection], T], patience_s: float = PATIENCE_S) -> T:
        """Asks something, again where the server went away meanwhile. Raises StoreError."""
        give_up_at = time.monotonic() + patience_s
        while True:
            try:
                with self.connect() as connection:
                    return question(connection)
            except DBAPIError as error:
                if not is_away(error) or time.monotonic() > give_up_at or self._closed.is_set():
                    raise self.explained(error) from None  # the cause may name the password
            self._closed.wait(PAUSE_S)

    def change(self, change: Callable[[Connection], T]) -> T:
        """Changes something in one transaction; begins again where the server went away before its end was asked for.

        Raises StoreError; where it is a DatabaseAwayError that says so, nobody knows whether it was done.
        """

        def transaction(connection: Connection) -> T:
            with self.transaction(connection):
                return change(connection)

        return self.ask(transaction)

    def notify(self, channel: str) -> None:
        """Wakes who listens. Where the server is away nobody does, and they look for themselves when it is back."""
        with contextlib.suppress(DBAPIError), self.connect() as connection:
            connection.exec_driver_sql(NOTIFY, (channel,))

    @contextlib.contextmanager
    def transaction(self, connection: Connection) -> Generator[None]:
        """Commits what the block does. Raises StoreError where the connection broke while it did."""
        connection.exec_driver_sql("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(DBAPIError):
                connection.exec_driver_sql("ROLLBACK")
            raise
        try:
            connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            if not is_away(error):
                raise
            raise DatabaseAwayError(
                f"The connection to {self.place} broke while something was being recorded; perhaps it was.",
                hint="Look whether it was done, then try again.",
            ) from None

    def explained(self, error: BaseException) -> StoreError:
        """What an error of the library means for a person."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        said = " ".join(str(cause).split())[:500] or type(cause).__name__
        code = _code(error)
        if code in FULL:
            return JournalFullError(
                f"No space is left for {self.place}: {said}. What was acknowledged is safe.",
                hint="Free some space, then resume the run.",
            )
        if is_away(error):
            return DatabaseAwayError(
                f"{self.place} cannot be reached: {said}.",
                hint="Check that the server runs and that the address is right, then try again.",
            )
        return StoreError(f"{self.place}: {said}.")


def is_away(error: BaseException) -> bool:
    """Whether an error says nothing of the statement, but that there is no connection."""
    if not isinstance(error, DBAPIError):
        return False
    code = _code(error)
    lost = error.connection_invalidated or (code == "" and isinstance(error, OperationalError))
    return lost or code.startswith(AWAY)


def _code(error: BaseException) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        raise SettingsError(
            "The setting database is no address of a PostgreSQL database.",
            hint="It looks like postgresql://user@host:5432/name (and is not shown here: it may hold a password).",
        )
    if importlib.util.find_spec("psycopg") is None:
        raise SettingsError(
            "Runs in a PostgreSQL database need a library that is not installed.",
            hint="pip install 'counterpoint[postgres]'",
        )
    return parsed.set(drivername="postgresql+psycopg")


def shown(url: URL) -> str:
    """The address without whatever may be secret in it: no user, no password, no options."""
    host = url.host or str(url.query.get("host", "")) or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{host}{port}/{url.database}"


def shown_address(text: str) -> str:
    """The same for an address as it was set."""
    try:
        return shown(make_url(text))
    except ArgumentError:
        return "(set, and no address)"


def _enter_schema(connection: Any, _: object) -> None:
    connection.execute(f"SET search_path TO {SCHEMA}")
