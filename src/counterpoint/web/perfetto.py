"""A run as a trace that Perfetto opens: a track for each slot, since slices of one track must not overlap."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from counterpoint.events import AgentCompacted, AgentFinished, AgentTurned, Recorded
from counterpoint.timeline import Timeline
from counterpoint.view import RunView

RUN, AGENTS, PEOPLE = 1, 2, 3
"""Numbers of the trace's "processes": counters, slots, questions."""


def trace(events: Iterable[Recorded]) -> bytes:
    """JSON of the trace-event format. Times are microseconds since the run's first event."""
    view, timeline = RunView(), Timeline()
    rows: list[dict[str, Any]] = []
    tokens = 0
    for recorded in events:
        view.apply(recorded)
        timeline.apply(recorded)
        if isinstance(recorded.event, AgentTurned | AgentCompacted | AgentFinished):
            tokens += recorded.event.usage.output_tokens
            at = _us(recorded.at, timeline)
            rows.append({"ph": "C", "pid": RUN, "name": "output tokens", "ts": at, "args": {"tokens": tokens}})
    rows += _names(view)
    rows += _agents(view, timeline)
    for gate in view.gates.values():
        for bar in timeline.lanes[gate.id].shown(timeline.end):
            rows.append(_slice(PEOPLE, 1, gate.question[:200], bar.start, bar.end, timeline, {"gate": gate.id}))
    return json.dumps({"traceEvents": rows, "displayTimeUnit": "ms"}, ensure_ascii=False).encode("utf-8", "replace")


def _names(view: RunView) -> list[dict[str, Any]]:
    names = {RUN: f"{view.name} ({view.run_id})", AGENTS: "agents, by slot", PEOPLE: "people"}
    return [{"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}} for pid, name in names.items()]


def _agents(view: RunView, timeline: Timeline) -> list[dict[str, Any]]:
    """Each agent in the first slot that is free when it starts, its bars inside it."""
    rows: list[dict[str, Any]] = []
    free: list[float] = []
    work = [(agent, [b for b in timeline.lanes[agent.id].shown(timeline.end) if b.kind != "queued"])
            for agent in view.agents.values() if agent.id in timeline.lanes]  # fmt: skip
    for agent, bars in sorted((each for each in work if each[1]), key=lambda each: each[1][0].start):
        start, end = bars[0].start, bars[-1].end
        slot = next((n for n, until in enumerate(free) if until <= start), len(free))
        free[slot : slot + 1] = [end]
        facts = {
            "agent": agent.id,
            "phase": agent.phase,
            "outcome": agent.outcome.value if agent.outcome else agent.state,
            "model": agent.answered_by or agent.model,
            "output_tokens": agent.usage.output_tokens,
            "usd": agent.usage.usd,
        }
        rows.append(_slice(AGENTS, slot + 1, agent.label or agent.id, start, end, timeline, facts))
        rows += [
            _slice(AGENTS, slot + 1, bar.kind, bar.start, bar.end, timeline, {"note": bar.label} if bar.label else {})
            for bar in bars
        ]
    return rows


def _slice(
    process: int, track: int, name: str, start: float, end: float, timeline: Timeline, facts: dict[str, Any]
) -> dict[str, Any]:
    begin = _us(start, timeline)
    return {"ph": "X", "pid": process, "tid": track, "name": name, "ts": begin, "dur": _us(end, timeline) - begin,
            "args": facts}  # fmt: skip


def _us(at: float, timeline: Timeline) -> int:
    return round((at - (timeline.begin or 0.0)) * 1_000_000)
