"""Lines of text, as screens are made of.

Every text of others goes through `safe`, and into `Text` objects, never into markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.text import Text

from counterpoint import attention
from counterpoint.text import one_line, safe
from counterpoint.tui.scene import DIM, Scene


def bar(part: float, width: int) -> Text:
    full = round(max(0.0, min(1.0, part)) * width)
    return Text.assemble(
        ("█" * full, "red" if part >= attention.NEARLY else "bright_blue"), ("░" * (width - full), DIM)
    )


def stacked(counts: dict[str, int], width: int) -> Text:
    """A bar of states: green what is well, red what is not, blue at work, grey to come."""
    groups = (
        ("green", ("ok", "reused")), ("red", ("failed", "invalid", "limited", "timed_out", "stalled")),
        ("yellow", ("held", "interrupted")),
        ("bright_blue", ("model", "tool")), (DIM, ("queued", "skipped", "cancelled")),
    )  # fmt: skip
    total = sum(counts.values())
    text = Text()
    left = width
    for style, states in groups:
        n = sum(counts.get(state, 0) for state in states)
        cells = min(left, max(1, round(n * width / total))) if n and total else 0
        text.append(("░" if style == DIM else "█") * cells, style)
        left -= cells
    return text.append(" " * left)


def rule(title: str, width: int, second: str = "", at: int = 0) -> Text:
    line = f"─ {title} " if title else ""
    if second:
        line = set_cell_size(line + "─" * at, at) + f"┬─ {second} "
    return Text(line + "─" * max(0, width - cell_len(line)), DIM)


def beside(left: Sequence[Text], right: Sequence[Text], at: int, height: int) -> list[Text]:
    """Two columns with a line between them."""
    rows: list[Text] = []
    for n in range(height):
        line = Text()  # with no style of its own, which what is appended would take on
        if n < len(left):
            line.append_text(left[n])
        line.truncate(at, pad=True)
        line.append("│", DIM)
        if n < len(right):
            line.append_text(right[n])
        rows.append(line)
    return rows


def wrapped(text: str, width: int) -> list[str]:
    """A text on lines of at most `width` cells."""
    return [part for line in safe(text).split("\n") for part in chop_cells(line.expandtabs(4), max(4, width)) or [""]]


def padded(lines: list[Text], height: int) -> list[Text]:
    """Exactly so many lines."""
    return [*lines[:height], *(Text() for _ in range(height - len(lines)))]


def cell(text: str, width: int) -> str:
    """A text that takes exactly so many cells."""
    line = one_line(text, width) if cell_len(text) <= width else one_line(text, width * 2)
    return set_cell_size(line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…", width)


def clip(lines: list[Text], height: int, what: str) -> list[Text]:
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], Text(f"   and {len(lines) - height + 1} more {what}", DIM)]


def fit(lines: Sequence[Text], scene: Scene) -> list[Text]:
    """The lines, each exactly as wide as the screen."""
    for line in lines:
        line.truncate(scene.width, pad=True)
        if scene.signs.plain:
            line.plain = scene.signs.ascii(line.plain)
    return list(lines)
