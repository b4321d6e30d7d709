"""One attempt at a run: drives the script, answers its calls, carries its agents to their ends.

`Run.execute` runs it; the other public methods are what people may ask of it meanwhile (see `control`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from counterpoint.agents.desk import Workshop
from counterpoint.agents.instructions import Source
from counterpoint.agents.merging import Merge, merge
from counterpoint.agents.task import AgentResult
from counterpoint.agents.types import AgentType
from counterpoint.ceilings import ceilings_of
from counterpoint.errors import ScriptFault, first_error
from counterpoint.events import (
    AgentMarked,
    InstructionsLoaded,
    LogWritten,
    MemoryOpened,
    PhaseEntered,
    ProviderHeld,
    RunContinued,
    RunEnded,
    RunPaused,
    RunStarted,
    RunStatus,
    ScriptErrorRaised,
    SlotFailed,
)
from counterpoint.memory.recall import Recall
from counterpoint.models.registry import Models
from counterpoint.runtime.attempt import Attempt, Log
from counterpoint.runtime.budget import Budget, shares
from counterpoint.runtime.calls import permissions_of
from counterpoint.runtime.children import Children, FindWorkflow
from counterpoint.runtime.fleet import Fleet
from counterpoint.runtime.gates import Gates
from counterpoint.runtime.job import Change
from counterpoint.runtime.merges import Merges
from counterpoint.runtime.replay import Replay, Reuse
from counterpoint.runtime.timers import Timers
from counterpoint.runtime.tools import ScriptTools, UseTool
from counterpoint.runtime.verdict import verdict
from counterpoint.sandbox.frames import Call, Done, Init, Turn
from counterpoint.sandbox.process import Limits, ScriptProcess
from counterpoint.script import Script
from counterpoint.tools.answers import command
from counterpoint.tools.base import ToolContext
from counterpoint.tools.guard import Denied
from counterpoint.workers.executor import Executor

WAKE_MARGIN_S = 0.5
"""After the time that a provider gave: clocks differ, and the first to ask is a request that waits already."""


_UNJAILED = "There is no sandbox here for commands of agents"
UNJAILED_ASKED = f"{_UNJAILED}: whether they may run without one is for a person to say."
UNJAILED_DENIED = f"{_UNJAILED}, and nobody to ask: they are denied. --no-sandbox lets them run without one."
CALLS_AT_ONCE = 100
"""Calls of a script that are taken before the event loop gets a turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attempt is given."""

    script: Script
    edited: bool = False
    """The script is another than the journal has."""
    reuse: Reuse = "calls"
    only: frozenset[str] = frozenset()
    """Ids of agents that run again, while all others keep their ends; none: all that did not end ok."""
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """Changes of the run's bounds."""
    types: dict[str, AgentType] = field(default_factory=dict[str, AgentType])
    instructions: tuple[Source, ...] = ()
    """Files that agents are told."""
    recall: Recall | None = None
    """What agents remember; None: nothing."""
    warnings: tuple[str, ...] = ()
    """What the run's log begins with."""
    changes: dict[str, Change] = field(default_factory=dict[str, Change])
    """Agent id → what is otherwise in it than the script has it."""
    unjailed: bool = False
    """Agents may run commands, and this machine has no sandbox for them: people are asked, once and at the start."""
    waits_for_people: bool = False
    """Stay when only gates are open, instead of ending as `waiting`."""
    waits_for_quota: bool = False
    """Stay through a long quota wait, instead of ending as `paused`."""


class Run:
    """One attempt at a run."""

    def __init__(
        self,
        plan: Plan,
        *,
        journal: Log,
        epoch: int,
        models: Models,
        executor: Callable[[Budget], Executor],
        find_workflow: FindWorkflow,
        use_tool: UseTool | None = None,
        merge: Merge = merge,
        workshop: Workshop | None = None,
        engine: ScriptProcess | None = None,
    ) -> None:
        self.plan = plan
        self._engine = engine
        self.attempt = Attempt(journal, Replay(journal.history, plan.reuse, plan.only, edited=plan.edited), plan.bounds)
        self.view = self.attempt.view
        self.budget = self._make_budget()
        self.gates = Gates(self.attempt, anyone_to_ask=plan.waits_for_people)
        self._epoch = epoch
        self._use_tool = use_tool
        self._merge = merge
        self._workshop = workshop or Workshop()
        self._workshop.ask = self.gates.permit if plan.waits_for_people else None
        self._workshop.ask_unjailed = self.gates.permit_unjailed
        self._timers = Timers(self.attempt)
        self._children = Children(self.attempt, find_workflow)
        self.fleet = Fleet(
            self.attempt,
            self.budget,
            models=models,
            executor=executor(self.budget),
            children=self._children,
            types=plan.types,
            changes=plan.changes,
            pauses=self,
            own_tools=frozenset(self._workshop.own),
            recall=plan.recall,
        )
        self.opened = asyncio.Event()
        """Set when agents can start: from then on it can be asked something."""
        self._group: asyncio.TaskGroup | None = None
        self._driver: asyncio.Task[None] | None = None
        self._closing = False
        self._paused: Literal["quota", "user"] | None = None
        self._wake_up: asyncio.TimerHandle | None = None
        self._time_cap: asyncio.TimerHandle | None = None
        self._ended: RunEnded | None = None
        self._done: Done | None = None

    # --- from start to end -------------------------------------------------------------------------------------------

    async def execute(self) -> RunEnded:
        """Runs the script to the end of this attempt, and says how it ended. Raises StoreError."""
        self.attempt.emit(self._started())
        if self.plan.instructions:
            self.attempt.emit(InstructionsLoaded(msgspec.to_builtins(list(self.plan.instructions))))
        if self.plan.recall:
            self.attempt.emit(MemoryOpened(self.plan.recall.opened()))
        for warning in self.plan.warnings:
            self.attempt.log(warning, "warning")
        fault: ScriptFault | None = None
        try:
            await self._run_script()
        except* ScriptFault as group:
            found = first_error(group)
            fault = found if isinstance(found, ScriptFault) else None
        ended = self._ended or verdict(self.view, self._done, fault, self.attempt.journal.value)
        recorded = self.attempt.emit(ended)
        await self.attempt.journal.durable(recorded.seq)
        return ended

    def _make_budget(self) -> Budget:
        budget = Budget(ceilings_of(self.attempt.bounds), self._shares())
        for agent in self.view.agents.values():
            budget.add_spent(agent.id, agent.phase, agent.usage)
        return budget

    def _shares(self) -> dict[str, float]:
        declared = [phase.title for phase in self.plan.script.meta.phases]
        return shares(declared, self.attempt.bounds["budget_reserve"])

    def _started(self) -> RunStarted:
        plan = self.plan
        source = self.attempt.journal.value(msgspec.json.encode(plan.script.source)) if plan.edited else None
        return RunStarted(
            attempt=self.view.attempt + 1,
            pid=os.getpid(),
            host=socket.gethostname(),
            epoch=self._epoch,
            reuse=plan.reuse,
            source=source,
            script=plan.script.path if plan.edited else None,
            bounds=plan.bounds,
        )

    async def _run_script(self) -> None:
        async with self._engine or await ScriptProcess.spawn() as script, asyncio.TaskGroup() as group:
            script.limit(self._limits())
            self._group = group
            self.fleet.open(group)
            self._set_time_cap()
            self._merges = Merges(self.attempt, group, self._workshop, self.fleet.agent_of_call, self._merge)
            self._tools = ScriptTools(self.attempt, group, self._use_tool, self._counter, self._workshop.find)
            self._driver = group.create_task(self._drive_to_the_end(script))
            if self.plan.unjailed:
                self.attempt.log(UNJAILED_ASKED if self.plan.waits_for_people else UNJAILED_DENIED, "warning")
                group.create_task(self.gates.permit_unjailed())
            self.opened.set()
            if self._ended is not None:
                self._cut_off(self._driver)

    def _set_time_cap(self) -> None:
        cap: float | None = self.attempt.bounds["run_timeout_s"]
        if cap is None:
            return
        over = RunEnded(RunStatus.BUDGET_EXCEEDED, message=f"The run's time of {cap:g} s is over (--max-time).")
        left = max(0.0, cap - self.view.active_s)
        self._time_cap = asyncio.get_running_loop().call_later(left, self.end, over)

    def _counter(self, denied: Denied) -> AbstractAsyncContextManager[ToolContext]:
        bounds = self.attempt.bounds
        return self._workshop.counter(
            self.attempt.cwd, permissions_of(bounds), denied,
            sandbox=bounds["sandbox"], network=bounds["network"], env=list(bounds["env"]),
        )  # fmt: skip

    async def _drive_to_the_end(self, script: ScriptProcess) -> None:
        try:
            await self._drive(script)
        except asyncio.CancelledError:
            if self._ended is None:
                raise
        except ScriptFault:
            await self._let_agents_finish()
            raise
        finally:
            self._timers.close()
            self.gates.close()
            for timer in (self._wake_up, self._time_cap):
                if timer is not None:
                    timer.cancel()

    async def _drive(self, script: ScriptProcess) -> None:
        attempt = self.attempt
        turn = await script.start(await self._init())
        while True:
            await self._take(turn)
            self._done = self._done or turn.done
            if self._done is not None and not self._done.ok:
                return await self._let_agents_finish()
            if self._done is not None and self.fleet.scheduler.empty and attempt.deliveries.empty:
                return None
            if attempt.deliveries.empty:
                self._refuse_to_hang()
            turn = await script.settle(await attempt.deliveries.take())

    def _refuse_to_hang(self) -> None:
        if not self.attempt.open and self._done is None:
            raise ScriptFault(
                "DeadlockError",
                "The script waits for something that nothing can settle: no agent, timer or gate is open.",
            )
        if self.gates.only_these(self.attempt.open) and not self.plan.waits_for_people:
            commands = "; ".join(command(self.view.run_id, gate) for gate in self.view.open_gates())
            self.end(RunEnded(RunStatus.WAITING, message=f"A person has to answer: {commands}"))

    async def _let_agents_finish(self) -> None:
        self.fleet.scheduler.hold()
        self.fleet.cancel_waiting("The script had ended before this agent could start.")
        await self.fleet.scheduler.drained()

    # --- what people and limits do to it -----------------------------------------------------------------------------

    def end(self, ended: RunEnded) -> None:
        """Ends the attempt now: agents under way are cancelled, and that is their outcome."""
        if self._ended is not None:
            return
        self._ended = ended
        if self._driver is not None:
            self._cut_off(self._driver)

    def _cut_off(self, driver: asyncio.Task[None]) -> None:
        self.fleet.scheduler.hold()
        self.fleet.cancel_waiting("The run was stopped before this agent could start.")
        self.fleet.cancel_running()
        self._tools.cancel_all()
        driver.cancel()

    def drain(self, ended: RunEnded) -> None:
        """Starts no more agents, and ends the attempt when those under way have ended."""
        if self._group is None:
            self.end(ended)
        elif not self._closing:
            self._closing = True
            self.fleet.scheduler.hold()
            self._group.create_task(self._drain(ended))

    async def _drain(self, ended: RunEnded) -> None:
        await self.fleet.scheduler.drained()
        self.end(ended)

    def pause(self, cause: Literal["quota", "user"], message: str, until: float | None, *, stay: bool) -> None:
        """Starts no more agents: until `go_on` where the process stays, else the attempt ends as paused."""
        if self._closing:
            return
        if self._paused is None:
            self._paused = cause
            self.fleet.scheduler.hold()
            self.attempt.emit(RunPaused(cause, message, until))
        if not stay:
            self.drain(RunEnded(RunStatus.PAUSED, message=message))
        elif until is not None and cause == "quota":
            self._wake_at(until)

    def _wake_at(self, until: float) -> None:
        if self._wake_up is not None:
            self._wake_up.cancel()
        wait = max(0.0, until - time.time()) + WAKE_MARGIN_S
        self._wake_up = asyncio.get_running_loop().call_later(wait, self.go_on, "quota")

    def go_on(self, cause: Literal["quota", "user"] = "user") -> None:
        """Takes a pause back; the end of a quota does not take back what a person asked for."""
        if self._closing or self._paused is None or (cause == "quota" and self._paused == "user"):
            return
        self._paused = None
        self.attempt.emit(RunContinued())
        self.fleet.scheduler.go_on()

    def provider_failed(self, result: AgentResult) -> bool:
        """Pauses the run where an agent's end speaks of its provider. True: the agent runs again when it goes on."""
        if self.view.simulated or result.fault is None:
            return False
        stay = self.plan.waits_for_quota and result.retry_at is not None
        self.pause("quota", result.fault.message, result.retry_at, stay=stay)
        return stay

    def held(self, provider: str, until: float, message: str) -> None:
        """The provider said "not now": no request goes out before `until`, and no agent starts."""
        self.attempt.emit(ProviderHeld(provider, until, message))
        self.pause("quota", message, until, stay=True)

    def released(self, provider: str) -> None:
        """The provider answers again."""
        self.go_on("quota")

    # --- what the script asks ----------------------------------------------------------------------------------------

    def _limits(self) -> Limits:
        bounds = self.attempt.bounds
        return Limits(
            sync_s=bounds["max_sync_s"],
            heap_mb=bounds["max_heap_mb"],
            stack_mb=bounds["max_stack_mb"],
            output_mb=bounds["max_output_mb"],
            pending=bounds["max_pending"],
        )

    async def _init(self) -> Init:
        view, bounds = self.view, self.attempt.bounds
        return Init(
            script=self.plan.script.source,
            args=msgspec.Raw(await self.attempt.journal.read_value(view.args))
            if view.args is not None
            else msgspec.UNSET,
            seed=view.seed,
            at=self.attempt.clock_ms,
            budget_total=self.attempt.totals.first.tokens,
            usd_total=self.attempt.totals.first.usd,
            shares=self._shares(),
            portable=bounds["portable"],
            strict=bounds["strict"],
            max_items=bounds["max_items"],
            max_log_lines=bounds.get("max_log_lines", 10_000),
            run={"id": view.run_id, "name": view.name, "cwd": view.cwd, "model": view.model},
        )

    async def _take(self, turn: Turn) -> None:
        """Answers the turn's calls. Raises the limit that it broke: then only what it told counts."""
        for n, call in enumerate(turn.calls, 1):
            if turn.fault is not None and call.id:
                continue
            if call.id:
                self.attempt.open.add(call.id)
            if n % CALLS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                self._handle(call)
            except (msgspec.ValidationError, RecursionError) as error:
                raise ScriptFault(
                    "ScriptCrashedError", f"The script's process sent a malformed {call.op}: {error}"
                ) from error
        if turn.fault is not None:
            raise turn.fault

    def _handle(self, call: Call) -> None:
        match call.op:
            case "agent":
                self.fleet.call(call)
            case "timer":
                self._timers.set(call)
            case "clear":
                self._timers.clear(msgspec.json.decode(call.arg, type=int))
            case "workflow":
                self._children.enter(call)
            case "workflow_done":
                self._children.leave(call)
            case "checkpoint":
                self.gates.open(call)
            case "merge":
                self._merges.call(call)
            case "tool":
                self._tools.call(call)
            case _:
                self._note(call)

    def _note(self, call: Call) -> None:
        emit = self.attempt.emit
        match call.op:
            case "log":
                self.attempt.tell(_decode(call, LogWritten))
            case "phase":
                self.attempt.tell(_decode(call, PhaseEntered))
            case "slot_failed":
                emit(_decode(call, SlotFailed))
            case "script_error":
                emit(_decode(call, ScriptErrorRaised))
            case "mark":
                self._mark(_decode(call, _Mark))
            case _:
                raise ScriptFault("ScriptCrashedError", f"The script's process sent an unknown call {call.op!r}.")

    def _mark(self, mark: _Mark) -> None:
        agent = self.fleet.agent_of_call.get(mark.call or 0)
        if agent is None and mark.label is not None:
            found = self.view.find_agent(mark.label)
            agent = found.id if found else None
        if agent is None:
            self.attempt.log("counterpoint.fail(): no agent has this label or result; nothing was marked.", "warning")
        else:
            self.attempt.emit(AgentMarked(agent, mark.reason))


class _Mark(msgspec.Struct, frozen=True):
    reason: str
    call: int | None = None
    label: str | None = None


def _decode(call: Call, type_: Any) -> Any:
    """A note's argument as the event that it becomes (the tag is ours, not the script's)."""
    said = msgspec.json.decode(call.arg, type=dict[str, Any])
    return msgspec.convert(said | {"type": type_.__struct_config__.tag}, type_)
