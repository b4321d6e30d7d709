"""Loops that call agents and that nothing certainly ends."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import FUNCTIONS, Code
from counterpoint.script.hooks import Call

LOOPS = frozenset({"while_statement", "do_statement", "for_statement"})
AROUND = LOOPS | {"for_in_statement", "switch_statement"}
LEAVING = frozenset({"break_statement", "return_statement", "throw_statement"})
COMPARING = frozenset({"<", ">", "<=", ">=", "===", "==", "!==", "!="})
HINT = "Bound it: for (let round = 0; round < 10; round++) …, and with budget.total && budget.remaining() > 20000."


def doubts(code: Code, calls: dict[int, Call]) -> Iterator[Finding]:
    """Every loop with agents in it that may never end."""
    working = _working_functions(code, calls)
    told: set[int] = set()
    for node in _places_of_work(code, calls, working):
        for loop in code.ancestors(node):
            if loop.type in LOOPS and loop.id not in told:
                told.add(loop.id)
                yield from _loop(code, loop)


def _working_functions(code: Code, calls: dict[int, Call]) -> set[str]:
    """Names of the functions that call agents, directly or through one another."""
    names: set[str] = set()
    pending = [call.node for call in calls.values() if call.promises]
    while pending:
        for outer in code.ancestors(pending.pop()):
            name = _name_of(code, outer) if outer.type in FUNCTIONS else None
            if name is None or tree.text(name) in names:
                continue
            names.add(tree.text(name))
            binding = code.binding(name)
            pending += [use for use in binding.uses if _is_called(code, use)] if binding is not None else []
    return names


def _name_of(code: Code, function: Node) -> Node | None:
    name = tree.field(function, "name")
    if name is not None and name.type == "identifier":
        return name
    outer = code.parent(function)
    if outer is not None and outer.type == "variable_declarator":
        name = tree.field(outer, "name")
        return name if name is not None and name.type == "identifier" else None
    return None


def _is_called(code: Code, name: Node) -> bool:
    outer = code.parent(name)
    return outer is not None and outer.type == "call_expression" and tree.field(outer, "function") == name


def _places_of_work(code: Code, calls: dict[int, Call], working: set[str]) -> Iterator[Node]:
    yield from (call.node for call in calls.values() if call.promises)
    for node in code.nodes:
        if node.type == "identifier" and tree.text(node) in working and _is_called(code, node):
            yield node


def _loop(code: Code, loop: Node) -> Iterator[Finding]:
    condition = tree.field(loop, "condition")
    if condition is not None and condition.type == "parenthesized_expression":
        condition = next(iter(tree.named(condition)), None)
    if condition is not None and condition.type == "empty_statement":
        condition = None
    exits = _exits(code, loop)
    if _is_guard(code, condition) or any(_is_guard(code, guard) for exit_ in exits for guard in exit_):
        return
    if condition is None or _is_always(condition):
        message = "This loop calls agents and has no bound of its own."
        if not exits:
            message = "This loop calls agents and never ends."
        yield code.doubt(loop, message, HINT, "unbounded-loop")
    elif _asks_budget(code, condition):
        message = "Without a budget budget.remaining() is Infinity: this loop would then never end."
        yield code.doubt(loop, message, "Ask budget.total too, or count the rounds.", "unbounded-loop")
    elif _is_flag(condition):
        yield code.doubt(loop, "This loop calls agents until they say that it is enough.", HINT, "unbounded-loop")


def _exits(code: Code, loop: Node) -> list[list[Node]]:
    """For every way out of the loop's body, the conditions on the way to it."""
    body = tree.field(loop, "body")
    if body is None:
        return []
    found: list[list[Node]] = []
    stack: list[tuple[Node, bool, list[Node]]] = [(body, False, [])]
    while stack:
        node, inside, conditions = stack.pop()
        if node.type in FUNCTIONS:
            continue
        if node.type in LEAVING:
            labelled = bool(tree.named(node))
            if node.type != "break_statement" or not inside or labelled:
                found.append(conditions)
            continue
        condition = tree.field(node, "condition") or (tree.field(node, "value") if inside else None)
        guarded = (
            [*conditions, condition] if condition is not None and node.type != "variable_declarator" else conditions
        )
        stack.extend((child, inside or node.type in AROUND, guarded) for child in tree.named(node))
    return found


def _is_guard(code: Code, condition: Node | None) -> bool:
    """Whether a condition bounds a loop: it counts, compares sizes, or asks the budget's total."""
    if condition is None:
        return False
    nodes = [node for node in tree.walk(condition) if node.is_named]
    asks_total = any(_member(code, node) == "total" for node in nodes)
    for node in nodes:
        operator = tree.field(node, "operator") if node.type == "binary_expression" else None
        if operator is None or operator.type not in COMPARING:
            continue
        if asks_total or not any(_member(code, inner) == "remaining" for inner in tree.walk(node)):
            return True
    return asks_total


def _asks_budget(code: Code, condition: Node) -> bool:
    whole = any(tree.text(node) == "budget" and _total_is_asked(code, node) for node in code.free)
    return not whole and any(_member(code, node) == "remaining" for node in tree.walk(condition))


def _total_is_asked(code: Code, name: Node) -> bool:
    outer = code.parent(name)
    return outer is not None and _member(code, outer) == "total"


def _member(code: Code, node: Node) -> str | None:
    """The member of `budget` that a node is."""
    if node.type != "member_expression" or not code.is_free(tree.field(node, "object"), "budget"):
        return None
    name = tree.field(node, "property")
    return tree.text(name) if name is not None else None


def _is_always(condition: Node) -> bool:
    return condition.type == "true" or (condition.type == "number" and tree.text(condition) != "0")


def _is_flag(condition: Node) -> bool:
    """``done``, ``!done``, ``!state.done``: something that only the answers change."""
    if condition.type == "unary_expression":
        operator, argument = tree.field(condition, "operator"), tree.field(condition, "argument")
        condition = argument if operator is not None and operator.type == "!" and argument is not None else condition
    return condition.type == "identifier"
