"""What a workflow declares of its arguments in ``meta.args``, and what of given ones does not go with it."""

from __future__ import annotations

import json
from typing import Any, cast

from counterpoint.errors import UsageError, nearest
from counterpoint.script import Script
from counterpoint.text import safe
from counterpoint.tools.schema import problems

SHOWN = 5
"""Faults that one message names."""


def properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The members that a schema of arguments describes."""
    given = schema.get("properties")
    described: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    return {name: rules for name, rules in described.items() if isinstance(rules, dict)}


def misfits(script: Script, args: bytes | None) -> str | None:
    """What is wrong with the arguments, as a sentence; None where they fit. `args` is JSON; None: none were given.

    A text is never checked: scripts take one as a short form.
    """
    schema, value = _declared(script), _value(args)
    if schema is None or isinstance(value, str):
        return None
    try:
        wrong = problems(schema, value)
    except ValueError:
        return None  # a schema that is none is the script's mistake, and says nothing of the arguments
    return f"The arguments of {script.meta.name} do not fit: {'; '.join(wrong[:SHOWN])}." if wrong else None


def check_args(script: Script, args: bytes | None) -> None:
    """Raises UsageError for arguments that do not fit, with what the workflow takes."""
    wrong = misfits(script, args)
    if wrong is not None:
        raise UsageError(wrong, hint=_takes(properties(_declared(script) or {})))


def undeclared(script: Script, args: bytes | None) -> list[str]:
    """A sentence for each argument that the workflow does not know of, and so most likely ignores."""
    schema, value = _declared(script), _value(args)
    known = properties(schema) if schema is not None and "additionalProperties" not in schema else {}
    if not known or not isinstance(value, dict):
        return []
    names = [name for name in cast("dict[str, Any]", value) if name not in known]
    return [f"{script.meta.name} declares no argument {name!r}{nearest(name, known)}" for name in names[:SHOWN]]


def _declared(script: Script) -> dict[str, Any] | None:
    given: Any = script.meta.raw.get("args")
    return cast("dict[str, Any]", given) if isinstance(given, dict) else None


def _value(args: bytes | None) -> Any:
    return json.loads(args) if args is not None else {}


def _takes(described: dict[str, dict[str, Any]]) -> str | None:
    parts = [f"{name} ({rules.get('description') or rules.get('type', 'any')})" for name, rules in described.items()]
    return safe(f"It takes: {', '.join(parts)}.") if parts else None
