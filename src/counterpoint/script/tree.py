"""The syntax tree of a script, by tree-sitter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser

from counterpoint.script.source import Source


@cache
def _language() -> Language:
    return Language(tree_sitter_javascript.language())


def parse_tree(source: Source) -> Node:
    """The root of the tree; it has ERROR nodes where the text is no JavaScript."""
    return Parser(_language()).parse(source.encoded).root_node


def text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def walk(root: Node) -> Iterator[Node]:
    """Every node, parents before children, in the order of the text; without recursion, for trees of any depth."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def field(node: Node, name: str) -> Node | None:
    return node.child_by_field_name(name)


def named(node: Node) -> list[Node]:
    """Named children without comments."""
    return [child for child in node.named_children if child.type != "comment"]


def first_error(root: Node) -> Node | None:
    """The first place where the text stops being JavaScript."""
    if not root.has_error:
        return None
    for node in walk(root):
        if node.is_missing:
            return node
        if node.type == "ERROR":
            return next((child for child in walk(node) if child.child_count == 0 and child is not node), node)
    return None


def string_value(node: Node) -> str | None:
    """What a string literal, or a template without substitution, says; None for anything else."""
    if node.type not in ("string", "template_string") or any(c.type == "template_substitution" for c in node.children):
        return None
    parts: list[str] = []
    for child in node.children:
        if child.type == "escape_sequence":
            parts.append(_unescape(text(child)))
        elif child.type in ("string_fragment", "template_chars"):
            parts.append(text(child))
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def _unescape(escape: str) -> str:
    body = escape[1:]
    if body[:1] == "x" and len(body) == 3:
        return chr(int(body[1:], 16))
    if body.startswith("u{"):
        return chr(min(int(body[2:-1], 16), 0x10FFFF))
    if body[:1] == "u" and len(body) == 5:
        return chr(int(body[1:], 16))
    if body[:1] in ("\n", "\r", "\u2028", "\u2029"):
        return ""
    return _SIMPLE.get(body, body)
