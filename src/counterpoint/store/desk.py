"""Where a worker takes errands and leaves reports: calls of the database's functions, and nothing else.

One thread commits what all agents of the worker have to say, together. A report is durable when `flushed` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from counterpoint.errors import StoreError
from counterpoint.store.errands import errand_channel, reports_channel
from counterpoint.store.listener import Heard, Listener
from counterpoint.store.migrations import migrate
from counterpoint.store.news import News
from counterpoint.store.server import NOTIFY, Server
from counterpoint.store.shares import Shares

PATIENCE_S = 900.0
"""How long a worker waits for a database that is away."""
AT_ONCE = 2
"""Questions of a worker at a time. There may be a thousand workers, and PostgreSQL takes a hundred connections."""


@dataclass(slots=True, eq=False)
class Taken:
    """An errand that this worker holds."""

    id: str
    run_id: str
    token: str
    holder: int
    """How many have taken it; 1: this is the first."""
    body: bytes
    told: int
    """Number of the last report."""
    lost: Callable[[], object] | None = None
    """Is called, on the event loop, when another worker has it, or nobody wants it any more."""
    heard: int = 0
    """Number of the last note."""

    def lose(self) -> None:
        """Calls `lost`, once."""
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()


class Desk:
    """A worker's connection to the database. Use it as an async context manager."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError for what is no address of a database."""
        self._server = Server(url, at_once=AT_ONCE)
        self._listener = Listener(self._server)
        self._full: deque[tuple[Taken, bytes]] = deque()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._put = self._committed = 0
        self._filled = threading.Event()
        self._closing = False
        self._large = asyncio.Lock()
        """Of large values one goes at a time, and leaves room for questions that must be answered soon."""
        self._thread = threading.Thread(target=self._post_all, name="reports", daemon=True)

    @property
    def place(self) -> str:
        return self._server.place

    async def __aenter__(self) -> Desk:
        self._loop = asyncio.get_running_loop()
        await self._server.call(lambda: self._server.ask(self._greet, 0))
        self._thread.start()
        return self

    def _greet(self, connection: Connection) -> None:
        """Who may make the tables does so where they are not there yet; others need no right to look at them."""
        there = connection.exec_driver_sql("SELECT to_regprocedure('errand_take(text, text)')").scalar()
        if there is None:
            migrate(connection, self.place)

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._filled.set()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.join()
        self._listener.close()
        self._server.close()

    async def take(self, errand: str, run_id: str, token: str) -> Taken | None:
        """Takes an errand over from whoever had it; None: nobody wants it any more. Raises StoreError."""
        row = await self._first("SELECT * FROM errand_take(%s, %s)", (errand, token))
        if row is None:
            return None
        holder, body, told = row
        return Taken(errand, run_id, token, holder, bytes(body), told)

    async def earlier(self, taken: Taken) -> list[bytes]:
        """What others have reported of it. Raises StoreError."""
        asked = (taken.id, taken.token, taken.holder)
        rows = await self._all("SELECT its_body FROM errand_reports(%s, %s, %s)", asked)
        return [bytes(body) for (body,) in rows]

    async def notes(self, taken: Taken) -> list[bytes] | None:
        """What the driver has to say since the last call; None: the errand is no longer ours. Raises StoreError."""
        asked = (taken.id, taken.token, taken.holder, taken.heard)
        rows = await self._all("SELECT * FROM errand_notes(%s, %s, %s, %s)", asked)
        if not rows or not rows[0][0]:
            return None
        found = [(number, bytes(body)) for _, number, body in rows if number is not None]
        if found:
            taken.heard = found[-1][0]
        return [body for _, body in found]

    async def blob(self, taken: Taken, name: str) -> bytes | None:
        """A large value that the errand names. Raises StoreError."""
        asked = (taken.id, taken.token, taken.holder, name)
        async with self._large:
            row = await self._first("SELECT errand_blob(%s, %s, %s, %s)", asked)
        return bytes(row[0]) if row is not None and row[0] is not None else None

    async def leave(self, taken: Taken, name: str, data: bytes) -> None:
        """Leaves something large for the driver. Raises StoreError."""
        asked = (taken.id, taken.token, taken.holder, name, data)
        async with self._large:
            await self._first("SELECT errand_parcel(%s, %s, %s, %s, %s)", asked)

    def shares(self, worker: str) -> Shares:
        """What this worker has of the limits that all processes keep to together; it counts as a run."""
        return Shares(self._server, worker)

    def news(self, taken: Taken) -> News:
        return Heard(self._listener, errand_channel(taken.id))

    def report(self, taken: Taken, body: bytes) -> None:
        """Puts a report, JSON, behind the others; it never waits."""
        self._put += 1
        self._full.append((taken, body))
        self._filled.set()

    async def flushed(self) -> None:
        """Returns when everything that was reported until now is durable, or refused."""
        if self._committed < self._put:
            waiter = self._loop.create_future()
            self._waiters.append((self._put, waiter))
            await waiter

    async def _first(self, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        rows = await self._all(statement, values)
        return rows[0] if rows else None

    async def _all(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        def ask(connection: Connection) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(statement, values)]

        return await self._server.call(lambda: self._server.ask(ask, PATIENCE_S))

    # --- in the thread that posts ------------------------------------------------------------------------------------

    def _post_all(self) -> None:
        while not self._closing or self._full:
            self._filled.wait()
            self._filled.clear()
            batch: dict[Taken, list[bytes]] = {}
            count = len(self._full)
            for taken, body in (self._full.popleft() for _ in range(count)):
                batch.setdefault(taken, []).append(body)
            if batch:
                self._post(batch)
            self._tell(self._posted, count)

    def _post(self, batch: dict[Taken, list[bytes]]) -> None:
        """Numbers make it safe to post again what perhaps arrived; the order keeps two that post from deadlock."""

        def post(connection: Connection) -> list[Taken]:
            lost: list[Taken] = []
            connection.exec_driver_sql("BEGIN")
            for taken, told in sorted(batch.items(), key=lambda item: item[0].id):
                body = b"[" + b",".join(told) + b"]"
                values = (taken.id, taken.token, taken.holder, taken.told + 1, body)
                if not connection.exec_driver_sql("SELECT errand_post(%s, %s, %s, %s, %s)", values).scalar():
                    lost.append(taken)
            connection.exec_driver_sql("COMMIT")
            for run_id in {taken.run_id for taken in batch}:
                connection.exec_driver_sql(NOTIFY, (reports_channel(run_id),))
            return lost

        try:
            lost = self._server.ask(post, PATIENCE_S)
        except StoreError:
            lost = list(batch)  # nobody will hear what they do
        for taken in batch:
            taken.told += 1
        for taken in lost:
            self._tell(taken.lose)

    def _posted(self, count: int) -> None:
        self._committed += count
        ready = [waiter for number, waiter in self._waiters if number <= self._committed]
        self._waiters = [each for each in self._waiters if each[0] > self._committed]
        for waiter in ready:
            if not waiter.done():
                waiter.set_result(None)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(function, *arguments)
