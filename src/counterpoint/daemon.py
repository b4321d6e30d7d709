"""Executes runs: takes the lease, builds the engine around the journal, and lets go in the end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from counterpoint.agents.desk import Workshop
from counterpoint.agents.instructions import load_instructions
from counterpoint.agents.skills import load_skills
from counterpoint.agents.types import checked, load_types
from counterpoint.client import refuse_imported
from counterpoint.dream.watch import guard
from counterpoint.errors import (
    ClusterWithoutDatabaseError,
    CounterpointError,
    HookError,
    MemoryStoreError,
    ScriptRefused,
    StoreError,
    UsageError,
    first_error,
)
from counterpoint.events import Recorded, RunEnded, RunStatus
from counterpoint.memory.places import open_recall
from counterpoint.memory.recall import Recall
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.uses import use_of
from counterpoint.models.registry import Models
from counterpoint.runtime.budget import Budget
from counterpoint.runtime.calls import permissions_of
from counterpoint.runtime.control import Control, go_on_counting
from counterpoint.runtime.day import Day
from counterpoint.runtime.effects import differing, warning
from counterpoint.runtime.job import Change
from counterpoint.runtime.rehearsal import ReadValue, Rehearsal, rehearse
from counterpoint.runtime.replay import Reuse
from counterpoint.runtime.run import Plan, Run
from counterpoint.runtime.stalls import watch_stalls
from counterpoint.sandbox.process import ScriptProcess
from counterpoint.script import Script
from counterpoint.script import find as saved
from counterpoint.script.parse import accept, examine, trust
from counterpoint.settings import Settings
from counterpoint.store.journal import Journal
from counterpoint.store.leases import STARTS_S, Lease
from counterpoint.store.runs import Store
from counterpoint.tools import jail, mcp
from counterpoint.tools.mcp_servers import Server, load_servers
from counterpoint.tools.own import FunctionTool
from counterpoint.tools.policy import Access, Policy
from counterpoint.tools.websearch import service_of
from counterpoint.tracing.live import traced
from counterpoint.view import RunView
from counterpoint.workers.executor import Executor
from counterpoint.workers.local import LocalExecutor

if TYPE_CHECKING:
    from counterpoint.store.errands import Errands
    from counterpoint.workers.temporal import Dispatcher

Listener = Callable[[list[Recorded]], None]
AWAY = "The database of the runs was out of reach for {:.1f} s; nothing was lost, and the run goes on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How an attempt is to be executed."""

    script: Script | None = None
    """Another text than the journal has."""
    reuse: Reuse = "calls"
    only: frozenset[str] = frozenset()
    """Ids of agents that run again, while all others keep their ends; none: all that did not end ok."""
    changes: dict[str, Change] = field(default_factory=dict[str, Change])
    """Agent id → what is otherwise in it than the script has it."""
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """What this attempt changes of the run's bounds."""
    waits_for_people: bool = False
    waits_for_quota: bool = False
    tools: Mapping[str, FunctionTool] = field(default_factory=dict[str, FunctionTool])
    """Tools of the program that gives the orders, by their names."""
    listeners: tuple[Listener, ...] = ()
    """Each is called with the events as they become durable."""
    started: Callable[[Run], None] | None = None
    """Gets the run when it begins, to stop or drain it."""
    late: Callable[[str], None] | None = None
    """Is told what turns out when the run has ended and its journal is closed to warnings."""


async def execute(store: Store, run_id: str, models: Models, orders: Orders | None = None) -> RunEnded:
    """Executes one attempt of a run to its end.

    Raises RunIsLiveError when another process has it, StoreError when the journal fails, ScriptRefused when the
    recorded script does not parse here.
    """
    orders = orders or Orders()
    async with await ScriptProcess.spawn() as engine:  # first of all: it starts while we open what else we need
        lease = await store.acquire(run_id)
        try:
            async with (
                _beside(lease.keep()),
                store.open_journal(run_id, lease) as journal,
                _beside(journal.guard()),
            ):
                return await _attempt(store, journal, lease, models, orders, engine)
        finally:
            with contextlib.suppress(StoreError):  # where the disk is full, the end of our process gives the run back
                await lease.release()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Runs `work` as long as the body runs; an error in either ends the other, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            yield
            task.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


async def rehearse_run(store: Store, run_id: str, models: Models, orders: Orders) -> Rehearsal:
    """What `execute` with these orders would reuse and run; nothing is run or written."""
    reader = store.reader(run_id)
    history = await reader.read()
    view = RunView.of(history)
    refuse_imported(view.run_id, view.imported)
    types, _ = load_types(Path(view.cwd))
    script = orders.script or await recorded_script(reader.value, view)
    plan = Plan(script=script, edited=orders.script is not None, reuse=orders.reuse, only=orders.only,
                changes=orders.changes, bounds=orders.bounds, types=types)  # fmt: skip
    return await rehearse(plan, history=history, read_value=reader.value, models=models, find_workflow=find_child)


async def _attempt(
    store: Store, journal: Journal, lease: Lease, models: Models, orders: Orders, engine: ScriptProcess
) -> RunEnded:
    view = RunView.of(journal.history)
    new = not view.attempt and time.time() - view.begun_at < STARTS_S
    refuse_imported(view.run_id, view.imported)
    await go_on_counting(store, view)
    for listener in orders.listeners:
        journal.add_listener(listener)
    types, warnings = load_types(Path(view.cwd))
    workshop, servers, more = await asyncio.to_thread(_furnish, store, view, {**view.bounds, **orders.bounds})
    types = {name: checked(kind, workshop.skills, servers) for name, kind in types.items()}
    left = await differing(view) if (view.attempt or view.parent) and orders.reuse != "none" else []
    workshop.own = orders.tools
    bounds = {**Settings().bounds(), **view.bounds, **orders.bounds}
    plan = Plan(
        script=orders.script or await recorded_script(journal.read_value, view),
        edited=orders.script is not None,
        reuse=orders.reuse,
        only=orders.only,
        changes=orders.changes,
        bounds=orders.bounds,
        types=types,
        warnings=(*warnings, *more, *([warning(left)] if left else []), *_without(view, orders)),
        instructions=tuple(workshop.instructions.sources),
        recall=workshop.recall,
        unjailed=await _unjailed(bounds),
        waits_for_people=orders.waits_for_people,
        waits_for_quota=orders.waits_for_quota,
    )
    elsewhere = await _elsewhere(store, view.run_id, lease.epoch, bounds)
    serve: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def executor(budget: Budget) -> Executor:
        here = LocalExecutor(models, budget, workshop)
        if elsewhere is None:
            return here
        from counterpoint.workers.cluster import ClusterExecutor

        errands, dispatcher = elsewhere
        cluster = ClusterExecutor(
            here,
            errands=errands,
            journal=journal,
            dispatcher=dispatcher,
            allowance=budget,
            models=models,
            workshop=workshop,
            base_url=view.base_url,
            log=lambda text: run.attempt.log(text),
        )
        serve.append(cluster.serve)
        return cluster

    run = Run(
        plan,
        journal=journal,
        epoch=lease.epoch,
        models=models,
        executor=executor,
        find_workflow=find_child,
        workshop=workshop,
        engine=engine,
    )
    if orders.started is not None:
        orders.started(run)
    models.watch(run)

    def warn(text: str) -> None:
        if not run.view.ended:
            run.attempt.log(text, "warning")
        elif orders.late is not None:
            orders.late(text)

    journal.add_watcher(lambda seconds: warn(AWAY.format(seconds)))

    day = Day(store, run.budget, view.run_id, view.last_seq)
    await day.look()
    async with (
        traced(run.attempt.bounds["trace"], journal.history, journal.read_value, warn) as followers,
        mcp.opened(servers, warn, Path(view.cwd)) as workshop.hub,
        _beside(Control(run, store, view.run_id, lapsed=0 if new else lease.asked).serve()),
        _beside(watch_stalls(run.attempt, lambda: run.fleet.scheduler.running)),
        _beside(day.watch()),
        _beside(_keep_to_limits(store, models, run)),
        contextlib.AsyncExitStack() as more_beside,
    ):
        for work in serve:
            await more_beside.enter_async_context(_beside(work()))
        for follower in followers:
            journal.add_listener(follower)
        ended = await run.execute()
    if workshop.recall and ended.status not in (RunStatus.PAUSED, RunStatus.WAITING):
        await asyncio.to_thread(_record_uses, workshop.recall, run.view)
    return ended


async def _keep_to_limits(store: Store, models: Models, run: Run) -> None:
    """Has the run's requests keep to the providers' limits together with those of other processes."""
    shares = store.shares(run.view.run_id, run.attempt.bounds["priority"])
    if shares is not None:
        async with models.shared() as gates:
            await shares.keep(gates)


async def _elsewhere(
    store: Store, run_id: str, epoch: int, bounds: dict[str, Any]
) -> tuple[Errands, Dispatcher] | None:
    """What agents go to workers on other machines by, where the settings name a cluster. Raises UsageError."""
    if not bounds["cluster"]:
        return None
    if importlib.util.find_spec("temporalio") is None:
        raise UsageError(
            "Agents on a cluster need a library that is not installed.", hint="pip install 'counterpoint[cluster]'"
        )
    from counterpoint.store.server_store import ServerStore
    from counterpoint.workers.temporal import Dispatcher, connect

    if not isinstance(store, ServerStore):
        raise ClusterWithoutDatabaseError
    client = await connect(bounds["cluster"], os.environ)
    dispatcher = Dispatcher(
        client,
        bounds["cluster_mode"],
        pool=bounds["pool"],
        lease_s=bounds["cluster_lease_s"],
        priority=bounds["priority"],
    )
    return store.errands(run_id, epoch), dispatcher


def _without(view: RunView, orders: Orders) -> list[str]:
    absent = [name for name in view.tools if name not in orders.tools]
    return [f"Tools of the program that began this run are not here: {', '.join(absent)}."] if absent else []


async def _unjailed(bounds: dict[str, Any]) -> bool:
    """Whether agents may run commands, in a sandbox, and there is none here."""
    wanted = bounds["sandbox"] == "auto" and Policy.of(permissions_of(bounds)).may(Access("Bash", "command"))
    return wanted and await jail.available() == "none"


def _furnish(store: Store, view: RunView, bounds: dict[str, Any]) -> tuple[Workshop, dict[str, Server], list[str]]:
    """What the run's agents find here, the MCP servers that they may use, and what is wrong with files of it."""
    cwd = Path(view.cwd)
    skills, wrong = load_skills(cwd)
    names = tuple(bounds.get("instructions", ()))
    workshop = Workshop(
        hidden=(store.folder,),
        worktrees=store.folder / "worktrees" / view.run_id,
        instructions=load_instructions(cwd, names),
        skills=skills,
        search=service_of(bounds.get("search_url"), bounds.get("search_kind", ""), os.environ),
    )
    if bounds.get("memory") and not (view.attempt and not view.memory):
        workshop.recall, forgotten = open_recall(
            cwd,
            store.folder,
            workflow=view.name,
            tokens=bounds["memory_tokens"],
            at=view.created_at,
            pinned=_pinned(view),
        )
        wrong += forgotten
    servers, complaints = load_servers(cwd, os.environ)
    if servers and not bounds.get("trust_project"):
        rules = [*bounds.get("allow", ()), *bounds.get("ask", ())]
        if any(rule.startswith("mcp__") for rule in rules):
            complaints.append(f".mcp.json: {', '.join(sorted(servers))} not started: --trust-project.")
        servers = {}
    return workshop, servers, [*wrong, *complaints]


def _pinned(view: RunView) -> dict[str, str] | None:
    """The versions of the memory that the run began with, by whose they are; None: it begins now."""
    if not view.attempt:
        return None
    return {"foreign" if source["kind"] == "file" else source["scope"]: source["version"] for source in view.memory}


def _record_uses(recall: Recall, view: RunView) -> None:
    """Takes down how the notes fared, and has a version taken back after which runs go worse.

    It is a fold of the journal, which can be made again where this fails.
    """
    for source in recall.sources:
        if source.entries and not view.simulated:
            with contextlib.suppress(MemoryStoreError):
                store = MemoryStore(Path(source.path))
                store.add_use(use_of(view, source.version, source.entries.keys()))
                guard(store, time.time())


async def recorded_script(read_value: ReadValue, view: RunView) -> Script:
    """The script as the journal has it."""
    source = msgspec.json.decode(await read_value(view.source), type=str)
    examination = examine(source, ask=trust)
    if examination.meta is None:
        return accept(examination, view.script)
    return Script(view.script, source, examination.meta)


def find_child(reference: Any, cwd: Path) -> Script:
    """A child workflow by saved name or ``{scriptPath}``. Raises HookError("WorkflowError") that a script can catch."""
    try:
        match reference:
            case str(name):
                return saved.load(saved.find(name, cwd, names_only=True))
            case {"scriptPath": str(path)}:
                return saved.load(cwd / path)
            case _:
                raise UsageError("workflow() takes a saved name or {scriptPath: '…'}.")
    except ScriptRefused as refused:
        raise HookError("WorkflowError", f"{refused.message}{_hint(refused)}") from refused
    except CounterpointError as error:
        raise HookError("WorkflowError", error.message) from error


def _hint(error: CounterpointError) -> str:
    return f" ({error.hint})" if error.hint else ""


def exit_code(status: RunStatus) -> int:
    """What `run` exits with, as the contract has it."""
    return EXIT_CODES[status]


EXIT_CODES = {
    RunStatus.COMPLETED: 0,
    RunStatus.FAILED: 1,
    RunStatus.REJECTED: 2,
    RunStatus.WAITING: 3,
    RunStatus.PARTIAL: 4,
    RunStatus.BUDGET_EXCEEDED: 5,
    RunStatus.PAUSED: 6,
    RunStatus.STOPPED: 130,
    RunStatus.INTERRUPTED: 130,
    RunStatus.UNREADABLE: 1,
    RunStatus.RUNNING: 0,
}
