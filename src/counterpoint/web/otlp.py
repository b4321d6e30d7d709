"""A run as OpenTelemetry spans, in the JSON form of OTLP: the run, its agents below it, and below each what it did.

Ids are derived from the run's, so that exporting twice gives the same trace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from counterpoint.events import Recorded
from counterpoint.timeline import Bar, Timeline
from counterpoint.version import VERSION
from counterpoint.view import AgentView, RunView

INTERNAL = 1
"""SPAN_KIND_INTERNAL"""
OK, ERROR = 1, 2
"""STATUS_CODE_OK, STATUS_CODE_ERROR"""


def spans(events: Iterable[Recorded]) -> bytes:
    """One ``ExportTraceServiceRequest`` as JSON. No prompt and no answer is in it."""
    view, timeline = RunView(), Timeline()
    for recorded in events:
        view.apply(recorded)
        timeline.apply(recorded)
    made = [_run(view, timeline)]
    for agent in view.agents.values():
        bars = timeline.lanes[agent.id].shown(timeline.end) if agent.id in timeline.lanes else []
        if bars:
            made.append(_agent(view, agent, bars))
            made += [_bar(view, agent, n, bar) for n, bar in enumerate(bars)]
    resource = {"attributes": _attributes({"service.name": "counterpoint", "service.version": VERSION})}
    scope = {"scope": {"name": "counterpoint", "version": VERSION}, "spans": made}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, ensure_ascii=False).encode(
        "utf-8", "replace"
    )


def _run(view: RunView, timeline: Timeline) -> dict[str, Any]:
    usage = view.usage()
    facts = {
        "counterpoint.run_id": view.run_id,
        "counterpoint.status": view.shown_status().value,
        "counterpoint.agents": len(view.agents),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "counterpoint.usd": usage.usd,
    }
    span = _span(view, "run", None, view.name, timeline.begin or view.created_at, timeline.end, facts)
    return span | {"status": {"code": ERROR, "message": view.error.message}} if view.error is not None else span


def _agent(view: RunView, agent: AgentView, bars: list[Bar]) -> dict[str, Any]:
    usage = agent.usage
    facts = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": agent.id,
        "gen_ai.agent.name": agent.label or agent.id,
        "gen_ai.request.model": agent.model,
        "gen_ai.response.model": agent.answered_by or None,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "counterpoint.usd": usage.usd,
        "counterpoint.phase": agent.phase,
        "counterpoint.outcome": agent.outcome.value if agent.outcome else agent.state,
    }
    span = _span(view, agent.id, "run", agent.label or agent.id, bars[0].start, bars[-1].end, facts)
    status: dict[str, Any] = {"code": OK} if agent.good else {}
    if agent.fault is not None:
        status = {"code": ERROR, "message": f"{agent.fault.name}: {agent.fault.message}"[:1000]}
    return span | {"status": status}


def _bar(view: RunView, agent: AgentView, number: int, bar: Bar) -> dict[str, Any]:
    facts = {"counterpoint.note": bar.label or None}
    return _span(view, f"{agent.id}/{number}", agent.id, bar.kind, bar.start, bar.end, facts)


def _span(
    view: RunView, key: str, parent: str | None, name: str, start: float, end: float, facts: dict[str, Any]
) -> dict[str, Any]:
    span: dict[str, Any] = {
        "traceId": _id(view.run_id, "", 16),
        "spanId": _id(view.run_id, key, 8),
        "name": name,
        "kind": INTERNAL,
        "startTimeUnixNano": str(round(start * 1e9)),
        "endTimeUnixNano": str(round(end * 1e9)),
        "attributes": _attributes(facts),
    }
    return span if parent is None else span | {"parentSpanId": _id(view.run_id, parent, 8)}


def _id(run_id: str, key: str, size: int) -> str:
    return hashlib.sha256(f"{run_id}\0{key}".encode()).hexdigest()[: 2 * size]


def _attributes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in facts.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}
