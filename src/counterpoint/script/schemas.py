"""Schemas that `agent()` would refuse, that no answer or arguments can fit, as far as they stand in the text."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import Code
from counterpoint.script.hooks import Call, is_whole, listed, members, near
from counterpoint.script.meta import meta_object

TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
BOUNDS = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum"),
          ("minProperties", "maxProperties"))  # fmt: skip
ONE = ("items", "additionalProperties", "contains", "not", "propertyNames")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
MAPS = ("properties", "$defs", "definitions", "patternProperties")
WRAP = "Wrap it: { type: 'object', properties: { value: … }, required: ['value'] }"

Members = dict[str, tuple[Node, Node]]


def doubts(code: Code, calls: dict[int, Call]) -> Iterator[Finding]:
    """What is wrong with the schemas of agents, and with that of the arguments."""
    told: set[int] = set()
    yield from _arguments(code, told)
    for call in calls.values():
        options = code.meant(call.argument(1)) if call.name == "agent" else None
        if options is None or options.type != "object":
            continue
        given = next((value for name, _, value in members(code, options) if name == "schema"), None)
        schema = code.meant(given)
        if given is None or schema is None or schema.id in told:
            continue
        told.add(schema.id)
        yield from _root(code, given, schema)
        yield from _inside(code, schema, told)


def _arguments(code: Code, told: set[int]) -> Iterator[Finding]:
    meta = meta_object(code.root)
    given = next((value for name, _, value in members(code, meta) if name == "args"), None) if meta else None
    if given is not None and given.type == "object" and {"type", "properties"} & set(_members(code, given)):
        yield from _inside(code, given, told)


def _root(code: Code, given: Node, schema: Node) -> Iterator[Finding]:
    if schema.type in ("array", "string", "number", "template_string", "true", "false"):
        yield code.doubt(given, "The schema of agent() must be an object.", WRAP, "schema")
    if schema.type != "object" or not is_whole(schema):
        return
    parts = _members(code, schema)
    kind = parts.get("type")
    if kind is None:
        if "properties" not in parts:
            yield code.doubt(schema, "The schema's root has no type: it must be 'object'.", WRAP, "schema")
    else:
        text = code.text_of(kind[1])
        if text is not None and text != "object":
            yield code.doubt(kind[1], f"The schema's root has the type {text!r}: it must be 'object'.", WRAP, "schema")


def _inside(code: Code, root: Node, told: set[int]) -> Iterator[Finding]:
    pending = [root]
    while pending:
        schema = pending.pop()
        if schema.type != "object":
            continue
        parts = _members(code, schema)
        yield from _type(code, parts)
        yield from _required(code, schema, parts)
        yield from _bounds(code, parts)
        for inner in _below(code, parts):
            if inner.id not in told:
                told.add(inner.id)
                pending.append(inner)


def _members(code: Code, schema: Node) -> Members:
    return {name: (key, value) for name, key, value in members(code, schema)}


def _below(code: Code, parts: Members) -> Iterator[Node]:
    for name in ONE:
        inner = code.meant(parts[name][1]) if name in parts else None
        if inner is not None:
            yield inner
    for name in LISTS:
        items = code.meant(parts[name][1]) if name in parts else None
        for item in tree.named(items) if items is not None and items.type == "array" else ():
            inner = code.meant(item)
            if inner is not None:
                yield inner
    for name in MAPS:
        held = code.meant(parts[name][1]) if name in parts else None
        for _, _, value in members(code, held) if held is not None and held.type == "object" else ():
            inner = code.meant(value)
            if inner is not None:
                yield inner


def _type(code: Code, parts: Members) -> Iterator[Finding]:
    kind = parts.get("type")
    text = code.text_of(kind[1]) if kind is not None else None
    if kind is not None and text is not None and text not in TYPES:
        message = f"{text!r} is no type of JSON Schema{near(text, TYPES)}"
        yield code.doubt(kind[1], message, f"The types are {', '.join(sorted(TYPES))}.", "schema")


def _required(code: Code, schema: Node, parts: Members) -> Iterator[Finding]:
    required = code.meant(parts["required"][1]) if "required" in parts else None
    properties = code.meant(parts["properties"][1]) if "properties" in parts else None
    if required is None or required.type in ("true", "false"):
        if required is not None:
            hint = "List the names: required: ['a', 'b'] beside properties."
            yield code.doubt(parts["required"][1], "required takes a list of names.", hint, "schema")
        return
    if properties is None or required.type != "array" or properties.type != "object" or not is_whole(properties):
        return
    if not is_whole(schema) or "patternProperties" in parts or any(name in parts for name in LISTS):
        return
    names = dict.fromkeys(name for name, _, _ in members(code, properties))
    for item in tree.named(required):
        name = code.text_of(item)
        if name is not None and name not in names:
            message = f"{name!r} is required and not among the properties{near(name, names)}"
            yield code.doubt(item, message, f"Properties: {listed(names) or 'none'}.", "schema")


def _bounds(code: Code, parts: Members) -> Iterator[Finding]:
    for low, high in BOUNDS:
        if low not in parts or high not in parts:
            continue
        least, most = _number(code, parts[low][1]), _number(code, parts[high][1])
        if least is not None and most is not None and least > most:
            message = f"{low} {least:g} is more than {high} {most:g}: nothing can fit."
            yield code.doubt(parts[low][0], message, None, "schema")
    values = code.meant(parts["enum"][1]) if "enum" in parts else None
    if values is not None and values.type == "array" and not tree.named(values):
        yield code.doubt(parts["enum"][0], "enum has no values: nothing can fit.", None, "schema")


def _number(code: Code, node: Node) -> float | None:
    meant = code.meant(node)
    try:
        return float(tree.text(meant).replace("_", "")) if meant is not None and meant.type == "number" else None
    except ValueError:
        return None
