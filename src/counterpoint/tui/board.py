"""The screen as lines: whoever paints gives all of them, and only those that changed go to the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import get_console
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Board(Widget, can_focus=True):
    """A widget that shows lines. `repaints` counts the times that something changed."""

    DEFAULT_CSS = "Board { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Text] = []
        self._strips: dict[int, Strip] = {}
        self.repaints = 0

    @property
    def plain(self) -> str:
        """What stands on it, without styles."""
        return "\n".join(line.plain.rstrip() for line in self._lines)

    def show(self, lines: Sequence[Text]) -> None:
        old, self._lines = self._lines, list(lines)
        changed = [n for n, line in enumerate(lines) if n >= len(old) or old[n] != line]
        if len(old) != len(lines):
            changed = list(range(max(len(old), len(lines))))
        if not changed:
            return
        self.repaints += 1
        for n in changed:
            self._strips.pop(n, None)
        self.refresh(*(Region(0, n, self.size.width, 1) for n in changed))

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            if y >= len(self._lines):
                return Strip.blank(self.size.width)
            strip = self._strips[y] = Strip(list(self._lines[y].render(get_console())))
        return strip.adjust_cell_length(self.size.width)
