"""Items and amounts in two columns."""

from __future__ import annotations

from ledger.money import show
from ledger.wrap import wrap


def table(rows: list[tuple[str, int]], width: int) -> list[str]:
    """A line or more for each row: its text wrapped at the left, its amount at the right of the last line."""
    amounts = [show(cents) for _, cents in rows]
    right = max(map(len, amounts), default=0)
    lines: list[str] = []
    for (text, _), amount in zip(rows, amounts, strict=True):
        wrapped = wrap(text, width) or [""]
        lines += [line.rstrip() for line in wrapped[:-1]]
        lines.append(f"{wrapped[-1]:<{width}} {amount:>{right}}")
    return lines
