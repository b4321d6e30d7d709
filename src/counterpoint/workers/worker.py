"""A worker: takes errands of one pool, carries each agent out with the same code as a run's own process, and reports.

It holds an errand as long as its heartbeats reach Temporal; an errand that another worker has taken over, or that
nobody wants any more, ends here, and nothing that is still said of it counts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker as Poller

from counterpoint.agents.compact import Compacted, Row
from counterpoint.agents.desk import Workshop
from counterpoint.agents.instructions import Instructions
from counterpoint.agents.skills import load_skills
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.transcript import latest, resume_point
from counterpoint.errors import CounterpointError, HookError, UsageError, first_error
from counterpoint.events import NO_USAGE, Fault, Outcome, Usage
from counterpoint.models.messages import AssistantTurn
from counterpoint.models.registry import Models
from counterpoint.settings import Settings
from counterpoint.store.desk import Desk, Taken
from counterpoint.tools.policy import parse
from counterpoint.tools.websearch import service_of
from counterpoint.workers import wire
from counterpoint.workers.checkouts import Checkouts
from counterpoint.workers.local import LocalExecutor
from counterpoint.workers.reports import Reporter
from counterpoint.workers.temporal import ACTIVITY, ErrandWorkflow, Ticket, queue_of

BEATS_PER_LEASE = 4
AGAIN_S = 1.0
COMMITS = "commits"
"""Name of the parcel that has what an agent made."""
REQUESTS_OF_ONE = 1_000_000
"""By so much the numbers of requests of one holder of an errand are apart from those of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a worker is."""

    name: str
    slots: int
    """Agents at work at once."""
    drain_s: float
    """How long agents under way may go on when it is told to end."""
    settings: Settings
    """Its own: a run cannot loosen the rules of the machines that its agents are on."""

    @property
    def folder(self) -> Path:
        """For the files of its agents."""
        return self.settings.state / "worker"

    def allowed(self, task: AgentTask) -> AgentTask:
        """The task as it may be carried out here."""
        allow = [rule for rule in task.permissions.allow if not _leads_out(rule)]
        return msgspec.structs.replace(
            task,
            permissions=msgspec.structs.replace(task.permissions, allow=allow),
            sandbox="auto" if self.settings.sandbox == "auto" else task.sandbox,
            network=task.network and self.settings.network,
            env=[name for name in task.env if name in self.settings.env],
        )


def _leads_out(rule: str) -> bool:
    """Whether it allows files of the worker's machine that the run has not sent."""
    inside = parse(rule).inside or ""
    return inside.startswith(("//", "~/"))


class Worker:
    """Takes errands until `drain`."""

    def __init__(self, place: Place, client: Client, desk: Desk, models: Models) -> None:
        self._place = place
        self._client = client
        self._desk = desk
        self._models = models
        self._checkouts = Checkouts(place.folder)
        self._draining = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()
        self._handing_back = False
        self._has_worked = False

    async def run(self, begun: Callable[[], None]) -> None:
        """Works until `drain`, and until what was under way then has ended or was handed back.

        Raises UsageError where the server takes no worker for this namespace.
        """
        await asyncio.to_thread(self._checkouts.clean_up)
        begun()
        while not self._draining.is_set():
            try:
                await self._poll()
            except RuntimeError as error:  # that is what the library raises where it can ask for nothing more
                if not self._has_worked:
                    raise UsageError(
                        f"The Temporal server takes no worker: {str(error)[:300]}",
                        hint="Check the namespace in the setting cluster.",
                    ) from error
                await asyncio.sleep(AGAIN_S)  # a server that has just been started anew may not know it yet

    async def _poll(self) -> None:
        poller = Poller(
            self._client, task_queue=queue_of(self._place.settings.pool), identity=self._place.name,
            activities=[self.carry_out], workflows=[ErrandWorkflow],
            max_concurrent_activities=self._place.slots, max_heartbeat_throttle_interval=timedelta(seconds=10),
            graceful_shutdown_timeout=timedelta(seconds=self._place.drain_s),
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(self._draining.wait())
            polling = asyncio.ensure_future(poller.run())
            await asyncio.wait([ending, polling], return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
        if not polling.done():
            await poller.shutdown()
        await polling

    def drain(self) -> None:
        """Takes no more errands; called again, hands those under way back at once."""
        if self._draining.is_set():
            self._handing_back = True
            for task in self._at_work:
                task.cancel()
        self._draining.set()

    @activity.defn(name=ACTIVITY)
    async def carry_out(self, ticket: Ticket) -> None:
        """One errand."""
        self._has_worked = True
        taken = await self._desk.take(ticket.errand, ticket.run_id, ticket.token)
        if taken is None:
            return  # nobody wants it any more
        work = asyncio.ensure_future(self._work(taken))
        taken.lost = work.cancel
        self._at_work.add(work)
        try:
            await self._beating(work)
        finally:
            self._at_work.discard(work)

    async def _beating(self, work: asyncio.Task[None]) -> None:
        """Waits for the agent, and shows Temporal that it is at work. Raises what Temporal is to hear."""
        pause = _lease() / BEATS_PER_LEASE
        try:
            while not work.done():
                activity.heartbeat()
                await asyncio.wait([work], timeout=pause)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            if not activity.is_worker_shutdown():
                raise
            self._handing_back = True
        if work.cancelled():
            if self._handing_back:
                raise ApplicationError("handed back: the worker ends", next_retry_delay=timedelta(milliseconds=1))
            return  # it is somebody else's now, or nobody wants it any more
        error = work.exception()
        if error is not None:
            raise _failure(first_error(error)) from None

    async def _work(self, taken: Taken) -> None:
        errand = wire.errand_of(taken.body)
        rows, used, heard = await self._history(taken, errand)
        anew = errand.task.isolated and bool(rows)  # another worker's worktree is not here
        reporter = Reporter(
            self._desk, taken, bounded=errand.bounded, first=(taken.holder - 1) * REQUESTS_OF_ONE + 1,
            heard=0 if anew else heard,
        )  # fmt: skip
        reporter.tell(wire.Begun(self._place.name, taken.holder, anew))
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(_until_lost(reporter, taken))
            try:
                result = await self._result(errand, taken, reporter, [] if anew else rows)
            except HookError as error:
                result = AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))
            taken.lost = None
            reporter.tell(wire.Ended(msgspec.structs.replace(result, usage=result.usage + used)))
            await self._desk.flushed()
            listening.cancel()

    async def _history(self, taken: Taken, errand: wire.Errand) -> tuple[list[Row], Usage, int]:
        """The conversation to go on from; what other workers have used in it; how many messages are in it."""
        rows, used, heard = [*enumerate(errand.rows)], NO_USAGE, 0
        for body in await self._desk.earlier(taken) if taken.told else []:
            for report in wire.reports_of(body):
                if isinstance(report, wire.Said):
                    rows.append((report.n, report.row))
                    used = used + _usage(report.row)
                elif isinstance(report, wire.Heard):
                    heard += report.messages
        return resume_point(latest(rows)), used, heard

    async def _result(self, errand: wire.Errand, taken: Taken, reporter: Reporter, rows: list[Row]) -> AgentResult:
        """Raises HookError("WorkspaceError")."""
        base_url = self._place.settings.base_url
        if errand.base_url not in (None, base_url):
            message = (
                f"The run asks its model at {errand.base_url}, and the worker {self._place.name} was not told to send "
                "its keys there: start it with --base-url."
            )
            return AgentResult(Outcome.FAILED, fault=Fault("ProviderError", message, kind="rejected"))
        wire.refuse_strayed(errand)
        task = self._place.allowed(errand.task)
        if errand.checkout is None:  # it has no files here
            task = msgspec.structs.replace(task, tools=[], isolated=False)
            return await LocalExecutor(self._models, reporter).run(task, reporter, rows)
        return await self._with_files(errand, task, errand.checkout, taken, reporter, rows)

    async def _with_files(self, errand: wire.Errand, task: AgentTask, checkout: wire.Checkout, taken: Taken,
                          reporter: Reporter, rows: list[Row]) -> AgentResult:  # fmt: skip
        checkouts, run_id = self._checkouts, errand.run_id
        attempt = f"{taken.id.rpartition('/')[2]}-{taken.holder}"
        main = await checkouts.unpacked(run_id, checkout, lambda name: self._desk.blob(taken, name))
        task = await checkouts.placed(task, checkout, main)
        workshop = await self._workshop(errand, task, checkouts.worktrees(run_id, attempt))
        try:
            result = await LocalExecutor(self._models, reporter, workshop).run(task, reporter, rows)
            if reporter.made is not None:
                commits = await checkouts.packed(main, reporter.made)
                if commits is not None:
                    await self._desk.leave(taken, COMMITS, commits)
                reporter.tell(wire.Closed(reporter.made, COMMITS if commits is not None else ""))
            return result
        finally:
            await checkouts.remove(main, run_id, attempt)

    async def _workshop(self, errand: wire.Errand, task: AgentTask, worktrees: Path) -> Workshop:
        settings = self._place.settings
        skills, _ = await asyncio.to_thread(load_skills, Path(task.cwd))
        return Workshop(
            hidden=(settings.state,),
            worktrees=worktrees,
            instructions=Instructions(errand.instructions),
            skills=skills,
            search=service_of(settings.search_url, settings.search_kind, os.environ),
        )


async def _until_lost(reporter: Reporter, taken: Taken) -> None:
    await reporter.listen()
    taken.lose()


def _lease() -> float:
    """Seconds within which Temporal wants to hear of the errand."""
    return (activity.info().heartbeat_timeout or timedelta(seconds=30)).total_seconds()


def _usage(body: bytes) -> Usage:
    row = _row(body)
    return (row.usage if isinstance(row, AssistantTurn | Compacted) else None) or NO_USAGE


_row = msgspec.json.Decoder(Row).decode


def _failure(error: BaseException) -> BaseException:
    """What Temporal is told: another worker may have more luck with a database that is away, but none with a bug."""
    if isinstance(error, CounterpointError) or not isinstance(error, Exception):
        return error
    return ApplicationError(f"{type(error).__name__}: {error}"[:2000], non_retryable=True)
