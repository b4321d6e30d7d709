"""Phases, and what needs attention."""

from __future__ import annotations

from rich.text import Text

from counterpoint import attention
from counterpoint.attention import Need
from counterpoint.text import count, duration
from counterpoint.tui.layout import cell, clip, stacked
from counterpoint.tui.scene import DIM, NEEDS, Scene


def phases(scene: Scene, width: int, height: int) -> list[Text]:
    """A line a phase: bar, counts, what it took."""
    lines: list[Text] = []
    for n, (title, agents) in enumerate(scene.groups(), 1):
        counts: dict[str, int] = {}
        for agent in agents:
            state = scene.state(agent)
            counts[state] = counts.get(state, 0) + 1
        good = sum(agent.good for agent in agents)
        line = Text(f" {n} {cell(title, 14)} ")
        line.append_text(stacked(counts, max(4, min(24, width - 58)))) if width >= 66 else None
        line.append(f" {f'{good}/{len(agents)}' if agents else '·':>8}")
        began = [agent.started_at for agent in agents if agent.started_at is not None]
        if began:
            at_work = any(scene.view.state(agent) == "running" for agent in agents)
            ended = scene.now if at_work else max(agent.finished_at or agent.last_at for agent in agents)
            tokens = sum(agent.usage.output_tokens for agent in agents)
            line.append(f" {duration(ended - min(began)):>7} {count(tokens):>6} tok", DIM)
        working = counts.get("model", 0) + counts.get("tool", 0) + counts.get("held", 0)
        bad = sum(agent.outcome is not None and not agent.good for agent in agents)
        line.append(f" {working} at work" if working else "", "bright_blue").append(
            f" {bad} not ok" if bad else "", "red"
        )
        lines.append(line)
    return clip(lines, height, "phases") or [Text(" no phases yet", DIM)]


def needs(scene: Scene, width: int, height: int) -> list[Text]:
    """What needs a person, most urgent first."""
    found = attention.needs(scene.view, scene.now)
    if not found:
        return [Text(" ✓ nothing needs you", "green")]
    return clip([_need(need, scene, width) for need in found], height, "troubles")


def _need(need: Need, scene: Scene, width: int) -> Text:
    style = "bold yellow" if need.kind in ("gate", "conflict", "held", "budget", "slow") else "bold red"
    line = attention.line(need, scene.now, width - 4)
    return Text.assemble((f" {NEEDS[need.kind]} ", style), (line, "bold" if need.kind == "gate" else ""))
