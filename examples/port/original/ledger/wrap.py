"""Text in lines of a width."""

from __future__ import annotations


def wrap(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` signs; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
