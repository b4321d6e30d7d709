"""What no script may hold, besides what is no JavaScript: the refusals of the contract's first chapter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.meta import is_meta
from counterpoint.script.source import Source, Span, units

MAX_UNITS = 524_288
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\r(?!\n)|\xed[\xa0-\xbf].")
"""Control characters, and halves of surrogate pairs, which no file can hold."""
LINE_SEPARATOR = "\u2028".encode()
MAX_CONTROLS = 100
"""Control characters that are listed; a file that is no text has no end of them."""

EXPORTED_TYPE = re.compile(rb"export\s+(?:type|interface|enum|declare|namespace|module|abstract)\b")

Part = tuple[Finding, Span]


def size_finding(source: Source) -> Finding | None:
    """A text that is too long to be looked at."""
    length = units(source.encoded)
    if length <= MAX_UNITS:
        return None
    return Finding(1, 1, f"The script is longer than {MAX_UNITS:,} UTF-16 units.", f"It has {length:,}.", rule="size")


def controls(source: Source) -> tuple[list[Finding], list[Span]]:
    """Control characters other than tab and the end of a line, and where a blank is to stand instead."""
    findings: list[Finding] = []
    spans: list[Span] = []
    for match in CONTROL.finditer(source.encoded):
        spans.append((*match.span(), LINE_SEPARATOR if match[0] == b"\r" else b""))
        if len(findings) > MAX_CONTROLS:
            continue
        message, hint = "There are more control characters.", None
        if len(findings) < MAX_CONTROLS:
            code = ord(match[0].decode("utf-8", "surrogatepass"))
            message, hint = f"The control character U+{code:04X} is not allowed.", f"Write it as \\u{code:04x}."
        findings.append(Finding(*source.place(match.start()), message, hint, rule="control-character"))
    return findings, spans


def module_parts(source: Source, root: Node, meta: Node | None) -> list[Part]:
    """Imports and exports other than that of meta, and what is there for the engine instead of them."""
    return list(_module_parts(source, root, meta))


def _module_parts(source: Source, root: Node, meta: Node | None) -> Iterator[Part]:
    for node in tree.walk(root):
        if node.type == "import_statement":
            message, hint = (
                "import is not available in a workflow script.",
                "Agents have tools; the script has its hooks.",
            )
            yield _part(source, node, node.end_byte, message, hint)
        elif node.type == "export_statement" and (meta is None or node.start_byte != meta.start_byte):
            if EXPORTED_TYPE.match(source.encoded, node.start_byte):
                continue  # no JavaScript: what it is will be said there
            if is_meta(node):
                message = "meta must be the first statement; only comments may stand before it."
                finding = Finding(*source.place(node.start_byte), message, rule="meta")
                yield finding, (node.start_byte, _end_of_export(node), b"")
                continue
            message, hint = "The only export is that of meta.", "Return the result instead of exporting it."
            yield _part(source, node, _end_of_export(node), message, hint)
        elif node.type == "call_expression" and _is_import(tree.field(node, "function")):
            message = "Dynamic import() is not available in a workflow script."
            yield _part(source, node, node.end_byte, message, "Scripts have no files and no modules.", b"0")
        elif node.type == "binary_expression" and (types := _types_of_call(node)) is not None:
            message = "A workflow script is plain JavaScript, and this is TypeScript."
            hint = f"type arguments are TypeScript: remove `{source.encoded[slice(*types)].decode()}`."
            finding = Finding(*source.place(types[0]), message, hint, rule="typescript")
            yield finding, (*types, b"")
        elif (node.type == "member_expression" and _is_import(tree.field(node, "object"))) or (
            node.type == "meta_property" and tree.text(node).startswith("import")
        ):
            message = "import.meta is not available in a workflow script."
            yield _part(source, node, node.end_byte, message, "Scripts have no files and no modules.", b"0")


def _types_of_call(node: Node) -> tuple[int, int] | None:
    """Where the types of ``f<string>(x)`` are, which JavaScript takes for two comparisons."""
    left, right = tree.field(node, "left"), tree.field(node, "right")
    if left is None or right is None or left.type != "binary_expression" or right.type != "parenthesized_expression":
        return None
    called, less, name = tree.field(left, "left"), tree.field(left, "operator"), tree.field(left, "right")
    more = tree.field(node, "operator")
    if called is None or less is None or name is None or more is None or name.type != "identifier":
        return None
    tight = called.end_byte == less.start_byte and more.end_byte == right.start_byte
    return (less.start_byte, more.end_byte) if tight and less.type == "<" and more.type == ">" else None


def imported(root: Node) -> list[str]:
    """The names that the imports of a text would bring."""
    names: list[str] = []
    for statement in root.named_children:
        for node in tree.walk(statement) if statement.type == "import_statement" else ():
            if node.type == "import_specifier":
                name = tree.field(node, "alias") or tree.field(node, "name")
                names += [tree.text(name)] if name is not None else []
            elif node.type == "identifier" and node.parent is not None and node.parent.type != "import_specifier":
                names.append(tree.text(node))
    return names


def _end_of_export(node: Node) -> int:
    """Where the words end that make an export of a declaration, or the statement where it is nothing else."""
    inner = tree.field(node, "declaration") or tree.field(node, "value")
    return inner.start_byte if inner is not None else node.end_byte


def _is_import(node: Node | None) -> bool:
    return node is not None and node.type == "import"


def _part(source: Source, node: Node, end: int, message: str, hint: str, instead: bytes = b"") -> Part:
    line, column = source.place(node.start_byte)
    return Finding(line, column, message, hint, rule="module"), (node.start_byte, end, instead)
