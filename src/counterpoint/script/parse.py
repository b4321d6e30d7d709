"""A script's text becomes a `Script`, or is refused with everything that is wrong with it."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import Finding, ScriptFault, ScriptRefused, UsageError
from counterpoint.script import refuse, syntax, tree, typescript
from counterpoint.script.meta import Meta, meta_statement, read_meta
from counterpoint.script.portable import portable_findings
from counterpoint.script.source import Source

MAX_BYTES = 4 * refuse.MAX_UNITS
"""Of a file: more cannot be a script, for a UTF-16 unit has at most three bytes of UTF-8."""
MAX_ERRORS = 50
"""Syntax errors that are looked for in one text, fewer in a long one."""
LEAST_ERRORS = 4
PATIENCE = 2_000_000
"""Characters that are looked at again for them."""

Asks = Generator[str, ScriptFault | None, None]
"""Asks an engine whether texts are the body of a function, and is sent what it has against each."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that may be run."""

    path: str
    """As users know it: a path, or ``bundled:name``."""
    source: str
    meta: Meta

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()


class Examination:
    """What a text says of itself, and all that forbids it to run. Complete when `questions` has ended.

    What was found is taken out of the next question, so that one mistake does not hide another.
    """

    def __init__(self, text: str, *, portable: bool = False) -> None:
        self.text = text
        self.meta: Meta | None = None
        self.clean: str | None = None
        """The text, where at most exports, imports and types had to go to make it JavaScript; None for other errors."""
        self._portable = portable
        self._findings: list[Finding] = []

    @property
    def findings(self) -> list[Finding]:
        """All errors, in the order of the text."""
        return sorted(self._findings, key=lambda finding: (finding.line, finding.column))

    def questions(self) -> Asks:
        """Looks at everything; the engine has the last word on syntax."""
        given = Source(self.text)
        size = refuse.size_finding(given)
        if size is not None:
            self._findings.append(size)
            return
        controls, spans = refuse.controls(given)
        self._findings += controls
        given = given.without(spans)
        root = tree.parse_tree(given)
        names = refuse.imported(root)
        source = self._without(given, refuse.module_parts(given, root, meta_statement(root)))
        fault = yield source.text
        if fault is not None and (parts := typescript.parts_of_broken(source, tree.parse_tree(source))):
            source = self._without(source, parts)
            fault = yield source.text
        parsed = syntax.Parsed(source)
        stray = syntax.stray_bracket(parsed) if fault is None else None
        if stray is not None:
            self._findings.append(stray)
        elif fault is not None:
            yield from self._syntax(parsed, fault)
        else:
            self.clean = source.text + (f"\nvar {', '.join(names)}" if names else "")
        self._meta(parsed)
        if self._portable:
            self._findings += portable_findings(source, parsed.root)

    def _without(self, source: Source, parts: list[refuse.Part]) -> Source:
        self._findings += [finding for finding, _ in parts]
        return source.without(span for _, span in parts)

    def _syntax(self, parsed: syntax.Parsed, fault: ScriptFault | None) -> Asks:
        """Finds one syntax error after the other: the statement of each is taken out before the next question."""
        last = -1
        for _ in range(min(MAX_ERRORS, max(LEAST_ERRORS, PATIENCE // len(self.text)))):
            if fault is None:
                return
            found = yield from _located(parsed, fault)
            offset = parsed.source.offset(found.line, found.column)
            if offset <= last:
                return  # not behind what was taken out, so perhaps of our making
            self._findings.append(found)
            span = syntax.broken_statement(parsed, offset)
            if span is None:
                return
            last = max(offset, span[1])
            parsed = syntax.Parsed(parsed.source.without([span]))
            fault = yield parsed.source.text

    def _meta(self, parsed: syntax.Parsed) -> None:
        self.meta, wrong = read_meta(parsed.source, parsed.root)
        misplaced = any(finding.rule == "meta" for finding in self._findings)
        broken = self.clean is None and META.search(parsed.source.text)
        if meta_statement(parsed.root) is not None or not (misplaced or broken):
            self._findings += wrong


META = re.compile(r"\bexport\s+const\s+meta\b")
"""Where this is somewhere and still no statement, the syntax error has it."""


def _located(parsed: syntax.Parsed, fault: ScriptFault) -> Generator[str, ScriptFault | None, Finding]:
    """The finding of a fault."""
    if fault.name != "SyntaxError":
        return syntax.too_deep(parsed)
    if fault.line is None or fault.column is None:
        return (yield from _regex(parsed)) or Finding(1, 1, syntax.sentence(fault))
    source = parsed.source
    place = source.place(source.offset(fault.line, fault.column))  # not behind the end of the line
    return syntax.explained(parsed, Finding(*place, syntax.sentence(fault)))


def _regex(parsed: syntax.Parsed) -> Generator[str, ScriptFault | None, Finding | None]:
    """The first regular expression that is wrong: the engine says that there is one, and not where."""
    nodes = syntax.regexes(parsed)
    low, high, fault = 0, len(nodes), None
    while low < high:
        middle = (low + high) // 2
        wrong = yield f"[{', '.join(map(tree.text, nodes[low : middle + 1]))}]"
        low, high, fault = (low, middle, wrong) if wrong is not None else (middle + 1, high, fault)
    if fault is None:
        return None
    return Finding(*parsed.source.place(nodes[low].start_byte), f"The regular expression is wrong: {fault.message}.")


Ask = Callable[[str], ScriptFault | None]


def trust(_: str) -> None:
    """For texts whose syntax is judged elsewhere."""


def examine(text: str, *, portable: bool = False, ask: Ask = syntax.tree_says) -> Examination:
    """Examines a text. Without an engine to `ask`, the tree alone is, which is stricter in rare corners."""
    examination = Examination(text, portable=portable)
    questions = examination.questions()
    fault: ScriptFault | None = None
    try:
        while True:
            fault = ask(questions.send(fault))
    except StopIteration:
        return examination


def parse(text: str, path: str, *, portable: bool = False, ask: Ask = syntax.tree_says) -> Script:
    """Makes a script of its text. Raises ScriptRefused with all findings."""
    return accept(examine(text, portable=portable, ask=ask), path)


def accept(examination: Examination, path: str) -> Script:
    """The script that was examined. Raises ScriptRefused with all findings."""
    if examination.findings or examination.meta is None:
        raise ScriptRefused(path, examination.text, examination.findings)
    return Script(path, examination.text, examination.meta)


def read(path: Path) -> str:
    """A script's text from a file. Raises UsageError where there is none, ScriptRefused where it is no text."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a script.", hint="Name a .js file in it.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", hint="See saved workflows: counterpoint workflows list") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    return _decoded(data, path)


def _decoded(data: bytes, path: Path) -> str:
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.end >= MAX_BYTES - 3:  # cut in the middle of a character, far behind what a script may have
            return data[: error.start].decode()
        before = Source(data[: error.start].decode())
        message = f"This is no text: the byte 0x{data[error.start]:02x} is not UTF-8."
        found = Finding(*before.end, message, "A workflow is a JavaScript file in UTF-8.", rule="encoding")
        raise ScriptRefused(str(path), data.decode(errors="replace"), [found]) from error
