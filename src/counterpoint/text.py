"""Words, numbers and times as every face shows them.

Text of scripts, models and files is hostile: whatever could act on a terminal is shown as an escape.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

NOTES_TAG = "memory-notes"
"""The mark around notes from earlier sessions, behind an agent's task."""
ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def safe(text: str) -> str:
    """The text on one or more lines, with control characters, ANSI sequences and bidi overrides made visible."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ACTING else _escape(c) for c in text)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON in which nothing can act on a terminal either: what `safe` would show as an escape is one of JSON's."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    acting = {c for c in set(text) if c != "\n" and unicodedata.category(c) in ACTING}
    return text.translate({ord(c): json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f" for c in acting})


def task_alone(prompt: str) -> str:
    """What an agent reads first, without the notes behind its task."""
    return prompt.partition(f"\n\n<{NOTES_TAG} id=")[0]


def one_line(text: str, width: int = 100) -> str:
    """The beginning of a text on one line."""
    line = " ".join(safe(text[: width * 4]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def at_commas(text: str) -> list[str]:
    """Parts between commas that stand in no parentheses: ``Edit(src/**), Bash(git add a,b)``; none is empty."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def count(number: float) -> str:
    """A number of tokens as people say it: 950, 12.3k, 1.9M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return f"{number:.0f}"


def money(usd: float | None) -> str:
    """A cost; unknown is said."""
    if usd is None:
        return "cost unknown"
    return f"${usd:.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"


def duration(seconds: float) -> str:
    """12.3s, 4m05s, 2h10m."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
