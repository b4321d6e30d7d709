"""A finding as people read it: where, what, the line with a caret, and what to do."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

from counterpoint.errors import Finding
from counterpoint.script.source import Source

WINDOW = 100
"""Characters of a long line that are shown around the caret."""


class Shown(NamedTuple):
    """A finding's lines: ``place: message`` is the first; `hint` may be empty."""

    place: str
    message: str
    excerpt: str
    caret: str
    hint: str


def render(finding: Finding, text: str, path: str) -> Shown:
    """``path:line:column``, the message, the source line, a caret, and the hint where there is one."""
    place = f"{path}:{finding.line}:{finding.column}"
    word = "" if finding.severity == "error" else f"{finding.severity}: "
    source = _source(text)
    line = source.line(finding.line)
    begin = source.offset(finding.line, 1)
    before = source.encoded[begin : source.offset(finding.line, finding.column)].decode("utf-8", "replace")
    excerpt, caret = _excerpt(line, len(before))
    return Shown(place, word + finding.message, excerpt, caret, f"hint: {finding.hint}" if finding.hint else "")


@lru_cache(maxsize=4)
def _source(text: str) -> Source:
    return Source(text)


def _excerpt(line: str, at: int) -> tuple[str, str]:
    start = max(0, at - WINDOW // 2) if len(line) > WINDOW else 0
    shown = line[start : start + WINDOW]
    before, after = ("…" if start else ""), ("…" if start + WINDOW < len(line) else "")
    lead = before + "".join(_visible(c) for c in shown[: at - start])
    blank = "".join("\t" if c == "\t" else " " * _width(c) for c in lead)
    return f"  {before}{''.join(_visible(c) for c in shown)}{after}", f"  {blank}^"


def _visible(character: str) -> str:
    """The character, or an escape for one that would act on the terminal or hide text."""
    if character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}"


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
