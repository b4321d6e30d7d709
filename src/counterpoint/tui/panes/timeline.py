"""A lane an agent: what the time went into."""

from __future__ import annotations

from rich.text import Text

from counterpoint.text import duration
from counterpoint.timeline import Lane
from counterpoint.tui.layout import cell
from counterpoint.tui.scene import CHOSEN, DIM, STYLES, Scene, agents_in_order


def timeline_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """Lanes of the agents, the whole run across the screen."""
    begin, end = scene.timeline.begin or 0.0, max(scene.now, scene.timeline.end)
    room = max(10, width - 24)
    step = max(1e-9, (end - begin) / room)
    agents = agents_in_order(scene)
    at = next((n for n, agent in enumerate(agents) if agent.id == scene.chosen), 0)
    first = max(0, min(at - height // 2, len(agents) - height + 1))
    lines = [Text(f"{'':22}+0s{'':{max(0, room - 12)}}+{duration(end - begin):>7}", DIM)]
    for agent in agents[first : first + height - 1]:
        state = scene.state(agent)
        line = Text(f"{'+' if agent.id in scene.marked else ' '}{scene.signs(state)} ", STYLES[state])
        line.append(cell(agent.label or agent.id, 18) + " ", CHOSEN if agent.id == scene.chosen else "")
        line.append_text(_lane(scene.timeline.lanes.get(agent.id), scene, begin, step, room))
        lines.append(line)
    return lines


def _lane(lane: Lane | None, scene: Scene, begin: float, step: float, room: int) -> Text:
    cells = [" "] * room
    styles = [""] * room
    signs = {"queued": "·", "limited": "░", "model": "█", "tool": "▓"}
    for each in lane.shown(scene.now) if lane else ():
        start, stop = int((each.start - begin) / step), int((each.end - begin) / step)
        for n in range(max(0, start), min(room, max(stop, start + 1))):
            cells[n], styles[n] = signs[each.kind], STYLES["held" if each.kind == "limited" else each.kind]
    text = Text()
    for sign, style in zip(cells, styles, strict=True):
        text.append(sign, style)
    return text
