"""``export const meta = {…}``: read from the syntax tree, never by running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.source import Source


@dataclass(frozen=True, slots=True)
class Phase:
    """A declared group of agents."""

    title: str
    detail: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    """What a script says of itself. `raw` is the whole literal, unknown members included."""

    name: str
    description: str
    when_to_use: str | None = None
    model: str | None = None
    phases: tuple[Phase, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict[str, Any])


MAX_DEPTH = 100
ABOVE = frozenset({"comment", "hash_bang_line", "import_statement"})
"""What may stand above meta, or is refused for its own sake."""
EXAMPLE = "export const meta = { name: 'my-workflow', description: 'what it does' }"


class _NotLiteralError(Exception):
    def __init__(self, node: Node, what: str) -> None:
        super().__init__(what)
        self.node = node
        self.what = what


def meta_statement(root: Node) -> Node | None:
    """The first statement, if it exports `meta`."""
    first = next((node for node in root.named_children if node.type not in ABOVE), None)
    return first if first is not None and is_meta(first) else None


def meta_object(root: Node) -> Node | None:
    """What `meta` is, where it is an object."""
    statement = meta_statement(root)
    declarator = _declarator(statement) if statement is not None else None
    value = tree.field(declarator, "value") if declarator is not None else None
    return value if value is not None and value.type == "object" else None


def is_meta(statement: Node) -> bool:
    """Whether a statement exports `meta`, wherever it stands."""
    return _declarator(statement) is not None


def read_meta(source: Source, root: Node) -> tuple[Meta | None, list[Finding]]:
    """The script's meta, or what is wrong with it."""
    statement = meta_statement(root)
    if statement is None:
        return None, [_missing(source, root)]
    declarator = _declarator(statement)
    value = tree.field(declarator, "value") if declarator is not None else None
    if value is None or value.type != "object":
        return None, [_finding(source, value or statement, "meta must be an object literal.", EXAMPLE)]
    try:
        raw = _literal(value)
    except _NotLiteralError as error:
        hint = "meta is read without running the script: write every value out."
        return None, [_finding(source, error.node, f"meta must be a pure literal, but this is {error.what}.", hint)]
    return _checked(source, statement, value, raw)


def _declarator(statement: Node) -> Node | None:
    if statement.type != "export_statement":
        return None
    declaration = tree.field(statement, "declaration")
    if (
        declaration is None
        or declaration.type != "lexical_declaration"
        or tree.text(declaration.children[0]) != "const"
    ):
        return None
    declarators = [node for node in declaration.named_children if node.type == "variable_declarator"]
    if len(declarators) != 1:
        return None
    name = tree.field(declarators[0], "name")
    return declarators[0] if name is not None and tree.text(name) == "meta" else None


def _missing(source: Source, root: Node) -> Finding:
    first = next((node for node in root.named_children if node.type not in ABOVE), None)
    return _finding(source, first or root, "The script does not begin with its meta.", f"Begin with: {EXAMPLE}")


def _literal(node: Node, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise _NotLiteralError(node, "nested too deeply to be read")
    match node.type:
        case "object":
            return _object(node, depth)
        case "array":
            return [_literal(_element(child), depth + 1) for child in tree.named(node)]
        case "string" | "template_string":
            value = tree.string_value(node)
            if value is None:
                raise _NotLiteralError(node, "a template with a substitution")
            return value
        case "number":
            return _number(tree.text(node))
        case "true" | "false":
            return node.type == "true"
        case "null":
            return None
        case "unary_expression":
            return _signed(node)
        case "parenthesized_expression":
            return _literal(tree.named(node)[0], depth + 1)
        case _:
            raise _NotLiteralError(node, _KINDS.get(node.type, f"a {node.type.replace('_', ' ')}"))


def _element(child: Node) -> Node:
    if child.type == "spread_element":
        raise _NotLiteralError(child, "a spread")
    return child


def _object(node: Node, depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member in tree.named(node):
        if member.type != "pair":
            raise _NotLiteralError(member, _KINDS.get(member.type, f"a {member.type.replace('_', ' ')}"))
        key, value = tree.field(member, "key"), tree.field(member, "value")
        if key is None or value is None or key.type == "computed_property_name":
            raise _NotLiteralError(key or member, "a computed key")
        members[_key(key)] = _literal(value, depth + 1)
    return members


def _key(node: Node) -> str:
    string = tree.string_value(node)
    if string is not None:
        return string
    return str(_number(tree.text(node))) if node.type == "number" else tree.text(node)


def _signed(node: Node) -> float:
    operator, argument = tree.field(node, "operator"), tree.field(node, "argument")
    if operator is None or argument is None or argument.type != "number" or tree.text(operator) not in "+-":
        raise _NotLiteralError(node, "an expression")
    value = _number(tree.text(argument))
    return -value if tree.text(operator) == "-" else value


def _number(literal: str) -> float:
    plain = literal.replace("_", "").rstrip("n").lower()
    if plain[:2] in ("0x", "0o", "0b"):
        return int(plain, 0)
    value = float(plain)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


_KINDS = {
    "identifier": "a variable",
    "undefined": "a variable",
    "shorthand_property_identifier": "a variable",
    "call_expression": "a call",
    "new_expression": "a call",
    "spread_element": "a spread",
    "method_definition": "a method",
    "arrow_function": "a function",
    "function_expression": "a function",
    "binary_expression": "an expression",
    "member_expression": "an expression",
    "ternary_expression": "an expression",
    "regex": "a regular expression",
    "template_substitution": "a substitution",
}


def _checked(source: Source, statement: Node, value: Node, raw: dict[str, Any]) -> tuple[Meta | None, list[Finding]]:
    findings = [
        _finding(source, statement, f"meta has no {name}.", f"{name} is a required string.")
        for name in ("name", "description")
        if name not in raw
    ]
    for name in ("name", "description", "whenToUse", "model"):
        given = raw.get(name)
        required = name in ("name", "description")
        if name in raw and (not isinstance(given, str) or (required and not given.strip())):
            findings.append(_finding(source, _member(value, name), f"meta.{name} must be a text.", None))
    phases, wrong = _phases(source, value, raw.get("phases", []))
    findings += wrong
    if findings:
        return None, findings
    return Meta(raw["name"], raw["description"], raw.get("whenToUse"), raw.get("model"), phases, raw), []


def _phases(source: Source, value: Node, given: Any) -> tuple[tuple[Phase, ...], list[Finding]]:
    """The phases; a plain text, as some write it, is a title."""
    try:
        phases = msgspec.convert(given, list[Phase | str])
        return tuple(Phase(phase) if isinstance(phase, str) else phase for phase in phases), []
    except msgspec.ValidationError as error:
        node = _member(value, "phases")
        return (), [_finding(source, node, f"meta.phases must be a list of {{title, detail?, model?}}: {error}.", None)]


def _member(value: Node, name: str) -> Node:
    for member in tree.named(value):
        key = tree.field(member, "key")
        given = tree.field(member, "value")
        if key is not None and given is not None and _key(key) == name:
            return given
    return value


def _finding(source: Source, node: Node, message: str, hint: str | None) -> Finding:
    line, column = source.place(node.start_byte)
    return Finding(line, column, message, hint, rule="meta")
