"""The one writer of a run's journal. `append` never waits; a thread commits what has come together, in order.

Invariants: seq has no gaps; an event is durable only after every earlier one, and after every large value that it
names; nothing is written once another process holds the run; a failure is final, and everybody who waits hears of it.
Where the journal is, its `Writer` knows: a file, or a database.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from sqlalchemy.exc import DatabaseError

from counterpoint.errors import StoreError
from counterpoint.events import Recorded, Value
from counterpoint.store.blobs import INLINE, as_value
from counterpoint.store.rows import Along, Batch, Turn, Writer

Listener = Callable[[list[Recorded]], None]


class Journal:
    """An open journal. Use it as an async context manager, on one event loop."""

    def __init__(self, writer: Writer, run_id: str) -> None:
        self.history: list[Recorded] = []
        """The events that were there when it was opened."""
        self._writer = writer
        self._run_id = run_id
        self._fresh: dict[str, bytes] = {}
        self._seq = 0
        self._at = 0.0
        self.durable_seq = 0
        self._listeners: list[Listener] = []
        self._watchers: list[Callable[[float], None]] = []
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._failure: StoreError | None = None
        self._broken = asyncio.Event()
        self._queue: deque[Recorded | Turn | tuple[str, bytes] | Along] = deque()
        self._whole = threading.Lock()
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
        raise self._failure or StoreError(f"{self._writer.place} has failed.")

    def add_listener(self, listener: Listener) -> None:
        """From now on `listener` gets the events that became durable, on the event loop."""
        self._listeners.append(listener)

    def was_away(self, seconds: float) -> None:
        """The journal could not be written for so long, and now can again. For the writer's thread."""
        self._tell(self._back, seconds)

    def _back(self, seconds: float) -> None:
        for watcher in self._watchers:
            watcher(seconds)

    def add_watcher(self, watcher: Callable[[float], None]) -> None:
        """From now on `watcher` is told when the journal was out of reach, and for how many seconds."""
        self._watchers.append(watcher)

    def write_turn(self, agent: str, n: int, body: bytes) -> None:
        """Adds the `n`-th message of an agent's transcript."""
        self._put((self._run_id, agent, n, time.time(), body))

    async def turns(self, agent: str) -> list[tuple[int, bytes]]:
        """Number and JSON of each message of an agent that is on disk, in the order of writing."""
        return await asyncio.to_thread(self._writer.read_turns, agent)

    def write_along(self, along: Along) -> None:
        """Commits a statement behind all that was put here before it. Only for a journal in a database."""
        self._put(along)

    @contextlib.contextmanager
    def together(self) -> Generator[None]:
        """What is put here in the block is committed in one transaction, or not at all. Nothing may wait inside."""
        with self._whole:
            yield

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
        return self._fresh.get(value.blob) or await asyncio.to_thread(self._writer.read_blob, value.blob)

    def _put(self, item: Recorded | Turn | tuple[str, bytes] | Along) -> None:
        self._queue.append(item)
        if not self._filled.is_set():
            self._filled.set()

    def _committed(self, events: list[Recorded], blobs: list[str], along: list[Along]) -> None:
        for name in blobs:
            self._fresh.pop(name, None)
        for done in (each.done for each in along):
            if done is not None and not done.done():
                done.set_result(None)
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
        writer = self._writer
        try:
            self._begin(writer.open())
            while self._write_some(writer):
                pass
            writer.finish()
        except (DatabaseError, OSError, StoreError) as error:
            failure = error if isinstance(error, StoreError) else writer.explained(error)
            self._tell(self._fail, failure)
        finally:
            writer.close()

    def _begin(self, history: list[Recorded]) -> None:
        self.history = history
        if history:
            self._seq = self.durable_seq = history[-1].seq
            self._at = history[-1].at
        self._tell(self._opened_well)

    def _opened_well(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _fail(self, failure: StoreError) -> None:
        self._failed(failure)
        if not self._opened.done():
            self._opened.set_exception(failure)

    def _write_some(self, writer: Writer) -> bool:
        """Commits what is in the queue, in one transaction. False when it is empty and the journal closes."""
        if not self._queue:
            if self._closing:
                return False
            self._filled.wait()
        self._filled.clear()
        with self._whole:
            batch = sorted_out([self._queue.popleft() for _ in range(len(self._queue))])
        if batch is not None:
            writer.write(batch)
            self._tell(self._committed, batch.events, [name for name, _ in batch.blobs], batch.along)
        return True

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *arguments)


def sorted_out(items: list[Recorded | Turn | tuple[str, bytes] | Along]) -> Batch | None:
    """What is to be written, by its kind; None: nothing."""
    if not items:
        return None
    batch = Batch([], [], [], [])
    for item in items:
        if isinstance(item, Recorded):
            batch.events.append(item)
        elif isinstance(item, Along):
            batch.along.append(item)
        elif len(item) == 2:
            batch.blobs.append(item)
        else:
            batch.turns.append(item)
    return batch
