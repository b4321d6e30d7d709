"""The agents of one attempt: each `agent()` call from its acceptance to the answer that the script hears."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import msgspec

from counterpoint.agents.compact import Row
from counterpoint.agents.prompts import is_told
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.transcript import latest, resume_point
from counterpoint.agents.types import AgentType
from counterpoint.errors import HookError
from counterpoint.events import (
    NO_USAGE,
    AgentFinished,
    AgentQueued,
    AgentReused,
    AgentStarted,
    AgentTurned,
    Fault,
    Outcome,
    RequestDone,
    Usage,
)
from counterpoint.memory.recall import Recall
from counterpoint.models.messages import AssistantTurn, UserTurn
from counterpoint.models.registry import Models
from counterpoint.runtime import calls
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.budget import BUDGET_EXCEEDED, Budget
from counterpoint.runtime.children import Children
from counterpoint.runtime.job import Change, Job, Said
from counterpoint.runtime.scheduler import Scheduler
from counterpoint.sandbox.frames import Call
from counterpoint.workers.executor import Executor

ABOUT_THE_PROVIDER = ("quota", "auth", "unreachable")
"""Kinds of failure that say nothing of the task: the run pauses."""


class Pauses(Protocol):
    """Whoever can pause the run."""

    def provider_failed(self, result: AgentResult) -> bool:
        """An agent ended for a reason of its provider. True: it is to run again when the run goes on."""
        ...


class Fleet:
    """Accepts calls, starts agents in order of acceptance as slots come free, and answers the script."""

    def __init__(
        self,
        attempt: Attempt,
        budget: Budget,
        *,
        models: Models,
        executor: Executor,
        children: Children,
        types: dict[str, AgentType],
        changes: dict[str, Change],
        pauses: Pauses,
        own_tools: frozenset[str] = frozenset(),
        recall: Recall | None = None,
    ) -> None:
        self.attempt = attempt
        self._budget = budget
        self._models = models
        self._executor = executor
        self._children = children
        self._changes = changes
        self._pauses = pauses
        self._recall = recall
        bounds = attempt.bounds
        self._defaults = calls.Defaults(
            model=attempt.view.model,
            cwd=attempt.cwd,
            bounds=bounds,
            types=types,
            general_for_unknown=bounds["unknown_agents"] == "general",
            own_tools=own_tools,
        )
        self._called = 0
        self._new_agents = len(attempt.replay.agent_ids)
        self._warned: set[str] = set()
        self._stalled_once: set[str] = set()
        self.agent_of_call: dict[int, str] = {}
        """The script's number of a call → the agent that answers it."""

    def open(self, group: asyncio.TaskGroup) -> None:
        """Starts work; the agents are tasks of `group`."""
        self.scheduler: Scheduler[Job] = Scheduler(group, self.attempt.bounds["concurrency"], self._run)

    # --- a call comes in ---------------------------------------------------------------------------------------------

    def call(self, call: Call) -> None:
        """Answers ``agent(prompt, opts)``: from the record, by a refusal, or by an agent."""
        arg = self._with_source(msgspec.json.decode(call.arg, type=calls.AgentArg))
        attempt, label = self.attempt, calls.label_of(arg)
        key = attempt.identities.agent(arg.prompt, arg.opts)
        self._called += 1
        answered = attempt.replay.answer(key)
        if answered is not None and answered.agent is not None:
            self.agent_of_call[call.id] = answered.agent
            event = AgentReused(answered.agent, label, arg.phase, self._children.name(call.w), self._called)
            if answered.bad is not None:
                event = msgspec.structs.replace(event, outcome=answered.bad.outcome)
            return attempt.answer_recorded(call.id, key, answered, event)
        warnings: list[str] = []
        try:
            task = self._accept(arg, key, warnings)
        except HookError as error:
            return attempt.refuse(call, key, label, error, number=self._called)
        finally:
            self._warn(warnings)
        job = Job(call.id, task, attempt.replay.attempts.get(task.id, 0) + 1)
        job.fresh = not self._goes_on(task)
        self.agent_of_call[call.id] = task.id
        workflow = self._children.name(call.w)
        attempt.emit(self._queued(task, arg, line=call.line, workflow=workflow, number=self._called))
        self._executor.announce(task)
        return self.scheduler.submit(job)

    def _goes_on(self, task: AgentTask) -> bool:
        """Whether an earlier attempt cut this agent off in a conversation that the same model can go on with."""
        earlier = self.attempt.view.agents.get(task.id)
        return earlier is not None and task.id in self.attempt.replay.cut_off and earlier.model == task.model

    def _warn(self, warnings: list[str]) -> None:
        """Each warning once: a hundred agents of one mistake are one line."""
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.attempt.log(warning, "warning")

    def _accept(self, arg: calls.AgentArg, key: str, warnings: list[str]) -> AgentTask:
        cap = self.attempt.bounds["max_agents"]
        if self._called > cap:
            raise HookError("AgentCapError", f"The run has had {cap:,} agents, its cap; raise it with --max-agents.")
        known = self.attempt.replay.agent_ids.get(key)
        agent = known or f"a{self._new_agents + 1}"
        refusal = self._budget.refusal(agent, arg.phase)
        if refusal is not None:
            raise refusal
        change = self._changes.get(agent)
        if change is not None:
            arg = change.of(arg)
        task = calls.agent_task(
            arg, agent=agent, key=key, defaults=self._defaults, models=self._models, warnings=warnings,
            base=self._base(arg),
        )  # fmt: skip
        self._refuse_unknown_price(task)
        self._new_agents += known is None
        return self._reminded(task, arg)

    def _reminded(self, task: AgentTask, arg: calls.AgentArg) -> AgentTask:
        """The task with the notes that apply to it. They are no part of its key: a new note re-runs nothing."""
        if not self._recall:
            return task
        kind = calls.kind_of(arg, self._defaults)
        notes = self._recall.notes(f"{task.label} {task.prompt}", kind=kind.name, wants=kind.memory, salt=task.key)
        return msgspec.structs.replace(task, notes=notes.text, note_ids=list(notes.ids))

    def _with_source(self, arg: calls.AgentArg) -> calls.AgentArg:
        """The call, its `from` being the id of an agent: ids hold through all attempts, numbers of calls do not."""
        agent = self.agent_of_call.get(arg.source) if arg.source is not None else None
        return arg if agent is None else msgspec.structs.replace(arg, opts={**arg.opts, "from": agent})

    def _base(self, arg: calls.AgentArg) -> str | None:
        """The commit of the agent that the call names in `from`. Raises HookError("WorkspaceError")."""
        source = arg.opts.get("from")
        if source is None:
            return None
        agent = self.attempt.view.find_agent(source) if isinstance(source, str) else None
        if agent is None or agent.workspace is None:
            raise HookError("WorkspaceError", f"agent(): from {source!r} is no agent that worked in a worktree.")
        return agent.workspace.commit

    def _refuse_unknown_price(self, task: AgentTask) -> None:
        if not self._budget.counts_money or self.attempt.bounds["allow_unknown_price"]:
            return
        if self._models.get(task.model).cost(Usage(input_tokens=1, output_tokens=1)) is None:
            raise HookError(
                BUDGET_EXCEEDED,
                f"The price of {task.model} is unknown, so the budget in money cannot be kept for this agent; "
                f"--allow-unknown-price lets it run.",
            )

    def _queued(
        self, task: AgentTask, arg: calls.AgentArg, *, line: int | None, workflow: str | None, number: int = 0
    ) -> AgentQueued:
        return AgentQueued(
            agent=task.id,
            key=task.key,
            prompt=self.attempt.journal.value(msgspec.json.encode(task.prompt)),
            label=task.label,
            phase=arg.phase,
            options={name: value for name, value in arg.opts.items() if name not in ("label", "phase")},
            model=task.model,
            line=line,
            workflow=workflow,
            call=number,
        )

    # --- an agent runs -----------------------------------------------------------------------------------------------

    async def _run(self, job: Job) -> None:
        history = [] if job.fresh else await self._history(job.task)
        taken_up = sum(isinstance(message, AssistantTurn) for message in history)
        job.take_up(history)
        self.attempt.emit(AgentStarted(job.task.id, job.attempt, taken_up, sorted(job.notes)))
        job.begin()
        try:
            result = await self._executor.run(job.task, job.observer(self.attempt), history)
        except asyncio.CancelledError:
            if job.again:
                return self._again(job)
            if job.ended_by is None:
                raise
            turns = self.attempt.view.agents[job.task.id].turns
            result = AgentResult(job.ended_by, fault=_ended_by(job.ended_by), usage=job.usage, turns=turns)
        if self._retries_stall(job, result):
            return self._again(job)
        about_provider = result.fault is not None and result.fault.kind in ABOUT_THE_PROVIDER
        if about_provider and self._pauses.provider_failed(result):
            job.fresh = False
            return self._again(job)
        if result.fault is not None and result.fault.name == BUDGET_EXCEEDED:
            result = msgspec.structs.replace(result, outcome=Outcome.CANCELLED)
        return self._finish(job, result)

    async def _history(self, task: AgentTask) -> list[Row]:
        """The conversation that an earlier attempt was cut off from; what its last answers cost is counted here."""
        agent, journal = task.id, self.attempt.journal
        view = self.attempt.view.agents[agent]
        await journal.durable(self.attempt.view.last_seq)
        messages = resume_point(latest(await journal.turns(agent)))
        first = messages[0] if messages else None
        if not isinstance(first, UserTurn) or not is_told(first.text, task.prompt):
            return []
        answers = [message for message in messages if isinstance(message, AssistantTurn)]
        usage = NO_USAGE
        for answer in answers[view.turns :]:
            usage = usage + (answer.usage or NO_USAGE)
        if usage is not NO_USAGE:
            note = "had answered when the process ended"
            self.attempt.emit(AgentTurned(agent, len(answers), usage, note))
        return messages

    def _retries_stall(self, job: Job, result: AgentResult) -> bool:
        again = result.outcome is Outcome.STALLED and self.attempt.bounds["on_stall"] == "retry"
        if not again or job.task.id in self._stalled_once:
            return False
        self._stalled_once.add(job.task.id)
        self.attempt.log(f"Agent {job.task.id} stalled ({result.fault and result.fault.message}); it tries once more.")
        job.fresh = False
        return True

    def _again(self, job: Job) -> None:
        job.again = False
        job.attempt += 1
        self.scheduler.put_back(job)

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
                cited=sorted(job.cited - job.contradicted),
                contradicted=sorted(job.contradicted),
                turns=result.turns,
            )
        )
        for said in job.steering:
            self._unheard(said, job.task.id)
        error = calls.rejection(result)
        self.attempt.answer(job.call, recorded, value, error=error, usage=result.usage)

    def _unheard(self, said: Said, agent: str) -> None:
        said.waits_for.discard(agent)
        if not said.waits_for:
            ok = bool(said.heard)
            message = f"Heard by {', '.join(said.heard)}." if ok else "Its agents ended before they could hear it."
            self.attempt.emit(RequestDone(said.request, ok, message))

    # --- what people and limits do to agents -------------------------------------------------------------------------

    def skip(self, agent: str) -> bool:
        """Ends one agent with the outcome `skipped`: the script gets null. False where it is not open."""
        job = self._running(agent)
        if job is not None:
            job.ended_by = Outcome.SKIPPED
            self.scheduler.cancel(job)
            return True
        waiting = self._waiting(agent)
        if waiting is None or not self.scheduler.drop(waiting):
            return False
        self._finish(waiting, AgentResult(Outcome.SKIPPED, fault=_ended_by(Outcome.SKIPPED)))
        return True

    def retry(self, agent: str, change: Change) -> bool:
        """Starts one agent anew, changed where asked. False where it does not wait or run. Raises HookError."""
        running = self._running(agent)
        job = running or self._waiting(agent)
        if job is None:
            return False
        if change:
            self._change(job, change)
        if running is not None:
            job.fresh, job.again = True, True
            self.scheduler.cancel(running)
        return True

    def _change(self, job: Job, change: Change) -> None:
        view = self.attempt.view.agents[job.task.id]
        model, warning = self._models.resolve(change.model or job.task.model, self.attempt.view.model)
        if warning:
            raise HookError("UnknownModelError", warning)
        prompt = job.task.prompt if change.prompt is None else change.prompt
        arg = calls.AgentArg(prompt, {**view.options}, view.phase)
        job.task = self._reminded(msgspec.structs.replace(job.task, prompt=prompt, model=model), arg)
        self.attempt.emit(self._queued(job.task, arg, line=view.line, workflow=view.workflow))

    def steer(self, agent: str | None, said: Said) -> int:
        """Leaves a message for one agent, or for all; each hears it at its next tool boundary. Says how many."""
        addressed = [job for job in self.open_jobs if agent is None or job.task.id == agent]
        said.waits_for.update(job.task.id for job in addressed)
        for job in addressed:
            job.steering.append(said)
        return len(addressed)

    @property
    def open_jobs(self) -> list[Job]:
        return [*self.scheduler.running, *self.scheduler.waiting()]

    def cancel_waiting(self, reason: str) -> None:
        """Ends every agent that has not started."""
        for job in self.scheduler.drop_waiting():
            self._finish(job, AgentResult(Outcome.CANCELLED, fault=Fault("Cancelled", reason)))

    def cancel_running(self) -> None:
        for job in self.scheduler.running:
            job.ended_by = Outcome.CANCELLED
        self.scheduler.cancel_all()

    def _running(self, agent: str) -> Job | None:
        return next((job for job in self.scheduler.running if job.task.id == agent), None)

    def _waiting(self, agent: str) -> Job | None:
        return next((job for job in self.scheduler.waiting() if job.task.id == agent), None)


def _ended_by(outcome: Outcome) -> Fault:
    if outcome is Outcome.SKIPPED:
        return Fault("Skipped", "A person skipped this agent.")
    return Fault("Cancelled", "The run was stopped while this agent was at work.")
