"""What a run shows while it goes on: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from typing import Any, Protocol

import click

from counterpoint import attention
from counterpoint.cli.answering import Answering
from counterpoint.cli.streams import unread
from counterpoint.events import (
    AgentFinished,
    AgentRetried,
    AgentSlow,
    GateOpened,
    LogWritten,
    Outcome,
    PhaseEntered,
    Recorded,
    RequestDone,
    RunContinued,
    RunPaused,
    RunStatus,
    ScriptErrorRaised,
)
from counterpoint.text import count, duration, money, one_line, safe
from counterpoint.tools.answers import command
from counterpoint.view import AgentView, RunView

LINES = 300
"""Lines about single agents that a run without a terminal writes; then only every hundredth end is told."""
REPAINTS_PER_S = 8
SLOWEST = 5
TROUBLES = 3
"""Troubles that the tree shows; `top` has all."""


class Progress(Protocol):
    """Takes the events of a run as they become durable."""

    def take(self, events: list[Recorded]) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Shows nothing."""

    def take(self, events: list[Recorded]) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """One line an event that matters, on stderr. `view` is the run so far."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._told = 0
        self._ended = 0

    def take(self, events: list[Recorded]) -> None:
        for recorded in events:
            self._view.apply(recorded)
            line = self._line(recorded.event)
            if line:
                with unread(sys.stderr):
                    click.echo(line, err=True)

    def close(self) -> None:
        pass

    def _line(self, event: Any) -> str | None:
        match event:
            case PhaseEntered(title=title):
                return f"== {one_line(title)}"
            case LogWritten(text=text, level=level):
                return ("" if level == "info" else f"{level}: ") + safe(text)
            case ScriptErrorRaised(fault=fault):
                return f"script error: line {fault.line}: {safe(fault.name)}: {one_line(fault.message)}"
            case AgentFinished():
                return self._agent(self._view.agents[event.agent], event)
            case AgentRetried(agent=agent, fault=fault, wait=wait) if self._told < LINES:
                self._told += 1
                return f"   {agent} tries again in {wait:.1f}s: {one_line(fault.message)}"
            case AgentSlow(agent=agent, seconds=seconds, waits_for=waits_for):
                return f"   {agent} shows no progress: it waits for {one_line(waits_for)} since {duration(seconds)}"
            case RunPaused(message=message):
                return f"paused: {safe(message)}"
            case RunContinued():
                return "the run goes on"
            case GateOpened(gate=gate, question=question):
                return f"a person is asked ({gate}): {safe(question)}"
            case _:
                return None

    def _agent(self, agent: AgentView, event: AgentFinished) -> str | None:
        self._ended += 1
        if event.outcome is Outcome.OK and self._told >= LINES:
            return f"   {self._ended} agents have ended" if self._ended % 100 == 0 else None
        self._told += 1
        cause = f": {one_line(event.fault.message)}" if event.fault else ""
        return f"   {event.outcome.value:9} {one_line(agent.label, 60)} ({duration(event.seconds)}){cause}"


class Live:
    """A tree that is painted anew, at most some times a second, on a terminal. `view` is the run so far.

    `keyboard` answers the run's questions, where there is one.
    """

    def __init__(self, view: RunView, *, color: bool, keyboard: Answering | None) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._view = view
        self._keyboard = keyboard
        self._console = Console(stderr=True, no_color=not color, highlight=False)
        self._live = RichLive(console=self._console, auto_refresh=False, get_renderable=self._paint, transient=True)
        self._live.start()
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(1 / REPAINTS_PER_S, self._tick)

    def take(self, events: list[Recorded]) -> None:
        for recorded in events:
            self._view.apply(recorded)
            match recorded.event:
                case LogWritten(text=text, level=level):
                    self._print(safe(text) if level == "info" else f"{level}: {safe(text)}")
                case ScriptErrorRaised(fault=fault):
                    self._print(f"script error: line {fault.line}: {fault.name}: {safe(fault.message)}")
                case GateOpened(gate=gate, question=question):
                    self._print(f"a person is asked ({gate}): {safe(question)}")
                    self._print(f"  from elsewhere: {command(self._view.run_id, self._view.gates[gate])}")
                case RequestDone(ok=False, message=message):
                    self._print(f"refused: {safe(message)}")
                    if self._keyboard is not None:
                        self._keyboard.ask_again(message)
                case _:
                    pass
        if self._keyboard is not None:
            self._keyboard.ask(self._view.open_gates())

    def close(self) -> None:
        self._next.cancel()
        self._live.stop()

    def _tick(self) -> None:
        """Paints from the loop itself: a thread would read the view while it changes."""
        self._live.refresh()
        self._next = self._loop.call_later(1 / REPAINTS_PER_S, self._tick)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _paint(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now, width = time.time(), self._console.width
        table = Table.grid(padding=(0, 2))
        for title, good, states in phase_lines(self._view):
            table.add_row(Text(title, "bold"), Text(good), Text(states, "bright_black"))
        for agent in slowest(self._view):
            since = duration(max(0.0, now - (agent.started_at or now)))
            doing = Text(one_line(agent.doing, 40), "magenta")
            table.add_row(Text(f"  {one_line(agent.label or agent.id, 48)}"), Text(since, "bright_black"), doing)
        troubles = [need for need in attention.needs(self._view, now) if need.kind != "gate"]
        lines = [Text(f"! {attention.line(need, now, width - 2)}", "red") for need in troubles[:TROUBLES]]
        if len(troubles) > TROUBLES:
            lines.append(Text(f"  and {len(troubles) - TROUBLES} more: counterpoint top {self._view.run_id}", "red"))
        asked = [Text(line, "bold") for line in self._keyboard.lines()] if self._keyboard is not None else []
        return Group(table, *lines, Text(headline(self._view)), *asked)


def phase_lines(view: RunView) -> list[tuple[str, str, str]]:
    """Name, counts and states of each group of agents."""
    groups: dict[str, list[AgentView]] = {title: [] for title in view.phases}
    for agent in view.own():
        groups.setdefault(agent.phase or "(no phase)", []).append(agent)
    rows: list[tuple[str, str, str]] = []
    for title, agents in groups.items():
        good = sum(agent.good for agent in agents)
        bad = sum(agent.outcome is not None and not agent.good for agent in agents)
        counts = Counter(view.state(agent) for agent in agents)
        waits = "not begun" if view.status is RunStatus.INTERRUPTED else "waiting"
        words = (("running", "running"), ("interrupted", "cut off"), ("queued", waits))
        states = [f"{counts[state]} {word}" for state, word in words if counts[state]]
        states += [f"{bad} not ok"] if bad else []
        rows.append((one_line(title, 40), f"{good}/{len(agents)} ok", ", ".join(states)))
    return rows


def slowest(view: RunView) -> list[AgentView]:
    """The agents at work that started first."""
    running = [agent for agent in view.own() if agent.state == "running"]
    return sorted(running, key=lambda agent: agent.started_at or 0.0)[:SLOWEST]


def headline(view: RunView) -> str:
    """The run in one line."""
    usage = view.usage()
    spent = f"{count(usage.input_tokens)} in, {count(usage.output_tokens)} out, {money(usage.usd)}"
    label = f"{view.model} (simulated)" if view.simulated else view.model
    took = duration(view.duration_s(time.time()))
    return f"{one_line(view.name, 40)}  {view.shown_status().value}  {took}  {spent}  {label}"
