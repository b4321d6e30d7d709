"""What needs a person, in a fixed order, and the sign of each state. The page's ``attention.js`` has the same rules.

The order: somebody is asked › the script is wrong › agents stand still › agents ended badly › skeptics disagree › the
provider says no › the budget is nearly used › agents are slow. Equal troubles are one line: three hundred dead agents
are not three hundred lines.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from counterpoint.events import Outcome, RunStatus
from counterpoint.text import count, duration, money, one_line
from counterpoint.view import AgentView, RunView

STILL_S = 60.0
"""An agent without any progress for so long stands still (or for half of the run's `stall_s`, where that is less)."""
SLOW_TIMES = 3
"""An agent is slow that takes so many times the median of those of its phase that ended well …"""
SLOW_LEAST_S = 10.0
"""… but not below this,"""
SLOW_BASIS = 5
"""and only when so many have ended."""
NEARLY = 0.9
"""Part of a ceiling from which on it is told."""
FEW = 3
"""Disputed claims up to which each has a line of its own."""
BAD = (Outcome.FAILED, Outcome.INVALID, Outcome.LIMITED, Outcome.TIMED_OUT, Outcome.STALLED)
"""Ends that nobody wanted."""

SKEPTIC = re.compile(r"verify (\d+)/\d+")
"""The label of the agents of `counterpoint.verify`."""
REFUTED = re.compile(rb'"refuted":(true|false)')

SIGNS = {
    "queued": "·", "held": "◔", "model": "▶", "tool": "⚙", "human": "!",
    "ok": "✓", "failed": "✗", "invalid": "?", "limited": "q", "timed_out": "T", "stalled": "z",
    "skipped": "⊘", "cancelled": "−", "interrupted": "/", "reused": "↺",
}  # fmt: skip
"""One sign a state, each one cell wide. `held` waits for the provider; `limited` has ended: its quota was used up."""
ASCII_SIGNS = {
    "queued": ".", "held": "w", "model": ">", "tool": "*", "human": "!",
    "ok": "+", "failed": "X", "invalid": "?", "limited": "q", "timed_out": "T", "stalled": "z",
    "skipped": "s", "cancelled": "-", "interrupted": "/", "reused": "=",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Need:
    """One trouble. `agents` are the ids of those who have it; `gate` is the question's id where a person is asked."""

    kind: str
    """gate, gone, script, still, failed, conflict, held, budget or slow."""
    text: str
    since: float
    agents: tuple[str, ...] = ()
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What `counterpoint.verify` had attacked. `votes` are refuted, stands, dead, open or unknown, by agent."""

    text: str
    since: float
    votes: dict[str, str]

    @property
    def disputed(self) -> bool:
        return {"refuted", "stands"} <= set(self.votes.values())


def claims(view: RunView) -> list[Claim]:
    """The claims in order; the skeptics of one are queued one after the other."""
    found: list[Claim] = []
    for agent in view.counted():
        skeptic = SKEPTIC.fullmatch(agent.label)
        if skeptic is None:
            continue
        if skeptic[1] == "1" or not found:
            found.append(Claim(_claim(agent), agent.queued_at, {}))
        found[-1].votes[agent.id] = _vote(agent)
    return found


def _claim(agent: AgentView) -> str:
    """The claim in a skeptic's prompt, where the event has it."""
    prompt = msgspec.json.decode(agent.prompt.json, type=str) if agent.prompt.blob is None else ""
    text = prompt.partition("# Claim\n")[2].partition("\n\n# ")[0]
    return one_line(text, 160) or agent.id


def _vote(agent: AgentView) -> str:
    if agent.outcome is None:
        return "open"
    if not agent.good or agent.value is None:
        return "dead"
    refuted = REFUTED.search(bytes(agent.value.json))
    return "unknown" if refuted is None else "refuted" if refuted[1] == b"true" else "stands"


def state_of(view: RunView, agent: AgentView, doing: str = "model") -> str:
    """The state that a sign stands for; `doing` is what the timeline says of an agent at work."""
    if agent.outcome is not None:
        return agent.outcome.value
    state = view.state(agent)
    return state if state != "running" else {"limited": "held", "tool": "tool"}.get(doing, "model")


def needs(view: RunView, now: float) -> list[Need]:
    """All troubles of a run at the time `now`, the most urgent first."""
    found = [*_gates(view), *_gone(view), *_script(view)]
    if not view.ended and view.status is not RunStatus.INTERRUPTED:
        found += _still(view, now)
    found += [*_failed(view), *_conflicts(view)]
    if not view.ended and view.status is not RunStatus.INTERRUPTED:
        found += [*_held(view, now), *_budget(view), *_slow(view, now)]
    return found


def _gates(view: RunView) -> Iterator[Need]:
    for gate in view.open_gates():
        yield Need("gate", gate.question, gate.opened_at, gate=gate.id)


def _gone(view: RunView) -> Iterator[Need]:
    if view.status is RunStatus.INTERRUPTED:
        yield Need("gone", view.message, view.last_at)


def _script(view: RunView) -> Iterator[Need]:
    if view.error is not None:
        yield Need("script", f"{view.error.name}: {view.error.message}", view.ended_at or view.last_at)
    for fault in view.script_errors:
        yield Need("script", f"line {fault.line}: {fault.name}: {fault.message}", view.last_at)


def _still(view: RunView, now: float) -> Iterator[Need]:
    limit = min(STILL_S, float(view.bounds.get("stall_s") or 2 * STILL_S) / 2)
    for agent in view.own():
        if agent.state == "running" and now - agent.last_at >= limit:
            why = f": {agent.doing}" if agent.doing else ""
            yield Need("still", f"{agent.label or agent.id}: no progress{why}", agent.last_at, (agent.id,))


def _failed(view: RunView) -> Iterator[Need]:
    groups: defaultdict[tuple[str, str, str], list[AgentView]] = defaultdict(list)
    for agent in view.counted():
        if agent.outcome is not None and agent.outcome in BAD:
            fault = agent.fault
            why = f"{fault.name}: {fault.message}" if fault else ""
            groups[agent.outcome.value, agent.phase or "", why].append(agent)
    for (outcome, phase, why), agents in groups.items():
        first = agents[0]
        who = (
            first.label or first.id if len(agents) == 1 else f"{len(agents)} agents" + (f" of {phase}" if phase else "")
        )
        text = f"{who}: {outcome.replace('_', ' ')}" + (f": {why}" if why else "")
        yield Need("failed", text, first.finished_at or first.last_at, tuple(agent.id for agent in agents))


def _conflicts(view: RunView) -> Iterator[Need]:
    disputed = [claim for claim in claims(view) if claim.disputed]
    if len(disputed) > FEW:
        agents = tuple(agent for claim in disputed for agent in claim.votes)
        yield Need("conflict", f"skeptics disagree about {len(disputed)} claims", disputed[0].since, agents)
        return
    for claim in disputed:
        against = sum(vote == "refuted" for vote in claim.votes.values())
        text = f"{against} of {len(claim.votes)} refute: {claim.text}"
        yield Need("conflict", text, claim.since, tuple(claim.votes))


def _held(view: RunView, now: float) -> Iterator[Need]:
    for held in view.held.values():
        if held.until > now:
            yield Need("held", f"{held.provider} says not now: {held.message}", held.until)
    if view.status is RunStatus.PAUSED:
        yield Need("held", view.message or "paused", view.last_at)


def _budget(view: RunView) -> Iterator[Need]:
    usage, tokens, usd = view.usage(), view.bounds.get("budget_tokens"), view.bounds.get("budget_usd")
    if tokens and usage.output_tokens >= NEARLY * tokens:
        yield Need("budget", f"{count(usage.output_tokens)} of {count(tokens)} output tokens are used", view.last_at)
    if usd and usage.usd is not None and usage.usd >= NEARLY * usd:
        yield Need("budget", f"{money(usage.usd)} of {money(usd)} are spent", view.last_at)


def _slow(view: RunView, now: float) -> Iterator[Need]:
    import statistics  # with its fractions and decimals too much for the start of every command

    took: defaultdict[str, list[float]] = defaultdict(list)
    for agent in view.own():
        if agent.outcome is Outcome.OK:
            took[agent.phase or ""].append(agent.seconds)
    medians = {phase: statistics.median(times) for phase, times in took.items() if len(times) >= SLOW_BASIS}
    for agent in view.own():
        usual = medians.get(agent.phase or "")
        if usual is None or agent.state != "running" or agent.started_at is None:
            continue
        if now - agent.started_at > max(SLOW_LEAST_S, SLOW_TIMES * usual):
            text = f"{agent.label or agent.id}: slow, others took {duration(usual)}"
            yield Need("slow", text, agent.started_at, (agent.id,))


LASTING = frozenset({"gate", "gone", "held"})
"""Troubles that go on while a run is at rest."""


def line(need: Need, now: float, width: int = 100) -> str:
    """A trouble on one line, with how long it has lasted."""
    return f"{one_line(need.text, width - 8):{width - 8}} {duration(abs(now - need.since)):>7}"
