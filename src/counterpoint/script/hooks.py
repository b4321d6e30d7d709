"""What a script finds around it: hooks, their options, the names of the language; and where it calls a hook."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from tree_sitter import Node

from counterpoint.errors import nearest
from counterpoint.script import tree
from counterpoint.script.code import Code

OPTIONS = (
    "label", "phase", "schema", "model", "effort", "isolation", "agentType", "disallowedTools", "stallMs",
    "tools", "cwd", "timeoutMs", "maxTurns", "retries", "from", "key",
)  # fmt: skip
"""Of `agent()`, as in sandbox/js/prelude.js."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")
PROMISING = frozenset({"agent", "parallel", "pipeline", "workflow"})
HOOKS = PROMISING | {"phase", "log"}
OURS = {
    "verify": True, "judge": True, "converge": True, "critic": True, "tool": True, "checkpoint": True, "merge": True,
    "fail": False, "hash": False, "now": False, "run": False, "budget": False,
}  # fmt: skip
"""Members of `counterpoint`, and whether each gives a promise."""
BUDGET = {"total": False, "spent": True, "remaining": True}
"""Members of `budget`, and whether each is a function."""

_LANGUAGE = """
    AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean DataView
    Date DisposableStack Error EvalError Float16Array Float32Array Float64Array Function Infinity Int16Array
    Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError
    ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError TextDecoder TextEncoder
    TypeError URIError URL URLSearchParams Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap
    WeakSet arguments atob btoa clearTimeout console decodeURI decodeURIComponent encodeURI encodeURIComponent
    escape eval globalThis isFinite isNaN parseFloat parseInt performance queueMicrotask setTimeout
    structuredClone undefined unescape
"""
LANGUAGE = frozenset(_LANGUAGE.split())
KNOWN = LANGUAGE | HOOKS | {"args", "budget", "counterpoint", "meta", "await"}
ABSENT = {
    "require": "Scripts have no modules; agents have tools.",
    "process": "Scripts do not see the machine: pass what they need in args.",
    "Buffer": "Use TextEncoder, atob and btoa.",
    "fetch": "Scripts have no network: let an agent fetch it.",
    "fs": "Scripts have no files: let an agent read it.",
    "setInterval": "Use a loop with setTimeout.",
    "setImmediate": "Use queueMicrotask or setTimeout.",
    "crypto": "counterpoint.hash(value) hashes; Math.random() is seeded.",
    "Intl": "This engine has none: format by hand, or let an agent do it.",
    "module": "Scripts have no modules; return the result.",
    "exports": "Scripts have no modules; return the result.",
    "window": "There is no browser here.",
    "document": "There is no browser here.",
    "AbortController": "A run is stopped from outside; timeoutMs bounds an agent.",
}
"""Names that people expect and that are not there, and what to do instead."""


MANY = 500
LISTED = 20


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a hook: `name` is that of a hook, or ``counterpoint.tool`` and its like."""

    name: str
    node: Node
    arguments: list[Node]

    @property
    def promises(self) -> bool:
        """Whether it gives a promise."""
        return self.name in PROMISING or OURS.get(self.name.removeprefix("counterpoint."), False)

    def argument(self, index: int) -> Node | None:
        """None where it is not given, or where a spread hides which it is."""
        given = self.arguments[: index + 1]
        return None if len(given) <= index or any(node.type == "spread_element" for node in given) else given[index]


def calls(code: Code) -> dict[int, Call]:
    """Every call of a hook, by the id of its node, in the order of the text."""
    found: dict[int, Call] = {}
    for name in code.free:
        call = _call(code, name)
        if call is not None:
            found[call.node.id] = call
    return dict(sorted(found.items(), key=lambda item: item[1].node.start_byte))


def _call(code: Code, name: Node) -> Call | None:
    text, called = tree.text(name), name
    if text == "counterpoint":
        member = code.parent(name)
        part = tree.field(member, "property") if member is not None and member.type == "member_expression" else None
        if member is None or part is None or tree.text(part) not in OURS:
            return None
        text, called = f"counterpoint.{tree.text(part)}", member
    elif text not in HOOKS:
        return None
    node = code.parent(called)
    if node is None or node.type != "call_expression" or tree.field(node, "function") != called:
        return None
    arguments = tree.field(node, "arguments")
    given = tree.named(arguments) if arguments is not None and arguments.type == "arguments" else []
    return Call(text, node, given)


def members(code: Code, node: Node) -> Iterator[tuple[str, Node, Node]]:
    """Name, key and value of each member of an object literal that can be told; spreads and computed ones left out."""
    for member in tree.named(node):
        if member.type == "shorthand_property_identifier":
            yield tree.text(member), member, member
        elif member.type == "method_definition":
            key = tree.field(member, "name")
            if key is not None and key.type == "property_identifier":
                yield tree.text(key), key, member
        elif member.type == "pair":
            key, value = tree.field(member, "key"), tree.field(member, "value")
            name = key_text(key)
            if key is not None and name is not None and value is not None:
                yield name, key, value


def near(name: str, known: Collection[str]) -> str:
    """What `nearest` says, where the names are not so many that looking at each would take long."""
    return nearest(name, known) if len(known) <= MANY else "."


def listed(names: Collection[str]) -> str:
    """The names, as many as anybody reads."""
    return ", ".join(islice(names, LISTED)) + (", …" if len(names) > LISTED else "")


def key_text(key: Node | None) -> str | None:
    """The name that a key of an object literal certainly is."""
    if key is None or key.type == "computed_property_name":
        return None
    return tree.string_value(key) or tree.text(key)


def is_whole(node: Node) -> bool:
    """Whether an object literal has no members that cannot be told."""
    return all(
        member.type in ("pair", "shorthand_property_identifier", "method_definition")
        and (tree.field(member, "key") or member).type != "computed_property_name"
        for member in tree.named(node)
    )
