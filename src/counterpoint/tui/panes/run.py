"""The screen of a run, put together from its parts."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from counterpoint.tui.layout import beside, fit, padded, rule
from counterpoint.tui.panes.agent import agent_lines
from counterpoint.tui.panes.head import footer, header
from counterpoint.tui.panes.log import log_lines
from counterpoint.tui.panes.matrix import matrix
from counterpoint.tui.panes.overview import needs, phases
from counterpoint.tui.panes.script import script_lines
from counterpoint.tui.scene import CHOSEN, DIM, PANES, Scene, grid

Pane = Callable[[Scene, int, int], list[Text]]
"""Gives at most `height` lines of `width` cells: ``pane(scene, width, height)``."""

LEAST_MATRIX = 3
"""Lines below which the overview has no cells of agents."""


def run_screen(scene: Scene) -> list[Text]:
    """The whole screen, exactly `height` lines."""
    lines = header(scene)
    body = max(1, scene.height - len(lines) - 1)
    lines += _wide(scene, body) if scene.width >= 100 else _narrow(scene, body)
    lines = [*lines[: scene.height - 1], footer(scene)]
    return fit(lines, scene)


def full_screen(scene: Scene, body: Pane, title: str) -> list[Text]:
    """Header, one pane, footer."""
    room = scene.height - 4
    lines = [*header(scene), rule(title, scene.width), *padded(body(scene, scene.width, room), room), footer(scene)]
    return fit(lines, scene)


def _wide(scene: Scene, height: int) -> list[Text]:
    width = scene.width
    at = max(60, width * 6 // 10)
    top = max(2, min(max(len(scene.view.phases), 4), height // 3, 9))
    cells = len(grid(scene, width))
    middle = max(1, min(cells or 1, (height - top) // 2))
    rest = height - top - middle - 3
    lines = [rule("Phases", width, "Needs attention", at)]
    lines += beside(phases(scene, at, top), needs(scene, width - at - 1, top), at, top)
    lines.append(rule("Agents (arrows move, Enter opens)", width))
    lines += padded(matrix(scene, width, middle), middle)
    lines.append(rule("Agent", width, "Script" if scene.bottom == "script" else "Log", at))
    side = script_lines if scene.bottom == "script" else log_lines
    return lines + beside(agent_lines(scene, at, rest), side(scene, width - at - 1, rest), at, max(0, rest))


def _narrow(scene: Scene, height: int) -> list[Text]:
    """One pane at a time; Tab goes to the next."""
    tabs = Text(" ")
    for name in PANES:
        tabs.append(f" {name} ", CHOSEN if name == scene.pane else DIM)
    room, width = height - 1, scene.width
    match scene.pane:
        case "matrix":
            body = matrix(scene, width, room)
        case "agent":
            body = agent_lines(scene, width, room)
        case "log":
            body = log_lines(scene, width, room)
        case "script":
            body = script_lines(scene, width, room)
        case _:
            body = [*phases(scene, width, max(3, room // 2)), rule("Needs attention", width)]
            body += needs(scene, width, room - len(body), spare=LEAST_MATRIX + 1)
            left = room - len(body) - 1
            if left >= LEAST_MATRIX:
                body += [rule("Agents", width), *matrix(scene, width, left)]
    return [tabs, *padded(body, room)]
