"""Lint: what is doubtful in a script that may be run."""

from __future__ import annotations

import re

from counterpoint.errors import Finding
from counterpoint.script import loops, phases, promises, schemas, usage
from counterpoint.script.code import Code
from counterpoint.script.hooks import calls
from counterpoint.script.meta import Meta
from counterpoint.script.source import Source

HIDING = re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""U+202A to U+202E and U+2066 to U+2069, which turn the direction of what follows."""


def doubts(text: str, meta: Meta | None) -> list[Finding]:
    """All warnings about a text that is JavaScript, in the order of the text."""
    code = Code.of(text)
    made = calls(code)
    found = [
        *_hidden(code.source),
        *usage.doubts(code, made),
        *promises.doubts(code, made),
        *loops.doubts(code, made),
        *phases.doubts(code, made, meta),
        *schemas.doubts(code, made),
    ]
    return sorted(found, key=lambda finding: (finding.line, finding.column))


def _hidden(source: Source) -> list[Finding]:
    """Characters that make a text read differently from what it does."""
    found: list[Finding] = []
    for match in HIDING.finditer(source.encoded):
        code = ord(match[0].decode())
        line, column = source.place(match.start())
        message = f"The character U+{code:04X} changes the order in which this is shown."
        found.append(Finding(line, column, message, f"Write it as \\u{code:04x}.", "warning", "hidden-text"))
    return found
