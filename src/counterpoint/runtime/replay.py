"""What earlier attempts left to reuse, and in which order. Pure: from a run's events, no I/O.

A call whose key has a successful result is answered from here. Results are delivered in the order in which the script
heard them before, so that races between promises go the same way again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from counterpoint.errors import RETRYABLE
from counterpoint.events import (
    NO_USAGE,
    AgentFinished,
    AgentMarked,
    AgentQueued,
    AgentReused,
    AgentStarted,
    AnswerReused,
    CallRefused,
    Event,
    GateAnswered,
    LogWritten,
    Outcome,
    PhaseEntered,
    Recorded,
    RunEnded,
    RunForked,
    RunStarted,
    TimerFired,
    ToolCalled,
    Usage,
    Value,
    WorkflowEntered,
    WorkflowLeft,
)

Reuse = Literal["calls", "prefix", "none"]
CUT_OFF = frozenset({Outcome.CANCELLED, Outcome.LIMITED})
PROVIDER_KINDS = RETRYABLE | {"quota", "auth"}
"""Failures that say nothing of the conversation so far."""


@dataclass(slots=True)
class Answered:
    """A recorded answer. `at` is when it was recorded, in seconds since the epoch, and `seq` as which event."""

    seq: int
    at: float
    value: Value | None
    usage: Usage
    agent: str | None = None
    bad: AgentFinished | None = None
    """The agent's end, where it did not end ok and that is to stand."""


def _says_nothing(ended: AgentFinished) -> bool:
    """Whether this end says nothing of the conversation so far."""
    return ended.outcome in CUT_OFF or (ended.fault is not None and ended.fault.kind in PROVIDER_KINDS)


def entrance(key: str) -> str:
    """What a child workflow's beginning is known by; its end is known by the key of its call."""
    return f"{key} begins"


class _Order:
    """The order in which a script heard its answers, over all attempts.

    Within an attempt new answers are heard in the order of the journal, recorded ones in that of their events, each
    behind a known number of new ones. An attempt that died had recorded answers left to hear; they come before the new
    ones of which nothing says that they were heard: so it would have gone on.
    """

    def __init__(self) -> None:
        self._earlier: dict[str, None] = {}
        self._heard: list[str] = []
        self._new: list[str] = []
        self._heard_new = 0

    def begin(self, *, afresh: bool) -> None:
        """A new attempt; `afresh`: it reuses nothing."""
        self._earlier = {} if afresh else dict.fromkeys(self.keys())
        self._heard, self._new, self._heard_new = [], [], 0

    def answered(self, key: str) -> None:
        """A new answer."""
        self._new.append(key)

    def found(self, key: str) -> None:
        """Something that follows from the script alone: new where no attempt has found it before."""
        if key not in self._earlier:
            self._new.append(key)

    def reused(self, key: str, behind: int) -> None:
        self._heard += [*self._new[self._heard_new : behind], key]
        self._heard_new = max(self._heard_new, behind)

    def keys(self) -> list[str]:
        """Each key once, in order."""
        last = self._new[self._heard_new :]
        own = {*self._heard, *last}
        return list(dict.fromkeys([*self._heard, *(key for key in self._earlier if key not in own), *last]))


class Replay:
    """The recorded answers of a run, by key."""

    def __init__(
        self,
        history: Iterable[Recorded],
        reuse: Reuse = "calls",
        only: frozenset[str] = frozenset(),
        *,
        edited: bool = False,
    ) -> None:
        """`only`: ids of agents that run again, whatever their results were, while all others keep the ends that they
        have; none: whatever did not end ok runs again.
        """
        self._reuse = reuse
        self._answers: dict[str, Answered] = {}
        self._order = _Order()
        self._calls: dict[int, str] = {}
        """Key of each call of the last attempt, as far as it came; behind that, of those before."""
        self._refused: set[str] = set()
        self._asked = 0
        self._broken = False
        self.agent_ids: dict[str, str] = {}
        """Key → id of the agent that has it."""
        self.attempts: dict[str, int] = {}
        """Agent id → attempts that were started."""
        self.cut_off: set[str] = set()
        """Ids of agents that an earlier attempt did not let end: they can go on from their transcripts."""
        self.workflows: dict[str, WorkflowEntered] = {}
        """Child workflows that have been entered, with their texts; none where the script was edited."""
        self._told: Counter[Event] = Counter()
        self._bad: dict[str, Answered] = {}
        """By key, the ends that are no result to reuse."""
        self._over = False
        """The script of the last attempt came to its end."""
        keys: dict[str, str] = {}
        for recorded in history:
            self._take(recorded, keys)
        if only:
            self._keep_ends()
        self.cut_off -= only
        for agent in only:
            self._answers.pop(keys.get(agent, ""), None)
        if reuse == "none":
            self._answers.clear()
            self.cut_off.clear()
            self._told.clear()
        if edited:
            self.workflows.clear()
        self._places = {} if reuse == "none" else {key: n for n, key in enumerate(self._order.keys())}

    def _keep_ends(self) -> None:
        """Lets bad ends stand. Those that say nothing of the task do where the script has heard them: it is over."""
        for key, ended in self._bad.items():
            if self._over or ended.bad is None or not _says_nothing(ended.bad):
                self._answers[key] = ended

    def __len__(self) -> int:
        """How many agents have a result to reuse."""
        return sum(answer.agent is not None for answer in self._answers.values())

    def stands(self, key: str) -> bool:
        """Whether this call has an end that was not ok, and keeps it."""
        return key in self._answers and key in self._bad

    def answer(self, key: str) -> Answered | None:
        """The recorded answer of this `agent()` call, or None: it runs live. Ask once a call, in program order."""
        found = self._answers.get(key)
        self._asked += 1
        if self._reuse == "prefix":
            changed = self._calls.get(self._asked) != key
            self._broken = self._broken or changed or (found is None and key not in self._refused)
        return None if self._broken else found

    def effect(self, key: str) -> Answered | None:
        """The recorded answer of a timer, a gate or a tool call, or None."""
        return None if self._broken else self._answers.get(key)

    def told(self, event: Event) -> bool:
        """Whether an earlier attempt has told this already; a script that is run again says everything again."""
        if not self._told[event]:
            return False
        self._told[event] -= 1
        return True

    def place(self, key: str) -> int | None:
        """Position of this answer among all that the script has heard, counted from 0; None: it has none."""
        return self._places.get(key)

    def _take(self, recorded: Recorded, keys: dict[str, str]) -> None:
        match recorded.event:
            case RunStarted(reuse=reuse):
                self._order.begin(afresh=reuse == "none")
                self._over = False
            case RunEnded(result=result, error=error):
                self._over = result is not None or error is not None
            case RunForked(source=Value()):
                self.workflows.clear()
            case AgentQueued(agent=agent, key=key, call=call):
                self._calls[call] = keys[agent] = key
                self.agent_ids[key] = agent
                self._bad.pop(key, None)
            case AgentStarted(agent=agent, attempt=attempt):
                self.attempts[agent] = attempt
                self.cut_off.add(agent)
            case AgentFinished(agent=agent, outcome=outcome, value=value, usage=usage) as ended:
                key = keys[agent]
                if not _says_nothing(ended):
                    self.cut_off.discard(agent)
                self._order.answered(key)
                if outcome is Outcome.OK:
                    self._answers[key] = Answered(recorded.seq, recorded.at, value, usage, agent)
                else:
                    self._answers.pop(key, None)
                    self._bad[key] = Answered(recorded.seq, recorded.at, value, usage, agent, ended)
            case AgentReused(agent=agent, call=call, behind=behind):
                self._calls[call] = keys[agent]
                self._order.reused(keys[agent], behind)
            case AnswerReused(key=key, behind=behind):
                self._order.reused(key, behind)
            case AgentMarked(agent=agent):
                self._mark(keys.get(agent, ""))
            case TimerFired(key=key):
                self._answered(key, recorded, None)
            case GateAnswered(key=key, answer=value, denied=denied):
                self._answered(key, recorded, value, ok=not denied)
            case ToolCalled(key=key, value=value, fault=fault):
                self._answered(key, recorded, value, ok=fault is None)
            case LogWritten() | PhaseEntered():
                self._told[recorded.event] += 1
            case WorkflowEntered(key=key):
                self.workflows[key] = recorded.event
                self._order.found(entrance(key))
            case WorkflowLeft(key=key):
                self._order.found(key)
            case CallRefused(key=key, call=call):
                self._calls[call] = key
                self._refused.add(key)
                self._order.found(key)
            case _:
                pass

    def _mark(self, key: str) -> None:
        """An answer that the script took for a failure: where it stands, the script will say so again."""
        answered = self._answers.pop(key, None)
        if answered is not None:
            self._bad[key] = answered

    def _answered(self, key: str, recorded: Recorded, value: Value | None, *, ok: bool = True) -> None:
        self._order.answered(key)
        if ok:
            self._answers[key] = Answered(recorded.seq, recorded.at, value, NO_USAGE)
