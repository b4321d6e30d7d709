"""What Claude Code would refuse: clock and chance, and our own global where nothing guards it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import Code
from counterpoint.script.source import Source

CLOCK = {"Math": ("random",), "Date": ("now",), "performance": ("now", "timeOrigin")}
OURS = "counterpoint"


def portable_findings(source: Source, root: Node) -> list[Finding]:
    """Every use of what is not portable."""
    code = Code(source, root)
    return [*_clock_findings(code), *_findings_of_ours(code)]


def _clock_findings(code: Code) -> Iterator[Finding]:
    for name in code.free:
        banned = _banned(code, name)
        if banned:
            node = code.parent(name)
            hint = "It would break replay there: pass the value in through args."
            yield _finding(code, name if node is None or node.type != "new_expression" else node, banned, hint)


def _banned(code: Code, name: Node) -> str:
    """What a name of the language is used for here that is not portable; empty for nothing."""
    parent, text = code.parent(name), tree.text(name)
    if parent is None or text not in CLOCK:
        return ""
    if parent.type == "member_expression" and tree.field(parent, "object") == name:
        member = tree.field(parent, "property")
        return f"{text}.{tree.text(member)}" if member is not None and tree.text(member) in CLOCK[text] else ""
    if parent.type == "subscript_expression" and tree.field(parent, "object") == name:
        member = code.text_of(tree.field(parent, "index"))
        return f"{text}.{member}" if member in CLOCK[text] else ""
    if parent.type == "variable_declarator":
        pattern = tree.field(parent, "name")
        taken = [part for part in CLOCK[text] if pattern is not None and _takes(pattern, part)]
        return f"{text}.{taken[0]}" if taken else ""
    if text == "Date" and parent.type == "call_expression" and tree.field(parent, "function") == name:
        return "Date()"
    if text == "Date" and parent.type == "new_expression":
        given = tree.field(parent, "arguments")
        return "" if given is not None and tree.named(given) else "new Date() without an argument"
    return ""


def _takes(pattern: Node, member: str) -> bool:
    """Whether a destructuring pattern takes a member out of what it is given."""
    if pattern.type != "object_pattern":
        return False
    for part in tree.named(pattern):
        key = tree.field(part, "key") or tree.field(part, "left") or part
        if tree.text(key) == member:
            return True
    return False


def _findings_of_ours(code: Code) -> Iterator[Finding]:
    hint = f"Guard it: if (typeof {OURS} !== 'undefined') {{ … }}"
    early: dict[int, int] = {}
    for name in code.free:
        if tree.text(name) == OURS and not _is_asked_for(code, name) and not _guarded(code, name, early):
            yield _finding(code, name, OURS, hint)


def _is_asked_for(code: Code, name: Node) -> bool:
    """Whether this is ``typeof counterpoint`` itself."""
    parent = code.parent(name)
    return parent is not None and parent.type == "unary_expression" and _operator(parent) == "typeof"


def _guarded(code: Code, name: Node, early: dict[int, int]) -> bool:
    """Whether `typeof counterpoint` decides that this place is reached only where the global is there."""
    inner = name
    for outer in code.ancestors(name):
        if outer.type in ("if_statement", "ternary_expression", "while_statement"):
            condition = tree.field(outer, "condition")
            if condition is not None and condition != inner:
                reached_when = tree.field(outer, "alternative") != inner
                if _implies(code, condition, reached_when):
                    return True
        elif outer.type == "binary_expression" and tree.field(outer, "right") == inner:
            left, operator = tree.field(outer, "left"), _operator(outer)
            if left is not None and operator in ("&&", "||") and _implies(code, left, operator == "&&"):
                return True
        elif outer.type in ("statement_block", "program") and _left_early(code, outer, inner, early):
            return True
        inner = outer
    return False


def _implies(code: Code, condition: Node, value: bool) -> bool:
    """Whether the global is certainly there when `condition` has this value."""
    node = code.meant(condition)
    if node is None:
        return False
    operator = _operator(node)
    if node.type == "unary_expression" and operator == "!":
        argument = tree.field(node, "argument")
        return argument is not None and _implies(code, argument, not value)
    left, right = tree.field(node, "left"), tree.field(node, "right")
    if node.type != "binary_expression" or left is None or right is None:
        return False
    if operator in ("&&", "||"):
        either = _implies(code, left, value), _implies(code, right, value)
        return any(either) if value == (operator == "&&") else all(either)
    asked, against = (left, right) if _asks(code, left) else (right, left)
    if not _asks(code, asked):
        return False
    absent = code.text_of(against) == "undefined"
    same = operator in ("===", "==")
    return (same != absent) == value if operator in ("===", "==", "!==", "!=") else False


def _asks(code: Code, node: Node) -> bool:
    node = code.meant(node) or node
    argument = tree.field(node, "argument")
    return _operator(node) == "typeof" and code.is_free(argument, OURS)


def _left_early(code: Code, block: Node, statement: Node, early: dict[int, int]) -> bool:
    """Whether an earlier statement of the block leaves it where the global is absent; `early` keeps where that is."""
    if block.id not in early:
        guards = (node.end_byte for node in tree.named(block) if _leaves_without(code, node))
        early[block.id] = next(guards, sys.maxsize)
    return early[block.id] <= statement.start_byte


def _leaves_without(code: Code, node: Node) -> bool:
    """Whether a statement goes away where the global is absent."""
    condition, consequence = tree.field(node, "condition"), tree.field(node, "consequence")
    if node.type != "if_statement" or condition is None or consequence is None:
        return False
    return tree.field(node, "alternative") is None and _leaves(consequence) and _implies(code, condition, False)


LEAVING = frozenset({"return_statement", "throw_statement", "continue_statement", "break_statement"})


def _leaves(consequence: Node) -> bool:
    if consequence.type in LEAVING:
        return True
    inside = tree.named(consequence)
    return consequence.type == "statement_block" and bool(inside) and inside[-1].type in LEAVING


def _operator(node: Node) -> str:
    operator = tree.field(node, "operator")
    return operator.type if operator is not None else ""


def _finding(code: Code, node: Node, what: str, hint: str) -> Finding:
    line, column = code.source.place(node.start_byte)
    return Finding(line, column, f"{what} is not portable.", hint, rule="portable")
