"""Claims, and those who attacked them."""

from __future__ import annotations

from rich.text import Text

from counterpoint import attention
from counterpoint.text import one_line
from counterpoint.tui.layout import clip
from counterpoint.tui.scene import DIM, Scene

VOTES = {
    "refuted": ("✗", "bold red"), "stands": ("✓", "green"), "dead": ("·", DIM), "open": ("▶", "bright_blue"),
    "unknown": ("?", "yellow"),
}  # fmt: skip


def verdict_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """Claims and those who attacked them, the disputed ones first."""
    found = sorted(attention.claims(scene.view), key=lambda claim: not claim.disputed)
    lines: list[Text] = []
    for claim in found:
        line = Text(" ± " if claim.disputed else "   ", "bold yellow")
        for vote in claim.votes.values():
            sign, style = VOTES[vote]
            line.append(sign, style)
        lines.append(line.append(f"  {one_line(claim.text, max(10, width - 16))}"))
    lines = lines[max(0, scene.offset) :]
    return clip(lines, height, "claims") or [Text(" no claim has been attacked", DIM)]
