"""Runs a script with agents that only act: in memory, in time that jumps, without a model, a change or a record.

The script, the engine and the tools that only read are the real ones; agents come from `lead.actors`. Time stands
still while anything real is under way (the script's process, a tool), and jumps to the next event when all that is
left is to wait: a run of two hours is simulated in a second, and its wall time comes out of the simulation.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from counterpoint.agents.compact import Row
from counterpoint.agents.loop import Observer
from counterpoint.agents.merging import Branch, Check, Report, Source
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.types import AgentType, load_types
from counterpoint.daemon import find_child
from counterpoint.errors import HookError
from counterpoint.events import (
    Event,
    Fault,
    GateOpened,
    Outcome,
    Recorded,
    RunCreated,
    RunEnded,
    RunStatus,
    Usage,
    Value,
    Workspace,
)
from counterpoint.lead.actors import Cast
from counterpoint.lead.estimate import NO_PAST, Estimate, Past, Simulated, estimate, simulated
from counterpoint.lead.scenarios import Scenario, scenarios
from counterpoint.models.conform import Dice, conform
from counterpoint.models.registry import Models
from counterpoint.runtime.budget import Budget
from counterpoint.runtime.run import Plan, Run
from counterpoint.runtime.tools import use_tool
from counterpoint.script import Script
from counterpoint.settings import Settings
from counterpoint.tools.base import ToolError
from counterpoint.workers.executor import Claim

READING = frozenset({"Read", "Grep", "Glob", "LS"})
MOST_STEPS = 20_000
"""Events and jumps in time after which one simulated run is cut: equal on every machine, however busy."""
STEPS_PER_AGENT = 20
"""So many it may have for each agent that the run may start, where that is more."""
READ_STEPS = 5
"""What one call of a tool that reads counts: it takes real time."""
PATIENCE_S = 120.0
"""Real seconds without any step after which it is cut: something real in it hangs."""
LOOK_S = 0.25
"""Real seconds after which time moves although something real is under way."""
LIMITS = ("ScriptTimeoutError", "ScriptMemoryError")
"""The ends of a script that computes without end."""
Price = Callable[[str, Usage], float | None]
"""Model and consumption → US dollars; None where the price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all simulated runs of one estimate share."""

    script: Script
    cwd: Path
    models: Models
    settings: Settings
    args: bytes | None = None
    past: Past = NO_PAST
    price: Price
    types: Mapping[str, AgentType] = field(default_factory=dict[str, AgentType])


async def simulate(setting: Setting, *, runs: int = 3) -> Estimate:
    """The estimate for a script, from `runs` usual runs and one of each other kind. Nothing is called or kept."""
    types, _ = await asyncio.to_thread(load_types, setting.cwd)
    setting = replace(setting, types=types)
    done: list[Simulated] = []
    for scenario in scenarios(runs):
        done.append(await asyncio.to_thread(_in_its_own_time, setting, scenario))
        if done[-1].cut or any(limit in done[-1].error for limit in LIMITS):
            break  # each further run would take as long to tell the same
    return estimate(done, setting.past, setting.settings.bounds())


# --- time that jumps -------------------------------------------------------------------------------------------------


class _Selector(selectors.DefaultSelector):
    """Waits in real time while something real is under way; otherwise lets the loop's time jump."""

    jump: Callable[[float], bool]

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready or self.jump(timeout):
            return ready
        ready = super().select(min(timeout, LOOK_S))
        if not ready:
            self.pass_time(min(timeout, LOOK_S))
        return ready

    pass_time: Callable[[float], None]


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when nothing else can happen."""

    def __init__(self, most_steps: int) -> None:
        selector = _Selector()
        self._now = 0.0
        self._working = 0
        self.idle: Callable[[], bool] = lambda: False
        """Whether all that is left is to wait for time to pass."""
        self.cut: Callable[[str], None] = lambda why: None
        """Ends the run before its end."""
        self._most_steps = most_steps
        self._steps = 0
        self._last_step = time.monotonic()
        selector.jump = self._jump
        selector.pass_time = self._pass
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def run_in_executor(self, executor: ThreadPoolExecutor | None, func: Any, *args: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (its stub has a type variable tuple)
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: Any) -> None:
        self._working -= 1

    @contextmanager
    def real_work(self) -> Generator[None]:
        """Time does not jump while the body is under way."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    def step(self, weight: int = 1) -> None:
        """Counts something that has happened."""
        self._last_step = time.monotonic()
        before, self._steps = self._steps, self._steps + weight
        if before < self._most_steps <= self._steps:
            why = f"it goes on after {self._most_steps:,} steps: a loop may have no bound"
            self.call_soon(lambda: self.cut(why))

    def _jump(self, seconds: float) -> bool:
        if time.monotonic() > self._last_step + PATIENCE_S:
            self.cut(f"nothing happened for {PATIENCE_S:g} s: a tool that reads, or the machine, hangs")
        if self._working or not self.idle():
            return False
        self._now += seconds
        self.step()
        return True

    def _pass(self, seconds: float) -> None:
        self._now += seconds


# --- one run ---------------------------------------------------------------------------------------------------------


class MemoryJournal:
    """A journal in memory, its stamps by the loop's clock."""

    def __init__(self, appended: Callable[[], None] = lambda: None) -> None:
        """`appended` is called for each event."""
        self.history: list[Recorded] = []
        self.durable_seq = 0
        self.listener: Callable[[Event], None] = lambda _: None
        self._appended = appended
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()

    def append(self, event: Any) -> Recorded:
        self.durable_seq += 1
        self._appended()
        recorded = Recorded(self.durable_seq, self._epoch + self._loop.time(), event)
        self.listener(event)
        return recorded

    async def durable(self, seq: int) -> None:
        pass

    def value(self, json: bytes, *, apart: bool = False) -> Value:
        return Value(json=Raw(json))

    async def read_value(self, value: Value) -> bytes:
        return bytes(value.json)

    def write_turn(self, agent: str, n: int, body: bytes) -> None:
        pass

    async def turns(self, agent: str) -> list[tuple[int, bytes]]:
        return []


class _Stage:
    """An executor whose agents act."""

    def __init__(self, cast: Cast, budget: Budget, price: Price) -> None:
        self._cast = cast
        self._budget = budget
        self._price = price
        self.models: set[str] = set()
        self.usd: float | None = 0.0

    def announce(self, task: AgentTask) -> None:
        pass

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        done = self._cast.perform(task)
        self.models.add(task.model)
        if task.isolated:
            observer.worktree_closed(Workspace(f"simulated/{task.id}", "simulated", f"simulated {task.id}"))
        usage = msgspec.structs.replace(done.result.usage, usd=self._price(task.model, done.result.usage))
        self.usd = None if self.usd is None or usage.usd is None else self.usd + usage.usd
        result = msgspec.structs.replace(done.result, usage=usage)
        if not self._budget.bounded:
            await asyncio.sleep(done.seconds)
            return result
        claim = Claim(task.id, task.phase, usage.input_tokens, lambda used: self._price(task.model, used))
        try:
            grant = await self._budget.reserve(claim)
        except HookError as error:
            return AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))
        try:
            await asyncio.sleep(done.seconds)
        finally:
            self._budget.settle(grant, usage)
        return result


class _Hands:
    """The script's own tool calls: what only reads is done, anything else is noted and acted."""

    def __init__(self, scenario: Scenario, loop: JumpingLoop) -> None:
        self.tools: set[str] = set()
        self.paths: set[str] = set()
        self._scenario = scenario
        self._loop = loop
        self._calls = 0

    async def use(self, name: str, input: dict[str, Any], folder: Path) -> str:
        command = str(input.get("command", ""))
        self.tools.add(f"{name}({command[:80]})" if command else name)
        path = input.get("file_path") or input.get("path")
        if path and name != "Read":
            self.paths.add(str(path))
        if name in READING:
            self._loop.step(READ_STEPS)
            with self._loop.real_work():
                return await use_tool(name, input, folder)
        if not name:
            raise ToolError("A tool has a name.")
        return self._acted(name)

    def _acted(self, name: str) -> str:
        """What a command, or another tool, says: a failure now and then, each time in other words."""
        self._calls += 1
        dice = Dice(f"{self._scenario.seed}\0{name}\0{self._calls}")
        fails = dice.below(2) == 0 if self._scenario.says is None else not self._scenario.says
        word = "" if self._scenario.repeats else f" {dice.word()}"
        return f"[simulated] {name}{word}" + ("\n[exit code 1]" if fails and name == "Bash" else "")


async def _all_goes_in(
    folder: Path, sources: Sequence[Source], place: Path, check: Check | None, *, all_or_none: bool = False
) -> Report:
    """A merge without a repository, conflicts and a check: every branch is in."""
    branches = [
        Branch(source.agent, source.label, source.branch, "merged" if source.commit else "missing")
        for source in sources
    ]
    return Report(branches, sum(branch.status == "merged" for branch in branches), 0, "simulated", committed=True)


def _in_its_own_time(setting: Setting, scenario: Scenario) -> Simulated:
    loop = JumpingLoop(max(MOST_STEPS, STEPS_PER_AGENT * setting.settings.max_agents))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_run(setting, scenario, loop))


async def _run(setting: Setting, scenario: Scenario, loop: JumpingLoop) -> Simulated:
    models, hands = setting.models, _Hands(scenario, loop)
    model = models.default(setting.settings.model)
    plain = model.partition(":")[0] == "sim"
    journal = MemoryJournal(loop.step)
    journal.history.append(journal.append(_created(setting, scenario, model, journal)))
    stage: list[_Stage] = []

    def executor(budget: Budget) -> _Stage:
        stage.append(_Stage(Cast(scenario, setting.past.agents, plain=plain), budget, setting.price))
        return stage[0]

    run = Run(
        Plan(script=setting.script, types=dict(setting.types), waits_for_people=True),
        journal=journal,
        epoch=0,
        models=models,
        executor=executor,
        find_workflow=find_child,
        use_tool=hands.use,
        merge=_all_goes_in,
    )
    journal.listener = lambda event: _answer_gate(run, event, scenario, loop)
    cut: list[str] = []

    def end(why: str) -> None:
        cut.append(why)
        run.end(RunEnded(RunStatus.STOPPED, message=f"The simulation was cut: {why}."))

    loop.cut = end
    loop.idle = run.attempt.deliveries.waiting.is_set
    await run.execute()
    view = run.view
    fault = view.error
    error = f"line {fault.line}: {fault.name}: {fault.message}" if fault else view.message
    return simulated(
        scenario, view, error=error, tools=frozenset(hands.tools), paths=frozenset(hands.paths), usd=stage[0].usd,
        models=frozenset(stage[0].models), cut=bool(cut),
    )  # fmt: skip


def _created(setting: Setting, scenario: Scenario, model: str, journal: MemoryJournal) -> RunCreated:
    script = setting.script
    return RunCreated(
        run_id="wf_00000000-000",
        name=script.meta.name,
        description=script.meta.description,
        script=script.path,
        source=journal.value(msgspec.json.encode(script.source)),
        seed=scenario.seed,
        model=model,
        cwd=str(setting.cwd),
        args=journal.value(setting.args) if setting.args is not None else None,
        phases=[{"title": phase.title, "detail": phase.detail} for phase in script.meta.phases],
        simulated=True,
        bounds={**setting.settings.bounds(), "unknown_agents": "general"},
    )


def _answer_gate(run: Run, event: Event, scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
    """People say yes: the default, else the first option, else something that fits."""
    if not isinstance(event, GateOpened):
        return
    answer: Any = True
    if event.default is not None:
        answer = msgspec.json.decode(bytes(event.default.json))
    elif event.options:
        answer = event.options[0]
    elif event.schema is not None:
        answer = conform(event.schema, Dice(f"{scenario.seed}\0{event.key}"))
    value = Value(json=Raw(msgspec.json.encode(answer)))
    loop.call_soon(lambda: run.gates.answer(event.gate, value, by="the simulation"))
