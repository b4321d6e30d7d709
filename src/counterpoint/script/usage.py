"""Names that are not there, options that agents do not have, arguments of the wrong kind."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import FUNCTIONS, Code
from counterpoint.script.hooks import ABSENT, BUDGET, EFFORTS, HOOKS, KNOWN, OPTIONS, OURS, Call, members, near

NO_TEXT = {
    "object": "an object", "array": "an array", "number": "a number", "true": "a boolean", "false": "a boolean",
    "null": "null", "undefined": "undefined", "regex": "a regular expression",
}  # fmt: skip
SUGGESTIONS = 20
"""Unknown names for which a near one is looked for among all of the script."""
USED_AS_VALUE = frozenset({"binary_expression", "template_substitution", "unary_expression"})


def doubts(code: Code, calls: dict[int, Call]) -> Iterator[Finding]:
    """Everything about names and arguments that is doubtful."""
    yield from _names(code)
    yield from _budget(code)
    yield from _ours(code)
    for call in calls.values():
        if call.name == "agent":
            yield from _prompt(code, calls, call)
            yield from _options(code, call)
        elif call.name == "phase":
            yield from _phase(code, call)


def _names(code: Code) -> Iterator[Finding]:
    """Names that nothing declares; those that the script asks for with `typeof` are left out."""
    asked = {tree.text(node) for node in code.free if _is_asked_for(code, node)}
    declared = {tree.text(node) for node in code.nodes if node.type == "identifier" and not code.is_free(node)}
    told: set[str] = set()
    for node in code.free:
        name = tree.text(node)
        if name in KNOWN or name in asked or name in told:
            continue
        told.add(name)
        outer = code.parent(node)
        called = outer is not None and outer.type == "call_expression" and tree.field(outer, "function") == node
        if name in ABSENT:
            yield code.doubt(node, f"{name} is not available in a workflow script.", ABSENT[name], "undefined-name")
        else:
            meant = near(name, HOOKS) if called else "."
            if meant == "." and len(told) <= SUGGESTIONS:
                meant = near(name, declared)
            yield code.doubt(node, f"{name} is not defined{meant}", None, "undefined-name")


def _is_asked_for(code: Code, name: Node) -> bool:
    outer = code.parent(name)
    operator = tree.field(outer, "operator") if outer is not None and outer.type == "unary_expression" else None
    return operator is not None and operator.type == "typeof"


# --- agent and phase ---------------------------------------------------------------------------------------------


def _prompt(code: Code, calls: dict[int, Call], call: Call) -> Iterator[Finding]:
    hint = "Write agent('what to do', { … })."
    if not call.arguments:
        yield code.doubt(call.node, "agent() has no prompt.", hint, "prompt")
        return
    given = call.argument(0)
    meant = code.meant(given)
    if given is None or meant is None:
        return
    inner = calls.get(meant.id)
    if inner is not None and inner.promises:
        message = f"The prompt of agent() is a text, and this is the promise of {inner.name}()."
        yield code.doubt(given, message, f"Write await {inner.name}(…) first.", "prompt")
    elif meant.type in NO_TEXT or meant.type in FUNCTIONS:
        kind = NO_TEXT.get(meant.type, "a function")
        yield code.doubt(given, f"The prompt of agent() is a text, and this is {kind}.", hint, "prompt")


def _options(code: Code, call: Call) -> Iterator[Finding]:
    options = code.meant(call.argument(1))
    if options is None or options.type != "object":
        return
    for name, key, value in members(code, options):
        if name not in OPTIONS:
            message = f"agent() has no option {name!r}{near(name, OPTIONS)} It is ignored."
            yield code.doubt(key, message, f"Options: {', '.join(OPTIONS)}.", "unknown-option")
        elif name == "effort":
            yield from _one_of(code, value, name, EFFORTS)
        elif name == "isolation":
            yield from _one_of(code, value, name, ("worktree",))
        elif name in ("tools", "disallowedTools") and code.text_of(value) is not None:
            yield code.doubt(value, f"{name} takes a list of names.", f"Write {name}: ['Read'].", "option-value")


def _one_of(code: Code, value: Node, name: str, values: tuple[str, ...]) -> Iterator[Finding]:
    text = code.text_of(value)
    if text is not None and text.lower() not in values:
        listed = ", ".join(map(repr, values))
        yield code.doubt(value, f"{name} is {text!r}; it takes {listed}.", None, "option-value")


def _phase(code: Code, call: Call) -> Iterator[Finding]:
    second = code.meant(call.argument(1))
    if second is not None and second.type in FUNCTIONS:
        message = "phase() takes a title only: this function is never called."
        yield code.doubt(call.arguments[1], message, "Call phase('…') and go on below it.", "phases")


# --- budget and counterpoint -------------------------------------------------------------------------------------


def _budget(code: Code) -> Iterator[Finding]:
    hint = "It has total, spent() and remaining(), in output tokens."
    for name, member, part in _members_of(code, "budget"):
        outer = code.parent(member)
        called = outer is not None and outer.type == "call_expression" and tree.field(outer, "function") == member
        if part not in BUDGET:
            yield code.doubt(name, f"budget has no {part!r}{near(part, BUDGET)}", hint, "budget")
        elif BUDGET[part] and not called and outer is not None and outer.type in USED_AS_VALUE:
            yield code.doubt(member, f"budget.{part} is a function: write budget.{part}().", hint, "budget")
        elif not BUDGET[part] and called:
            yield code.doubt(member, f"budget.{part} is a number or null, and no function.", hint, "budget")
        elif outer is not None and outer.type.endswith("assignment_expression") and tree.field(outer, "left") == member:
            yield code.doubt(member, "budget cannot be changed by the script.", "Use --budget.", "budget")


def _ours(code: Code) -> Iterator[Finding]:
    for name, _, part in _members_of(code, "counterpoint"):
        if part not in OURS:
            message = f"counterpoint has no {part!r}{near(part, OURS)}"
            yield code.doubt(name, message, f"It has {', '.join(OURS)}.", "undefined-name")


def _members_of(code: Code, name: str) -> Iterator[tuple[Node, Node, str]]:
    """Every ``name.part``: the name of the part, the whole, and the part."""
    for node in code.free:
        outer = code.parent(node)
        if tree.text(node) != name or outer is None or outer.type != "member_expression":
            continue
        part = tree.field(outer, "property")
        if part is not None and tree.field(outer, "object") == node:
            yield part, outer, tree.text(part)
