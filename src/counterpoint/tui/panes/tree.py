"""Who called whom: phases, nested workflows, fan-outs. The fan-out of the agent under the cursor is open."""

from __future__ import annotations

from rich.text import Text

from counterpoint.outline import Row, outline
from counterpoint.text import count, duration, money
from counterpoint.tui.layout import cell
from counterpoint.tui.panes.head import tally
from counterpoint.tui.scene import CHOSEN, DIM, MARKED, STYLES, Scene

INDENT = 2


def tree_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The rows around the cursor; fan-outs are one row each, but for the one that the cursor is in."""
    rows = _in_sight(scene)
    at = next((n for n, row in enumerate(rows) if row.kind == "agent" and row.agents[0].id == scene.chosen), 0)
    first = max(0, min(at - height // 2, len(rows) - height))
    return [_line(row, scene, width) for row in rows[first : first + height]] or [Text(" nothing was called yet", DIM)]


def _in_sight(scene: Scene) -> list[Row]:
    found: list[Row] = []
    folded: Row | None = None
    for row in outline(scene.view):
        if folded is not None and row.depth > folded.depth:
            continue
        folded = row if row.kind == "fan" and not _is_open(row, scene) else None
        found.append(row)
    return found


def _is_open(row: Row, scene: Scene) -> bool:
    return any(agent.id == scene.chosen for agent in row.agents)


def _line(row: Row, scene: Scene, width: int) -> Text:
    indent = " " * (1 + INDENT * row.depth)
    if row.kind == "agent":
        return _agent(row, scene, width, indent)
    fold = {"phase": "", "workflow": "workflow ", "fan": "- " if _is_open(row, scene) else "+ "}[row.kind]
    times = f" ×{len(row.agents)}" if row.kind == "fan" else ""
    where = f"  line {row.line}" if row.line and row.kind == "fan" and not row.title.startswith("line ") else ""
    name = cell(f"{fold}{row.title}", min(40, max(8, width - len(indent) - 24)) - len(times)).rstrip()
    line = Text.assemble(indent, (name, "bold" if row.kind == "phase" else ""), times, "  ")
    line.append_text(tally(scene, row.agents))
    tokens = sum(agent.usage.output_tokens for agent in row.agents)
    return line.append(f" {count(tokens)} tok{where}" if row.agents else "·", DIM)


def _agent(row: Row, scene: Scene, width: int, indent: str) -> Text:
    (agent,) = row.agents
    state = scene.state(agent)
    since = agent.seconds if agent.state == "finished" else scene.now - (agent.started_at or scene.now)
    facts = f" {duration(since):>7} {count(agent.usage.output_tokens):>6} tok {money(agent.usage.usd)}"
    style = CHOSEN if agent.id == scene.chosen else MARKED if agent.id in scene.marked else ""
    name = cell(row.title, max(8, min(60, width - len(indent) - len(facts) - 3)))
    line = Text.assemble(indent, (scene.signs(state), STYLES[state]), " ", (name, style), (facts, DIM))
    if not scene.match(agent):
        line.stylize("dim")
    return line
