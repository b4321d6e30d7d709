"""Live progress of a run that Python has started: in a notebook a table that changes in place, elsewhere lines.

A notebook is spoken to through the shell that is there already (IPython's display protocol); nothing is imported for
it, and no widget is needed. What scripts and models have said is escaped.
"""

from __future__ import annotations

import asyncio
import html
import sys
import time
from typing import Any

from counterpoint.events import Recorded
from counterpoint.text import count, duration, money, one_line
from counterpoint.view import GOOD, RunView

REPAINT_S = 0.25
LINE_S = 2.0
"""Between two lines, where there is no notebook."""
MOST_PHASES = 30
LOG_LINES = 3


class Progress:
    """Shows a run. `take` is a listener of its journal; `view` is the run so far."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._publisher = _publisher()
        self._pause = LINE_S if self._publisher is None else REPAINT_S
        self._next: asyncio.TimerHandle | None = None
        self._told = ""
        self._shown = False

    def take(self, events: list[Recorded]) -> None:
        """What has happened is shown soon, and together with what happens until then."""
        for recorded in events:
            self._view.apply(recorded)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(self._pause, self._show)

    def close(self) -> None:
        """Shows how the run stands, for the last time."""
        if self._next is not None:
            self._next.cancel()
        self._show()

    def _show(self) -> None:
        self._next = None
        if self._publisher is None:
            line = summary(self._view)
            if line != self._told:
                self._told = line
                print(line, file=sys.stderr)
            return
        data = {"text/plain": summary(self._view), "text/html": as_html(self._view)}
        transient = {"display_id": f"counterpoint-{self._view.run_id}-{self._view.attempt or 1}"}
        self._publisher.publish(data=data, metadata={}, transient=transient, update=self._shown)
        self._shown = True


def _publisher() -> Any:
    """Of the notebook that we run in; None: there is none, or a terminal, which cannot change what it shows."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    if shell is None or type(shell).__name__ == "TerminalInteractiveShell":
        return None
    return shell.display_pub


def summary(view: RunView) -> str:
    """The run in one line."""
    ended = [agent for agent in view.counted() if agent.outcome is not None]
    bad = sum(agent.outcome not in GOOD for agent in ended)
    usage = view.usage()
    parts = [
        f"{one_line(view.name, 60)} {view.shown_status().value}",
        f"{len(ended)} of {len(view.counted())} agents",
        *([f"{bad} not ok"] if bad else []),
        f"{count(usage.input_tokens + usage.output_tokens)} tokens",
        "simulated" if view.simulated else money(usage.usd),
        duration(view.duration_s(time.time())),
    ]
    return " · ".join(parts)


def as_html(view: RunView) -> str:
    """The run as a fragment of a page."""
    rows = "".join(_row(title, *numbers) for title, numbers in list(_phases(view).items())[:MOST_PHASES])
    questions = "".join(
        f"<div>! {_text(gate.question, 300)} <code>counterpoint approve {view.run_id} {_text(gate.id, 40)}</code></div>"
        for gate in view.open_gates()
    )
    log = "".join(f"<div style='opacity:.7'>{_text(line.text, 200)}</div>" for line in view.log[-LOG_LINES:])
    return f"<div><b>{_text(summary(view), 300)}</b><table>{rows}</table>{questions}{log}</div>"


def _phases(view: RunView) -> dict[str, tuple[int, int, int]]:
    """Title → agents, ended, ended badly."""
    found: dict[str, tuple[int, int, int]] = dict.fromkeys(view.phases, (0, 0, 0))
    for agent in view.counted():
        title = agent.phase or ""
        agents, ended, bad = found.get(title, (0, 0, 0))
        over = agent.outcome is not None
        found[title] = (agents + 1, ended + over, bad + (over and agent.outcome not in GOOD))
    return found


def _row(title: str, agents: int, ended: int, bad: int) -> str:
    not_ok = f"{bad} not ok" if bad else ""
    return (
        f"<tr><td style='text-align:left'>{_text(title or 'agents', 80)}</td>"
        f"<td><progress max='{max(agents, 1)}' value='{ended}'></progress></td>"
        f"<td>{ended} of {agents}</td><td>{not_ok}</td></tr>"
    )


def _text(text: str, width: int) -> str:
    return html.escape(one_line(text, width))
