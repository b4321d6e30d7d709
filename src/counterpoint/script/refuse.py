"""What no script may hold: the refusals of the contract's first chapter, each at its exact place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from counterpoint.errors import Finding
from counterpoint.script import tree
from counterpoint.script.source import Source, units

MAX_UNITS = 524_288
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")


def text_findings(source: Source) -> list[Finding]:
    """What is wrong with the text before it is looked at as a program."""
    findings: list[Finding] = []
    length = units(source.text)
    if length > MAX_UNITS:
        findings.append(
            Finding(1, 1, f"The script has {length:,} UTF-16 units; at most {MAX_UNITS:,} are allowed.", rule="size")
        )
    for match in CONTROL.finditer(source.text):
        line, column = source.place_of_char(match.start())
        name = f"U+{ord(match[0]):04X}"
        findings.append(
            Finding(line, column, f"The control character {name} is not allowed.", f"Write it as \\u{ord(match[0]):04x}.",
                    rule="control-character")
        )  # fmt: skip
    return findings


def module_findings(source: Source, root: Node, meta: Node | None) -> list[Finding]:
    """Imports and exports other than that of meta."""
    return [_at(source, node, message, hint, "module") for node, message, hint in _modules(root, meta)]


def _modules(root: Node, meta: Node | None) -> Iterator[tuple[Node, str, str]]:
    for node in tree.walk(root):
        if node.type == "import_statement":
            yield (
                node,
                "import is not available in a workflow script.",
                "Agents have tools; the script only has its hooks.",
            )
        elif node.type == "export_statement" and (meta is None or node.start_byte != meta.start_byte):
            yield node, "The only export is that of meta.", "Return the result instead of exporting it."
        elif node.type == "call_expression" and _is_import(tree.field(node, "function")):
            yield (
                node,
                "Dynamic import() is not available in a workflow script.",
                "Scripts have no files and no modules.",
            )
        elif (node.type == "member_expression" and _is_import(tree.field(node, "object"))) or (
            node.type == "meta_property" and tree.text(node).startswith("import")
        ):
            yield node, "import.meta is not available in a workflow script.", "Scripts have no files and no modules."


def _is_import(node: Node | None) -> bool:
    return node is not None and node.type == "import"


# --- portable ----------------------------------------------------------------------------------------------------


def portable_findings(source: Source, root: Node) -> list[Finding]:
    """What Claude Code would refuse: clock, chance, and our global where nothing guards it."""
    findings: list[Finding] = []
    for node in tree.walk(root):
        banned = _banned(node)
        if banned:
            hint = "It would break replay there: pass the value in through args."
            findings.append(_at(source, node, f"{banned} is not portable.", hint, "portable"))
        elif node.type == "identifier" and tree.text(node) == "counterpoint" and not _guarded(node):
            hint = "Guard it: if (typeof counterpoint !== 'undefined') { … }"
            findings.append(_at(source, node, "counterpoint is not portable.", hint, "portable"))
    return findings


def _banned(node: Node) -> str | None:
    if node.type == "call_expression":
        function = tree.field(node, "function")
        name = "".join(tree.text(function).split()) if function is not None else ""
        if name in ("Math.random", "Date.now", "performance.now", "Date"):
            return f"{name}()"
    if node.type == "new_expression":
        constructor, arguments = tree.field(node, "constructor"), tree.field(node, "arguments")
        empty = arguments is None or not tree.named(arguments)
        if constructor is not None and tree.text(constructor) == "Date" and empty:
            return "new Date() without an argument"
    return None


def _guarded(node: Node) -> bool:
    """Whether `typeof counterpoint` decides if this place is reached."""
    if node.parent is not None and node.parent.type == "unary_expression":
        return True
    inner, outer = node, node.parent
    while outer is not None:
        if outer.type in ("if_statement", "ternary_expression"):
            condition = tree.field(outer, "condition")
            if condition is not None and condition.start_byte != inner.start_byte and _asks(condition):
                return True
        elif outer.type == "binary_expression":
            left = tree.field(outer, "left")
            if left is not None and left.start_byte != inner.start_byte and _asks(left):
                return True
        elif outer.type in ("statement_block", "program") and _left_early(outer, inner):
            return True
        inner, outer = outer, outer.parent
    return False


def _asks(node: Node) -> bool:
    return bool(re.search(r"typeof\s+counterpoint\b", tree.text(node)))


def _left_early(block: Node, statement: Node) -> bool:
    """Whether an earlier statement of the block leaves it where the global is absent."""
    for earlier in block.named_children:
        if earlier.start_byte >= statement.start_byte:
            return False
        if earlier.type == "if_statement":
            condition, consequence = tree.field(earlier, "condition"), tree.field(earlier, "consequence")
            leaves = consequence is not None and re.search(r"\b(return|throw|continue|break)\b", tree.text(consequence))
            if condition is not None and _asks(condition) and leaves:
                return True
    return False


# --- TypeScript --------------------------------------------------------------------------------------------------

TYPE = r"[\w$][\w$.]*(?:<[^<>=;]*(?:<[^<>]*>[^<>]*)*>)?(?:\[\])*"
UNION = rf"{TYPE}(?:\s*[|&]\s*{TYPE})*"
LITERALS = r"'[^']*'(?:\s*\|\s*'[^']*')*"
ANNOTATION = re.compile(rf":\s*(?:{UNION}|\{{[^{{}}]*\}}(?:\[\])*|{LITERALS})")
PARAMETERS = re.compile(rf"<{TYPE}(?:\s+extends\s+{TYPE})?(?:\s*,\s*{TYPE})*>")
WORDS = {
    "interface": "interfaces are TypeScript: remove the declaration",
    "type": "type aliases are TypeScript: remove the declaration",
    "enum": "enums are TypeScript: use an object",
    "declare": "declarations are TypeScript: remove them",
    "namespace": "namespaces are TypeScript: remove them",
    "abstract": "abstract classes are TypeScript",
    "implements": "implements is TypeScript: remove it",
    "private": "access modifiers are TypeScript: remove `private`, or use #names",
    "public": "access modifiers are TypeScript: remove `public`",
    "protected": "access modifiers are TypeScript: remove `protected`",
    "readonly": "access modifiers are TypeScript: remove `readonly`",
}
BEFORE = re.compile(r"\b(interface|type|enum|declare|namespace|abstract|private|public|protected|readonly)\s+$")


def explain_syntax(source: Source, found: Finding) -> Finding:
    """The same finding with a hint, and the right token, where the text is TypeScript."""
    index = source.char_index(found.line, found.column)
    after, before = source.text[index : index + 400], source.text[max(0, index - 200) : index]
    word = re.match(r"[A-Za-z]+", after)
    if match := BEFORE.search(before):
        line, column = source.place_of_char(index - len(match[0]))
        return Finding(line, column, found.message, WORDS[match[1]] + ".")
    if after.startswith(("?:", ":")) and (match := ANNOTATION.match(after.removeprefix("?"))):
        shown = ("?" if after[0] == "?" else "") + match[0].rstrip()
        return Finding(found.line, found.column, found.message, f"type annotations are TypeScript: remove `{shown}`.")
    if word and word[0] in ("as", "satisfies"):
        cast = re.match(rf"{word[0]}\s+(?:const|{TYPE})", after)
        shown = cast[0] if cast else word[0]
        return Finding(found.line, found.column, found.message, f"type assertions are TypeScript: remove `{shown}`.")
    if word and word[0] in WORDS:
        return Finding(found.line, found.column, found.message, WORDS[word[0]] + ".")
    if after[:1] == "!" or (after[:1] in ".;,)" and before.endswith("!")):
        return Finding(found.line, found.column, found.message, "non-null assertions are TypeScript: remove `!`.")
    generic = PARAMETERS.match(after) or re.search(rf"{PARAMETERS.pattern}\($", before)
    if generic:
        shown = generic[0].rstrip("(")
        return Finding(found.line, found.column, found.message, f"type parameters are TypeScript: remove `{shown}`.")
    return found


def tree_syntax(source: Source, root: Node) -> Finding | None:
    """The first syntax error that the tree has; the engine's word counts more where there is one."""
    node = tree.first_error(root)
    if node is None:
        return None
    line, column = source.place(node.start_byte)
    token = tree.text(node).split("\n")[0][:40]
    return Finding(line, column, f"Unexpected {token!r}." if token else "The script is not complete here.")


def _at(source: Source, node: Node, message: str, hint: str, rule: str) -> Finding:
    line, column = source.place(node.start_byte)
    return Finding(line, column, message, hint, rule=rule)
