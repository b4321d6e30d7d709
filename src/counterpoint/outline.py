"""Who called whom: phases, in them nested workflows, in those fan-outs, in those agents. A fold over the view.

A fan-out is what one line of the script called in one phase: `parallel` and `pipeline` leave no other trace, and need
none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from counterpoint.view import AgentView, RunView

NO_PHASE = "(no phase)"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the outline. The rows of an inner level follow the row that they are in."""

    depth: int
    kind: Literal["phase", "workflow", "fan", "agent"]
    title: str
    agents: tuple[AgentView, ...]
    """All that are in it."""
    line: int | None = None
    """Of the script, for a fan-out or agent."""


def outline(view: RunView) -> list[Row]:
    """The rows, in the order of declaration and of the first calls; agents that do not count are left out."""
    phases: dict[str, list[AgentView]] = {title: [] for title in view.phases}
    for agent in view.counted():
        phases.setdefault(agent.phase or NO_PHASE, []).append(agent)
    return [row for title, agents in phases.items() for row in _phase(title, agents)]


def units(view: RunView) -> list[tuple[AgentView, ...]]:
    """The fan-outs, and each agent that is in none."""
    found: list[tuple[AgentView, ...]] = []
    fan = -1
    for row in outline(view):
        if row.kind == "fan" or (row.kind == "agent" and not 0 <= fan < row.depth):
            found.append(row.agents)
        fan = row.depth if row.kind == "fan" else fan if row.kind == "agent" and 0 <= fan < row.depth else -1
    return found


def _phase(title: str, agents: list[AgentView]) -> Iterable[Row]:
    yield Row(0, "phase", title, tuple(agents))
    workflows: dict[str | None, list[AgentView]] = {}
    for agent in agents:
        workflows.setdefault(agent.workflow, []).append(agent)
    for name, called in workflows.items():
        if name is not None:
            yield Row(1, "workflow", name, tuple(called))
        yield from _fans(called, 1 if name is None else 2)


def _fans(agents: list[AgentView], depth: int) -> Iterable[Row]:
    lines: dict[int | None, list[AgentView]] = {}
    for agent in agents:
        lines.setdefault(agent.line, []).append(agent)
    for line, called in lines.items():
        inner = depth
        if len(called) > 1:
            title = stem([agent.label or agent.id for agent in called]) or (f"line {line}" if line else "agents")
            yield Row(depth, "fan", title, tuple(called), line)
            inner += 1
        for agent in called:
            yield Row(inner, "agent", agent.label or agent.id, (agent,), line)


def stem(labels: list[str]) -> str:
    """What the labels begin with in common, in whole words: ``find 1`` and ``find 12`` are ``find``."""
    shared = len(labels[0])
    for label in labels[1:]:
        shared = min(shared, len(label))
        shared = next((n for n in range(shared) if label[n] != labels[0][n]), shared)
    head = labels[0][:shared]
    if any(label[shared : shared + 1].isalpha() for label in labels):  # it ends within a word
        head = head.rstrip(_letters(head))
    return head.rstrip("".join(char for char in head if not char.isalpha()))


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalpha())
