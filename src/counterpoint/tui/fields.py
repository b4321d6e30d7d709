"""The fields of a question's schema, and the value that what was typed into them stands for. Pure.

Fields are made as those of the page are: text, numbers, choices, yes and no, lists of texts, nested objects; JSON for
whatever else a schema may say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from counterpoint.text import one_line
from counterpoint.tools.schema import json_path, problems

Kind = Literal["text", "number", "integer", "choice", "check", "lines", "json"]
MOST_FIELDS = 60
"""A schema with more is answered as JSON."""
DEEPEST = 3
"""Objects in objects beyond this are answered as JSON."""
MOST_HINT = 400
NOTHING = "—"
"""How the choice of nothing is shown."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    path: Path
    """The members that lead to its value; empty: the value is all of the answer."""
    kind: Kind
    label: str
    hint: str
    required: bool
    nullable: bool
    at_first: str
    """What stands in it; of a choice or check the number of the choice."""
    choices: tuple[Any, ...] = ()
    within: Path = ()
    """The outermost object around it that may be left out; empty: there is none."""

    def names(self) -> list[str]:
        """What can be chosen, as it is shown."""
        if self.kind == "check":
            return ["no", "yes"]
        names = [each if isinstance(each, str) else json.dumps(each) for each in self.choices]
        return names if self.required else [NOTHING, *names]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a form comes to."""

    value: Any
    wrong: dict[int, str]
    """What is wrong, by the number of the field; -1: with the whole."""


def fields(schema: dict[str, Any]) -> list[Field]:
    """The fields of a schema."""
    found = _fields(schema, (), required=True, within=(), depth=0)
    return found if len(found) <= MOST_FIELDS else [_field(schema, "json", (), required=True, within=())]


def filled(schema: dict[str, Any], form: Sequence[Field], typed: Sequence[str]) -> Filled:
    """The answer that was typed, a text for each field, and what is wrong with it."""
    given: dict[int, Any] = {}
    wrong: dict[int, str] = {}
    left_out = _left_out(form, typed)
    for n, (field, text) in enumerate(zip(form, typed, strict=True)):
        if field.within and field.within in left_out:
            continue
        try:
            value = _read(field, text)
        except ValueError as error:
            wrong[n] = str(error)
            continue
        if value is not ...:
            given[n] = value
    value = _assembled(form, given, left_out)
    return Filled(value, wrong or _beside(form, _problems(schema, value)))


# --- fields from a schema -------------------------------------------------------------------------------------------


def _fields(schema: Any, path: Path, *, required: bool, within: Path, depth: int) -> list[Field]:
    if not isinstance(schema, dict):
        return [_field({}, "json", path, required=required, within=within)]
    members = cast("dict[str, Any]", schema)
    properties = members.get("properties")
    if _type(members) != "object" or not isinstance(properties, dict) or depth >= DEEPEST or "enum" in members:
        return [_field(members, _kind(members), path, required=required, within=within)]
    needed = _list(members.get("required"))
    within = within or (() if required else path)
    return [
        field
        for name, each in cast("dict[str, Any]", properties).items()
        for field in _fields(each, (*path, name), required=name in needed, within=within, depth=depth + 1)
    ]


def _field(schema: dict[str, Any], kind: Kind, path: Path, *, required: bool, within: Path) -> Field:
    choices = tuple(_list(schema.get("enum"))) if kind == "choice" else ()
    title, hint = schema.get("title"), schema.get("description")
    return Field(
        path, kind, one_line(str(title) if title else ".".join(path), 60), one_line(str(hint or ""), MOST_HINT),
        required, "null" in _list(schema.get("type")), _at_first(schema, kind, choices, required=required), choices,
        within,
    )  # fmt: skip


def _kind(schema: dict[str, Any]) -> Kind:
    items = schema.get("items")
    texts = isinstance(items, dict) and cast("dict[str, Any]", items).get("type") == "string"
    match _type(schema):
        case _ if _list(schema.get("enum")):
            return "choice"
        case "boolean":
            return "check"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "string":
            return "text"
        case "array" if texts:
            return "lines"
        case _:
            return "json"


def _type(schema: dict[str, Any]) -> Any:
    given = schema.get("type")
    return next((each for each in _list(given) if each != "null"), None) if isinstance(given, list) else given


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _at_first(schema: dict[str, Any], kind: Kind, choices: Sequence[Any], *, required: bool) -> str:
    default = schema.get("default")
    match kind:
        case "check":
            return str(int(default is True))
        case "choice":
            return str(choices.index(default) + (not required) if default in choices else 0)
        case _ if default is None:
            return ""
        case "lines":
            return "\n".join(map(str, _list(default)))
        case "json":
            return json.dumps(default)
        case _:
            return str(default)


# --- a value from what was typed ------------------------------------------------------------------------------------


def _left_out(form: Sequence[Field], typed: Sequence[str]) -> set[Path]:
    """The objects that may be left out, and into which nothing was typed."""
    within = {field.within for field in form if field.within}
    used = {field.within for field, text in zip(form, typed, strict=True) if text.strip() not in ("", "0")}
    return within - used


def _read(field: Field, text: str) -> Any:
    """The value of one field; `...` for none. Raises ValueError with what is wrong."""
    match field.kind:
        case "check":
            return text == "1"
        case "choice":
            n = int(text) - (not field.required)
            return field.choices[n] if n >= 0 else ...
        case "lines":
            lines = [line for line in text.split("\n") if line]
            return lines if lines or field.required else ...
        case _ if not text.strip():
            if field.required and not field.nullable:
                raise ValueError("is required")
            return None if field.required else ...
        case "text":
            return text
        case "integer" | "number":
            return _number(text.strip(), field.kind)
        case "json":
            return _json(text)


def _number(text: str, kind: str) -> int | float:
    try:
        number = json.loads(text, parse_constant=_no_number)
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{one_line(text, 40)!r} is no number")
    if kind == "integer" and number != int(number):
        raise ValueError(f"{text} is no whole number")
    return int(number) if kind == "integer" else number


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _assembled(form: Sequence[Field], given: dict[int, Any], left_out: set[Path]) -> Any:
    if len(form) == 1 and not form[0].path:
        return given.get(0)
    whole: dict[str, Any] = {}
    for n, field in enumerate(form):
        if field.within and field.within in left_out:
            continue
        inner = whole
        for name in field.path[:-1]:
            inner = inner.setdefault(name, {})
        if n in given:
            inner[field.path[-1]] = given[n]
    return whole


def _problems(schema: dict[str, Any], value: Any) -> list[str]:
    try:
        return problems(schema, value)
    except ValueError:  # the script's schema is none: nothing to hold an answer against
        return []


def _beside(form: Sequence[Field], found: list[str]) -> dict[int, str]:
    """Each problem beside the field that it is about."""
    paths = [json_path(list(field.path)) for field in form]
    wrong: dict[int, str] = {}
    for problem in found:
        about = [n for n, path in enumerate(paths) if problem.startswith((f"{path}:", f"{path}.", f"{path}["))]
        n = max(about, key=lambda each: len(paths[each]), default=-1)
        text = problem if n < 0 else problem.removeprefix(paths[n]).removeprefix(": ")
        wrong.setdefault(n, text)
    return wrong
