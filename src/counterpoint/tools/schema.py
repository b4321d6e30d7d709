"""JSON Schema: compiled once, and errors as sentences that a model can act upon.

Patterns run on an engine whose time is linear in the text. Only a pattern that needs more (look-around, references to
groups) runs on one that backtracks, and that one gives up after a bounded number of steps.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Protocol

import msgspec

MAX_PROBLEMS = 10
MAX_MESSAGE = 300
PATTERN_BYTES = 1 << 20
BACKTRACKS = 100_000
DRAFT7 = "http://json-schema.org/draft-07/schema#"
_DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/2019-09|draft/2020-12)/schema#?")


class Validator(Protocol):
    """A compiled schema."""

    def is_valid(self, instance: Any) -> bool: ...

    def iter_errors(self, instance: Any) -> Any: ...


def well_formed(schema: dict[str, Any]) -> None:
    """Raises ValueError where `schema` is no JSON Schema (2020-12, else draft 7, else what its ``$schema`` says)."""
    import jsonschema_rs as js

    dialect = schema.get("$schema")
    if dialect is not None and not (isinstance(dialect, str) and _DIALECT.fullmatch(dialect)):
        raise ValueError(f"$schema is {dialect!r}; leave it out, or name a draft of json-schema.org from 4 to 2020-12")
    if not _as_draft7(schema):
        js.meta.validate(schema)  # an unknown dialect would make it ask the network


def _as_draft7(schema: dict[str, Any]) -> bool:
    """Whether it is one only by draft 7, as scripts write it: ``items: [...]``, without saying so."""
    import jsonschema_rs as js

    if "$schema" in schema or js.meta.is_valid(schema):
        return False
    return js.meta.is_valid({**schema, "$schema": DRAFT7})


def compiled(schema: dict[str, Any]) -> Validator:
    """The validator of `schema`, kept for the next call. Raises ValueError where it is no valid schema."""
    return _compiled(msgspec.json.encode(schema))


@lru_cache(maxsize=512)
def _compiled(encoded: bytes) -> Validator:
    import jsonschema_rs as js

    schema = msgspec.json.decode(encoded)
    make = js.Draft7Validator if _as_draft7(schema) else js.validator_for
    try:
        return make(schema, offline=True, pattern_options=js.RegexOptions(size_limit=PATTERN_BYTES))
    except js.ValidationError as error:
        if error.kind.name not in ("format", "pattern"):
            raise
    options = js.FancyRegexOptions(backtrack_limit=BACKTRACKS, size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES)
    return make(schema, offline=True, pattern_options=options)


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with `value` under `schema`, each as ``$.items[2].name: is required``; empty where it fits."""
    validator = compiled(schema)
    if validator.is_valid(value):
        return []
    found: list[str] = []
    for error in validator.iter_errors(value):
        if len(found) == MAX_PROBLEMS:
            found.append("… and more of the kind.")
            break
        found.append(_sentence(error))
    return found


def json_path(steps: list[str | int]) -> str:
    """``$.items[2].name`` for a list of steps from the root."""
    text = "$"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if step.isidentifier() else f"[{msgspec.json.encode(step).decode()}]"
    return text


def _sentence(error: Any) -> str:
    steps, kind = list(error.instance_path), error.kind
    match kind.name:
        case "required":
            return f"{json_path([*steps, kind.property])}: is required"
        case "additionalProperties":
            return f"{json_path(steps)}: has members that are not allowed: {', '.join(map(repr, kind.unexpected))}"
        case "type":
            return f"{json_path(steps)}: must be {' or '.join(kind.types)}, not {type_of(error.instance)}"
        case "anyOf" | "oneOf":
            return f"{json_path(steps)}: fits none, or not just one, of the alternatives{_nearest(kind)}"
        case _:
            return f"{json_path(steps)}: {_short(error.message)}"


def _nearest(kind: Any) -> str:
    branches = [branch for branch in getattr(kind, "context", []) if branch]
    if not branches:
        return ""
    return f" (for the nearest: {_sentence(min(branches, key=len)[0])})"


def _short(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE // 2]} … {text[-MAX_MESSAGE // 2 :]}"


def type_of(value: Any) -> str:
    """The JSON name of the value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
        case _:
            return "number"
