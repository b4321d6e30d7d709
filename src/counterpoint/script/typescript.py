"""TypeScript in a script: where it is, and what exactly is to be removed."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cache

from tree_sitter import Language, Node, Parser

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.source import Source, Span

MESSAGE = "A workflow script is plain JavaScript, and this is TypeScript."
SHOWN = 60
"""Characters of a declaration that a hint quotes."""

ANNOTATIONS = frozenset({"type_annotation", "type_predicate_annotation", "asserts_annotation"})
DECLARATIONS = {
    "interface_declaration": "interfaces are TypeScript: remove",
    "type_alias_declaration": "type aliases are TypeScript: remove",
    "enum_declaration": "enums are TypeScript: use an object instead of",
    "ambient_declaration": "declarations without code are TypeScript: remove",
    "internal_module": "namespaces are TypeScript: remove",
    "module": "namespaces are TypeScript: remove",
    "function_signature": "functions without a body are TypeScript: remove",
    "method_signature": "methods without a body are TypeScript: remove",
    "abstract_method_signature": "abstract methods are TypeScript: remove",
    "index_signature": "index signatures are TypeScript: remove",
    "implements_clause": "implements is TypeScript: remove",
    "type_arguments": "type arguments are TypeScript: remove",
    "type_parameters": "type parameters are TypeScript: remove",
    "decorator": "decorators are not JavaScript yet: remove",
}
MODIFIERS = frozenset({"accessibility_modifier", "override_modifier"})
WORDS = frozenset({"readonly", "abstract", "declare", "accessor"})
WORD_HOLDERS = frozenset(
    {"public_field_definition", "abstract_class_declaration", "required_parameter", "method_definition"}
)
OPTIONAL = frozenset({"optional_parameter", "public_field_definition", "variable_declarator", "method_definition"})
RUNTIME = frozenset({"enum_declaration", "internal_module", "module"})
"""Declarations whose name the rest of the script uses as a value."""

Part = tuple[Finding, Span]


@cache
def _language() -> Language:
    import tree_sitter_typescript

    return Language(tree_sitter_typescript.language_typescript())


def parts_of_broken(source: Source, root: Node) -> list[Part]:
    """What is TypeScript in the statements that are no JavaScript and what to put there instead."""
    statements = root.children
    starts = [node.start_byte for node in statements]
    typed = Parser(_language()).parse(source.encoded).root_node
    found: list[Part] = []
    for finding, span in _parts(source, typed):
        statement = statements[max(0, bisect.bisect_right(starts, span[0]) - 1)]
        if statement.has_error:
            found.append((finding, span))
    return found


def _parts(source: Source, root: Node) -> Iterator[Part]:
    stack = [root]
    while stack:
        node = stack.pop()
        if node.is_error or node.start_byte == node.end_byte:
            continue
        declared = tree.field(node, "declaration") if node.type == "export_statement" else node
        if declared is not None and declared.type in DECLARATIONS:
            yield _part(source, node.start_byte, node.end_byte, DECLARATIONS[declared.type], _instead(node, declared))
            continue
        if node.type == "required_parameter" and any(child.type == "this" for child in node.children):
            yield _part(source, node.start_byte, _with_comma(node), "this parameters are TypeScript: remove")
            continue
        if node.type in ANNOTATIONS:
            yield _part(source, _with_mark(node), node.end_byte, "type annotations are TypeScript: remove")
            continue
        if node.type in MODIFIERS:
            yield _part(source, node.start_byte, node.end_byte, "modifiers are TypeScript: remove")
            continue
        yield from _inside(source, node)
        stack.extend(reversed(node.children))


def _inside(source: Source, node: Node) -> Iterator[Part]:
    """TypeScript that is a token of a node that is otherwise JavaScript."""
    if node.type in ("as_expression", "satisfies_expression"):
        word = next((child for child in node.children if child.type in ("as", "satisfies")), None)
        if word is not None:
            yield _part(source, word.start_byte, node.end_byte, "type assertions are TypeScript: remove")
    elif node.type == "non_null_expression":
        mark = node.children[-1]
        if not mark.is_missing:
            yield _part(source, mark.start_byte, mark.end_byte, "non-null assertions are TypeScript: remove")
    for child in node.children:
        if child.type in WORDS and not child.is_named and node.type in WORD_HOLDERS:
            yield _part(source, child.start_byte, child.end_byte, "modifiers are TypeScript: remove")
        elif child.type in ("?", "!") and node.type in OPTIONAL and not child.is_missing and not _annotated(child):
            yield _part(source, child.start_byte, child.end_byte, "optional marks are TypeScript: remove")


def _annotated(mark: Node) -> bool:
    return mark.next_sibling is not None and mark.next_sibling.type in ANNOTATIONS


def _with_mark(annotation: Node) -> int:
    """Where an annotation begins, with the ``?`` or ``!`` before it."""
    before = annotation.prev_sibling
    return before.start_byte if before is not None and before.type in ("?", "!") else annotation.start_byte


def _with_comma(parameter: Node) -> int:
    after = parameter.next_sibling
    return after.end_byte if after is not None and after.type == "," else parameter.end_byte


def _instead(node: Node, declared: Node) -> bytes:
    """A declaration of the same name for what the rest of the script uses as a value."""
    name = tree.field(declared, "name")
    if declared.type not in RUNTIME or name is None or name.type not in ("identifier", "property_identifier"):
        return b""
    return b"let " + b" " * (name.start_byte - node.start_byte - 4) + (name.text or b"") + b";"


def _part(source: Source, start: int, end: int, hint: str, instead: bytes = b"") -> Part:
    line, column = source.place(start)
    text = " ".join(source.encoded[start:end].decode("utf-8", "replace").split())
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return Finding(line, column, MESSAGE, f"{hint} `{shown}`.", rule="typescript"), (start, end, instead)
