"""Promises that are taken for values, or that nobody waits for; and promises where functions are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import FUNCTIONS, Binding, Code
from counterpoint.script.hooks import Call


class Use(Enum):
    """What becomes of a promise at a place."""

    WAITED = "it is awaited, returned, collected or handed on"
    VALUE = "it is used as if it were the result already"
    DROPPED = "nothing is done with it"


CHAINING = frozenset({"then", "catch", "finally"})
LOGICAL = frozenset({"&&", "||", "??"})
TAKES_VALUES = frozenset({"log", "phase", "String", "Number", "Boolean", "parseInt", "parseFloat"})
METHODS_OF_VALUES = frozenset({
    "JSON.stringify", "JSON.parse", "Object.keys", "Object.values", "Object.entries", "Array.from",
    "console.log", "console.info", "console.warn", "console.error", "console.debug",
})  # fmt: skip
CONDITIONED = frozenset({"if_statement", "while_statement", "do_statement", "for_statement", "ternary_expression"})
CONSTANTS = frozenset({"null", "undefined", "string", "number", "true", "false", "template_string"})
SAMPLE = {
    "agent": "await agent(…)",
    "parallel": "await parallel([…])",
    "pipeline": "await pipeline(items, …)",
    "workflow": "await workflow(…)",
}


def doubts(code: Code, calls: dict[int, Call]) -> Iterator[Finding]:
    """Everything about promises that is doubtful."""
    judge = _Judge(code)
    for call in calls.values():
        if call.promises:
            use, where = judge.use(call.node)
            if use is not Use.WAITED:
                yield _missing_await(code, call, use, where)
        if call.name == "parallel":
            yield from _parallel(code, calls, call)
        elif call.name == "pipeline":
            yield from _pipeline(code, calls, call)
    yield from _for_each(code, calls)


def _missing_await(code: Code, call: Call, use: Use, where: Node | None) -> Finding:
    sample = SAMPLE.get(call.name, f"await {call.name}(…)")
    if use is Use.DROPPED:
        message = f"Nobody waits for this {call.name}(): the script goes on without its answer."
        return code.doubt(call.node, message, f"Write {sample}, or collect the promise.", "missing-await")
    line = code.source.place(where.start_byte)[0] if where is not None else 0
    same = line == code.source.place(call.node.start_byte)[0]
    message = f"{call.name}() gives a promise, which is used as its result{'' if same else f' in line {line}'}."
    return code.doubt(call.node, message, f"Write {sample}.", "missing-await")


class _Judge:
    """Says what becomes of a promise, following it through names."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def use(self, node: Node) -> tuple[Use, Node | None]:
        """What becomes of the promise that `node` gives, and where."""
        inner = node
        for outer in self._code.ancestors(node):
            if outer.type == "parenthesized_expression" and not self._is_condition(outer):
                inner = outer
            elif outer.type == "sequence_expression":
                if tree.named(outer)[-1] != inner:
                    return Use.DROPPED, inner
                inner = outer
            elif outer.type == "ternary_expression" and tree.field(outer, "condition") != inner:
                inner = outer
            elif outer.type == "binary_expression" and _operator(outer) in LOGICAL:
                if _operator(outer) == "&&" and tree.field(outer, "left") == inner:
                    return Use.VALUE, inner
                inner = outer
            else:
                return self._at(outer, inner)
        return Use.WAITED, None

    def _is_condition(self, node: Node) -> bool:
        outer = self._code.parent(node)
        return outer is not None and outer.type in CONDITIONED and tree.field(outer, "condition") == node

    def _at(self, outer: Node, inner: Node) -> tuple[Use, Node | None]:
        match outer.type:
            case "expression_statement":
                return Use.DROPPED, inner
            case "member_expression" if tree.field(outer, "object") == inner:
                name = tree.field(outer, "property")
                return (Use.WAITED if name is not None and tree.text(name) in CHAINING else Use.VALUE), outer
            case "subscript_expression" if tree.field(outer, "object") == inner:
                return Use.VALUE, outer
            case "template_substitution":
                return Use.VALUE, outer
            case "unary_expression":
                return (Use.WAITED if _operator(outer) in ("void", "typeof") else Use.VALUE), outer
            case "spread_element":
                return Use.VALUE, outer
            case "binary_expression":
                return self._compared(outer, inner), outer
            case "parenthesized_expression":
                return Use.VALUE, outer
            case "ternary_expression" | "for_statement" if tree.field(outer, "condition") == inner:
                return Use.VALUE, outer
            case "for_in_statement" if tree.field(outer, "right") == inner:
                return (Use.WAITED if any(child.type == "await" for child in outer.children) else Use.VALUE), outer
            case "arguments":
                return self._given(outer), outer
            case "pair" | "array":
                return self._returned(outer), outer
            case "variable_declarator" if tree.field(outer, "value") == inner:
                return self._named(tree.field(outer, "name"))
            case "assignment_expression" if tree.field(outer, "right") == inner:
                return self._assigned(outer)
            case _:
                return Use.WAITED, None

    def _compared(self, outer: Node, inner: Node) -> Use:
        operator = _operator(outer)
        if operator in ("instanceof", "in"):
            return Use.WAITED
        if operator in ("===", "!==", "==", "!="):
            left, right = tree.field(outer, "left"), tree.field(outer, "right")
            other = right if left == inner else left
            return (
                Use.VALUE
                if other is not None and other.type in CONSTANTS and inner.type != "identifier"
                else Use.WAITED
            )
        return Use.VALUE

    def _given(self, arguments: Node) -> Use:
        """To a function that wants values it is a mistake; any other may do with a promise what it likes."""
        called = self._code.parent(arguments)
        function = tree.field(called, "function") if called is not None else None
        if function is None or called is None or called.type != "call_expression":
            return Use.WAITED
        if function.type == "identifier" and self._code.is_free(function):
            return Use.VALUE if tree.text(function) in TAKES_VALUES else Use.WAITED
        is_method = function.type == "member_expression" and self._code.is_free(tree.field(function, "object"))
        return Use.VALUE if is_method and tree.text(function) in METHODS_OF_VALUES else Use.WAITED

    def _returned(self, inner: Node) -> Use:
        """Inside of what the whole script returns, a promise becomes ``{}``."""
        for outer in self._code.ancestors(inner):
            if outer.type == "return_statement":
                return Use.VALUE if self._code.function_of(outer) is None else Use.WAITED
            if outer.type not in ("object", "array", "pair", "parenthesized_expression"):
                return Use.WAITED
        return Use.WAITED

    def _named(self, pattern: Node | None) -> tuple[Use, Node | None]:
        if pattern is None or pattern.type != "identifier":
            return (Use.VALUE if pattern is not None else Use.WAITED), pattern
        binding = self._code.binding(pattern)
        return self._of_name(binding) if binding is not None else (Use.WAITED, None)

    def _assigned(self, assignment: Node) -> tuple[Use, Node | None]:
        left = tree.field(assignment, "left")
        if left is not None and left.type in ("object_pattern", "array_pattern"):
            return Use.VALUE, left
        binding = self._code.binding(left) if left is not None and left.type == "identifier" else None
        if binding is None:
            return Use.WAITED, None
        use, where = self._of_name(binding)
        return (use, where) if use is Use.VALUE else (Use.WAITED, None)

    def _of_name(self, binding: Binding) -> tuple[Use, Node | None]:
        """A promise with a name is fine where any of its uses is."""
        worst: tuple[Use, Node | None] = (Use.DROPPED, None)
        written = {node.id for node in self._code.writes(binding)}
        for name in binding.uses:
            if name.id in written:
                continue
            use, where = self._use_of_name(name)
            if use is Use.WAITED:
                return Use.WAITED, None
            if worst[0] is Use.DROPPED:
                worst = use, where
        return worst

    def _use_of_name(self, name: Node) -> tuple[Use, Node | None]:
        outer = self._code.parent(name)
        if outer is not None and outer.type in ("variable_declarator", "assignment_expression"):
            return Use.WAITED, None  # under another name too: followed no further
        if name.type == "shorthand_property_identifier" and outer is not None:
            return self._returned(outer), outer
        return self.use(name)


def _operator(node: Node) -> str:
    operator = tree.field(node, "operator")
    return operator.type if operator is not None else ""


# --- parallel and pipeline -------------------------------------------------------------------------------------------


def _parallel(code: Code, calls: dict[int, Call], call: Call) -> Iterator[Finding]:
    given = code.meant(call.argument(0))
    hint = "Write parallel([() => agent(…), …]): parallel itself calls the functions."
    if given is None:
        if not call.arguments:
            yield code.doubt(call.node, "parallel() takes an array of functions.", hint, "parallel")
        return
    if given.type in FUNCTIONS or given.type == "object":
        yield code.doubt(call.arguments[0], "parallel() takes an array of functions.", hint, "parallel")
        return
    for node in _promised_items(code, calls, given):
        message = "parallel() takes functions, and this gives it a promise: its agent has already been started."
        yield code.doubt(node, message, hint, "parallel")


def _promised_items(code: Code, calls: dict[int, Call], given: Node) -> Iterator[Node]:
    """What makes promises of the items of an array that should hold functions."""
    if given.type == "array":
        for item in tree.named(given):
            if _gives_promise(calls, item):
                yield item
            elif item.type == "spread_element":
                inner = code.meant(next(iter(tree.named(item)), None))
                yield from _promised_items(code, calls, inner) if inner is not None and inner.type != "array" else ()
        return
    mapped = _mapped(code, given)
    if mapped is None:
        return
    if any(child.type == "async" for child in mapped.children):
        yield mapped
        return
    for value in _returns(code, mapped):
        if _gives_promise(calls, value):
            yield value


def _gives_promise(calls: dict[int, Call], node: Node) -> bool:
    while node.type in ("parenthesized_expression", "await_expression"):
        node = tree.named(node)[0]
    call = calls.get(node.id)
    return call is not None and call.promises


def _mapped(code: Code, node: Node) -> Node | None:
    """The function of ``xs.map(f)``, where it is written there."""
    function = tree.field(node, "function") if node.type == "call_expression" else None
    name = tree.field(function, "property") if function is not None and function.type == "member_expression" else None
    arguments = tree.field(node, "arguments")
    if name is None or tree.text(name) not in ("map", "flatMap") or arguments is None:
        return None
    given = code.meant(next(iter(tree.named(arguments)), None))
    return given if given is not None and given.type in FUNCTIONS else None


def _returns(code: Code, function: Node) -> Iterator[Node]:
    """What a function returns."""
    body = tree.field(function, "body")
    if body is None:
        return
    if body.type != "statement_block":
        yield body
        return
    for node in tree.walk(body):
        if node.type == "return_statement" and code.function_of(node) == function:
            yield from tree.named(node)[:1]


def _pipeline(code: Code, calls: dict[int, Call], call: Call) -> Iterator[Finding]:
    hint = "Write pipeline(items, (item) => agent(…), …)."
    first = code.meant(call.argument(0))
    if first is not None and (first.type in FUNCTIONS or first.type == "object"):
        yield code.doubt(call.arguments[0], "pipeline() takes an array of items first.", hint, "pipeline")
    if first is not None and len(call.arguments) == 1:
        yield code.doubt(call.node, "pipeline() has no stage: it takes the items, then at least one function.", hint,
                         "pipeline")  # fmt: skip
    for stage in call.arguments[1:]:
        meant = code.meant(stage)
        if _gives_promise(calls, stage):
            message = "pipeline() takes functions as stages, and this is a promise: its agent has already been started."
            yield code.doubt(stage, message, hint, "pipeline")
        elif meant is not None and meant.type in ("array", "object", "string", "template_string"):
            yield code.doubt(stage, "pipeline() takes functions as stages.", hint, "pipeline")


def _for_each(code: Code, calls: dict[int, Call]) -> Iterator[Finding]:
    """``forEach`` with an async function: nothing waits for what it starts."""
    told: set[int] = set()
    for call in calls.values():
        function = code.function_of(call.node)
        if not call.promises or function is None or function.id in told:
            continue
        arguments = code.parent(function)
        outer = code.parent(arguments) if arguments is not None and arguments.type == "arguments" else None
        called = tree.field(outer, "function") if outer is not None and outer.type == "call_expression" else None
        name = tree.field(called, "property") if called is not None and called.type == "member_expression" else None
        is_async = any(child.type == "async" for child in function.children)
        if name is not None and tree.text(name) == "forEach" and is_async:
            told.add(function.id)
            hint = "Write for (const x of xs) { await … }, or await parallel(xs.map((x) => () => …))."
            yield code.doubt(name, "forEach does not wait for the async function that it calls.", hint, "missing-await")
