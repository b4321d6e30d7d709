"""A run's questions to people, as the flat forms that MCP clients can show, and their answers back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from counterpoint.errors import UsageError
from counterpoint.view import GateView

FLAT = frozenset({"string", "number", "integer", "boolean"})
FIELD = "answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said. `denied`: no."""

    value: Any = None
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A question as a client shows it."""

    message: str
    schema: dict[str, Any]
    kind: Literal["options", "own", "json", "yes"]
    options: list[Any]

    def answer(self, action: str, content: dict[str, Any] | None) -> Answer | None:
        """What was answered; None: the person has not decided. Raises UsageError for what is no answer."""
        if action == "cancel":
            return None
        if action == "decline":
            return Answer(denied=True)
        content = content or {}
        if self.kind == "own":
            return Answer(content)
        said = content.get(FIELD)
        match self.kind:
            case "options":
                chosen = next((option for option in self.options if _shown(option) == said), None)
                if chosen is None:
                    raise UsageError(f"{said!r} is none of the options of the question.")
                return Answer(chosen)
            case "yes":
                return Answer(denied=True) if said is False else Answer(True)
            case _:
                return Answer(_json(said))


def form(gate: GateView) -> Form:
    """The form of a question: its options, its schema where that is flat, JSON text where it is not, else yes or no."""
    if gate.options:
        names = [_shown(option) for option in gate.options]
        return Form(gate.question, _one({"type": "string", "enum": names}), "options", gate.options)
    if gate.schema is None:
        return Form(gate.question, _one({"type": "boolean", "description": "Yes, go on."}), "yes", [])
    if _is_flat(gate.schema):
        allowed = ("type", "properties", "required")
        return Form(gate.question, {name: gate.schema[name] for name in allowed if name in gate.schema}, "own", [])
    wanted = msgspec.json.encode(gate.schema).decode()
    described = {"type": "string", "description": f"JSON that fits the schema {wanted}"}
    return Form(gate.question, _one(described), "json", [])


def _one(field: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {FIELD: field}, "required": [FIELD]}


def _shown(option: Any) -> str:
    return option if isinstance(option, str) else msgspec.json.encode(option).decode()


def _is_flat(schema: dict[str, Any]) -> bool:
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict):
        return False
    members = cast("dict[str, Any]", properties).values()
    return all(isinstance(member, dict) and cast("dict[str, Any]", member).get("type") in FLAT for member in members)


def _json(said: Any) -> Any:
    try:
        return msgspec.json.decode(str(said))
    except msgspec.DecodeError as error:
        raise UsageError(f"The answer is no JSON: {error}.") from error
