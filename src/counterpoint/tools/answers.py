"""What a person's answer to a question of a run must be: one of its options, or what fits its schema."""

from __future__ import annotations

import json
from typing import Any

from counterpoint.errors import UsageError
from counterpoint.text import one_line
from counterpoint.tools.schema import problems
from counterpoint.view import GateView


def fitting(gate: GateView, answer: Any) -> Any:
    """The answer as the script gets it; a bare yes is ``yes`` where that is an option. Raises UsageError."""
    if gate.options:
        if answer is True and True not in gate.options and "yes" in gate.options:
            return "yes"
        if not any(type(answer) is type(option) and answer == option for option in gate.options):
            offered = ", ".join(_json(option) for option in gate.options)
            raise UsageError(
                f"{_json(answer)} is none of the options of {gate.id}, which are {one_line(offered, 400)}.",
                hint="counterpoint approve RUN GATE --answer JSON",
            )
    elif gate.schema and (wrong := _problems(gate.schema, answer)):
        raise UsageError(f"The answer does not fit the schema of {gate.id}: " + "; ".join(wrong))
    return answer


def command(run_id: str, gate: GateView) -> str:
    """The command that answers; with an answer to fill in where a plain yes is none."""
    try:
        fitting(gate, True)
    except UsageError:
        return f"counterpoint approve {run_id} {gate.id} --answer JSON"
    return f"counterpoint approve {run_id} {gate.id}"


def _json(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False))


def _problems(schema: dict[str, Any], answer: Any) -> list[str]:
    try:
        return problems(schema, answer)
    except ValueError:  # the script's schema is none: nothing to hold an answer against
        return []
