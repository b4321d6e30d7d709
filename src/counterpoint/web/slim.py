"""Events and documents on their way to a page: nothing is longer than a page can bear; the rest can be asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from counterpoint.events import AgentQueued, AnyEvent, Fault, Recorded, Value

MAX_VALUE = 2_000
"""Bytes of JSON up to which a value stays in the event; a page asks for the agent to see more."""
MAX_TEXT = 4_000
MAX_DETAIL = 1_100_000
"""Characters of one text in a document."""


def line(recorded: Recorded) -> bytes:
    """The event as ``export --jsonl`` has it, with long values and texts cut."""
    return Recorded(recorded.seq, recorded.at, slim(recorded.event)).line()


def slim(event: AnyEvent) -> AnyEvent:
    """The event without what is long."""
    changes: dict[str, Any] = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        match value:
            case Value() if len(value.json) > MAX_VALUE:
                changes[name] = Value(bytes=value.bytes or len(value.json))
            case str() if len(value) > MAX_TEXT:
                changes[name] = cut(value, MAX_TEXT)
            case Fault() if len(value.message) > MAX_TEXT or len(value.stack) > MAX_TEXT:
                message, stack = cut(value.message, MAX_TEXT), cut(value.stack, MAX_TEXT)
                changes[name] = msgspec.structs.replace(value, message=message, stack=stack)
            case _:
                pass
    if isinstance(event, AgentQueued) and "schema" in event.options:
        changes["options"] = {name: value for name, value in event.options.items() if name != "schema"}
    return msgspec.structs.replace(event, **changes) if changes else event


def cut(text: str, limit: int) -> str:
    """The beginning of a text, and how much is left out."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def cut_all(value: Any) -> Any:
    """A JSON value in which no text is longer than MAX_DETAIL."""
    match value:
        case str():
            return cut(value, MAX_DETAIL)
        case list():
            return [cut_all(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  (untyped JSON)
        case dict():
            return {name: cut_all(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]  (untyped JSON)
        case _:
            return value
