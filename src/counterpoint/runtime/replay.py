"""What an earlier attempt left to reuse, and in which order. Pure: from a run's events, no I/O.

A call whose key has a successful result is answered from here. Results are delivered in the order in which they were
delivered last, so that races between promises go the same way again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from counterpoint.errors import RETRYABLE
from counterpoint.events import (
    AgentFinished,
    AgentMarked,
    AgentQueued,
    AgentReused,
    AgentStarted,
    CallRefused,
    Event,
    GateAnswered,
    LogWritten,
    Outcome,
    PhaseEntered,
    Recorded,
    TimerFired,
    ToolCalled,
    Usage,
    Value,
    WorkflowLeft,
)

Reuse = Literal["calls", "prefix", "none"]
CUT_OFF = frozenset({Outcome.CANCELLED, Outcome.LIMITED})
PROVIDER_KINDS = RETRYABLE | {"quota", "auth"}
"""Failures that say nothing of the conversation so far."""


@dataclass(slots=True)
class Answered:
    """A recorded answer. `at` is when it was recorded, in seconds since the epoch."""

    at: float
    value: Value | None
    usage: Usage
    agent: str | None = None


class Replay:
    """The recorded answers of a run, by key."""

    def __init__(
        self, history: Iterable[Recorded], reuse: Reuse = "calls", forget: frozenset[str] = frozenset()
    ) -> None:
        self._reuse = reuse
        self._answers: dict[str, Answered] = {}
        self._places: dict[str, int] = {}
        self._calls: list[str] = []
        self._asked = 0
        self._broken = False
        self.agent_ids: dict[str, str] = {}
        """Key → id of the agent that has it."""
        self.attempts: dict[str, int] = {}
        """Agent id → attempts that were started."""
        self.cut_off: set[str] = set()
        """Ids of agents that an earlier attempt did not let end: they can go on from their transcripts."""
        self._told: Counter[Event] = Counter()
        keys: dict[str, str] = {}
        for recorded in history:
            self._take(recorded, keys)
        self.cut_off -= forget
        for agent in forget:
            self._answers.pop(keys.get(agent, ""), None)
        if reuse == "none":
            self._answers.clear()
            self.cut_off.clear()
            self._told.clear()
        self._order = {place: n for n, place in enumerate(sorted(self._places.values()))}

    def __len__(self) -> int:
        """How many agents have a result to reuse."""
        return sum(answer.agent is not None for answer in self._answers.values())

    def answer(self, key: str) -> Answered | None:
        """The recorded answer of this `agent()` call, or None: it runs live. Ask once a call, in program order."""
        found = self._answers.get(key)
        if self._reuse == "prefix":
            expected = self._calls[self._asked] if self._asked < len(self._calls) else None
            self._asked += 1
            self._broken = self._broken or expected != key or found is None
            return None if self._broken else found
        return found

    def effect(self, key: str) -> Answered | None:
        """The recorded answer of a timer, a gate or a tool call, or None."""
        return self._answers.get(key)

    def told(self, event: Event) -> bool:
        """Whether an earlier attempt has told this already; a script that is run again says everything again."""
        if not self._told[event]:
            return False
        self._told[event] -= 1
        return True

    def place(self, key: str) -> int | None:
        """Position of this call's answer in the recorded order, counted from 0 without gaps; None: it has none."""
        place = self._places.get(key)
        return None if place is None else self._order[place]

    def _take(self, recorded: Recorded, keys: dict[str, str]) -> None:
        match recorded.event:
            case AgentQueued(agent=agent, key=key):
                if key not in self.agent_ids:
                    self._calls.append(key)
                keys[agent] = key
                self.agent_ids[key] = agent
            case AgentStarted(agent=agent, attempt=attempt):
                self.attempts[agent] = attempt
                self.cut_off.add(agent)
            case AgentFinished(agent=agent, outcome=outcome, value=value, usage=usage, fault=fault):
                key = keys[agent]
                if not (outcome in CUT_OFF or (fault is not None and fault.kind in PROVIDER_KINDS)):
                    self.cut_off.discard(agent)
                self._places[key] = recorded.seq
                if outcome is Outcome.OK:
                    self._answers[key] = Answered(recorded.at, value, usage, agent)
                else:
                    self._answers.pop(key, None)
            case AgentReused(agent=agent):
                self._places[keys[agent]] = recorded.seq
            case AgentMarked(agent=agent):
                self._answers.pop(keys.get(agent, ""), None)
            case TimerFired(key=key):
                self._answer(key, recorded, None)
            case GateAnswered(key=key, answer=value, denied=False):
                self._answer(key, recorded, value)
            case ToolCalled(key=key, value=value, fault=None):
                self._answer(key, recorded, value)
            case LogWritten() | PhaseEntered():
                self._told[recorded.event] += 1
            case WorkflowLeft(key=key) | CallRefused(key=key):
                self._places[key] = recorded.seq
            case _:
                pass

    def _answer(self, key: str, recorded: Recorded, value: Value | None) -> None:
        self._answers[key] = Answered(recorded.at, value, Usage())
        self._places[key] = recorded.seq
