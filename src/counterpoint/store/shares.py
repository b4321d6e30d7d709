"""Places at a provider that all processes of a database have in common: who may use how many of them.

Invariant: what is granted of an account is never more than its limit, unless a process uses more than it was granted.
Each process says every second what it wants and what it uses, while it wants anything; it is due its run's fair part,
and gets of that what the others have given back. Who says nothing for `LEASE_S` has nothing any more, here as there:
a process that cannot reach the database starts no request after that. One of this machine that is dead is noticed at
once. Nothing of a provider's key is written but a digest.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from counterpoint.errors import DatabaseAwayError
from counterpoint.store.leases import process_started
from counterpoint.store.server import Server

BEAT_S = 1.0
SOON_S = 0.2
"""How soon is asked again for what is due and not yet given back."""
LEASE_S = 10.0
BEATS_PER_S = 100
"""Of all processes that share an account, together: more of them beat more slowly."""
USUAL_PRIORITY = 3
REPORT = "SELECT * FROM share_report(%s, %s, %s, %s, %s, %s, %s, %s)"
TAKE = "SELECT share_take(%s, %s, %s)"
LEAVE = "SELECT share_leave(%s, %s)"


class Gate(Protocol):
    """Where requests to one account wait for their places."""

    @property
    def account(self) -> str:
        """What the provider counts by, without any secret."""
        ...

    @property
    def most(self) -> int:
        """The limit, for all processes together."""
        ...

    @property
    def used(self) -> int:
        """Requests under way."""
        ...

    @property
    def wanted(self) -> int:
        """Requests under way, and those that wait for a place."""
        ...

    def allot(self, places: int | None) -> None:
        """From now on so many at once; None: as many as the limit says."""
        ...


class Gates(Protocol):
    """All gates of a process, as they come to be."""

    async def hungry(self) -> None:
        """Returns when a request waits at a gate without any place."""
        ...

    def shared(self) -> Sequence[Gate]:
        """Those that have a limit."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """A process that wants places of an account."""

    holder: str
    run_id: str
    weight: float
    most: int
    wants: int
    granted: int
    had: float
    """Places times seconds, since it asked first."""


class Shares:
    """What one run's process has of each account. Use `keep` beside the run."""

    def __init__(self, server: Server, run_id: str, priority: int = USUAL_PRIORITY) -> None:
        """`priority` is 1 to 5; each step down halves the run's part."""
        self._server = server
        self._run_id = run_id
        self._weight = 2.0 ** (USUAL_PRIORITY - priority)
        self._host = f"{socket.gethostname()}:"
        self._holder = f"{self._host}{os.getpid()}:{process_started(os.getpid()) or ''}:{secrets.token_hex(4)}"
        self._renewed: dict[str, float] = {}
        """Account → when it was last told what we want, by the loop's clock."""

    async def keep(self, gates: Gates) -> None:
        """Gives the gates their places, until cancelled. Raises StoreError where the database does not let us share."""
        try:
            while True:
                pauses = [await self._beat(gate) for gate in gates.shared()]
                due = [pause for pause in pauses if pause is not None]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(due, default=None)):
                        await gates.hungry()
        finally:
            for account in list(self._renewed):
                with contextlib.suppress(DatabaseAwayError, TimeoutError):
                    await self._leave(account)

    async def _beat(self, gate: Gate) -> float | None:
        """Asks for what a gate wants; seconds until it asks again, None: it wants nothing."""
        if not gate.wanted:
            gate.allot(0)
            with contextlib.suppress(DatabaseAwayError, TimeoutError):
                await self._leave(gate.account)
            return None
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(LEASE_S / 4):
                places, due, holders = await self._ask(gate)
        except (DatabaseAwayError, TimeoutError):
            if now - self._renewed.get(gate.account, 0.0) > LEASE_S / 2:
                gate.allot(0)
            return SOON_S
        self._renewed[gate.account] = now
        gate.allot(places)
        return max(BEAT_S if places >= due else SOON_S, holders / BEATS_PER_S)

    async def _ask(self, gate: Gate) -> tuple[int, int, int]:
        """Places that we have, places that are our due, and how many processes share the account."""
        account, used, wanted = gate.account, gate.used, gate.wanted
        report = (account, self._holder, self._run_id, self._weight, gate.most, min(wanted, gate.most), used, LEASE_S)

        def ask(connection: Connection) -> tuple[int, int, int]:
            with self._server.transaction(connection):
                asking = [Asking(*row) for row in connection.exec_driver_sql(REPORT, report)]
                for dead in filter(self._is_dead, asking):
                    connection.exec_driver_sql(LEAVE, (account, dead.holder))
                    asking.remove(dead)
                due = dues(asking)[self._holder]
                taken: Any = connection.exec_driver_sql(TAKE, (account, self._holder, due)).scalar_one()
            return min(due, taken), due, len(asking)

        return await self._server.call(lambda: self._server.ask(ask, 0))

    def _is_dead(self, other: Asking) -> bool:
        """Whether it was a process of this machine that has ended."""
        pid, _, started = other.holder.removeprefix(self._host).rpartition(":")[0].partition(":")
        if not other.holder.startswith(self._host) or not started or not pid.isdecimal():
            return False
        return process_started(int(pid[:10])) != started

    async def _leave(self, account: str) -> None:
        if account not in self._renewed:
            return

        def leave(connection: Connection) -> None:
            connection.exec_driver_sql(LEAVE, (account, self._holder))

        async with asyncio.timeout(LEASE_S / 4):
            await self._server.call(lambda: self._server.ask(leave, 0))
        del self._renewed[account]


def dues(asking: Sequence[Asking]) -> dict[str, int]:
    """Holder → places that it is due, of the lowest limit that any of them knows.

    Everybody gets one before anybody gets two; after that a run's part is as its weight, whatever the number of its
    processes, and what one does not want goes to the others. Where there are fewer places than processes, those go
    first that had the least so far.
    """
    processes = Counter(each.run_id for each in asking if each.wants)
    due = dict.fromkeys((each.holder for each in asking), 0)
    line = [
        (0.0, each.had / weight, each.holder, weight, each.wants)
        for each in asking
        if each.wants
        for weight in [each.weight / processes[each.run_id]]
    ]
    heapq.heapify(line)
    left = min((each.most for each in asking), default=0)
    while left and line:
        _, had, holder, weight, wants = line[0]
        due[holder] += 1
        left -= 1
        if due[holder] < wants:
            heapq.heapreplace(line, (due[holder] / weight, had, holder, weight, wants))
        else:
            heapq.heappop(line)
    return due
