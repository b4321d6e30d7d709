"""Phases: those that meta declares, and those that the script uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.code import Code
from counterpoint.script.hooks import Call, is_whole, listed, members, near
from counterpoint.script.meta import Meta, meta_statement

Title = tuple[str, Node]


def doubts(code: Code, calls: dict[int, Call], meta: Meta | None) -> Iterator[Finding]:
    """Titles that do not match, in both directions, where the script declares phases at all."""
    if meta is None or not meta.phases:
        return
    declared = dict.fromkeys(phase.title for phase in meta.phases)
    if any(isinstance(phase, str) for phase in meta.raw["phases"]):
        statement = meta_statement(code.root) or code.root
        yield code.doubt(
            statement, "meta.phases has plain texts.", "Write { title: '…' }, as other programs need it.", "phases"
        )
    uses = list(_uses(code, calls))
    titles = [(title, node) for node in uses if (title := code.text_of(node)) is not None]
    for title, node in titles:
        if title not in declared:
            message = f"The phase {title!r} is not in meta.phases{near(title, declared)}"
            yield code.doubt(node, message, f"Declared: {listed(declared)}.", "phases")
    told = len(titles) == len(uses) and not any(call.name == "workflow" for call in calls.values())
    if told:  # else a title is computed, or may be that of another workflow
        yield from _unused(code, declared, {title for title, _ in titles})


def _uses(code: Code, calls: dict[int, Call]) -> Iterator[Node]:
    """Every expression that names a phase, and everything that may hold one."""
    for call in calls.values():
        if call.name == "phase":
            title = call.argument(0)
            yield title if title is not None else call.node
        elif call.name == "agent" and call.argument(1) is not None:
            yield from _phases_of_options(code, call.arguments[1])


def _phases_of_options(code: Code, given: Node) -> Iterator[Node]:
    options = code.meant(given)
    if options is None or options.type != "object":
        yield given
        return
    if not is_whole(options):
        yield options
    yield from (value for name, _, value in members(code, options) if name == "phase")


def _unused(code: Code, declared: Collection[str], used: set[str]) -> Iterator[Finding]:
    statement = meta_statement(code.root)
    if statement is None:
        return
    said = {tree.string_value(node) for node in code.nodes if node.start_byte >= statement.end_byte}
    for node in code.nodes:
        if node.start_byte >= statement.end_byte:
            return
        key = tree.field(node, "key") if node.type == "pair" else None
        value = tree.field(node, "value") if node.type == "pair" else None
        title = tree.string_value(value) if value is not None else None
        if key is None or value is None or title is None or tree.text(key).strip("'\"") != "title":
            continue
        if title in declared and title not in used and title not in said:
            yield code.doubt(value, f"The phase {title!r} is declared and never used.", None, "phases")
