"""Who executes a run. At most one process holds a run's lease; each new holder has a higher epoch.

A holder is alive while its process is there (on this machine), or while its heartbeat is young (on another one).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from counterpoint.errors import LeaseLostError, RunIsLiveError, StoreError
from counterpoint.store.database import LEASES, REQUESTS, RUNS
from counterpoint.store.index import Index

HEARTBEAT_S = 2.0
STARTS_S = 60.0
"""How long a new run is taken for one that a process is about to execute: a busy machine takes its time."""
TTL_S = 15.0
"""Age of a heartbeat at which its holder counts as dead, where its process cannot be looked at."""
DATABASE_CLOCK = text("SELECT extract(epoch FROM clock_timestamp())")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has, or had, a run; with the epoch 0 the one that has made it, and sees to it that it begins."""

    epoch: int
    host: str
    pid: int
    pid_started: str
    silent_s: float
    """Age of its last heartbeat."""
    released: bool

    @property
    def alive(self) -> bool:
        if self.released:
            return False
        young = self.silent_s < TTL_S
        if self.host != socket.gethostname():
            return young
        started = process_started(self.pid)
        return young if started == "" else started == self.pid_started

    @property
    def executes(self) -> bool:
        """Whether it executes the run now."""
        return self.epoch > 0 and self.alive

    @property
    def answers(self) -> bool:
        """Whether the run can be asked something: it is executed now, or begins any moment."""
        return self.alive and (self.epoch > 0 or self.silent_s < STARTS_S)


def process_started(pid: int) -> str | None:
    """What tells a process from a later one with the same number; None: there is none; "": this system does not say."""
    if sys.platform != "linux":
        return ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a new holder gets."""

    epoch: int
    asked: int
    """Number of the last request that was made of the run before; 0: none was."""


class Lease:
    """A held run. Keep it alive with `keep`, and give it back with `release`."""

    def __init__(self, index: Index, run_id: str, taken: Taken) -> None:
        self._index = index
        self._run_id = run_id
        self.epoch = taken.epoch
        self.asked = taken.asked

    async def keep(self) -> None:
        """Shows that we live, until cancelled. Raises LeaseLostError when another process took the run over."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                held = await self._index.write(lambda connection: self._touch(connection, released=False))
            except LeaseLostError:
                raise
            except StoreError:
                continue  # a busy or full disk ends the run by the journal, not by a missed heartbeat
            if not held:
                raise LeaseLostError(f"Another process took run {self._run_id} over.")

    async def release(self) -> None:
        """Gives the run back, unless another process has it already."""
        await self._index.write(lambda connection: self._touch(connection, released=True), of=self._run_id)

    def _touch(self, connection: Connection, *, released: bool) -> bool:
        update = LEASES.update().where(LEASES.c.run_id == self._run_id, LEASES.c.epoch == self.epoch)
        result = connection.execute(update.values(heartbeat_at=_now(connection), released=int(released)))
        return result.rowcount == 1


async def holder(index: Index, run_id: str) -> Holder | None:
    """Who has, or had last, the run; None: nobody ever."""
    return await index.read(lambda connection: _holder(connection, run_id))


def _holder(connection: Connection, run_id: str) -> Holder | None:
    row = connection.execute(select(LEASES).where(LEASES.c.run_id == run_id)).first()
    return None if row is None else _as_holder(row, _now(connection))


async def living(index: Index) -> set[str]:
    """The runs that a process executes now, or begins any moment."""
    return await index.read(_living)


def _living(connection: Connection) -> set[str]:
    now = _now(connection)
    rows = connection.execute(select(LEASES).where(LEASES.c.released == 0))
    return {row.run_id for row in rows if _as_holder(row, now).answers}


def _as_holder(row: Row[Any], now: float) -> Holder:
    return Holder(row.epoch, row.host, row.pid, row.pid_started, now - row.heartbeat_at, bool(row.released))


def _now(connection: Connection) -> float:
    """Seconds since the epoch by the clock that all holders share: a database's own, where there is one."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(DATABASE_CLOCK).scalar_one())


def take(connection: Connection, run_id: str, *, above: int) -> Taken:
    """Writes us down as the run's holder, with an epoch over `above` and all earlier ones.

    Raises RunIsLiveError while another holder lives.
    """
    connection.execute(select(RUNS.c.run_id).where(RUNS.c.run_id == run_id).with_for_update())  # one at a time
    held = _holder(connection, run_id)
    if held is not None and held.executes:
        raise RunIsLiveError(
            f"Run {run_id} is being executed by process {held.pid} on {held.host}.",
            hint=f"Watch it with: counterpoint logs {run_id} -f; or stop it with: counterpoint stop {run_id}",
        )
    epoch = max(above, held.epoch if held is not None else 0) + 1
    connection.execute(LEASES.delete().where(LEASES.c.run_id == run_id))
    _write(connection, run_id, epoch)
    asked = connection.execute(select(func.max(REQUESTS.c.id)).where(REQUESTS.c.run_id == run_id)).scalar()
    return Taken(epoch, asked or 0)


def announce(connection: Connection, run_id: str) -> None:
    """Writes us down as the one that has made a new run, and sees to it that a process begins it."""
    _write(connection, run_id, 0)


def _write(connection: Connection, run_id: str, epoch: int) -> None:
    connection.execute(
        LEASES.insert().values(
            run_id=run_id,
            epoch=epoch,
            host=socket.gethostname(),
            pid=os.getpid(),
            pid_started=process_started(os.getpid()) or "",
            heartbeat_at=_now(connection),
            released=0,
        )
    )
