"""Timeline: the fold of a run's events into bars, one lane an agent. The page's ``timeline.js`` keeps the same rules.

A bar is what an agent did from one event to the next: it was queued, waited for the provider (``limited``), asked the
model, or its tools worked. Bars of a lane neither overlap nor leave gaps while the agent is under way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from counterpoint.events import (
    AgentCompacted,
    AgentFinished,
    AgentQueued,
    AgentRetried,
    AgentReused,
    AgentStarted,
    AgentTurned,
    GateAnswered,
    GateOpened,
    Recorded,
    RunForked,
    RunStarted,
    RunTagged,
    ToolUsed,
)

TOOL_NAMES = re.compile(r"[\w.:-]+(?:, [\w.:-]+)*")
"""What the note of a turn looks like when it names the tools that were called."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Times are seconds since the epoch. `kind` is queued, limited, model, tool, or human."""

    kind: str
    start: float
    end: float
    label: str = ""


@dataclass(slots=True)
class Lane:
    """The bars of one agent, or of the people who are asked (`id` is then a gate's)."""

    id: str
    bars: list[Bar] = field(default_factory=list[Bar])
    doing: str = ""
    """The kind of the bar that is not over; empty where none is."""
    since: float = 0.0
    label: str = ""
    until: float = 0.0
    """When the wait ends, while `doing` is limited."""
    tools_open: int = 0

    def turn_to(self, kind: str, at: float, label: str = "") -> None:
        """Ends the open bar and begins one of `kind`; "" begins none."""
        if self.doing == "limited" and self.until < at:
            self._close("limited", self.since, self.until, self.label)
            self.doing, self.since, self.label = "model", self.until, ""
        if self.doing:
            self._close(self.doing, self.since, at, self.label)
        self.doing, self.since, self.label = kind, at, label

    def _close(self, kind: str, start: float, end: float, label: str) -> None:
        if end > start:
            self.bars.append(Bar(kind, start, end, label))

    def shown(self, now: float) -> list[Bar]:
        """All bars, the open one up to `now`."""
        return [*self.bars, Bar(self.doing, self.since, max(self.since, now), self.label)] if self.doing else self.bars


@dataclass(slots=True)
class Timeline:
    """Lanes by id, in the order in which they began."""

    lanes: dict[str, Lane] = field(default_factory=dict[str, Lane])
    begin: float | None = None
    end: float = 0.0

    @classmethod
    def of(cls, events: Iterable[Recorded]) -> Timeline:
        timeline = cls()
        for recorded in events:
            timeline.apply(recorded)
        return timeline

    def apply(self, recorded: Recorded) -> None:
        """Takes one event; most events mean nothing here."""
        at = recorded.at
        if self.begin is None:
            self.begin = at
        match recorded.event:
            case AgentQueued(agent=agent):
                self._lane(agent).turn_to("queued", at)
            case AgentStarted(agent=agent):
                self._lane(agent).turn_to("model", at)
            case AgentTurned(agent=agent, note=note):
                lane = self._lane(agent)
                lane.tools_open = len(note.split(", ")) if TOOL_NAMES.fullmatch(note) else 0
                lane.turn_to("tool" if lane.tools_open else "model", at, note)
            case AgentCompacted(agent=agent):
                self._lane(agent).turn_to("model", at, "made room in its context")
            case ToolUsed(agent=agent) if agent in self.lanes:
                self._tool_ended(self.lanes[agent], at)
            case AgentRetried(agent=agent, wait=wait, fault=fault):
                lane = self._lane(agent)
                lane.turn_to("limited", at, fault.message[:200])
                lane.until = at + wait
            case AgentFinished(agent=agent):
                self._lane(agent).turn_to("", at)
            case AgentReused(agent=agent):
                self._lane(agent)
            case GateOpened(gate=gate, question=question):
                self._lane(gate).turn_to("human", at, question[:200])
            case GateAnswered(gate=gate):
                self._lane(gate).turn_to("", at)
            case RunStarted():
                self._begin_attempt()
            case RunForked():
                self.lanes.clear()  # what came before was done elsewhere
                self.begin = at
            case _:
                pass
        if not isinstance(recorded.event, RunTagged):  # which may come long after the run
            self.end = max(self.end, at)

    def _tool_ended(self, lane: Lane, at: float) -> None:
        lane.tools_open -= 1
        if lane.doing == "tool" and lane.tools_open <= 0:
            lane.turn_to("model", at)

    def _begin_attempt(self) -> None:
        """Whatever was open when the earlier process died ended with its last event."""
        for lane in self.lanes.values():
            lane.turn_to("", self.end)

    def _lane(self, name: str) -> Lane:
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name)
        return lane

    def doing(self, agent: str) -> str:
        """What an agent does now: queued, limited, model, tool; empty where it is over."""
        lane = self.lanes.get(agent)
        return lane.doing if lane else ""
