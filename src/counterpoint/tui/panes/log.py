"""The narration of the run."""

from __future__ import annotations

from rich.text import Text

from counterpoint.tui.layout import wrapped
from counterpoint.tui.scene import DIM, Scene


def log_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The end of the narration."""
    styles = {"warning": "yellow", "error": "red"}
    lines: list[Text] = []
    for line in scene.view.log[-(height + scene.offset) :]:
        lines += [Text(f" {part}", styles.get(line.level, "")) for part in wrapped(line.text[:4000], width - 2)[:20]]
    end = len(lines) - scene.offset
    return lines[max(0, end - height) : max(0, end)] or [Text(" the script has written nothing", DIM)]
