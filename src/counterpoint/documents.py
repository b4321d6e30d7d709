"""What the JSON of a run and of an agent says, as far as the events tell it."""

from __future__ import annotations

from typing import Any

import msgspec

from counterpoint.limits import limits
from counterpoint.view import AgentView, RunView

SCHEMA_VERSION = 1


def run_facts(view: RunView, now: float) -> dict[str, Any]:
    """The document of a run at a time; its result and where its journal is, whoever has the store fills in."""
    ok, of = view.coverage()
    usage = view.usage()
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": view.run_id,
        "name": view.name,
        "status": view.shown_status().value,
        "message": view.message,
        "result": None,
        "error": _fault(view.error) if view.error is not None else None,
        "agents": view.counts(),
        "coverage": {"ok": ok, "of": of},
        "script_errors": [_fault(fault) for fault in view.script_errors],
        "usage": {
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "output_tokens": usage.output_tokens,
            "usd": usage.usd,
            "requests": usage.requests,
        },
        "phases": view.phase_rows(),
        "log": view.log_texts(),
        "duration_s": round(view.duration_s(now), 3),
        "resumed_from": view.reused,
        "model": view.model,
        "simulated": view.simulated,
        "script": view.script,
        "journal": "",
        "tags": list(view.tags),
        "imported": view.imported or None,
        "parent": {"run_id": view.parent.run_id, "seq": view.parent.seq} if view.parent else None,
    }
    if view.open_gates():
        document["gates"] = [
            {"id": gate.id, "question": gate.question, "options": gate.options} for gate in view.open_gates()
        ]
    if view.paused_until is not None:
        document["paused_until"] = view.paused_until
    return document


def run_rows(view: RunView, now: float) -> dict[str, Any]:
    """A line for each agent, what is left of the bounds, and the receipts."""
    return {
        "agent_list": [agent_row(view, agent) for agent in view.counted()],
        "limits": [
            {"name": limit.name, "unit": limit.unit, "total": limit.total, "used": limit.used, "left": limit.left}
            for limit in limits(view, now)
        ],
        "requests": [
            {"id": r.id, "verb": r.verb, "target": r.target, "by": r.by, "asked_at": r.asked_at,
             "delivered_at": r.delivered_at, "done_at": r.done_at, "ok": r.ok, "message": r.message}
            for r in view.requests.values()
        ],
    }  # fmt: skip


def agent_row(view: RunView, agent: AgentView) -> dict[str, Any]:
    """One agent in `agent_list`."""
    return {
        "id": agent.id,
        "label": agent.label,
        "phase": agent.phase,
        "outcome": agent.outcome.value if agent.outcome else None,
        "state": view.state(agent),
        "attempt": agent.attempt,
        "model": agent.answered_by or agent.model,
        "seconds": agent.seconds,
        "turns": agent.turns,
        "usage": msgspec.to_builtins(agent.usage),
        "fault": msgspec.to_builtins(agent.fault) if agent.fault else None,
        "line": agent.line,
        "workflow": agent.workflow,
        "doing": agent.doing,
        **({"compactions": agent.compactions} if agent.compactions else {}),
    }


def _fault(fault: Any) -> dict[str, Any]:
    return {
        "name": fault.name,
        "message": fault.message,
        "line": fault.line,
        "column": fault.column,
        "stack": fault.stack,
    }
