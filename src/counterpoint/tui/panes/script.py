"""The script, with the lines that are at work."""

from __future__ import annotations

from rich.cells import set_cell_size
from rich.text import Text

from counterpoint.text import one_line
from counterpoint.tui.scene import DIM, Scene
from counterpoint.view import AgentView


def script_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The script, around the lines that are at work."""
    facts: dict[int, list[AgentView]] = {}
    for agent in scene.view.own():
        if agent.line is not None and agent.workflow is None:
            facts.setdefault(agent.line, []).append(agent)
    working = [line for line, agents in facts.items() if any(scene.view.state(agent) == "running" for agent in agents)]
    middle = min(working, default=min(facts, default=1))
    first = max(0, min(middle - height // 3 + scene.offset, len(scene.source) - height))
    lines: list[Text] = []
    for n, source in enumerate(scene.source[first : first + height], first + 1):
        at_work = n in working
        note = _script_note(facts.get(n, []), scene)
        text = one_line(source.replace("\t", "  ").rstrip(), 400) if not source[:1].isspace() else _indented(source)
        line = Text(f"{'▶' if at_work else ' '}{n:>4} ", "bold bright_blue" if at_work else DIM)
        line.append(set_cell_size(text, max(4, width - 7 - (len(note) + 1 if note else 0))), "bold" if at_work else "")
        lines.append(line.append(f" {note}" if note else "", "bright_blue"))
    return lines or [Text(" …", DIM)]


def _indented(source: str) -> str:
    body = source.expandtabs(2)
    return " " * (len(body) - len(body.lstrip())) + one_line(body.strip(), 400)


def _script_note(agents: list[AgentView], scene: Scene) -> str:
    if not agents:
        return ""
    counts = {"▶": 0, "·": 0, "✓": 0, "✗": 0}
    for agent in agents:
        running = {"running": "▶", "queued": "·"}.get(scene.view.state(agent))
        counts[running or ("✓" if agent.good else "✗")] += 1
    return scene.signs.ascii(" ".join(f"{sign}{n}" for sign, n in counts.items() if n))
