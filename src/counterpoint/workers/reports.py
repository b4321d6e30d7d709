"""One agent on a worker, from the side of those around it: what it does is reported, what it may use asked for.

The driver of its run answers by notes. Nothing here waits for a report to be durable but `kept`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from counterpoint.agents.compact import Compacted
from counterpoint.errors import HookError
from counterpoint.events import Fault, Usage, Workspace
from counterpoint.models.messages import ToolSpec
from counterpoint.store.desk import Desk, Taken
from counterpoint.tools.base import FileChange
from counterpoint.tools.policy import Access
from counterpoint.workers import wire
from counterpoint.workers.executor import Claim

SIGN_S = 20.0
"""How often whoever waits for the budget shows that it does."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a request may use of the run's budget."""

    number: int
    max_tokens: int | None


class Reporter:
    """The observer and the allowance of an agent whose run is executed elsewhere."""

    def __init__(self, desk: Desk, taken: Taken, *, bounded: bool, first: int, heard: int) -> None:
        """`first` numbers its requests apart from those of another worker, which has `heard` so many messages."""
        self.bounded = bounded
        self._desk = desk
        self._taken = taken
        self._numbers = itertools.count(first)
        self._asked: dict[int, asyncio.Future[Share]] = {}
        self._said: list[str] = []
        self._heard_before = heard
        self.made: Workspace | None = None
        """What the agent has left in its worktree."""

    def tell(self, report: wire.AnyReport) -> None:
        self._desk.report(self._taken, wire.encode(report))

    async def listen(self) -> None:
        """Takes in what the driver says; returns when the errand is no longer this worker's. Raises StoreError."""
        with self._desk.news(self._taken) as news:
            while (notes := await self._desk.notes(self._taken)) is not None:
                for note in notes:
                    self._hear(wire.note_of(note))
                await news.wait()

    def _hear(self, note: wire.AnyNote) -> None:
        match note:
            case wire.Message(text):
                self._heard_before -= 1
                if self._heard_before < 0:
                    self._said.append(text)
            case wire.Granted(number, max_tokens, fault):
                asked = self._asked.pop(number, None)
                if asked is not None and not asked.done() and fault is not None:
                    asked.set_exception(HookError(fault.name, fault.message))
                elif asked is not None and not asked.done():
                    asked.set_result(Share(number, max_tokens))

    # --- Allowance ---------------------------------------------------------------------------------------------------

    async def reserve(self, claim: Claim, waits: Callable[[], None]) -> Share:
        """Raises HookError at the ceiling."""
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        self.tell(wire.Asked(number, claim.input_tokens, claim.usual))
        try:
            while not asked.done():
                await asyncio.wait([asked], timeout=SIGN_S)
                waits()
            return asked.result()
        except asyncio.CancelledError:
            self.tell(wire.Settled(number))
            raise

    def settle(self, grant: Share, used: Usage | None) -> None:
        self.tell(wire.Settled(grant.number, used))

    # --- Observer ----------------------------------------------------------------------------------------------------

    def waits(self, what: str) -> None:
        self.tell(wire.Waits(what))

    def turn(self, n: int, usage: Usage, note: str) -> None:
        self.tell(wire.Turned(n, usage, note))

    def compacted(self, mark: Compacted) -> None:
        self.tell(wire.Shortened(mark))

    def tool(self, name: str, summary: str, ok: bool, seconds: float) -> None:
        self.tell(wire.Used(name, summary, ok, seconds))

    def denied(self, access: Access, reason: str) -> None:
        self.tell(wire.Denied(access, reason))

    def prompted(self, system: str, tools: list[ToolSpec]) -> None:
        self.tell(wire.Prompted(system, tools))

    def changed(self, change: FileChange) -> None:
        """Files of a shared tree do not change on a worker: who may change some has a worktree."""

    def worktree_opened(self, path: str, branch: str, base: str) -> None:
        self.tell(wire.Opened(path, branch, base))

    def worktree_closed(self, workspace: Workspace) -> None:
        """It is told when its commits are where the driver can get them."""
        self.made = workspace

    def retried(self, fault: Fault, wait: float) -> None:
        self.tell(wire.Retried(fault, wait))

    def transcript(self, n: int, body: bytes) -> None:
        self.tell(wire.Said(n, body))

    async def kept(self) -> None:
        await self._desk.flushed()

    def unheard(self) -> list[str]:
        return self._said

    def steering(self, most: int | None = None) -> list[str]:
        most = len(self._said) if most is None else most
        said, self._said = self._said[:most], self._said[most:]
        if said:
            self.tell(wire.Heard(len(said)))
        return said
