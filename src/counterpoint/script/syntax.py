"""The engine's word on a syntax error, at the place and in the words that help a person."""

from __future__ import annotations

import bisect
from dataclasses import replace
from functools import cached_property

from tree_sitter import Node

from counterpoint.errors import Finding, ScriptFault
from counterpoint.script import tree
from counterpoint.script.source import Source, Span

PAIRS = {"(": ")", "[": "]", "{": "}", "${": "}"}
WHOLE = frozenset({"string", "regex"})
DEEP = 200
"""Open brackets at which a text that is nested too deeply is pointed at."""
STATEMENTS = frozenset({
    "lexical_declaration", "variable_declaration", "expression_statement", "return_statement", "throw_statement",
    "function_declaration", "class_declaration", "if_statement", "for_statement", "for_in_statement", "while_statement",
    "do_statement", "try_statement", "switch_statement", "labeled_statement", "break_statement", "continue_statement",
})  # fmt: skip
QUOTES = "“”‘’„«»"
TOKEN_BEFORE = (
    "Invalid redefinition",
    "Missing initializer",
    "Break must",
    "Continue must",
    "Cannot delete",
    "'super' is only valid",
    "New.target only",
    "Property constructor appears",
    "Private class field is already",
    "Invalid lvalue",
    "Invalid assignment",
)
"""What the engine says when it has read past the token that is meant."""


class Tokens:
    """The tokens of a text, in order; a string or a regular expression is one."""

    def __init__(self, root: Node) -> None:
        self.all: list[Node] = []
        stack = [root]
        while stack:
            node = stack.pop()
            if node.type == "comment" or node.is_missing:
                continue
            if node.type in WHOLE or node.child_count == 0:
                self.all.append(node)
            else:
                stack.extend(reversed(node.children))
        self._starts = [node.start_byte for node in self.all]

    def before(self, offset: int) -> Node | None:
        """The last token that begins before an offset."""
        at = bisect.bisect_left(self._starts, offset)
        return self.all[at - 1] if at else None

    def at(self, offset: int) -> Node | None:
        at = bisect.bisect_left(self._starts, offset)
        return self.all[at] if at < len(self.all) and self._starts[at] == offset else None

    def between(self, start: int, end: int) -> Tokens:
        """Those that begin in a stretch of bytes."""
        part = Tokens.__new__(Tokens)
        part.all = [node for node in self.all if start <= node.start_byte < end]
        part._starts = [node.start_byte for node in part.all]
        return part

    def balanced(self) -> bool:
        stray, opened = self.unmatched()
        return stray is None and not opened

    def unmatched(self) -> tuple[Node | None, list[Node]]:
        """The first closing bracket that closes nothing, and the brackets that are never closed."""
        opened: list[Node] = []
        for node in self.all:
            if node.type in PAIRS:
                opened.append(node)
            elif node.type in PAIRS.values():
                if not opened or PAIRS[opened[-1].type] != node.type:
                    return node, opened
                opened.pop()
        return None, opened


class Parsed:
    """A text with its tree."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root = tree.parse_tree(source)

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.root)


def explained(parsed: Parsed, found: Finding) -> Finding:
    """The finding where the token that is meant begins, with a hint where one helps."""
    source, tokens = parsed.source, parsed.tokens
    offset = source.offset(found.line, found.column)
    stray, opened = tokens.unmatched()
    if stray is not None and not opened and stray.start_byte <= offset:
        return _stray(source, stray)
    if offset >= len(source.encoded.rstrip()):
        return _at_the_end(source, tokens, opened, found)
    before = tokens.before(offset)
    if before is not None and tree.text(before) == "await":
        return _not_async(source, before)
    if before is not None and found.message.startswith(TOKEN_BEFORE):
        line, column = source.place(before.start_byte)
        return replace(found, line=line, column=column)
    return replace(found, hint=_hint(source, tokens, offset))


def stray_bracket(parsed: Parsed) -> Finding | None:
    """A bracket that would close what stands around the script."""
    if not parsed.root.has_error:
        return None
    stray, opened = parsed.tokens.unmatched()
    return _stray(parsed.source, stray) if stray is not None and not opened else None


def tree_says(text: str) -> ScriptFault | None:
    """What the tree has against a text; the word of an engine counts more."""
    source = Source(text)
    node = tree.first_error(tree.parse_tree(source))
    if node is None:
        return None
    line, column = source.place(node.start_byte)
    token = tree.text(node).split("\n")[0][:40]
    return ScriptFault(
        "SyntaxError", f"unexpected {token!r}" if token else "something is missing", line=line, column=column
    )


def sentence(fault: ScriptFault) -> str:
    """The engine's message as a sentence."""
    return f"{fault.message[:1].upper()}{fault.message[1:]}."


def regexes(parsed: Parsed) -> list[Node]:
    """The regular expressions, of which the engine says only that one is wrong."""
    return [node for node in parsed.tokens.all if node.type == "regex"]


def too_deep(parsed: Parsed) -> Finding:
    """What is said of a text that has more nesting than an engine has stack."""
    depth = 0
    place = (1, 1)
    for node in parsed.tokens.all:
        depth += (node.type in PAIRS) - (node.type in PAIRS.values())
        if depth == DEEP:
            place = parsed.source.place(node.start_byte)
            break
    return Finding(*place, "The script is nested too deeply.", "Keep what is nested in variables or functions.")


def broken_statement(parsed: Parsed, offset: int) -> Span | None:
    """The innermost statement around a place, to be taken out; None where that would break what is around it."""
    node: Node | None = parsed.root.descendant_for_byte_range(offset, offset)
    while node is not None and not (node.type in STATEMENTS or node.is_error):
        node = node.parent
    inside = node is not None and node.parent is not None and node.start_byte < offset < node.end_byte
    if node is not None and inside and Tokens(node).balanced():
        return node.start_byte, node.end_byte, b";"
    return _broken_line(parsed.source, parsed.tokens, offset)


def _broken_line(source: Source, tokens: Tokens, offset: int) -> Span | None:
    """The line of the token at a place, or of the one before it where that ends too early."""
    before = tokens.before(offset)
    line, _ = source.place(offset)
    if before is not None and source.place(before.start_byte)[0] < line:
        line, _ = source.place(before.start_byte)
    start, end = source.offset(line, 1), source.offset(line + 1, 1)
    if end <= start:
        end = len(source.encoded)
    return (start, end, b"") if tokens.between(start, end).balanced() else None


def _stray(source: Source, bracket: Node) -> Finding:
    return Finding(*source.place(bracket.start_byte), f"Nothing is open here that `{bracket.type}` could close.")


def _at_the_end(source: Source, tokens: Tokens, opened: list[Node], found: Finding) -> Finding:
    line, column = source.end
    hint = None
    if opened:
        at_line, at_column = source.place(opened[-1].start_byte)
        hint = f"The `{opened[-1].type}` of line {at_line}, column {at_column}, is never closed."
    if found.message.startswith(TOKEN_BEFORE) and tokens.all:
        line, column = source.place(tokens.all[-1].start_byte)
        return replace(found, line=line, column=column)
    return Finding(line, column, "The script ends too early.", hint)


def _not_async(source: Source, await_: Node) -> Finding:
    line, column = source.place(await_.start_byte)
    return Finding(
        line, column, "`await` stands in a function that is not async.", "Write `async` before that function."
    )


def _hint(source: Source, tokens: Tokens, offset: int) -> str | None:
    after = source.encoded[offset : offset + 4].decode("utf-8", "ignore")[:1]
    if after and after in QUOTES:
        return f"`{after}` is no quotation mark of JavaScript: write ' or \"."
    if source.encoded[offset - 1 : offset] == b"`" and (after.isalnum() or after in "_$"):
        return "A backtick inside of a template literal is written \\`."
    return None
