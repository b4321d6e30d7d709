"""What bounds a run, how much of it is gone, and what is left: a fold that every face shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from counterpoint.ceilings import Ceiling, ceilings_of
from counterpoint.events import NO_USAGE, Usage
from counterpoint.view import AgentView, RunView


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound of a run. `used` is None where the run alone does not know it."""

    name: str
    unit: str
    """tokens (of output), usd, agents, seconds, requests."""
    total: float
    used: float | None

    @property
    def left(self) -> float | None:
        return None if self.used is None else max(0.0, self.total - self.used)


def limits(view: RunView, now: float) -> list[Limit]:
    """The bounds of the run, ceilings first. A bound of each agent or phase shows the one that has used most."""
    bounds = view.bounds
    found = [limit for ceiling in ceilings_of(bounds) for limit in _of(view, ceiling)]
    agents = view.counted()
    for name, unit, used in (
        ("concurrency", "agents", sum(view.state(agent) == "running" for agent in agents)),
        ("max_agents", "agents", len(view.own())),
        ("max_turns", "requests", max((agent.turns for agent in agents), default=0)),
        ("run_timeout_s", "seconds", round(view.duration_s(now), 1)),
        ("agent_timeout_s", "seconds", round(max((view.seconds(agent, now) for agent in agents), default=0.0), 1)),
        ("stall_s", "seconds", None),
    ):
        if bounds.get(name) is not None:
            found.append(Limit(name, unit, bounds[name], used))
    return found


def _of(view: RunView, ceiling: Ceiling) -> list[Limit]:
    agents = view.own()
    match ceiling.scope:
        case "run":
            return [Limit("budget", ceiling.unit, ceiling.amount, _spent(agents, ceiling))]
        case "day":
            return [Limit("budget of the day", ceiling.unit, ceiling.amount, None)]
        case "agent":
            most = max((_spent([agent], ceiling) for agent in agents), default=0.0)
            return [Limit("budget of an agent", ceiling.unit, ceiling.amount, most)]
        case "phase":
            titles = [ceiling.phase] if ceiling.phase else list(view.phases)
            return [
                Limit(f"budget of {title}", ceiling.unit, ceiling.amount, _spent_in(agents, title, ceiling))
                for title in titles
            ]


def _spent_in(agents: Iterable[AgentView], title: str, ceiling: Ceiling) -> float:
    return _spent((agent for agent in agents if agent.phase == title), ceiling)


def _spent(agents: Iterable[AgentView], ceiling: Ceiling) -> float:
    total: Usage = NO_USAGE
    for agent in agents:
        total = total + agent.usage
    return total.output_tokens if ceiling.unit == "tokens" else total.usd or 0.0
