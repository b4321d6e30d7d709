"""Agents on other machines: an errand for each, and what its worker reports brought into the run's journal.

Invariants: an errand is durable before a worker can hear of it; a report counts once, because that it counts is
committed with what it says; an errand is forgotten only behind its result in the journal. So whoever dies, and when,
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
from temporalio.client import ActivityFailureError, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from counterpoint.agents import output
from counterpoint.agents.compact import Compacted, Row
from counterpoint.agents.desk import Workshop
from counterpoint.agents.observer import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.errors import HookError, StoreError
from counterpoint.events import NO_USAGE, Fault, Outcome, Usage
from counterpoint.models.messages import AssistantTurn
from counterpoint.models.registry import Models
from counterpoint.store.errands import Errands, OpenErrand
from counterpoint.store.journal import Journal
from counterpoint.workers import wire
from counterpoint.workers.executor import Allowance, Claim
from counterpoint.workers.local import LocalExecutor
from counterpoint.workers.shipping import Shipment, Shipping, needs_its_run
from counterpoint.workers.temporal import Dispatcher, Ticket

STARTS_AT_ONCE = 100
"""Temporal refuses more with "workflow is busy"."""
AGAIN_S = 1.0
LOOK_S = 1.0
"""How often it is looked for messages to agents."""
FAREWELL_S = 15.0
"""How long the end of a run waits until its workers have been told."""
MAX_VALUE = 64 * 1024 * 1024
MAX_ROWS = 1_000_000
_row = msgspec.json.Decoder(Row).decode


@dataclass(slots=True, eq=False)
class Active:
    """An errand that an agent of this attempt waits for."""

    errand: OpenErrand
    task: AgentTask
    observer: Observer
    ended: asyncio.Future[AgentResult]
    counted: Usage = NO_USAGE
    """What the journal has of its usage from earlier attempts."""
    turns: int = 0
    """How many answers that was."""
    seen: int = 0
    """Number of the last report."""
    shipment: Shipment | None = None
    """The files that it works with."""
    closed: wire.Closed | None = None
    messages: int = 0
    """That have been sent to it and that it has not heard yet."""
    grants: dict[int, Any] = field(default_factory=dict[int, Any])
    """Number of a request → what it holds of the budget; None: it is over before it got anything."""
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
        workshop: Workshop,
        base_url: str | None,
        log: Callable[[str], None],
    ) -> None:
        self._local = local
        self._errands = errands
        self._journal = journal
        self._dispatcher = dispatcher
        self._allowance = allowance
        self._models = models
        self._workshop = workshop
        self._shipping = Shipping(workshop.worktrees, journal)
        self._base_url = base_url
        self._log = log
        self._open: dict[str, OpenErrand] = {}
        """Agent → its errand of an earlier attempt."""
        self._active: dict[str, Active] = {}
        self._unwanted: list[Active] = []
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._serving = asyncio.Event()

    def announce(self, task: AgentTask) -> None:
        self._local.announce(task)

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        stays = self._models.is_own(task.model) or (self._has_files(task) and needs_its_run(task, self._workshop))
        if stays:
            return await self._local.run(task, observer, history)
        await self._serving.wait()
        try:
            active = await self._sent(task, observer, history)
        except HookError as error:
            return AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))
        try:
            observer.waits(f"a worker of pool {self._pool_of(task)}")
            self._group.create_task(self._watch(active))
            return await self._checked(active, await active.ended)
        except HookError as error:
            return AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))
        except asyncio.CancelledError:
            self._unwanted.append(active)
            raise
        finally:
            self._active.pop(active.errand.id, None)
            self._settle_all(active)
            if active not in self._unwanted:
                # Not now: the result has to be in the journal before that.
                forgotten = self._errands.forgotten(active.errand.id)
                asyncio.get_running_loop().call_soon(self._journal.write_along, forgotten)

    def _pool_of(self, task: AgentTask) -> str:
        return task.pool or self._dispatcher.pool

    def _has_files(self, task: AgentTask) -> bool:
        return self._models.get(task.model).tools and task.tools != []

    async def _sent(self, task: AgentTask, observer: Observer, history: list[Row]) -> Active:
        """The errand: one that an earlier attempt has sent and nobody has the result of, or a new one."""
        sent = self._open.pop(task.id, None)
        digest = wire.digest_of(task)
        if sent is not None and sent.digest == digest:
            self._log(f"Agent {task.id} was under way on a worker, and goes on there.")
            return await self._adopted(sent, task, observer)
        if sent is not None:
            await self._errands.close(sent.id)
        errand = OpenErrand(
            f"{self._errands.run_id}/{task.id}/{uuid.uuid4().hex[:8]}", task.id, digest, secrets.token_urlsafe(24)
        )
        shipment = await self._shipping.pack(task) if self._has_files(task) else None
        # A worktree of an earlier attempt is elsewhere, so what was said there does not hold in a new one.
        rows = [] if task.isolated else [wire.encode(row) for row in history]
        body = wire.Errand(
            self._errands.run_id, task, rows, self._allowance.bounded, self._base_url,
            shipment.checkout if shipment else None, self._workshop.instructions.text if shipment else "",
        )  # fmt: skip
        along = self._errands.sent(errand, wire.encode(body))
        self._journal.write_along(along)
        if along.done is not None:
            await along.done
        active = self._expect(errand, task, observer)
        active.shipment = shipment
        return active

    def _expect(self, errand: OpenErrand, task: AgentTask, observer: Observer) -> Active:
        ended: asyncio.Future[AgentResult] = asyncio.get_running_loop().create_future()
        active = self._active[errand.id] = Active(errand, task, observer, ended)
        return active

    async def _adopted(self, errand: OpenErrand, task: AgentTask, observer: Observer) -> Active:
        """What the journal has of it already is not told again; but what was asked, or how it ended, still counts."""
        told = await self._errands.applied(errand.id)
        checkout = wire.errand_of(await self._errands.body(errand.id)).checkout
        active = self._expect(errand, task, observer)
        active.shipment = await self._shipping.shipment(task, checkout) if checkout else None
        for n, body in told:
            active.seen = n
            for report in wire.reports_of(body):
                self._recall(active, report)
        return active

    def _recall(self, active: Active, report: wire.AnyReport) -> None:
        match report:
            case wire.Said(_, body):
                row = _row(body)
                if isinstance(row, AssistantTurn):
                    active.turns += 1
                    active.counted = active.counted + (row.usage or NO_USAGE)
            case wire.Shortened(mark):
                active.counted = active.counted + (mark.usage or NO_USAGE)
            case wire.Ended() | wire.Closed() | wire.Asked() | wire.Settled():
                self._heed(active, report)
            case _:
                pass

    # --- beside the run ----------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Brings in what workers report, until cancelled; then tells them what is not wanted any more."""
        self._open = {errand.agent: errand for errand in await self._errands.open()}
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
                    await self._dismiss_all()

    async def _look(self) -> None:
        with contextlib.suppress(StoreError):  # out of reach just now: the journal knows when it is for good
            for errand, n, body in await self._errands.reports():
                active = self._active.get(errand)
                if active is not None and n > active.seen:
                    active.seen = n
                    self._take(active, n, body)
            for active in [*self._active.values()]:
                for text in active.observer.unheard()[active.messages :]:
                    active.messages += 1
                    await self._errands.tell(active.errand.id, wire.encode(wire.Message(text)))
            unwanted, self._unwanted = self._unwanted, []
            for active in unwanted:
                await self._errands.close(active.errand.id)
                await _cancel(active)

    async def _dismiss_all(self) -> None:
        left = [*self._unwanted, *self._active.values()]
        await self._errands.close_all([active.errand.id for active in left])
        await asyncio.gather(*(_cancel(active) for active in left))

    async def _watch(self, active: Active) -> None:
        """Sees the errand through Temporal; ends the agent where Temporal has given it up."""
        cause: BaseException | str = "its worker has left without a result"
        try:
            known = False
            while not known and not active.ended.done():
                active.handle = await self._started(active)
                known = await _over(active.handle)
        except (ActivityFailureError, WorkflowFailureError) as error:
            cause = error.__cause__ or error
        if not active.ended.done():
            await self._look()
        if active.errand.id in self._active and not active.ended.done():
            message = f"No worker has carried this agent to its end: {str(cause)[:300]}"
            active.ended.set_result(AgentResult(Outcome.FAILED, fault=Fault("WorkerLostError", message)))

    async def _started(self, active: Active) -> Any:
        ticket = Ticket(active.errand.id, self._errands.run_id, active.errand.token)
        while True:
            try:
                async with self._starts:
                    return await self._dispatcher.start(ticket, self._pool_of(active.task))
            except RPCError as error:
                if error.status in (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED):
                    raise
                active.observer.waits("the Temporal server")
                await asyncio.sleep(AGAIN_S)

    # --- a report comes in -------------------------------------------------------------------------------------------

    def _take(self, active: Active, n: int, body: bytes) -> None:
        """What was posted together is in the journal together."""
        try:
            reports = wire.reports_of(body)
            _check(reports)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            reports = [wire.Ended(_broken(f"a report that cannot be read ({error})"))]
        with self._journal.together():
            for report in reports:
                self._heed(active, report)
            self._journal.write_along(self._errands.counted(active.errand.id, n))

    def _heed(self, active: Active, report: wire.AnyReport) -> None:
        match report:
            case wire.Ended(result):
                if not active.ended.done():
                    active.ended.set_result(result)
            case wire.Closed():
                active.closed = report
            case wire.Asked():
                self._group.create_task(self._grant(active, report))
            case wire.Settled(number, used):
                grant = active.grants.get(number)
                active.grants[number] = None
                if grant is not None:
                    self._allowance.settle(grant, used)
            case wire.Turned(number) if number <= active.turns:
                pass  # it was counted when the run went on
            case _:
                self._tell(active, report)

    def _tell(self, active: Active, report: wire.AnyReport) -> None:
        observer = active.observer
        match report:
            case wire.Begun(worker, time, anew):
                observer.waits("the model")
                if time > 1:
                    goes = "begins anew" if anew else "goes on"
                    self._log(f"Agent {active.task.id} {goes} at worker {worker[:80]}: the one that had it was lost.")
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
            case wire.Opened():
                if active.shipment is not None:
                    shipment = active.shipment
                    observer.worktree_opened(str(shipment.place), shipment.branch, shipment.checkout.commit)
            case wire.Retried(fault, wait):
                observer.retried(fault, wait)
            case wire.Heard(messages):
                heard = observer.steering(max(0, messages))
                active.messages = max(0, active.messages - len(heard))
            case wire.Said(number, row):
                observer.transcript(number, row)
            case _:
                pass

    async def _grant(self, active: Active, asked: wire.Asked) -> None:
        task = active.task
        claim = Claim(
            task.id, task.phase, max(0, asked.input_tokens), self._models.get(task.model).cost, max(1, asked.usual)
        )
        try:
            grant = await self._allowance.reserve(claim, lambda: active.observer.waits("the budget"))
        except HookError as error:
            note = wire.Granted(asked.number, fault=Fault(error.name, error.message))
        else:
            if active.errand.id not in self._active or asked.number in active.grants:
                self._allowance.settle(grant, None)  # it is over already
                return
            active.grants[asked.number] = grant
            note = wire.Granted(asked.number, grant.max_tokens)
        with contextlib.suppress(StoreError):
            await self._errands.tell(active.errand.id, wire.encode(note))

    def _settle_all(self, active: Active) -> None:
        for grant in filter(None, active.grants.values()):
            self._allowance.settle(grant, None)
        active.grants.clear()

    async def _checked(self, active: Active, result: AgentResult) -> AgentResult:
        """The result as the run may have it: its value fits, its commits are here, its usage counts once."""
        if active.closed is not None and active.shipment is not None:
            parcel = active.closed.parcel
            bundle = await self._errands.parcel(active.errand.id, parcel) if parcel else None
            active.observer.worktree_closed(await self._shipping.receive(active.shipment, bundle))
        if result.value is not None:
            result = _fitting(result, active.task)
        return msgspec.structs.replace(result, usage=_less(result.usage, active.counted))


def _check(reports: list[wire.AnyReport]) -> None:
    """Raises ValueError, or an error of msgspec: for what is no row of a transcript, and for a use below nothing."""
    for report in reports:
        match report:
            case wire.Said(n, body):
                row = _row(body)
                used = row.usage if isinstance(row, AssistantTurn | Compacted) else None
                if not 0 <= n <= MAX_ROWS:
                    raise ValueError(f"row {n}")
            case wire.Turned(_, used) | wire.Settled(_, used):
                pass
            case wire.Shortened(mark):
                used = mark.usage
            case wire.Ended(result):
                used = result.usage
            case _:
                used = None
        if used is not None and min(
            used.input_tokens, used.cached_input_tokens, used.output_tokens, used.requests, used.usd or 0
        ) < 0:  # fmt: skip
            raise ValueError("a use below nothing")


async def _over(handle: Any) -> bool:
    """Waits for the end of an errand. False: the server knows it no more, as after a loss of its memory."""
    while True:
        try:
            await handle.result()
            return True
        except RPCError as error:
            await asyncio.sleep(AGAIN_S)
            if error.status is RPCStatusCode.NOT_FOUND:
                return False


async def _cancel(active: Active) -> None:
    if active.handle is not None:
        with contextlib.suppress(RPCError):  # it is over; or its worker hears of it by the errand, which is gone
            await active.handle.cancel()


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
