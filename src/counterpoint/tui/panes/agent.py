"""The agent under the cursor, in a few lines."""

from __future__ import annotations

from rich.text import Text

from counterpoint.text import count, duration, money, one_line
from counterpoint.timeline import Lane
from counterpoint.tui.layout import wrapped
from counterpoint.tui.scene import DIM, STYLES, Scene


def agent_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The agent under the cursor, in a few lines; Enter shows all of it."""
    agent = scene.view.agents.get(scene.chosen or "")
    if agent is None:
        return [Text(" arrows choose an agent, Enter opens it", DIM)]
    state = scene.state(agent)
    since = agent.seconds if agent.state == "finished" else scene.now - (agent.started_at or scene.now)
    name = one_line(agent.label or agent.id, width - 4)
    facts = [
        agent.id, state.replace("_", " "), one_line(agent.answered_by or agent.model, 30), duration(since),
        f"{agent.turns} turns", f"{agent.tools} tools", f"{count(agent.usage.output_tokens)} tok",
        money(agent.usage.usd),
    ]  # fmt: skip
    lines = [
        Text.assemble((f" {scene.signs(state)} ", STYLES[state]), (name, "bold")),
        Text(f"   {'  '.join(facts)}", DIM),
    ]
    if agent.doing and agent.state == "running":
        lines.append(Text(f"   {one_line(agent.doing, width - 4)}", "magenta"))
    if agent.fault is not None:
        lines += [
            Text(f"   {part}", "red") for part in wrapped(f"{agent.fault.name}: {agent.fault.message}", width - 4)[:4]
        ]
    lane = scene.timeline.lanes.get(agent.id)
    if lane is not None:
        lines += [Text(f"   {line}") for line in _recent(lane, scene, max(0, height - len(lines)))]
    return lines[:height]


def _recent(lane: Lane, scene: Scene, height: int) -> list[str]:
    """What the agent did last, newest first."""
    begin = scene.timeline.begin or 0.0
    bars = lane.shown(scene.now)[::-1][: max(0, height)]
    return [
        f"+{duration(bar.start - begin):>6}  {scene.signs(bar.kind)} {bar.kind:8} {duration(bar.end - bar.start):>7}"
        f"  {one_line(bar.label, 60)}"
        for bar in bars
    ]
