"""Schemas that are valid JSON Schema and still must not be used: self-contradictory, circular, explosive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote

from counterpoint.tools.schema import json_path

MAX_DEPTH = 100
MAX_BRANCHES = 2_000
"""Subschemas that one value may have to be compared with, `$ref` followed."""
SAME_VALUE = ("allOf", "anyOf", "oneOf")
SAME_VALUE_SINGLE = ("not", "if", "then", "else")
SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
SCHEMA_LISTS = (*SAME_VALUE, "prefixItems", "items")
SCHEMAS = (*SAME_VALUE_SINGLE, "items", "additionalProperties", "contains", "propertyNames", "additionalItems",
           "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
BOUNDS = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum"),
          ("minProperties", "maxProperties"))  # fmt: skip

Schema = dict[str, Any]
Path = list[str | int]


def contradiction(root: Schema) -> str:
    """The first thing that makes `root` unusable, with its path in the schema; empty where there is none."""
    for path, schema in _all(root):
        if len(path) > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH // 2} objects deep"
        reason = _required(schema) or _bounds(schema) or _reference(schema, root)
        if reason:
            return f"{json_path(path)}: {reason}"
    return _explosion(root)


def _all(root: Schema) -> Iterator[tuple[Path, Schema]]:
    pending: list[tuple[Path, Schema]] = [([], root)]
    while pending:
        path, schema = pending.pop()
        yield path, schema
        pending.extend(([*path, *steps], inner) for steps, inner in _below(schema))


def _below(schema: Schema) -> Iterator[tuple[Path, Schema]]:
    for name in SCHEMAS:
        if isinstance(schema.get(name), dict):
            yield [name], schema[name]
    for name in SCHEMA_LISTS:
        if isinstance(schema.get(name), list):
            for index, inner in enumerate(cast("list[Any]", schema[name])):
                if isinstance(inner, dict):
                    yield [name, index], cast("Schema", inner)
    for name in SCHEMA_MAPS:
        if isinstance(schema.get(name), dict):
            for key, inner in cast("dict[str, Any]", schema[name]).items():
                if isinstance(inner, dict):
                    yield [name, key], cast("Schema", inner)


def _required(schema: Schema) -> str:
    required, properties = schema.get("required"), schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    if not closed or not isinstance(required, list) or not isinstance(properties, dict):
        return ""
    absent = [name for name in cast("list[Any]", required) if name not in properties]
    if not absent:
        return ""
    names = ", ".join(map(repr, absent))
    return f"{names} is required, but not among the properties, and additionalProperties is false"


def _bounds(schema: Schema) -> str:
    for low, high in BOUNDS:
        least, most = schema.get(low), schema.get(high)
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
            return f"{low} {least:g} is more than {high} {most:g}"
    return "enum has no values" if schema.get("enum") == [] else ""


def _reference(schema: Schema, root: Schema) -> str:
    reference = schema.get("$ref")
    if "$dynamicRef" in schema or "$recursiveRef" in schema or "$id" in schema:
        return "$id, $dynamicRef and $recursiveRef are not supported; use $ref with '#/$defs/…'"
    if not isinstance(reference, str):
        return ""
    if reference != "#" and not reference.startswith("#/"):
        return f"$ref {reference!r} leads elsewhere; only '#/…' within the schema is followed"
    return "" if isinstance(target(root, reference), (dict, bool)) else f"$ref {reference!r} leads nowhere"


def target(root: Schema, reference: str) -> Any:
    """What a local reference points to; None where there is nothing."""
    current: Any = root
    for part in reference.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(current, list) and key.isdigit() and int(key) < len(cast("list[Any]", current)):
            current = cast("list[Any]", current)[int(key)]
        elif isinstance(current, dict) and key in current:
            current = cast("Schema", current)[key]
        else:
            return None
    return current


def _explosion(root: Schema) -> str:
    """References that go round without entering the value, or fan out beyond measure, would never end to check."""
    counts: dict[int, int] = {}
    try:
        for _, schema in _all(root):
            if _branches(schema, root, counts, set()) > MAX_BRANCHES:
                return f"its $ref fan out: one value would have to be compared with more than {MAX_BRANCHES:,} schemas"
    except _CircularError as error:
        return str(error)
    except RecursionError:
        return "its $ref lead through too many others"
    return ""


class _CircularError(Exception):
    """A `$ref` comes back to itself for the same value."""


def _branches(schema: Schema, root: Schema, counts: dict[int, int], under: set[int]) -> int:
    """How many schemas one value is compared with, this one and those that look at the same value."""
    if id(schema) in counts:
        return counts[id(schema)]
    if id(schema) in under:
        raise _CircularError(f"$ref {schema.get('$ref', '#')!r} comes back to itself without entering the value")
    under.add(id(schema))
    total = 1 + sum(_branches(inner, root, counts, under) for inner in _same_value(schema, root))
    under.discard(id(schema))
    counts[id(schema)] = total
    return total


def _same_value(schema: Schema, root: Schema) -> Iterator[Schema]:
    inner: list[Any] = [schema.get(name) for name in SAME_VALUE_SINGLE]
    for name in SAME_VALUE:
        inner.extend(schema.get(name) or [])
    if isinstance(schema.get("$ref"), str):
        inner.append(target(root, schema["$ref"]))
    inner.extend(cast("Schema", schema.get("dependentSchemas") or {}).values())
    return (cast("Schema", each) for each in inner if isinstance(each, dict))
