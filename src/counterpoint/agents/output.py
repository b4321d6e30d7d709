"""Structured output: which schemas can be asked for, and whether an answer fits. Nothing is ever made up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, cast

import msgspec

from counterpoint.agents.contradictions import contradiction
from counterpoint.agents.prompts import OUTPUT_TOOL
from counterpoint.errors import HookError
from counterpoint.models.messages import ToolSpec
from counterpoint.tools.schema import compiled, json_path, problems, type_of, well_formed

MAX_SCHEMA_BYTES = 256 * 1024


class NoJsonError(ValueError):
    """The text is no JSON, and holds none that is unmistakably meant."""


def check_schema(schema: Any) -> None:
    """Raises HookError("SchemaError") for a schema that no agent can answer, before anything is spent."""
    try:
        encoded = msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"it is no JSON: {error}")
    if len(encoded) > MAX_SCHEMA_BYTES:
        _refuse(f"it has {len(encoded):,} bytes; at most {MAX_SCHEMA_BYTES:,} are allowed")
    reason = _fault_of(encoded)
    if reason:
        _refuse(reason)


def _refuse(reason: str) -> NoReturn:
    raise HookError("SchemaError", f"agent(): the schema cannot be used: {reason}.")


@lru_cache(maxsize=512)
def _fault_of(encoded: bytes) -> str:
    schema = msgspec.json.decode(encoded)
    if not isinstance(schema, dict):
        return f"its root must be an object schema, not {type_of(schema)}"
    root = cast("dict[str, Any]", schema)
    return _root_fault(root) or _why_not(well_formed, root) or contradiction(root) or _why_not(compiled, root)


def _root_fault(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind in ("object", ["object"]) or (kind is None and isinstance(schema.get("properties"), dict)):
        return ""
    hint = "wrap the value: {type: 'object', properties: {value: …}, required: ['value']}"
    given = "has no type" if kind is None else f"has the type {json.dumps(kind)}"
    return f'its root {given} and must have the type "object" ({hint})'


def _why_not(check: Callable[[dict[str, Any]], object], schema: dict[str, Any]) -> str:
    try:
        check(schema)
    except ValueError as error:
        where = json_path(list(getattr(error, "instance_path", [])))
        message = str(getattr(error, "message", error)).removesuffix(".")
        return f"{where}: {message[:300]}"
    return ""


@lru_cache(maxsize=256)
def _spec(encoded: bytes) -> ToolSpec:
    schema = {"type": "object", **msgspec.json.decode(encoded)}
    return ToolSpec(OUTPUT_TOOL, "Returns the result. Call it exactly once, when the work is done.", schema)


def output_tool(schema: dict[str, Any]) -> ToolSpec:
    """The tool by whose call a model gives its result."""
    return _spec(msgspec.json.encode(schema))


def misfits(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a result, as sentences for the model; empty where it fits."""
    if not isinstance(value, dict):
        return [f"$: must be object, not {type_of(value)}"]
    return problems(schema, value)


def parse(text: str) -> Any:
    """The JSON that a text is, or plainly holds: in its one fence, or as its one object. Raises NoJsonError.

    >>> parse('Here it is: {"a": 1}.')
    {'a': 1}
    """
    try:
        return _load(text)
    except ValueError as error:
        complaint = error
    for candidates in (_fences(text), _objects(text)):
        found = list(_loadable(candidates))
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise NoJsonError(f"the answer holds {len(found)} JSON values; give one, and nothing else")
    raise NoJsonError(f"the answer is not JSON: {complaint}")


def _loadable(candidates: list[str]) -> list[Any]:
    found: list[Any] = []
    for candidate in candidates:
        try:
            found.append(_load(candidate))
        except ValueError:
            continue
    return found


def _load(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        msgspec.json.encode(value)  # refuses half of a surrogate pair
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _fences(text: str) -> list[str]:
    """What stands in each closed fence that is marked as JSON or not at all."""
    found: list[str] = []
    inside: list[str] | None = None
    wanted = False
    for line in text.split("\n"):
        mark = line.strip()
        if inside is None and mark.startswith("```"):
            inside, wanted = [], mark.strip("`").strip().lower() in ("", "json")
        elif inside is not None and mark == "```":
            found += ["\n".join(inside)] if wanted else []
            inside = None
        elif inside is not None:
            inside.append(line)
    return found


def _objects(text: str) -> list[str]:
    """Every outermost ``{…}`` whose braces balance, strings considered."""
    found: list[str] = []
    start = depth = 0
    quoted = escaped = False
    for index, char in enumerate(text):
        if quoted:
            quoted, escaped = escaped or char != '"', not escaped and char == "\\"
        elif char == '"':
            quoted = depth > 0
        elif char == "{":
            start, depth = (index, 1) if depth == 0 else (start, depth + 1)
        elif char == "}" and depth:
            depth -= 1
            if depth == 0:
                found.append(text[start : index + 1])
    return found
