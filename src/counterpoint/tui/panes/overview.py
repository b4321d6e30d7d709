"""Phases, and what needs attention."""

from __future__ import annotations

import textwrap

from rich.cells import set_cell_size
from rich.text import Text

from counterpoint import attention
from counterpoint.attention import Need
from counterpoint.text import count, duration, one_line
from counterpoint.tui.layout import cell, clip, stacked, wrapped
from counterpoint.tui.scene import DIM, NEEDS, Scene

MOST_SAID = 1000
"""Characters of a trouble that are shown at most."""


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


def needs(scene: Scene, width: int, height: int, *, spare: int = 0) -> list[Text]:
    """What needs a person, most urgent first; in full, where that leaves `spare` lines."""
    found = attention.needs(scene.view, scene.now)
    if not found:
        return [Text(" ✓ nothing needs you", "green")]
    lines: list[Text] = []
    for n, need in enumerate(found):
        lines += _need(need, scene, width, height - spare - len(lines) - (len(found) - n - 1))
    return clip(lines, height, "troubles")


def _need(need: Need, scene: Scene, width: int, most: int) -> list[Text]:
    """A trouble, with how long it has lasted: in full where that takes at most so many lines, else cut."""
    style = "bold yellow" if need.kind in ("gate", "conflict", "held", "budget", "slow") else "bold red"
    body = "bold" if need.kind == "gate" else ""
    lasted = _lasted(need, scene)
    room = max(8, width - (12 if lasted else 4))
    words = textwrap.wrap(one_line(need.text, MOST_SAID), room, break_on_hyphens=False)
    parts = [part for line in words for part in wrapped(line, room)] or [""]
    if len(parts) > max(1, most):
        parts = [cell(one_line(need.text, MOST_SAID), room)]
    first = Text.assemble((f" {NEEDS[need.kind]} ", style), (set_cell_size(parts[0], room), body))
    return [first.append(f" {lasted:>7}" if lasted else ""), *(Text(f"   {part}", body) for part in parts[1:])]


def _lasted(need: Need, scene: Scene) -> str:
    """How long it has lasted: by the clock where the run is at rest, and where it is over nothing."""
    if scene.moves:
        return duration(abs(scene.now - need.since))
    return duration(abs(scene.clock - need.since)) if need.kind in attention.LASTING and scene.clock else ""
