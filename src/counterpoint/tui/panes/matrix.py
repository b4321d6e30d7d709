"""One cell an agent."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from rich.text import Text

from counterpoint.tui.layout import cell
from counterpoint.tui.scene import CHOSEN, DIM, MARKED, STYLES, Scene, grid


def matrix(scene: Scene, width: int, height: int) -> list[Text]:
    """One cell an agent, by phase; the cursor stands on one."""
    lines: list[Text] = []
    at = 0
    for title, agents in grid(scene, width):
        line = Text(f" {cell(title, 11)} ", DIM)
        for agent in agents:
            state = scene.state(agent)
            kept = scene.match(agent) and agent.called
            if agent.id == scene.chosen:
                at = len(lines)
            look = _cell_style(STYLES[state] if kept else "dim", agent.id, agent.id == scene.chosen)
            line.append(scene.signs(state), look + MARKED if agent.id in scene.marked else look)
        lines.append(line)
    if len(lines) > height:
        first = max(0, min(at - height // 2, len(lines) - height))
        lines = lines[first : first + height]
    return lines or [Text(" no agents yet", DIM)]


@lru_cache(maxsize=16_384)
def _cell_style(style: str, agent: str, chosen: bool) -> Style:
    """How a cell looks, and whose it is (for a click); there are few, and each is wanted ten times a second."""
    return Style.parse(style) + Style(meta={"agent": agent}) + (CHOSEN if chosen else Style())
