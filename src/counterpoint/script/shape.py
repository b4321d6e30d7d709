"""The static picture of a script: its phases, the calls in them, and what each call stands inside of. Nothing runs."""

from __future__ import annotations

from dataclasses import dataclass

from tree_sitter import Node

from counterpoint.script import tree
from counterpoint.script.meta import Meta
from counterpoint.script.source import Source

HOOKS = {
    "agent": "agent",
    "workflow": "workflow",
    "counterpoint.verify": "verify",
    "counterpoint.judge": "judge",
    "counterpoint.critic": "critic",
    "counterpoint.tool": "tool",
    "counterpoint.checkpoint": "checkpoint",
    "counterpoint.merge": "merge",
}
AROUND = {
    "parallel": "parallel",
    "pipeline": "pipeline",
    "counterpoint.converge": "until dry",
    "Promise.all": "parallel",
}
EACH = frozenset({"map", "flatMap", "forEach", "from"})
LOOPS = frozenset({"for_statement", "for_in_statement", "while_statement", "do_statement"})
FUNCTIONS = frozenset({"arrow_function", "function_expression", "function_declaration"})
LABEL_CHARS = 40
MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class CallShape:
    """One place in the text that calls a hook."""

    kind: str
    label: str
    """The label as far as it is a literal; ``…`` stands for what is computed."""
    line: int
    phase: str | None
    around: tuple[str, ...]
    """What it stands inside of, the outermost first: parallel, pipeline, until dry, each, loop."""

    @property
    def many(self) -> bool:
        """Whether this one place may call more than once."""
        return bool(self.around)


@dataclass(frozen=True, slots=True)
class Shape:
    """All calls of a script by phase, in the order of the text; declared phases come first, None is no phase."""

    phases: tuple[str | None, ...]
    calls: tuple[CallShape, ...]

    def of(self, phase: str | None) -> list[CallShape]:
        return [call for call in self.calls if call.phase == phase]


def shape_of(text: str, meta: Meta | None) -> Shape:
    """The shape of a script's text."""
    root = tree.parse_tree(Source(text))
    uses = _uses(root)
    calls: list[CallShape] = []
    now: str | None = None
    for node in tree.walk(root):
        if node.type != "call_expression":
            continue
        name = _callee(node)
        if name == "phase":
            now = _literal(_argument(node, 0)) or now
        elif name in HOOKS:
            options = _argument(node, 1)
            phase = _literal(_member(options, "phase")) or now
            label = _shown(_member(options, "label")) or (_shown(_argument(node, 0)) if name != "agent" else "")
            calls.append(
                CallShape(HOOKS[name], label, node.start_point[0] + 1, phase, tuple(dict.fromkeys(_around(node, uses))))
            )
    declared = [phase.title for phase in meta.phases] if meta else []
    return Shape(tuple(dict.fromkeys([*declared, *(call.phase for call in calls)])), tuple(calls))


def _callee(node: Node) -> str:
    function = tree.field(node, "function")
    return (
        "".join(tree.text(function).split())
        if function is not None and function.end_byte - function.start_byte < 80
        else ""
    )


def _argument(node: Node, n: int) -> Node | None:
    arguments = tree.field(node, "arguments")
    given = tree.named(arguments) if arguments is not None else []
    return given[n] if n < len(given) else None


def _member(node: Node | None, name: str) -> Node | None:
    for pair in tree.named(node) if node is not None and node.type == "object" else []:
        key = tree.field(pair, "key") if pair.type == "pair" else None
        if key is not None and tree.text(key).strip("'\"") == name:
            return tree.field(pair, "value")
    return None


def _literal(node: Node | None) -> str | None:
    return tree.string_value(node) if node is not None else None


def _shown(node: Node | None) -> str:
    if node is None:
        return ""
    if node.type == "template_string":
        parts = ["…" if part.type == "template_substitution" else tree.text(part) for part in tree.named(node)]
        return " ".join("".join(parts).split())[:LABEL_CHARS]
    return (_literal(node) or "…")[:LABEL_CHARS]


def _around(node: Node, uses: dict[str, Node], seen: frozenset[str] = frozenset()) -> list[str]:
    """What a call stands inside of; for one in a named function, what the function's first use stands inside of too."""
    found: list[str] = []
    inner, outer = node, node.parent
    while outer is not None:
        if outer.type in LOOPS and _is_body(outer, inner):
            found.append("loop")
        elif outer.type == "call_expression" and inner.type == "arguments":
            name = _callee(outer)
            if name in AROUND:
                found.append(AROUND[name])
            elif _last_member(outer) in EACH:
                found.append("each")
        elif outer.type in FUNCTIONS:
            name = _name_of(outer)
            use = uses.get(name)
            if use is not None and name not in seen:
                return _around(use, uses, seen | {name}) + _without_echo(found[::-1])
        inner, outer = outer, outer.parent
    return _without_echo(found[::-1])


def _name_of(function: Node) -> str:
    named = tree.field(function, "name")
    if named is None and function.parent is not None and function.parent.type == "variable_declarator":
        named = tree.field(function.parent, "name")
    return tree.text(named) if named is not None else ""


def _uses(root: Node) -> dict[str, Node]:
    """Name → the first place that uses it, as a value or in a call."""
    found: dict[str, Node] = {}
    for node in tree.walk(root):
        if node.type == "identifier" and node.parent is not None and not _declares(node.parent, node):
            found.setdefault(tree.text(node), node)
    return found


def _declares(parent: Node, node: Node) -> bool:
    declared = tree.field(parent, "name")
    return declared is not None and declared.start_byte == node.start_byte


def _is_body(loop: Node, inner: Node) -> bool:
    body = tree.field(loop, "body")
    return body is not None and body.start_byte == inner.start_byte


def _last_member(call: Node) -> str:
    function = tree.field(call, "function")
    member = tree.field(function, "property") if function is not None and function.type == "member_expression" else None
    return tree.text(member) if member is not None else ""


def _without_echo(found: list[str]) -> list[str]:
    """`parallel(items.map(…))` is one fan-out, not two."""
    return [what for n, what in enumerate(found) if not (what == "each" and n and found[n - 1] == "parallel")]
