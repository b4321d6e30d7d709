"""Agents on other machines: an errand for each, and what its worker reports brought into the run's journal.

Invariants: an errand is durable before a worker can hear of it; a report counts once, because that it counts is
committed with what it says; an errand is forgotten only when the journal has its result. So whoever dies, and when,
nothing that was recorded is asked again, and nothing counts twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from temporalio.client import ActivityFailedError, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from counterpoint.agents import output
from counterpoint.agents.compact import Row
from counterpoint.agents.observer import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.errors import HookError, StoreError
from counterpoint.events import NO_USAGE, Fault, Outcome, Usage
from counterpoint.models.messages import AssistantTurn
from counterpoint.models.registry import Models
from counterpoint.store.errands import Errands, OpenErrand
from counterpoint.store.journal import Journal
from counterpoint.workers import wire
from counterpoint.workers.bundles import Bundles
from counterpoint.workers.executor import Allowance, Claim
from counterpoint.workers.local import LocalExecutor
from counterpoint.workers.temporal import Dispatcher, Ticket

STARTS_AT_ONCE = 100
"""Temporal refuses more with "workflow is busy"."""
AGAIN_S = 1.0
LOOK_S = 1.0
"""How often it is looked for messages to agents."""
FAREWELL_S = 15.0
"""How long the end of a run waits until its workers have been told."""
MAX_VALUE = 64 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Active:
    """An errand that an agent of this attempt waits for."""

    ticket: Ticket
    task: AgentTask
    observer: Observer
    ended: asyncio.Future[AgentResult]
    counted: Usage
    """What the journal has of its usage from earlier attempts."""
    seen: int = 0
    """Number of the last report."""
    closed: wire.Closed | None = None
    grants: dict[int, Any] = field(default_factory=dict[int, Any])
    handle: Any = None


class ClusterExecutor:
    """Sends agents to workers; those that need the run's own folder stay with it (`LocalExecutor`)."""

    def __init__(
        self,
        local: LocalExecutor,
        *,
        errands: Errands,
        journal: Journal,
        dispatcher: Dispatcher,
        allowance: Allowance[Any],
        models: Models,
        bundles: Bundles,
        pool: str,
        base_url: str | None,
        log: Callable[[str], None],
    ) -> None:
        self._local = local
        self._errands = errands
        self._journal = journal
        self._dispatcher = dispatcher
        self._allowance = allowance
        self._models = models
        self._bundles = bundles
        self._pool = pool
        self._base_url = base_url
        self._log = log
        self._open: dict[str, OpenErrand] = {}
        self._active: dict[str, Active] = {}
        self._done: list[tuple[str, int]] = []
        """Errands that have ended, each with the number of the event that was the last before its result."""
        self._unwanted: list[Active] = []
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._serving = asyncio.Event()

    def announce(self, task: AgentTask) -> None:
        self._local.announce(task)

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        model = self._models.get(task.model)
        if model.tools and not task.isolated and task.tools != []:
            return await self._local.run(task, observer, history)
        await self._serving.wait()
        active: Active | None = None
        try:
            active = await self._sent(task, observer, history)
            observer.waits(f"a worker of pool {task.pool or self._pool}")
            self._group.create_task(self._watch(active))
            return await self._checked(active, await active.ended)
        except HookError as error:
            return AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))
        except asyncio.CancelledError:
            if active is not None:
                self._unwanted.append(active)
                active = None
            raise
        finally:
            if active is not None:
                self._leave(active)
                self._done.append((active.ticket.errand, self._journal.last_seq))

    def _leave(self, active: Active) -> None:
        self._active.pop(active.ticket.errand, None)
        for grant in active.grants.values():
            self._allowance.settle(grant, None)
        active.grants.clear()

    async def _sent(self, task: AgentTask, observer: Observer, history: list[Row]) -> Active:
        """The errand: one that an earlier attempt has sent and nobody has the result of, or a new one."""
        sent = self._open.pop(task.id, None)
        if sent is not None and sent.digest == wire.digest_of(task):
            # Its token went with it; Temporal has it, or the result is there.
            active = self._expect(Ticket(sent.id, "", ""), task, observer, _usage(history[sent.begun_with :]))
            self._log(f"Agent {task.id} was under way on a worker, and goes on there.")
            return active
        if sent is not None:
            await self._errands.close(sent.id)
        ticket = Ticket(f"{self._errands.run_id}/{task.id}/{uuid.uuid4().hex[:8]}", self._errands.run_id, secrets.token_urlsafe(24))
        bundle, inside, shipped = await self._bundles.pack(task, self._journal)
        errand = wire.Errand(
            self._errands.run_id, shipped, [msgspec.json.encode(row) for row in history], self._allowance.bounded,
            self._base_url, bundle, inside,
        )  # fmt: skip
        active = self._expect(ticket, task, observer, NO_USAGE)
        row = self._errands.sent(ticket.errand, task.id, wire.digest_of(task), len(history), ticket.token, wire.encode(errand))
        self._journal.write_along(row)
        await self._journal.committed()
        return active

    def _expect(self, ticket: Ticket, task: AgentTask, observer: Observer, counted: Usage) -> Active:
        ended: asyncio.Future[AgentResult] = asyncio.get_running_loop().create_future()
        active = self._active[ticket.errand] = Active(ticket, task, observer, ended, counted)
        return active

    # --- beside the run ----------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Brings in what workers report, until cancelled; then tells them what is not wanted any more."""
        self._open = await self._errands.open()
        try:
            async with asyncio.TaskGroup() as self._group:
                self._serving.set()
                with self._errands.news() as news:
                    while True:
                        await self._look()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_S):
                                await news.wait()
        finally:
            with contextlib.suppress(TimeoutError, StoreError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._dismiss([*self._unwanted, *self._active.values()])
            self._forget()

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):  # out of reach just now: the journal knows when it is for good
            for errand, n, body in await self._errands.reports():
                active = self._active.get(errand)
                if active is not None and n > active.seen:
                    active.seen = n
                    self._take(active, n, body)
            for active in [*self._active.values()]:
                for text in active.observer.steering():
                    await self._errands.tell(active.ticket.errand, wire.encode(wire.Message(text)))
            unwanted, self._unwanted = self._unwanted, []
            await self._dismiss(unwanted)
        self._forget()

    async def _dismiss(self, unwanted: list[Active]) -> None:
        for active in unwanted:
            self._leave(active)
            await self._errands.close(active.ticket.errand)
            if active.handle is not None:
                with contextlib.suppress(RPCError):
                    await active.handle.cancel()
            self._done.append((active.ticket.errand, -1))

    def _forget(self) -> None:
        """Deletes the errands whose results are in the journal."""
        durable = self._journal.durable_seq
        over = [errand for errand, seq in self._done if seq < durable]
        if over:
            self._done = [(errand, seq) for errand, seq in self._done if seq >= durable]
            self._journal.write_along(self._errands.forgotten(over))

    async def _watch(self, active: Active) -> None:
        """Sees the errand through Temporal; ends the agent where Temporal has given it up."""
        try:
            active.handle = await self._started(active)
            await self._over(active.handle)
            return
        except (ActivityFailedError, WorkflowFailureError) as error:
            await self._look()  # it may have ended all the same
            cause = error.__cause__ or error
        if not active.ended.done():
            message = f"No worker has carried this agent to its end: {str(cause)[:300]}"
            active.ended.set_result(AgentResult(Outcome.FAILED, fault=Fault("WorkerLostError", message)))

    async def _started(self, active: Active) -> Any:
        pool = active.task.pool or self._pool
        while True:
            try:
                async with self._starts:
                    return await self._dispatcher.start(active.ticket, pool)
            except RPCError as error:
                if error.status in (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED):
                    raise
                active.observer.waits("the Temporal server")
                await asyncio.sleep(AGAIN_S)

    async def _over(self, handle: Any) -> None:
        while True:
            try:
                return await handle.result()
            except RPCError:
                await asyncio.sleep(AGAIN_S)

    # --- a report comes in -------------------------------------------------------------------------------------------

    def _take(self, active: Active, n: int, body: bytes) -> None:
        try:
            report = wire.report_of(body)
        except msgspec.DecodeError as error:
            report = wire.Ended(_broken(f"a report that cannot be read ({error})"))
        match report:
            case wire.Ended(result):
                if not active.ended.done():
                    active.ended.set_result(result)
            case wire.Closed():
                active.closed = report
            case wire.Asked():
                self._group.create_task(self._grant(active, report))
            case _:
                with self._journal.together():
                    self._tell(active, report)
                    self._journal.write_along(self._errands.applied(active.ticket.errand, n))

    def _tell(self, active: Active, report: wire.AnyReport) -> None:
        observer = active.observer
        match report:
            case wire.Begun(worker, time):
                observer.waits("the model")
                if time > 1:
                    self._log(f"Agent {active.task.id} goes on at worker {worker[:80]}: the one that had it was lost.")
            case wire.Waits(what):
                observer.waits(what[:200])
            case wire.Turned(number, usage, note):
                observer.turn(number, usage, note)
            case wire.Shortened(mark):
                observer.compacted(mark)
            case wire.Used(name, summary, ok, seconds):
                observer.tool(name, summary, ok, seconds)
            case wire.Denied(access, reason):
                observer.denied(access, reason)
            case wire.Prompted(system, tools):
                observer.prompted(system, tools)
            case wire.Opened(path, branch, base):
                observer.worktree_opened(path, branch, base)
            case wire.Retried(fault, wait):
                observer.retried(fault, wait)
            case wire.Said(number, row):
                observer.transcript(number, row)
            case wire.Settled(number, used):
                if number in active.grants:
                    self._allowance.settle(active.grants.pop(number), used)
            case _:
                pass

    async def _grant(self, active: Active, asked: wire.Asked) -> None:
        task = active.task
        cost = self._models.get(task.model).cost
        claim = Claim(task.id, task.phase, max(0, asked.input_tokens), cost, max(1, asked.usual))
        try:
            grant = await self._allowance.reserve(claim, lambda: active.observer.waits("the budget"))
        except HookError as error:
            note = wire.Granted(asked.number, fault=Fault(error.name, error.message))
        else:
            active.grants[asked.number] = grant
            note = wire.Granted(asked.number, grant.max_tokens)
        with contextlib.suppress(StoreError):
            await self._errands.tell(active.ticket.errand, wire.encode(note))

    async def _checked(self, active: Active, result: AgentResult) -> AgentResult:
        """The result as the run may have it: its value fits, its commits are here, its usage counts once."""
        if active.closed is not None:
            closed = active.closed
            bundle = await self._errands.parcel(active.ticket.errand, closed.parcel) if closed.parcel else None
            active.observer.worktree_closed(await self._bundles.unpack(active.task, closed.workspace, bundle))
        if result.value is not None:
            result = _fitting(result, active.task)
        return msgspec.structs.replace(result, usage=_less(result.usage, active.counted))


def _fitting(result: AgentResult, task: AgentTask) -> AgentResult:
    value = result.value or b""
    try:
        if len(value) > MAX_VALUE:
            return _broken("a result of more than 64 MB")
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _broken("a result that is no JSON")
    wrong = output.misfits(task.schema, decoded) if task.schema is not None else []
    if task.schema is None and not isinstance(decoded, str):
        wrong = ["$: it is no text"]
    return _broken(f"a result that does not fit ({wrong[0]})") if wrong else result


def _broken(what: str) -> AgentResult:
    return AgentResult(Outcome.FAILED, fault=Fault("WorkerError", f"The agent's worker has sent {what}."))


def _usage(rows: list[Row]) -> Usage:
    total = NO_USAGE
    for row in rows:
        if isinstance(row, AssistantTurn) and row.usage is not None:
            total = total + row.usage
    return total


def _less(usage: Usage, counted: Usage) -> Usage:
    if counted is NO_USAGE:
        return usage
    return Usage(
        max(0, usage.input_tokens - counted.input_tokens),
        max(0, usage.cached_input_tokens - counted.cached_input_tokens),
        max(0, usage.output_tokens - counted.output_tokens),
        max(0, usage.requests - counted.requests),
        usd=None if usage.usd is None else max(0.0, usage.usd - (counted.usd or 0.0)),
    )
