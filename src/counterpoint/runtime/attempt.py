"""What the parts of one attempt share: the journal and its fold, the record to replay, and the way of an answer.

The way of a live answer: its event is appended, the journal has it on disk, the script hears it. An answer that an
earlier attempt had goes to its recorded place instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from counterpoint.agents.task import AgentResult
from counterpoint.errors import HookError, ScriptFault
from counterpoint.events import (
    NO_USAGE,
    AgentFinished,
    AgentReused,
    AnswerReused,
    CallRefused,
    Event,
    Fault,
    LogWritten,
    PhaseEntered,
    Recorded,
    Usage,
    Value,
)
from counterpoint.runtime.calls import rejection
from counterpoint.runtime.deliveries import Deliveries
from counterpoint.runtime.identity import Identities
from counterpoint.runtime.replay import Answered, Replay
from counterpoint.runtime.totals import Total, Totals
from counterpoint.sandbox.frames import Call, Delivery
from counterpoint.settings import Settings
from counterpoint.view import RunView

NULL = msgspec.Raw(b"null")

MOST_REFUSED = 20_000
"""Calls of one attempt that are refused, before a script that goes on asking is ended."""


class Log(Protocol):
    """What is needed of a journal. The real one is `counterpoint.store.journal.Journal`."""

    @property
    def history(self) -> list[Recorded]: ...
    @property
    def durable_seq(self) -> int: ...
    def append(self, event: Any) -> Recorded: ...
    async def durable(self, seq: int) -> None: ...
    def value(self, json: bytes, *, apart: bool = False) -> Value: ...
    async def read_value(self, value: Value) -> bytes: ...
    def write_turn(self, agent: str, n: int, body: bytes) -> None: ...
    async def turns(self, agent: str) -> list[tuple[int, bytes]]: ...


class Attempt:
    """One attempt at a run, from the side of the journal."""

    def __init__(self, journal: Log, replay: Replay, bounds: Mapping[str, Any]) -> None:
        self.journal = journal
        self.view = RunView.of(journal.history)
        self.totals = Totals(journal.history)
        self.replay = replay
        self.bounds = {**Settings().bounds(), **self.view.bounds, **bounds}
        self.identities = Identities()
        self.deliveries = Deliveries(journal)
        self.open: set[int] = set()
        """Calls of the script that have no answer yet."""
        self.clock_ms = self.view.created_at * 1000
        """The time that the script sees: that of the last answer."""
        self._tokens = 0
        self._usd = 0.0
        self._total: Total | None = None
        self._refused = 0

    @property
    def cwd(self) -> Path:
        return Path(self.view.cwd)

    def emit(self, event: Event) -> Recorded:
        """Appends an event and folds it into the view. It is durable later: see `Journal.durable`."""
        recorded = self.journal.append(event)
        self.view.apply(recorded)
        self.totals.take(recorded)
        return recorded

    def tell(self, event: LogWritten | PhaseEntered) -> None:
        """Adds to the narration what an earlier attempt has not told already."""
        if not self.replay.told(event):
            self.emit(event)

    def log(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.tell(LogWritten(text, level, "runtime"))

    def answer(
        self,
        call: int,
        recorded: Recorded,
        value: Value | None = None,
        *,
        error: HookError | None = None,
        usage: Usage = NO_USAGE,
    ) -> None:
        """Sends a live answer on its way, behind its event `recorded`."""

        async def make() -> Delivery:
            return await self._delivery(call, value, recorded.at, usage, error, self.totals.at(recorded.seq))

        self.deliveries.live(recorded.seq, make)

    def answer_own(self, key: str, recorded: Recorded, make: Callable[[], Awaitable[Delivery]]) -> None:
        """Sends on its way what follows from the script alone, and so is found again by every attempt."""
        place = self.replay.place(key)
        if place is None:
            return self.deliveries.live(recorded.seq, make)

        async def make_in_place() -> Delivery:
            self.emit(AnswerReused(key, self.deliveries.heard))
            return await make()

        return self.deliveries.placed(place, make_in_place, seq=recorded.seq)

    def answer_recorded(self, call: int, key: str, answered: Answered, event: AgentReused | None = None) -> None:
        """Sends an answer of an earlier attempt on its way. When it leaves, `event` says so, for an agent's answer."""

        async def make() -> Delivery:
            behind = self.deliveries.heard
            self.emit(msgspec.structs.replace(event, behind=behind) if event else AnswerReused(key, behind))
            error = await self._rejection(answered.bad) if answered.bad is not None else None
            total = self.totals.at(answered.seq)
            return await self._delivery(call, answered.value, answered.at, answered.usage, error, total)

        self.deliveries.placed(self.replay.place(key) or 0, make)

    async def _rejection(self, ended: AgentFinished) -> HookError | None:
        raw = await self.journal.read_value(ended.raw) if ended.raw is not None else None
        return rejection(AgentResult(ended.outcome, raw=raw, fault=ended.fault))

    def refuse(self, call: Call, key: str, label: str, error: HookError, *, number: int = 0) -> None:
        """Rejects a call before anything was done for it; `number` is its place among the `agent()` calls.

        Raises ScriptFault where the script has not stopped asking: it would fill the journal for ever.
        """
        self._refused += 1
        if self._refused > MOST_REFUSED:
            raise ScriptFault(
                "AgentCapError",
                f"The script went on although {MOST_REFUSED:,} of its calls were refused, the last with {error.name}: "
                f"{error.message} A loop has to end when calls are refused.",
            )
        fault = Fault(error.name, error.message, call.line, call.column)
        recorded = self.emit(CallRefused(key, fault, label, number))
        self.answer_own(key, recorded, lambda: self.delivery(call.id, error=error))

    async def delivery(self, call: int, value: Value | None = None, *, error: HookError | None = None) -> Delivery:
        """What the script hears of something for which, as it sees it, no time has passed."""
        return await self._delivery(call, value, 0.0, NO_USAGE, error)

    async def _delivery(
        self,
        call: int,
        value: Value | None,
        at: float,
        usage: Usage,
        error: HookError | None = None,
        total: Total | None = None,
    ) -> Delivery:
        self.open.discard(call)
        self._tokens += usage.output_tokens
        self._usd += usage.usd or 0.0
        self.clock_ms = max(self.clock_ms, at * 1000)
        body = NULL
        if error is not None:
            body = msgspec.Raw(msgspec.json.encode({**error.detail, "name": error.name, "message": error.message}))
        elif value is not None:
            body = value.json if value.blob is None else msgspec.Raw(await self.journal.read_value(value))
        self._total = total or self._total or self.totals.first
        return Delivery(
            id=call, ok=error is None, value=body, at=self.clock_ms, spent=self._tokens, usd=self._usd,
            budget_total=self._total.tokens, usd_total=self._total.usd,
        )  # fmt: skip
