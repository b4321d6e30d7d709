"""A finding as people read it: where, what, the line with a caret, and what to do."""

from __future__ import annotations

import unicodedata

from counterpoint.errors import Finding
from counterpoint.script.source import Source

WINDOW = 100
"""Characters of a long line that are shown around the caret."""


def render(finding: Finding, text: str, path: str) -> str:
    """``path:line:column: message``, the source line, a caret, and the hint where there is one."""
    word = "" if finding.severity == "error" else f"{finding.severity}: "
    lines = [f"{path}:{finding.line}:{finding.column}: {word}{finding.message}"]
    source = Source(text)
    index = source.char_index(finding.line, finding.column)
    line = source.line(finding.line) if finding.line <= text.count("\n") + 1 else ""
    lines += _excerpt(line, index - source.char_index(finding.line, 1))
    if finding.hint:
        lines.append(f"hint: {finding.hint}")
    return "\n".join(lines)


def _excerpt(line: str, at: int) -> list[str]:
    start = max(0, at - WINDOW // 2) if len(line) > WINDOW else 0
    shown = line[start : start + WINDOW]
    before, after = ("…" if start else ""), ("…" if start + WINDOW < len(line) else "")
    lead = before + "".join(_visible(c) for c in shown[: at - start])
    blank = "".join("\t" if c == "\t" else " " * _width(c) for c in lead)
    return [f"  {before}{''.join(_visible(c) for c in shown)}{after}", f"  {blank}^"]


def _visible(character: str) -> str:
    """The character, or an escape for one that would act on the terminal or hide text."""
    if character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}"


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
