"""A script's text becomes a `Script`, or is refused with everything that is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import Finding, ScriptRefused, UsageError
from counterpoint.script import refuse, tree
from counterpoint.script.meta import Meta, meta_statement, read_meta
from counterpoint.script.source import Source


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


class Verdict:
    """The engine's last word on a script's syntax: nothing wrong, or one finding."""

    def __init__(self, finding: Finding | None) -> None:
        self.finding = finding


def parse(text: str, path: str, *, portable: bool = False, verdict: Verdict | None = None) -> Script:
    """Makes a script of its text. Raises ScriptRefused with all findings.

    Without the engine's `verdict` the tree alone is asked, which is stricter than the language in rare corners.
    """
    meta, findings = examine(text, portable=portable, verdict=verdict)
    if findings or meta is None:
        raise ScriptRefused(path, text, findings)
    return Script(path, text, meta)


def examine(text: str, *, portable: bool = False, verdict: Verdict | None = None) -> tuple[Meta | None, list[Finding]]:
    """The meta of a text, and all that forbids it to run, in the order of the text."""
    source = Source(text)
    findings = refuse.text_findings(source)
    if any(finding.rule == "size" for finding in findings):
        return None, findings
    root = tree.parse_tree(source)
    meta, wrong = read_meta(source, root)
    module = refuse.module_findings(source, root, meta_statement(root))
    syntax = verdict.finding if verdict is not None else refuse.tree_syntax(source, root)
    if syntax is not None and not _same_place(syntax, module) and not findings:
        findings.append(refuse.explain_syntax(source, syntax))
        wrong = wrong if meta_statement(root) is not None or not root.has_error else []
    findings += wrong + module
    if portable:
        findings += refuse.portable_findings(source, root)
    return meta, sorted(findings, key=lambda finding: (finding.line, finding.column))


def _same_place(syntax: Finding, others: list[Finding]) -> bool:
    """An import is a syntax error to the engine too: it is told once, by the better message."""
    return any(syntax.line == other.line for other in others)


def read(path: Path) -> str:
    """A script's text from a file. Raises UsageError saying what is wrong with the file."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a script.", hint="Name a .js file in it.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", hint="See saved workflows: counterpoint workflows list") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no text: byte {error.start} is not UTF-8.", hint="A workflow is a JavaScript file in UTF-8."
        ) from error
