"""A run as OpenTelemetry spans, in the JSON form of OTLP: the run, its agents below it, and below each what it did.

Names follow the semantic conventions for generative AI 0.1.0: `invoke_workflow`, `invoke_agent`, `chat`,
`execute_tool`. There a workflow's name is `gen_ai.agent.name`; `gen_ai.workflow.name`, as it was before, stands beside.
What people, files and models have said is content, and in it only where `Content` is given: prompts, answers, messages
of errors, and labels that are the beginning of a prompt. Ids are derived from the run's, so that exporting twice gives
the same trace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from counterpoint.events import Fault, Recorded, Usage
from counterpoint.timeline import TOOL_NAMES, Bar, Timeline
from counterpoint.tracing.spent import Spent
from counterpoint.version import VERSION
from counterpoint.view import AgentView, RunView

INTERNAL, CLIENT = 1, 3
"""SPAN_KIND_INTERNAL, SPAN_KIND_CLIENT"""
OK, ERROR = 1, 2
"""STATUS_CODE_OK, STATUS_CODE_ERROR"""
PROVIDERS = {
    "bedrock": "aws.bedrock",
    "foundry": "azure.ai.inference",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
}
"""Ours, where the conventions have another name."""
RUN = "run"
"""What the run's span is called in ids."""
MESSAGE = 1000
"""Characters of an error's message."""

Span = dict[str, Any]
Content = Mapping[str, tuple[Any, Any]]
"""Agent id → its prompt, and what it gave."""


def spans(events: Iterable[Recorded], content: Content | None = None) -> bytes:
    """One ``ExportTraceServiceRequest`` as JSON."""
    view, timeline, spent = RunView(), Timeline(), Spent()
    for recorded in events:
        view.apply(recorded)
        timeline.apply(recorded)
        spent.apply(recorded)
    made = [run_span(view, timeline, content)]
    for agent in view.agents.values():
        bars = timeline.lanes[agent.id].shown(timeline.end) if agent.id in timeline.lanes else []
        if bars:
            made += agent_spans(view, agent, list(enumerate(bars)), content, spent)
    return request(made)


def request(made: list[Span]) -> bytes:
    """Spans as one ``ExportTraceServiceRequest``."""
    resource = {"attributes": _attributes({"service.name": "counterpoint", "service.version": VERSION})}
    scope = {"scope": {"name": "counterpoint", "version": VERSION}, "spans": made}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, ensure_ascii=False).encode(
        "utf-8", "replace"
    )


def run_span(view: RunView, timeline: Timeline, content: Content | None, *, key: str = RUN) -> Span:
    """The span of the run. `key` is another than `RUN` for a later attempt that has a span of its own."""
    usage = view.usage()
    ok, of = view.coverage()
    facts = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.agent.name": view.name,
        "gen_ai.workflow.name": view.name,
        "gen_ai.conversation.id": view.run_id,
        "gen_ai.provider.name": _provider(view.model),
        "gen_ai.request.model": view.model.partition(":")[2] or view.model,
        **_consumed(usage),
        "workflow.name": view.name,
        "workflow.run_id": view.run_id,
        "counterpoint.status": view.shown_status().value,
        "counterpoint.agents": of,
        "counterpoint.agents.ok": ok,
        "counterpoint.usd": usage.usd,
        "error.type": view.error.name if view.error else None,
    }
    begin = timeline.begin or view.created_at
    span = _span(view, key, None, f"invoke_workflow {view.name}", begin, timeline.end, facts)
    return span | {"status": _status(view.error, content)} if view.error is not None else span


def agent_spans(
    view: RunView,
    agent: AgentView,
    bars: list[tuple[int, Bar]],
    content: Content | None,
    spent: Spent,
    *,
    key: str = "",
    root: str = RUN,
) -> list[Span]:
    """The agent's span below that of the run (`root`), and those of its bars, numbered, below it."""
    made = [_agent(view, agent, [bar for _, bar in bars], content, key or agent.id, root)]
    for number, bar in bars:
        span = _bar(view, agent, key or agent.id, number, bar, content)
        usage = spent.of.get((agent.id, bar.end)) if bar.kind == "model" else None
        span["attributes"] += _attributes(_consumed(usage)) if usage is not None else []
        made.append(span)
    return made


def _consumed(usage: Usage) -> dict[str, Any]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }


def _agent(view: RunView, agent: AgentView, bars: list[Bar], content: Content | None, key: str, root: str) -> Span:
    usage, model, name = agent.usage, agent.answered_by or agent.model, _name(agent, content)
    said = content.get(agent.id) if content is not None else None
    facts = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": agent.id,
        "gen_ai.agent.name": name,
        "gen_ai.conversation.id": view.run_id,
        "gen_ai.provider.name": _provider(model),
        "gen_ai.request.model": agent.model.partition(":")[2] or agent.model,
        "gen_ai.response.model": agent.answered_by.partition(":")[2] or None,
        **_consumed(usage),
        "counterpoint.usd": usage.usd,
        "counterpoint.phase": agent.phase,
        "counterpoint.outcome": agent.outcome.value if agent.outcome else agent.state,
        "error.type": (agent.fault.kind or agent.fault.name) if agent.fault else None,
        "gen_ai.input.messages": _message("user", said[0]) if said else None,
        "gen_ai.output.messages": _message("assistant", said[1]) if said else None,
    }
    span = _span(view, key, root, f"invoke_agent {name}", bars[0].start, bars[-1].end, facts)
    status: dict[str, Any] = {"code": OK} if agent.good else {}
    return span | {"status": status if agent.fault is None else _status(agent.fault, content)}


def _bar(view: RunView, agent: AgentView, key: str, number: int, bar: Bar, content: Content | None) -> Span:
    model = agent.answered_by or agent.model
    facts: dict[str, Any] = {"counterpoint.note": bar.label or None if content is not None else None}
    match bar.kind:
        case "model":
            named = model.partition(":")[2] or model
            name, kind = f"chat {named}", CLIENT
            facts |= {"gen_ai.operation.name": "chat", "gen_ai.provider.name": _provider(model)}
            facts["gen_ai.request.model"] = named
        case "tool":
            tools = bar.label if TOOL_NAMES.fullmatch(bar.label) else "tools"
            name, kind = f"execute_tool {tools}", INTERNAL
            facts |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tools}
        case other:
            name, kind = other, INTERNAL
    span = _span(view, f"{agent.id}/{number}", key, name, bar.start, bar.end, facts)
    return span | {"kind": kind}


def _name(agent: AgentView, content: Content | None) -> str:
    """The label that the script gave; the id where there is none, and the label is made of the prompt."""
    prompt = bytes(agent.prompt.json)
    if content is None and (not prompt or " ".join(json.loads(prompt)[:400].split()).startswith(agent.label)):
        return agent.id
    return agent.label or agent.id


def _provider(model: str) -> str:
    name = model.partition(":")[0]
    return PROVIDERS.get(name, name)


def _status(fault: Fault, content: Content | None) -> dict[str, Any]:
    """What failed; its message may quote what agents and files say."""
    message = fault.name if content is None else f"{fault.name}: {fault.message}"[:MESSAGE]
    return {"code": ERROR, "message": message}


def _message(role: str, said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)


def _span(
    view: RunView, key: str, parent: str | None, name: str, start: float, end: float, facts: dict[str, Any]
) -> Span:
    span: Span = {
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
