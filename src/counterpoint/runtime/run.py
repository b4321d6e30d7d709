"""One attempt at a run: drives the script, answers its calls, carries its agents to their ends.

`Run.execute` runs it; the other public methods are what people may ask of it meanwhile (see `control`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.types import AgentType
from counterpoint.errors import CounterpointError, HookError, ScriptFault
from counterpoint.events import (
    AgentFinished,
    AgentMarked,
    AgentQueued,
    AgentReused,
    AgentStarted,
    Fault,
    LogWritten,
    Outcome,
    PhaseEntered,
    RunContinued,
    RunEnded,
    RunPaused,
    RunStarted,
    RunStatus,
    ScriptErrorRaised,
    SlotFailed,
)
from counterpoint.models.registry import Models
from counterpoint.runtime import calls
from counterpoint.runtime.attempt import Attempt, Log
from counterpoint.runtime.budget import BUDGET_EXCEEDED, Budget, exceeded
from counterpoint.runtime.children import Children, FindWorkflow
from counterpoint.runtime.gates import Gates
from counterpoint.runtime.job import Job
from counterpoint.runtime.replay import Replay, Reuse
from counterpoint.runtime.scheduler import Scheduler
from counterpoint.runtime.timers import Timers
from counterpoint.runtime.tools import ScriptTools, UseTool, use_tool
from counterpoint.runtime.verdict import verdict
from counterpoint.sandbox.frames import Call, Done, Init, Turn
from counterpoint.sandbox.process import Limits, ScriptProcess
from counterpoint.script import Script
from counterpoint.workers.executor import Executor


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attempt is given."""

    script: Script
    edited: bool = False
    """The script is another than the journal has."""
    reuse: Reuse = "calls"
    forget: frozenset[str] = frozenset()
    """Ids of agents whose results are not to be reused."""
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """Changes of the run's bounds."""
    types: dict[str, AgentType] = field(default_factory=dict[str, AgentType])
    warnings: tuple[str, ...] = ()
    """What the run's log begins with."""
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
        use_tool: UseTool = use_tool,
    ) -> None:
        self.plan = plan
        self.attempt = Attempt(journal, Replay(journal.history, plan.reuse, plan.forget), plan.bounds)
        self.view = self.attempt.view
        self.budget = Budget(self.attempt.bounds["budget_tokens"], self.view.usage().output_tokens)
        self.gates = Gates(self.attempt, anyone_to_ask=plan.waits_for_people)
        self._epoch = epoch
        self._use_tool = use_tool
        self._models = models
        self._executor = executor(self.budget)
        self._timers = Timers(self.attempt)
        self._children = Children(self.attempt, find_workflow)
        self._defaults = self._make_defaults()
        self._called = 0
        self._new_agents = len(self.attempt.replay.agent_ids)
        self._agent_of_call: dict[int, str] = {}
        self._scheduler: Scheduler[Job] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._driver: asyncio.Task[None] | None = None
        self._closing = False
        self._wake_up: asyncio.TimerHandle | None = None
        self._ended: RunEnded | None = None
        self._done: Done | None = None

    # --- from start to end -------------------------------------------------------------------------------------------

    async def execute(self) -> RunEnded:
        """Runs the script to the end of this attempt, and says how it ended. Raises StoreError."""
        self.attempt.emit(self._started())
        for warning in self.plan.warnings:
            self.attempt.log(warning, "warning")
        fault: ScriptFault | None = None
        try:
            await self._run_script()
        except* ScriptFault as group:
            fault = _first(group)
        ended = self._ended or verdict(self.view, self._done, fault, self.attempt.journal.value)
        recorded = self.attempt.emit(ended)
        await self.attempt.journal.durable(recorded.seq)
        return ended

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
        async with await ScriptProcess.spawn(self._limits()) as script, asyncio.TaskGroup() as group:
            self._group = group
            self._scheduler = Scheduler(group, self.attempt.bounds["concurrency"], self._agent)
            self._tools = ScriptTools(self.attempt, group, self._use_tool)
            self._driver = group.create_task(self._drive_to_the_end(script))

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
            if self._wake_up is not None:
                self._wake_up.cancel()

    async def _drive(self, script: ScriptProcess) -> None:
        attempt = self.attempt
        turn = await script.start(await self._init())
        while True:
            self._take(turn)
            self._done = self._done or turn.done
            if self._done is not None and not self._done.ok:
                return await self._let_agents_finish()
            if self._done is not None and self.scheduler.empty and attempt.deliveries.empty:
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
            gates = ", ".join(gate.id for gate in self.view.open_gates())
            self.end(RunEnded(RunStatus.WAITING, message=f"A person has to answer {gates}: counterpoint approve."))

    async def _let_agents_finish(self) -> None:
        self.scheduler.hold()
        self._cancel_waiting("The script had ended before this agent could start.")
        await self.scheduler.drained()

    # --- what people and limits do to it -----------------------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler[Job]:
        """The gate of this attempt; it exists while the script runs."""
        if self._scheduler is None:
            raise CounterpointError("The run has not begun.")
        return self._scheduler

    def end(self, ended: RunEnded) -> None:
        """Ends the attempt now: agents under way are cancelled, and that is their outcome."""
        if self._ended is not None or self._driver is None:
            return
        self._ended = ended
        self.scheduler.hold()
        self._cancel_waiting("The run was stopped before this agent could start.")
        for job in self.scheduler.running:
            job.ended_by = Outcome.CANCELLED
        self.scheduler.cancel_all()
        self._driver.cancel()

    def drain(self, ended: RunEnded) -> None:
        """Starts no more agents, and ends the attempt when those under way have ended."""
        if not self._closing and self._group is not None:
            self._closing = True
            self.scheduler.hold()
            self._group.create_task(self._drain(ended))

    async def _drain(self, ended: RunEnded) -> None:
        await self.scheduler.drained()
        self.end(ended)

    def pause(self, cause: Literal["quota", "user"], message: str, until: float | None, *, stay: bool) -> None:
        """Starts no more agents: until `go_on` where the process stays, else the attempt ends as paused."""
        if self._closing or self.scheduler.held:
            return
        self.scheduler.hold()
        self.attempt.emit(RunPaused(cause, message, until))
        if not stay:
            self.drain(RunEnded(RunStatus.PAUSED, message=message))
        elif until is not None:
            loop = asyncio.get_running_loop()
            self._wake_up = loop.call_later(max(0.0, until - time.time()), self.go_on)

    def go_on(self) -> None:
        """Takes a pause back."""
        if not self._closing and self.scheduler.held:
            self.attempt.emit(RunContinued())
            self.scheduler.go_on()

    def skip(self, agent: str) -> bool:
        """Ends one agent with the outcome `skipped`: the script gets null. False where it is not open."""
        for job in self.scheduler.running:
            if job.task.id == agent:
                job.ended_by = Outcome.SKIPPED
                self.scheduler.cancel(job)
                return True
        for job in self.scheduler.waiting():
            if job.task.id == agent and self.scheduler.drop(job):
                self._finish(job, AgentResult(Outcome.SKIPPED, fault=_ended_by(Outcome.SKIPPED)))
                return True
        return False

    def retry(self, agent: str) -> bool:
        """Starts one agent that is under way anew. False where it is not."""
        for job in self.scheduler.running:
            if job.task.id == agent:
                job.again = True
                self.scheduler.cancel(job)
                return True
        return False

    def steer(self, agent: str | None, text: str) -> int:
        """Leaves a message for one agent, or for all; each hears it at its next tool boundary. Says how many."""
        jobs = [*self.scheduler.running, *self.scheduler.waiting()]
        addressed = [job for job in jobs if agent is None or job.task.id == agent]
        for job in addressed:
            job.steering.append(text)
        return len(addressed)

    def _cancel_waiting(self, reason: str) -> None:
        for job in self.scheduler.drop_waiting():
            self._finish(job, AgentResult(Outcome.CANCELLED, fault=Fault("Cancelled", reason)))

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
            args=msgspec.Raw(await self.attempt.journal.read_value(view.args)) if view.args is not None else None,
            seed=view.seed,
            at=self.attempt.clock_ms,
            budget_total=bounds["budget_tokens"],
            usd_total=bounds["budget_usd"],
            portable=bounds["portable"],
            strict=bounds["strict"],
            max_items=bounds["max_items"],
            run={"id": view.run_id, "name": view.name, "cwd": view.cwd, "model": view.model},
        )

    def _take(self, turn: Turn) -> None:
        for call in turn.calls:
            if call.id:
                self.attempt.open.add(call.id)
            try:
                self._handle(call)
            except msgspec.ValidationError as error:
                raise ScriptFault(
                    "ScriptCrashedError", f"The script's process sent a malformed {call.op}: {error}"
                ) from error

    def _handle(self, call: Call) -> None:
        match call.op:
            case "agent":
                self._agent_call(call)
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
            case "tool":
                self._tools.call(call)
            case _:
                self._note(call)

    def _note(self, call: Call) -> None:
        emit = self.attempt.emit
        match call.op:
            case "log":
                emit(_decode(call, LogWritten))
            case "phase":
                emit(_decode(call, PhaseEntered))
            case "slot_failed":
                emit(_decode(call, SlotFailed))
            case "script_error":
                emit(_decode(call, ScriptErrorRaised))
            case "mark":
                self._mark(_decode(call, _Mark))
            case _:
                raise ScriptFault("ScriptCrashedError", f"The script's process sent an unknown call {call.op!r}.")

    def _mark(self, mark: _Mark) -> None:
        agent = self._agent_of_call.get(mark.call or 0)
        if agent is None and mark.label is not None:
            found = self.view.find_agent(mark.label)
            agent = found.id if found else None
        if agent is None:
            self.attempt.log("counterpoint.fail(): no agent has this label or result; nothing was marked.", "warning")
        else:
            self.attempt.emit(AgentMarked(agent, mark.reason))

    # --- agents ------------------------------------------------------------------------------------------------------

    def _agent_call(self, call: Call) -> None:
        arg = msgspec.json.decode(call.arg, type=calls.AgentArg)
        attempt, label = self.attempt, calls.label_of(arg)
        key = attempt.identities.agent(arg.prompt, arg.opts)
        self._called += 1
        answered = attempt.replay.answer(key)
        if answered is not None and answered.agent is not None:
            self._agent_of_call[call.id] = answered.agent
            event = AgentReused(answered.agent, label, arg.phase, self._children.name(call.w))
            return attempt.answer_recorded(call.id, key, answered, event)
        warnings: list[str] = []
        try:
            task = self._accept(arg, key, warnings)
        except HookError as error:
            return attempt.refuse(call, key, label, error)
        finally:
            for warning in warnings:
                attempt.log(warning, "warning")
        job = Job(call.id, task, attempt.replay.attempts.get(task.id, 0) + 1)
        self._agent_of_call[call.id] = task.id
        attempt.emit(self._queued(call, arg, task))
        return self.scheduler.submit(job)

    def _accept(self, arg: calls.AgentArg, key: str, warnings: list[str]) -> AgentTask:
        cap = self.attempt.bounds["max_agents"]
        if self._called > cap:
            raise HookError("AgentCapError", f"The run has had {cap:,} agents, its cap; raise it with --max-agents.")
        if self.budget.used_up and self.budget.total is not None:
            raise exceeded(self.budget.spent, self.budget.total)
        known = self.attempt.replay.agent_ids.get(key)
        task = calls.agent_task(
            arg,
            agent=known or f"a{self._new_agents + 1}",
            key=key,
            defaults=self._defaults,
            models=self._models,
            warnings=warnings,
        )
        self._new_agents += known is None
        return task

    def _make_defaults(self) -> calls.Defaults:
        return calls.Defaults(
            model=self.view.model,
            cwd=self.attempt.cwd,
            bounds=self.attempt.bounds,
            types=self.plan.types,
            general_for_unknown=self.attempt.bounds["unknown_agents"] == "general",
        )

    def _queued(self, call: Call, arg: calls.AgentArg, task: AgentTask) -> AgentQueued:
        return AgentQueued(
            agent=task.id,
            key=task.key,
            prompt=self.attempt.journal.value(msgspec.json.encode(arg.prompt)),
            label=task.label,
            phase=arg.phase,
            options={name: value for name, value in arg.opts.items() if name not in ("label", "phase")},
            model=task.model,
            line=call.line,
            workflow=self._children.name(call.w),
        )

    async def _agent(self, job: Job) -> None:
        self.attempt.emit(AgentStarted(job.task.id, job.attempt))
        job.started = time.monotonic()
        try:
            result = await self._executor.run(job.task, job.observer(self.attempt), job.history)
        except asyncio.CancelledError:
            if job.again:
                return self._again(job)
            if job.ended_by is None:
                raise
            result = AgentResult(job.ended_by, fault=_ended_by(job.ended_by), usage=job.usage)
        if result.fault is not None:
            if self._must_wait(result):
                return self._again(job)
            if result.fault.name == BUDGET_EXCEEDED:
                result = msgspec.structs.replace(result, outcome=Outcome.CANCELLED)
        return self._finish(job, result)

    def _again(self, job: Job) -> None:
        job.again = False
        job.attempt += 1
        self.scheduler.put_back(job)

    def _must_wait(self, result: AgentResult) -> bool:
        """Pauses the run where this end speaks of the provider. True: the agent runs again when it goes on."""
        fault = result.fault
        if fault is None or self.view.simulated or fault.kind not in ("quota", "auth", "unreachable"):
            return False
        stay = self.plan.waits_for_quota and result.retry_at is not None
        self.pause("quota", fault.message, result.retry_at, stay=stay)
        return stay

    def _finish(self, job: Job, result: AgentResult) -> None:
        journal = self.attempt.journal
        value = journal.value(result.value) if result.value is not None and result.outcome is Outcome.OK else None
        recorded = self.attempt.emit(
            AgentFinished(
                agent=job.task.id,
                outcome=result.outcome,
                value=value,
                fault=result.fault,
                raw=journal.value(result.raw) if result.raw is not None else None,
                usage=result.usage,
                model=result.model,
                seconds=round(time.monotonic() - job.started, 6) if job.started else 0.0,
                turns=result.turns,
            )
        )
        error = calls.rejection(result)
        self.attempt.answer(job.call, job.task.key, recorded, value, error=error, usage=result.usage)


class _Mark(msgspec.Struct, frozen=True):
    reason: str
    call: int | None = None
    label: str | None = None


def _decode(call: Call, type_: Any) -> Any:
    """A note's argument as the event that it becomes (the tag is ours, not the script's)."""
    return msgspec.convert(msgspec.json.decode(call.arg) | {"type": type_.__struct_config__.tag}, type_)


def _ended_by(outcome: Outcome) -> Fault:
    if outcome is Outcome.SKIPPED:
        return Fault("Skipped", "A person skipped this agent.")
    return Fault("Cancelled", "The run was stopped while this agent was at work.")


def _first(group: BaseExceptionGroup[ScriptFault]) -> ScriptFault:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
