"""What a workflow will need, as ranges, made of simulated runs and of past runs of the same workflow. Pure.

`low` and `high` are the least and the most that any simulated run needed (runs in which agents fail apart) or that a
past run with the same arguments in the same folder really needed; `likely` is the median of the usual ones. The worst
case is held against the caps of the run. A simulation that was cut tells nothing about ranges while others ended, and
is a problem in any case.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from counterpoint.ceilings import Ceiling, ceilings_of
from counterpoint.events import Outcome, RunStatus
from counterpoint.lead.actors import Observed
from counterpoint.lead.scenarios import ALL_FAIL, FAILING, Scenario
from counterpoint.view import GOOD, AgentView, RunView

TYPES_READ_ONLY = frozenset({"explore", "plan", "reviewer"})
READING = frozenset({"Read", "Grep", "Glob", "LS"})
ENDED_WELL = (RunStatus.COMPLETED, RunStatus.PARTIAL)
USUAL_START_S, SLOW_START_S, SLOW_AGENT_S = 0.3, 5.0, 0.02
"""What a run's start, and each agent, may take besides the model."""
MARGIN = 0.1
"""By which tokens and money may be off: no two answers have one length."""
MOST_OBSERVED = 500
"""Agents of past runs that are looked at, for each phase."""


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most, and what is likely."""

    low: float
    likely: float
    high: float

    def covers(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one run needed. `usd` is None where a price is unknown."""

    agents: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    wall_s: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """One simulated run."""

    scenario: Scenario
    status: RunStatus
    numbers: Numbers
    phases: Mapping[str, int]
    """Phase → agents."""
    capped: bool = False
    """Calls were refused because the run had had all the agents that it may have."""
    cut: bool = False
    """It was ended before its end, so that it needs more than its numbers say."""
    error: str = ""
    """What the script threw, with its line, or why the run ended."""
    script_errors: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    gates: frozenset[str] = frozenset()
    log: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {
            "name": self.scenario.name, "seed": self.scenario.seed, "status": self.status.value,
            **asdict(self.numbers), "capped": self.capped, "cut": self.cut, "error": self.error or None,
            "script_errors": list(self.script_errors),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """What past runs of the same workflow tell."""

    runs: tuple[Numbers, ...] = ()
    """Those that were given the same arguments in the same folder: others had another amount of work."""
    agents: Mapping[str | None, Sequence[Observed]] = field(default_factory=dict[str | None, Sequence[Observed]])
    """Phase → what its agents consumed; None: all agents together."""
    known: int = 0
    """How many runs are learned from, with whatever arguments."""


NO_PAST = Past()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a workflow will need."""

    agents: Range
    input_tokens: Range
    output_tokens: Range
    usd: Range | None
    """None where a price is unknown."""
    wall_s: Range
    phases: Mapping[str, Range]
    """Phase → agents, in the order of the script."""
    runs: tuple[Simulated, ...]
    past: int
    """Past runs that it has learned from, for what agents consume,"""
    alike: int
    """and those of them with the same arguments in the same folder, for how much there is to do."""
    tools: tuple[str, ...]
    paths: tuple[str, ...]
    models: tuple[str, ...]
    gates: tuple[str, ...]
    """Questions that people will be asked."""
    against_caps: tuple[str, ...]
    """What of the worst case is over, or near, a cap; one sentence each."""
    problems: tuple[str, ...]
    """What went wrong in a run in which nothing failed: mistakes of the script, most likely."""
    weak_points: tuple[str, ...]
    """What goes wrong when agents fail."""

    @property
    def sound(self) -> bool:
        return not self.problems

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "agents": asdict(self.agents), "input_tokens": asdict(self.input_tokens),
            "output_tokens": asdict(self.output_tokens), "usd": asdict(self.usd) if self.usd else None,
            "wall_s": asdict(self.wall_s),
            "phases": [{"title": title, "agents": asdict(agents)} for title, agents in self.phases.items()],
            "simulations": [run.document() for run in self.runs],
            "past_runs": self.past, "past_runs_alike": self.alike, "tools": list(self.tools), "paths": list(self.paths),
            "models": list(self.models), "gates": list(self.gates), "against_caps": list(self.against_caps),
            "problems": list(self.problems), "weak_points": list(self.weak_points),
        }  # fmt: skip


def estimate(runs: Sequence[Simulated], past: Past, bounds: Mapping[str, Any]) -> Estimate:
    """What the simulated runs, and those of the past, say together. `bounds` are the caps of the run to be."""
    counted = _bounding(runs)
    bounding = [run.numbers for run in counted]
    usual = list(past.runs) or [run.numbers for run in counted if run.scenario.ordinary] or bounding
    known = [*bounding, *past.runs]

    def over(of: Callable[[Numbers], float], margin: float = 0.0) -> Range:
        low = [of(numbers) * (1 - margin) for numbers in bounding] + [of(numbers) for numbers in past.runs]
        high = [of(numbers) * (1 + margin) for numbers in bounding] + [of(numbers) for numbers in past.runs]
        return Range(min(low), statistics.median(of(numbers) for numbers in usual), max(high))

    unknown_price = any(numbers.usd is None for numbers in known)
    found = Estimate(
        agents=over(lambda n: n.agents),
        input_tokens=over(lambda n: n.input_tokens, MARGIN),
        output_tokens=over(lambda n: n.output_tokens, MARGIN),
        usd=None if unknown_price else over(lambda n: n.usd or 0.0, MARGIN),
        wall_s=_with_overhead(over(lambda n: n.wall_s), most=max(numbers.agents for numbers in known)),
        phases=_phases(runs),
        runs=tuple(runs),
        past=past.known,
        alike=len(past.runs),
        tools=_all(run.tools for run in runs),
        paths=_all(run.paths for run in runs),
        models=_all(run.models for run in runs),
        gates=_all(run.gates for run in runs),
        against_caps=(),
        problems=tuple(_problems(runs)),
        weak_points=tuple(_weak_points(runs)),
    )
    return _with_caps(found, bounds)


def _bounding(runs: Sequence[Simulated]) -> list[Simulated]:
    """The runs that bound the ranges: those that came to their end, where any did."""
    some_work = [run for run in runs if run.scenario.name != ALL_FAIL]
    return [run for run in some_work if not run.cut] or some_work


def _with_overhead(wall: Range, *, most: int) -> Range:
    """Simulated time has no engine, no disk and no busy machine in it; this is what they may add."""
    return Range(wall.low, wall.likely + USUAL_START_S, wall.high + SLOW_START_S + most * SLOW_AGENT_S)


def _all(sets: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset[str]().union(*sets)))


def _phases(runs: Sequence[Simulated]) -> dict[str, Range]:
    titles = list(dict.fromkeys(title for run in runs for title in run.phases))
    bounding = _bounding(runs)
    usual = [run for run in bounding if run.scenario.ordinary] or bounding
    return {
        title: Range(
            min(run.phases.get(title, 0) for run in bounding),
            statistics.median(run.phases.get(title, 0) for run in usual),
            max(run.phases.get(title, 0) for run in bounding),
        )
        for title in titles
    }


# --- what is wrong ---------------------------------------------------------------------------------------------------


def _problems(runs: Sequence[Simulated]) -> Iterable[str]:
    seen: set[str] = set()
    for run in runs:
        if run.scenario.name in (FAILING, ALL_FAIL):
            continue
        for text in _complaints(run):
            if text not in seen:
                seen.add(text)
                yield f"When {run.scenario.name}: {text}" if not run.scenario.ordinary else text
    usual = [run for run in runs if run.scenario.ordinary]
    if usual and all(run.numbers.agents == 0 and run.status is RunStatus.COMPLETED for run in usual):
        yield "No run called an agent."


def _complaints(run: Simulated) -> Iterable[str]:
    yield from (f"Script error: {error}" for error in run.script_errors)
    if run.status is RunStatus.FAILED and not (run.capped and "AgentCapError" in run.error):
        yield f"The script fails: {run.error}"
    if run.cut:
        yield f"{run.error} What it needs to its end is not in the ranges."
    if run.capped:
        yield f"It calls agents until the cap ends it ({run.numbers.agents:,} agents): a loop or fan-out has no bound."


def _weak_points(runs: Sequence[Simulated]) -> Iterable[str]:
    for run in runs:
        if run.scenario.name in (FAILING, ALL_FAIL):
            wrong = [*run.script_errors, *([run.error] if run.cut or run.status is RunStatus.FAILED else [])]
            yield from (f"When {run.scenario.name}: {text}" for text in dict.fromkeys(wrong))


def _with_caps(found: Estimate, bounds: Mapping[str, Any]) -> Estimate:
    said: list[str] = []
    cap = bounds.get("max_agents")
    if any(run.capped for run in found.runs) and cap:
        said.append(f"At worst it wants more agents than the cap of {cap:,} (--max-agents).")
    over = [run for run in found.runs if run.status is RunStatus.BUDGET_EXCEEDED]
    if over:
        budgets = ", ".join(str(ceiling) for ceiling in ceilings_of(bounds))
        said.append(f"The budget ({budgets}) ended {len(over)} of {len(found.runs)} simulated runs before their end.")
    for ceiling in ceilings_of(bounds):
        said += _over(found, ceiling)
    return replace(found, against_caps=tuple(said))


def _over(found: Estimate, ceiling: Ceiling) -> list[str]:
    if ceiling.scope != "run":
        return []
    need = found.usd if ceiling.unit == "usd" else found.output_tokens
    if need is None:
        return [f"Whether it stays under {ceiling} is not known: the price of a model is unknown."]
    if need.likely >= ceiling.amount:
        return [f"The budget of {ceiling} is less than it will likely need ({need.likely:,.0f})."]
    if need.high >= ceiling.amount:
        return [f"The budget of {ceiling} may end it: at worst it needs that much or more."]
    return []


# --- runs, simulated or real, as numbers ----------------------------------------------------------------------------


def numbers_of(view: RunView) -> Numbers:
    """What a run needed."""
    usage = view.usage()
    return Numbers(len(view.counted()), usage.input_tokens, usage.output_tokens, usage.usd, round(view.duration_s(), 3))


def simulated(
    scenario: Scenario, view: RunView, *, error: str, tools: frozenset[str], paths: frozenset[str], usd: float | None,
    models: frozenset[str], cut: bool,
) -> Simulated:  # fmt: skip
    """A simulated run as its view has it. `tools` and `paths` are those that its script used itself."""
    numbers = numbers_of(view)
    return Simulated(
        scenario=scenario,
        status=view.status,
        numbers=Numbers(numbers.agents, numbers.input_tokens, numbers.output_tokens, usd, numbers.wall_s),
        phases=_by_phase(view),
        cut=cut and view.status is RunStatus.STOPPED,
        capped=any(refusal.fault.name == "AgentCapError" for refusal in view.refusals),
        error=error,
        script_errors=tuple(f"line {fault.line}: {fault.name}: {fault.message}" for fault in view.script_errors[:5]),
        tools=tools | frozenset(tool for agent in view.agents.values() for tool in _tools_of(agent)),
        paths=paths
        | frozenset(str(agent.options["cwd"]) for agent in view.agents.values() if agent.options.get("cwd")),
        models=models,
        gates=frozenset(gate.question for gate in view.gates.values()),
        log=tuple(line.text for line in view.log if line.level != "info")[:20],
    )


def _tools_of(agent: AgentView) -> Iterable[str]:
    named = agent.options.get("tools")
    if isinstance(named, list):
        return [str(name) for name in named]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  (untyped JSON)
    kind = str(agent.options.get("agentType") or "")
    return READING if kind.lower() in TYPES_READ_ONLY else ["all that are allowed"]


def _by_phase(view: RunView) -> dict[str, int]:
    counts = dict.fromkeys(view.phases, 0)
    for agent in view.counted():
        title = agent.phase or "(no phase)"
        counts[title] = counts.get(title, 0) + 1
    return counts


def learn(views: Iterable[RunView], *, alike: Collection[str] = ()) -> Past:
    """What past runs tell that ended with a value: those `alike` (ids) whole, and of all the agents that ended well."""
    runs: list[Numbers] = []
    known = 0
    agents: dict[str | None, list[Observed]] = {None: []}
    for view in views:
        if view.status not in ENDED_WELL:
            continue
        known += 1
        if view.run_id in alike:
            runs.append(numbers_of(view))
        for agent in view.counted():
            if agent.outcome in GOOD and agent.outcome is not Outcome.REUSED:
                usage = agent.usage
                one = Observed(usage.input_tokens, usage.output_tokens, agent.seconds, max(1, agent.turns))
                for phase in {agent.phase, None}:
                    seen = agents.setdefault(phase, [])
                    if len(seen) < MOST_OBSERVED:
                        seen.append(one)
    return Past(tuple(runs), agents, known)
