"""Notifications of a PostgreSQL database: one connection and one thread for all that a process follows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from counterpoint.store.server import Server

LOOK_S = 5.0
"""When nothing was heard for so long, whoever waits looks for himself: a notification can be lost."""
AGAIN_S = 1.0
IDLE_S = 30.0


class Listener:
    """Rings whoever waits for a channel. The thread starts with the first of them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bells: dict[str, set[Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    def add(self, channel: str, bell: Callable[[], None]) -> None:
        """From now on `bell` is called, in the listener's thread, when the channel is notified; or may have been."""
        with self._lock:
            self._bells.setdefault(channel, set()).add(bell)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen_always, name="listener", daemon=True)
                self._thread.start()
        os.write(self._write_end, b"+")

    def remove(self, channel: str, bell: Callable[[], None]) -> None:
        with self._lock:
            self._bells[channel].discard(bell)
            if not self._bells[channel]:
                del self._bells[channel]
        os.write(self._write_end, b"-")

    def close(self) -> None:
        """Blocking."""
        self._closing = True
        if self._thread is not None:
            os.write(self._write_end, b".")
            self._thread.join()
        os.close(self._read_end)
        os.close(self._write_end)

    def _listen_always(self) -> None:
        while not self._closing:
            with contextlib.suppress(Exception):  # whatever it is, whoever waits looks for himself meanwhile
                self._listen()
            if not self._closing:
                select.select([self._read_end], [], [], AGAIN_S)
                self._empty()

    def _listen(self) -> None:
        with self._server.connect_raw() as connection:
            heard: set[str] = set()
            while not self._closing:
                self._adjust(connection, heard)
                for channel in {notice.channel for notice in connection.notifies(timeout=0)}:
                    self._ring(channel)  # before it waits: what came with the answer to LISTEN wakes nobody again
                select.select([connection.fileno(), self._read_end], [], [], IDLE_S)
                self._empty()

    def _empty(self) -> None:
        """Takes what was written to wake this thread: left there it would wake it for ever."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def _adjust(self, connection: Any, heard: set[str]) -> None:
        with self._lock:
            wanted = set(self._bells)
        for channel in heard - wanted:
            connection.execute(f'UNLISTEN "{channel}"')
        for channel in wanted - heard:
            connection.execute(f'LISTEN "{channel}"')
            self._ring(channel)  # what came before we listened was not heard
        heard.clear()
        heard.update(wanted)

    def _ring(self, channel: str) -> None:
        with self._lock:
            bells = list(self._bells.get(channel, ()))
        for bell in bells:
            bell()


class Heard:
    """News of one channel, for one that waits on an event loop (`news.News`)."""

    def __init__(self, listener: Listener, channel: str) -> None:
        self._listener = listener
        self._channel = channel
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Heard:
        self._listener.add(self._channel, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.remove(self._channel, self._ring)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._event.wait()
        self._event.clear()
