"""The description of the API, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

from counterpoint.version import VERSION

_RUN = {
    "name": "run", "in": "path", "required": True, "schema": {"type": "string"},
    "description": "An id, a unique beginning of one, or @last.",
}  # fmt: skip
_AGENT = {
    "name": "agent", "in": "path", "required": True, "schema": {"type": "string"}, "description": "An id, or a label."
}  # fmt: skip
_AFTER = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}}

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "hint"],
            "properties": {"message": {"type": "string"}, "hint": {"type": ["string", "null"]}},
        }
    },
}

_VERB = {
    "type": "object",
    "required": ["verb"],
    "additionalProperties": False,
    "properties": {
        "verb": {"enum": ["stop", "pause", "continue", "skip", "retry", "steer", "approve", "deny", "budget"]},
        "target": {
            "type": ["string", "null"],
            "description": "An agent (id or label), or a gate for approve and deny.",
        },
        "targets": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Several agents, for skip, retry and steer: a request, and a receipt, for each.",
        },
        "text": {"type": "string", "description": "What is said, for steer."},
        "answer": {"description": "Any JSON, for approve; true where it is absent."},
        "drain": {"type": "boolean", "description": "For stop: agents under way finish."},
        "stay": {"type": "boolean", "description": "For pause: the process stays, and continue goes on."},
        "prompt": {"type": ["string", "null"], "description": "For retry: ask it this instead."},
        "model": {"type": ["string", "null"], "description": "For retry: ask this model."},
        "budgets": {"type": "array", "items": {"type": "string"}, "examples": [["600k", "$9"]]},
        "concurrency": {"type": "integer", "minimum": 1, "maximum": 1000},
    },
}

_WORD = {
    "type": "object",
    "required": ["memory", "proposal", "decision"],
    "additionalProperties": False,
    "properties": {
        "memory": {"type": "string", "description": "The folder of the memory, as the list has it."},
        "proposal": {"type": "string"},
        "decision": {"enum": ["accept", "reject", "never"]},
        "text": {"type": "string", "description": "For accept: words of the person in place of the proposal's."},
    },
}
_DECIDED = {
    "type": "object",
    "properties": {"applied": {"type": "array"}, "refused": {"type": "array"}},
}

_FORKING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "seq": {"type": "integer", "minimum": 1, "description": "The last event that is kept; absent: the newest."},
        "args": {"description": "Any JSON; absent: the run's own arguments."},
        "script": {"type": ["string", "null"], "description": "Another text of the script."},
        "model": {"type": ["string", "null"], "description": "Another model for what runs anew."},
        "budgets": {"type": "array", "items": {"type": "string"}, "examples": [["600k", "$9"]]},
    },
}
_FORKED = {"type": "object", "properties": {"run_id": {"type": "string"}, "started": {"type": "boolean"}}}
_TAGS = {"type": "array", "items": {"type": "string"}}
_TAGGING = {"type": "object", "additionalProperties": False, "properties": {"add": _TAGS, "remove": _TAGS}}

_ROW = {
    "type": "object",
    "properties": {
        "id": {"type": "string"}, "label": {"type": "string"}, "phase": {"type": ["string", "null"]},
        "outcome": {"type": ["string", "null"]},
        "state": {
            "enum": ["queued", "running", "finished", "interrupted"],
            "description": "interrupted: at work when the run's process ended.",
        },
        "attempt": {"type": "integer"}, "model": {"type": "string"}, "seconds": {"type": "number"},
        "turns": {"type": "integer"}, "usage": {"type": "object"}, "fault": {"type": ["object", "null"]},
        "line": {"type": ["integer", "null"]}, "workflow": {"type": ["string", "null"]}, "doing": {"type": "string"},
        "compactions": {"type": "integer", "description": "How often its conversation was shortened; absent: never."},
    },
}  # fmt: skip

_AGENT_DOCUMENT = {
    "allOf": [
        {"$ref": "#/components/schemas/AgentRow"},
        {
            "type": "object",
            "properties": {
                "prompt": {"description": "Exactly as it was sent.", "type": "string"},
                "options": {"type": "object"},
                "value": {"description": "What the script received."},
                "raw": {"description": "What the agent said, where that is not the value."},
                "transcript": {"type": "array", "items": {"type": "object"}},
            },
        },
    ]
}

_RUN_DOCUMENT = {
    "type": "object",
    "description": "The document of `counterpoint show RUN --json`, with `seq` and `live`.",
    "properties": {
        "schema_version": {"const": 1}, "run_id": {"type": "string"}, "name": {"type": "string"},
        "status": {"type": "string"}, "result": {}, "error": {"type": ["object", "null"]},
        "agents": {"type": "object"}, "coverage": {"type": "object"}, "script_errors": {"type": "array"},
        "usage": {"type": "object"}, "phases": {"type": "array"}, "log": {"type": "array"},
        "duration_s": {"type": "number"},
        "agent_list": {"type": "array", "items": {"$ref": "#/components/schemas/AgentRow"}},
        "tags": _TAGS, "parent": {"type": ["object", "null"]}, "forks": {"type": "array"},
        "limits": {"type": "array"}, "requests": {"type": "array"}, "gates": {"type": "array"},
        "seq": {"type": "integer", "description": "The last event that is in it."},
        "live": {"type": "boolean", "description": "Whether a process executes the run now."},
    },
}  # fmt: skip


def _answer(description: str, schema: Any, kind: str = "application/json") -> dict[str, Any]:
    refused = {
        "description": "Why not.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    return {"200": {"description": description, "content": {kind: {"schema": schema}}}, "default": refused}


def _get(
    summary: str, parameters: list[Any], schema: Any, kind: str = "application/json", description: str = ""
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": _answer(summary, schema, kind)}
    if parameters:
        operation["parameters"] = parameters
    if description:
        operation["description"] = description
    return {"get": operation}


def _post(summary: str, schema: Any, body: Any = None) -> dict[str, Any]:
    responses = _answer(summary, schema)
    responses["202"] = responses.pop("200")
    content = {"application/json": {"schema": body or {"type": "object"}}}
    return {
        "post": {
            "summary": summary,
            "parameters": [_RUN],
            "requestBody": {"required": True, "content": content},
            "responses": responses,
        }
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_FLAGS = {
    "type": "object",
    "properties": {
        "request": {"type": ["integer", "null"]},
        "requests": {"type": "array", "items": {"type": "integer"}},
        "started": {"type": "boolean"},
    },
}
_STREAM = (
    "Server-sent events. `batch`: a JSON array of events, `id` is the last `seq` in it; go on with Last-Event-ID. "
    "`live`: whether a process executes the run. Long values are left out; the agent's document has them."
)

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Counterpoint",
        "version": VERSION,
        "description": "Look at runs and ask things of them. Every request needs the cookie that /login gives for the "
        "one-time token of the address that `counterpoint serve` shows. POST takes application/json.",
    },
    "paths": {
        "/api/memory": _get("Notes that agents are told, of each memory", [], {"type": "object"}),
        "/api/memory/{note}": _get(
            "A note, with the lines that prove it",
            [{"name": "note", "in": "path", "required": True, "schema": {"type": "string"}}],
            {"type": "object"},
        ),
        "/api/runs": _get("All runs, the newest first", [], {"type": "object"}),
        "/api/runs/{run}": _get("A run", [_RUN], _ref("Run")),
        "/api/runs/{run}/script": _get("The script as the journal has it", [_RUN], {"type": "object"}),
        "/api/runs/{run}/agents": _get("Its agents", [_RUN], {"type": "object"}),
        "/api/runs/{run}/agents/{agent}": _get("An agent, with prompt and transcript", [_RUN, _AGENT], _ref("Agent")),
        "/api/runs/{run}/agents/{agent}/transcript": _get(
            "What was said, from message `after` on", [_RUN, _AGENT, _AFTER], {"type": "object"}
        ),
        "/api/runs/{run}/events": _get(
            "The events, as they come", [_RUN, _AFTER], {"type": "string"}, "text/event-stream", _STREAM
        ),
        "/api/runs/{run}/events/{seq}": _get(
            "One event, whole",
            [_RUN, {"name": "seq", "in": "path", "required": True, "schema": {"type": "integer"}}],
            {"type": "object"},
        ),
        "/api/runs/{run}/export/{form}": _get(
            "The run as a file",
            [
                _RUN,
                {
                    "name": "form",
                    "in": "path",
                    "required": True,
                    "schema": {"enum": ["html", "jsonl", "perfetto", "otlp"]},
                },
            ],
            {},
            "*/*",
        ),
        "/api/runs/{run}/requests": _post("Ask something of the run; the receipt comes as events", _FLAGS, _VERB),
        "/api/runs/{run}/requests/{request}": _get(
            "The receipt of a request",
            [_RUN, {"name": "request", "in": "path", "required": True, "schema": {"type": "integer"}}],
            {"type": "object"},
        ),
        "/api/runs/{run}/resume": _post("Go on with a run that no process executes", _FLAGS),
        "/api/runs/{run}/fork": _post("Start a new run from a point of this one", _FORKED, _FORKING),
        "/api/dreams": {
            **_get("What dreams propose and a person has to decide", [], {"type": "object"}),
            "post": _post("A person's word on one proposal", _DECIDED, _WORD)["post"] | {"parameters": []},
        },
        "/api/runs/{run}/tags": _post("Give a run tags, and take others away", _FLAGS, _TAGGING),
    },
    "components": {"schemas": {"Run": _RUN_DOCUMENT, "AgentRow": _ROW, "Agent": _AGENT_DOCUMENT, "Error": _ERROR}},
}
