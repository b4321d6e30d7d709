"""One dream at a time for a memory: a file that says who dreams, with a heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
from msgspec import Struct

from counterpoint.errors import DreamIsLiveError, first_error
from counterpoint.memory import files
from counterpoint.store.leases import HEARTBEAT_S, TTL_S, process_started


class Holder(Struct, frozen=True):
    """The process that dreams."""

    pid: int
    host: str
    started: str
    heartbeat_at: float

    @property
    def alive(self) -> bool:
        young = time.time() - self.heartbeat_at < TTL_S
        if self.host != socket.gethostname():
            return young
        started = process_started(self.pid)
        return young if started == "" else started == self.started


@contextlib.asynccontextmanager
async def dreaming(folder: Path) -> AsyncGenerator[None]:
    """Nobody else dreams in this memory for the length of the body. Raises DreamIsLiveError.

    A process that was killed holds nothing: its number belongs to nobody, or its heartbeat has grown old.
    """
    path = folder / "lease.json"
    await asyncio.to_thread(_take, path)
    over = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_keep(path, over))
            try:
                yield
            finally:
                over.set()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def holder(folder: Path) -> Holder | None:
    """Who dreams in this memory now. Blocking."""
    found = _read(folder / "lease.json")
    return found if found is not None and found.alive else None


def _take(path: Path) -> None:
    with files.locked(path.with_name("lease.lock")):
        held = _read(path)
        if held is not None and held.alive:
            raise DreamIsLiveError(
                f"Process {held.pid} on {held.host} dreams in this memory now.",
                hint="See how far it is with: counterpoint dream status",
            )
        files.write(path, msgspec.json.encode(_me()))


async def _keep(path: Path, over: asyncio.Event) -> None:
    """Shows that we live. It is not cancelled: a write that is cut off would come after the lease was given back."""
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), HEARTBEAT_S)
            return
        await asyncio.to_thread(files.write, path, msgspec.json.encode(_me()))


def _me() -> Holder:
    return Holder(os.getpid(), socket.gethostname(), process_started(os.getpid()) or "", time.time())


def _read(path: Path) -> Holder | None:
    data = files.read(path)
    try:
        return None if data is None else msgspec.json.decode(data, type=Holder)
    except msgspec.DecodeError:
        return None
