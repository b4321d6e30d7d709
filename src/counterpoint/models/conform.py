"""A JSON value that conforms to a JSON Schema, made from a stream of numbers: the same numbers, the same value.

For `sim`. Covers what workflow scripts use; what it cannot satisfy (a contradiction, an exotic pattern) it comes near
to, and the agent's validation then says so.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

MAX_DEPTH = 12
Schema = dict[str, Any]


class Dice:
    """Numbers that follow from a text."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def below(self, limit: int) -> int:
        """A number from 0 up to, not including, `limit`."""
        self._count += 1
        digest = hashlib.blake2b(self._seed, digest_size=8, salt=self._count.to_bytes(8, "big")).digest()
        return int.from_bytes(digest, "big") % max(1, limit)

    def word(self) -> str:
        return f"{self.below(1 << 16):04x}"


def conform(schema: Schema, dice: Dice) -> Any:
    """A value that fits `schema`."""
    return _Maker(schema, dice).make(schema, "value", 0)


class _Maker:
    def __init__(self, root: Schema, dice: Dice) -> None:
        self._root = root
        self._dice = dice

    def make(self, given: Any, name: str, depth: int) -> Any:
        if not isinstance(given, dict):
            return None
        schema = self._flat(given)  # pyright: ignore[reportUnknownArgumentType]  (untyped JSON)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._dice.below(len(schema["enum"]))]
        match _type(schema, self._dice):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, step=1))
            case "number":
                return self._number(schema, step=schema.get("multipleOf", 0.5))
            case "boolean":
                return self._dice.below(2) == 1
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _flat(self, schema: Schema) -> Schema:
        """The schema with references followed, and alternatives chosen."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                schema = {**self._resolve(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
            elif any(schema.get(word) for word in ("anyOf", "oneOf")):
                word = "anyOf" if schema.get("anyOf") else "oneOf"
                choice = schema[word][self._dice.below(len(schema[word]))]
                schema = _merge({k: v for k, v in schema.items() if k != word}, choice)
            elif schema.get("allOf"):
                parts = schema["allOf"]
                schema = {k: v for k, v in schema.items() if k != "allOf"}
                for part in parts:
                    schema = _merge(schema, self._flat(part))
            else:
                break
        return schema

    def _resolve(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if part:
                found = found.get(part, {}) if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  (untyped JSON)
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]  (untyped JSON)

    def _object(self, schema: Schema, depth: int) -> Any:
        properties: dict[str, Any] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        names = [name for name in properties if name in required or depth < MAX_DEPTH // 3]
        made = {name: self.make(properties[name], name, depth + 1) for name in names}
        extra = schema.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self.make(extra if isinstance(extra, dict) else {"type": "string"}, name, depth + 1)
        while len(made) < schema.get("minProperties", 0) and extra is not False:
            name = f"key_{self._dice.word()}"
            made[name] = self.make(extra if isinstance(extra, dict) else {"type": "string"}, name, depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> Any:
        made = [self.make(item, name, depth + 1) for item in schema.get("prefixItems", [])]
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 3))
        wanted = max(least, min(most, least + self._dice.below(3 if depth < MAX_DEPTH // 2 else 1)))
        items = schema.get("items", {"type": "string"})
        tries = 0
        while items is not False and len(made) < wanted and tries < wanted + 50:
            tries += 1
            value = self.make(items if isinstance(items, dict) else {"type": "string"}, name, depth + 1)
            if not (schema.get("uniqueItems") and value in made):
                made.append(value)
        return made

    def _number(self, schema: Schema, step: float) -> float:
        step = schema.get("multipleOf", step) or step
        low, high = schema.get("minimum"), schema.get("maximum")
        above, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if isinstance(above, (int, float)) and not isinstance(above, bool):
            low = max(low, above + step) if low is not None else above + min(step, _gap(above, high, under))
        if isinstance(under, (int, float)) and not isinstance(under, bool):
            high = min(high, under - step) if high is not None else under - min(step, _gap(under, low, above))
        low = low if low is not None else (min(0, high) if high is not None else 0)
        high = high if high is not None else low + 100 * step
        first = -(-low // step) * step if "multipleOf" in schema or step == 1 else low
        steps = int((high - first) // step)
        return first + step * self._dice.below(min(steps, 1000) + 1) if steps >= 0 else low

    def _string(self, schema: Schema, name: str) -> str:
        if isinstance(schema.get("pattern"), str):
            made = from_pattern(schema["pattern"], self._dice)
        else:
            made = (
                FORMATS.get(schema.get("format", ""), "") or f"simulated {name.replace('_', ' ')} {self._dice.word()}"
            )
            if "format" in schema and made in FORMATS.values():
                return made
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        while len(made) < least:
            made += (" " if "pattern" not in schema else "") + self._dice.word()
        return made if most is None else made[:most]


FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "url": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def _type(schema: Schema, dice: Dice) -> str:
    given = schema.get("type")
    if isinstance(given, list) and given:
        kinds: list[str] = [str(kind) for kind in given]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  (untyped JSON)
        return kinds[dice.below(len(kinds))]
    if isinstance(given, str):
        return given
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return "string"


def _merge(one: Schema, other: Any) -> Schema:
    if not isinstance(other, dict):
        return one
    merged: Schema = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _gap(end: float, *others: float | None) -> float:
    gaps = [abs(other - end) / 2 for other in others if other is not None]
    return min(gaps, default=1.0) or 1.0


def from_pattern(pattern: str, dice: Dice) -> str:
    """A text that matches a regular expression of the usual kind; "" where none was found."""
    from re import _parser  # pyright: ignore  (the parser of the standard library is the only tree of a pattern there is)

    try:
        text = _from_nodes(_parser.parse(pattern), dice)  # pyright: ignore
    except (re.error, NotImplementedError, RecursionError):
        return ""
    return text if re.search(pattern, text) else ""


def _from_nodes(nodes: Any, dice: Dice) -> str:
    return "".join(_from_node(str(op), argument, dice) for op, argument in nodes)


def _from_node(op: str, argument: Any, dice: Dice) -> str:
    match op:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return "a" if argument != ord("a") else "b"
        case "ANY":
            return "x"
        case "IN":
            return _from_set(argument, dice)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, inner = argument
            count = low + dice.below(min(int(high) - low, 2) + 1)
            return "".join(_from_nodes(inner, dice) for _ in range(min(count or (1 if high else 0), 64)))
        case "SUBPATTERN":
            return _from_nodes(argument[-1], dice)
        case "BRANCH":
            return _from_nodes(argument[1][dice.below(len(argument[1]))], dice)
        case "AT" | "ASSERT_NOT":
            return ""
        case "ASSERT":
            return ""
        case _:
            raise NotImplementedError(op)


def _from_set(members: Any, dice: Dice) -> str:
    if str(members[0][0]) == "NEGATE":
        return next(c for c in "aA0_- zZ9" if not re.match(_class_text(members[1:]), c))
    op, argument = members[dice.below(len(members))]
    match str(op):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            low, high = argument
            return chr(low + dice.below(high - low + 1))
        case _:
            return {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " "}.get(str(argument), "w")


def _class_text(members: Any) -> str:
    parts: list[str] = []
    for op, argument in members:
        if str(op) == "LITERAL":
            parts.append(re.escape(chr(argument)))
        elif str(op) == "RANGE":
            parts.append(f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}")
        else:
            parts.append(
                {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}.get(str(argument), "")
            )
    return f"[{''.join(parts)}]"
