"""A dream, from the choice of runs to the version in force. The stages are in `dream`; here they are put in a row.

    report = await dream_of(state=state, folder=project, model="anthropic:NAME")

What a dream has planned, and what its agents answered, is on disk before anything follows from it; so whoever comes
after a crash goes on where it stopped, pays nothing twice, and comes to the same version, byte by byte.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from counterpoint import daemon, settings
from counterpoint.ceilings import read_budgets
from counterpoint.client import Client
from counterpoint.dream import canary, inbox, verify, watch
from counterpoint.dream.canary import Tasks, Trial
from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.cluster import cluster
from counterpoint.dream.detect import detect
from counterpoint.dream.episodes import MOST_ITEMS
from counterpoint.dream.excerpts import chunks, tokens
from counterpoint.dream.findings import Findings, report_of, summary
from counterpoint.dream.items import Blocked, Item, Refs, locate
from counterpoint.dream.lease import dreaming
from counterpoint.dream.prepare import Wish, cleaner_of, everything_known, plan_of, prepare
from counterpoint.dream.propose import propose
from counterpoint.dream.record import Answer, BlockedRow, Dreams, Plan, Report, Status
from counterpoint.dream.session import Session, read_session
from counterpoint.dream.showing import claim, shown_to_readers, vote, words_of
from counterpoint.dream.verify import Ground, Vote
from counterpoint.errors import DreamFailedError, MemoryConflictError
from counterpoint.events import NO_USAGE, Recorded, RunStatus, Usage
from counterpoint.memory.applying import Applied
from counterpoint.memory.changes import Proposal
from counterpoint.memory.entries import Entry, canonical, digest
from counterpoint.memory.places import project_root, project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move, Version
from counterpoint.models.messages import Model
from counterpoint.models.registry import Models
from counterpoint.script.find import BUNDLED, load
from counterpoint.settings import Settings
from counterpoint.store.opening import store_at
from counterpoint.store.runs import Store
from counterpoint.version import VERSION
from counterpoint.view import RunView

SKEPTIC_TOKENS = 1_500
READER_OUTPUT = 250
SKEPTIC_OUTPUT = 120
TRIAL_TOKENS = 2_500
TRIAL_OUTPUT = 150
"""About what one agent needs, for the price."""
EXIT_CODES: dict[Status, int] = {
    "published": 0, "nothing": 0, "waiting": 3, "budget": 5, "paused": 6, "rejected": 7, "failed": 1, "conflict": 1,
}  # fmt: skip
ITS_OWN: dict[str, Any] = {
    "allow": (), "ask": (), "network": False, "trust_project": False, "instructions": (), "memory": False,
    "budgets": (), "budget_tokens": None, "budget_usd": None, "budget_reserve": 0.0, "strict": False, "portable": False,
}  # fmt: skip
"""Settings of the runs that a dream makes: its agents have no tools, and are told nothing but their prompt."""

OnEvent = Callable[[Recorded], None]


@dataclass(frozen=True, slots=True)
class Price:
    """What a dream would need, before anything is spent."""

    sessions: int
    readers: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    left_out: dict[str, str]
    not_due: str = ""
    hits: tuple[str, ...] = ()
    trials: int = 0
    """Agents that try held-out tasks, at least."""


async def dream_of(
    *,
    state: Path,
    folder: Path,
    model: str | Model,
    models: Mapping[str, Model] | None = None,
    memory: MemoryStore | None = None,
    wish: Wish | None = None,
    tasks: Tasks | None = None,
    now: Callable[[], float] = time.time,
    **options: Any,
) -> Report:
    """One dream over the runs below `state` that were made in `folder`, for programs. `options` are settings."""
    own = dict(models or {})
    if not isinstance(model, str):
        own[model.spec] = model
        model = model.spec
    chosen = settings.load(cwd=folder, flags={**options, "model": model, "state": state})
    async with store_at(chosen.state, chosen.database) as store, Models(chosen, own=own) as registry:
        place = memory or project_store(folder)
        return await dream(store, registry, chosen, wish or Wish(), folder=folder, memory=place, tasks=tasks, now=now)


async def dream(
    store: Store,
    models: Models,
    chosen: Settings,
    wish: Wish,
    *,
    folder: Path,
    memory: MemoryStore,
    tasks: Tasks | None = None,
    now: Callable[[], float] = time.time,
    on_event: OnEvent | None = None,
) -> Report:
    """Dreams, or goes on with the dream that was cut off. Raises DreamIsLiveError, StoreError, MemoryStoreError."""
    dreams = Dreams(memory.folder)
    folder = await asyncio.to_thread(project_root, folder)
    await asyncio.to_thread(_make_sure, memory)
    async with dreaming(dreams.folder):
        looked = await asyncio.to_thread(watch.look_after, memory, dreams, folder, now())
        plan = await asyncio.to_thread(dreams.unfinished)
        if plan is None:
            prepared = await prepare(store, memory, dreams, wish, folder, now())
            if prepared.not_due or not prepared.sessions:
                message = prepared.not_due or "There is no run that has not been read."
                return _idle(looked, message, memory.head(), prepared.left_out, now())
            plan = await asyncio.to_thread(plan_of, prepared, memory, wish, folder, now())
            await asyncio.to_thread(dreams.keep_plan, plan)
        work = _Dream(store, models, chosen, wish, memory, dreams, plan, tasks, on_event)
        return await work.run()


def _make_sure(memory: MemoryStore) -> None:
    """The memory's folder is there, stays out of the repository, and has no links that lead out of it."""
    memory.keep_private()
    with memory.locked():
        pass


async def run_bundled(
    store: Store, models: Models, chosen: Settings, name: str, args: dict[str, Any], *, folder: Path
) -> dict[str, Any]:
    """What a workflow of ours returns, whose agents are told nothing but their prompts. Raises DreamFailedError."""
    run_id = await _submit(store, models, chosen, name, args, folder, {})
    ended = await daemon.execute(store, run_id, models)
    if ended.status not in (RunStatus.COMPLETED, RunStatus.PARTIAL):
        raise DreamFailedError(
            f"The run {run_id} of {name} ended as {ended.status.value}: "
            f"{ended.error.message if ended.error else ended.message}",
            hint=f"Look at it with: counterpoint show {run_id}",
        )
    client = Client(store)
    return await client.value(run_id, (await client.view(run_id)).result)


async def _submit(
    store: Store, models: Models, chosen: Settings, name: str, args: dict[str, Any], folder: Path,
    bounds: dict[str, Any],
) -> str:  # fmt: skip
    script = await asyncio.to_thread(load, BUNDLED / f"{name}.js")
    own = dataclasses.replace(chosen, **{**ITS_OWN, **bounds})
    encoded = msgspec.json.encode(args)
    return await Client(store).submit(script, settings=own, models=models, cwd=folder, args=encoded, version=VERSION)


async def price(
    store: Store, models: Models, chosen: Settings, wish: Wish, *, folder: Path, memory: MemoryStore, now: float,
    tasks: Tasks | None = None,
) -> Price:  # fmt: skip
    """What a dream would read and cost; nothing is spent or written."""
    dreams = Dreams(memory.folder)
    prepared = await prepare(store, memory, dreams, wish, folder, now)
    pieces = await asyncio.to_thread(chunks, prepared.sessions.values(), prepared.hits, prepared.cleaner)
    claims = min(wish.most, 2 * len(pieces) + len(prepared.hits)) if pieces else 0
    model = models.get(models.default(chosen.model))
    trials = 2 * canary.SEEDS * len(tasks.names) if tasks is not None and claims else 0
    usage = Usage(
        input_tokens=tokens(pieces) + claims * wish.votes * SKEPTIC_TOKENS + trials * TRIAL_TOKENS,
        output_tokens=len(pieces) * READER_OUTPUT + claims * wish.votes * SKEPTIC_OUTPUT + trials * TRIAL_OUTPUT,
    )
    return Price(
        len(prepared.sessions), len(pieces), usage.input_tokens, usage.output_tokens, model.cost(usage),
        prepared.left_out, prepared.not_due, tuple(hit.summary for hit in prepared.hits), trials,
    )  # fmt: skip


def _idle(looked: watch.Looked, message: str, head: str | None, left_out: dict[str, str], now: float) -> Report:
    """No dream: nothing is new, or none is due. What the watch has seen may wait all the same."""
    return Report(
        id="", at=now, status="waiting" if looked.proposed else "nothing", message=looked.notice or message,
        parent=head, version=head, left_out=left_out, flagged=looked.flagged,
        proposals=dict.fromkeys(looked.proposed, "waiting"),
    )  # fmt: skip


class _StopError(Exception):
    """The dream stops here, and can be gone on with."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status: Status = status
        self.message = message


class _Dream:
    """One dream under way."""

    def __init__(
        self,
        store: Store,
        models: Models,
        chosen: Settings,
        wish: Wish,
        memory: MemoryStore,
        dreams: Dreams,
        plan: Plan,
        tasks: Tasks | None,
        on_event: OnEvent | None,
    ) -> None:
        self._store, self._models, self._settings, self._wish = store, models, chosen, wish
        self._memory, self._dreams, self._plan, self._tasks = memory, dreams, plan, tasks
        self._on_event = on_event
        self._client = Client(store)
        self._folder = Path(plan.folder)
        self._runs: dict[str, str] = {}
        self._usage = NO_USAGE
        self._simulated = False
        """Some of its agents only acted: then nothing comes of it but a report."""
        self._entries: dict[str, Entry] = {}
        self._sessions: dict[str, Session] = {}

    async def run(self) -> Report:
        """All stages, to the report."""
        plan = self._plan
        self._runs = await asyncio.to_thread(self._dreams.runs, plan.id)
        self._entries = await asyncio.to_thread(self._memory.entries, plan.parent)
        self._sessions = {name: await read_session(self._store, name) for name in sorted(plan.marks)}
        findings = Findings()
        clock = asyncio.timeout(self._wish.seconds)
        try:
            async with clock:
                return await self._stages(findings)
        except TimeoutError:
            if not clock.expired():
                raise
            return self._report(findings, "budget", "The time of the dream is used up; the next one goes on with it.")
        except _StopError as stopped:
            report = self._report(findings, stopped.status, stopped.message)
            if stopped.status == "failed":  # nothing to go on with: the next dream begins anew, and reads the same runs
                await asyncio.to_thread(self._dreams.keep_report, report)
            return report

    async def _stages(self, findings: Findings) -> Report:
        answers = await self._read()
        known = await asyncio.to_thread(everything_known, self._store, self._entries)
        cleaner = cleaner_of(known, self._sessions.values())
        ground = Ground(self._folder, self._entries, self._sessions, cleaner,
                        await asyncio.to_thread(verify.read_instructions, self._folder))  # fmt: skip
        await asyncio.to_thread(self._propose, findings, answers, cleaner)
        await self._verify(findings, ground)
        return await self._settle(findings)

    # S3 and S6: the agents

    async def _read(self) -> dict[str, Answer]:
        plan = self._plan
        if not plan.chunks:
            return {}
        args = {"stage": "read", "chunks": shown_to_readers(plan.chunks, self._entries),
                "instructions": plan.instructions}  # fmt: skip
        value = await self._stage("read", args)
        return {answer.id: answer for answer in msgspec.convert(value["answers"], list[Answer])}

    async def _refute(self, asked: Sequence[Proposal], ground: Ground) -> dict[str, list[Vote | None]]:
        if not asked:
            return {}
        args = {"stage": "refute", "votes": self._plan.votes, "models": self._plan.models,
                "claims": [claim(proposal, ground) for proposal in asked]}  # fmt: skip
        try:
            value = await self._stage("refute", args)
        except _StopError as stopped:
            if stopped.status != "paused":
                raise
            return {}  # a quota is used up: nobody has voted, and that is no verdict
        rows = msgspec.convert(value["answers"], list[dict[str, Any]])
        return {str(row["id"]): [vote(each, self._settings.model or "") for each in row["votes"]] for row in rows}

    async def _try(self, args: dict[str, Any]) -> dict[str, Any]:
        """S8: one arm of a trial. The same arm is run once in a dream, also after a crash, and within its budget."""
        return await self._stage(f"trial-{digest(canonical(args))[:12]}", args, script="dream-eval")

    async def _stage(self, name: str, args: dict[str, Any], *, script: str = "dream") -> dict[str, Any]:
        """What the script returns for one stage: of the run that there is, or of a new one. Raises _StopError."""
        run_id = self._runs.get(name)
        bounds = self._bounds()
        if run_id is None:
            run_id = await _submit(self._store, self._models, self._settings, script, args, self._folder, bounds)
            self._runs = {**self._runs, name: run_id}
            await asyncio.to_thread(self._dreams.keep_runs, self._plan.id, self._runs)
        view = await self._client.view(run_id)
        if view.status not in (RunStatus.COMPLETED, RunStatus.PARTIAL):
            listeners = (_each(self._on_event),) if self._on_event else ()
            orders = daemon.Orders(bounds=bounds if view.attempt else {}, listeners=listeners)
            await daemon.execute(self._store, run_id, self._models, orders)
            view = await self._client.view(run_id)
        self._usage = self._usage + view.usage()
        self._simulated = self._simulated or view.simulated
        self._check(view, name)
        return await self._client.value(run_id, view.result)

    def _bounds(self) -> dict[str, Any]:
        """What is left of the dream's budget. Raises _StopError where nothing is."""
        given = read_budgets(self._wish.budget)
        spent = {"budget_tokens": self._usage.output_tokens, "budget_usd": self._usage.usd or 0.0}
        for name in spent.keys() & given.keys():
            given[name] -= spent[name]
            if given[name] <= 0:
                raise _StopError("budget", "The budget of the dream is used up; --budget gives it more to go on with.")
        return given

    def _check(self, view: RunView, name: str) -> None:
        """Goes on only with a stage that came to its end."""
        match view.status:
            case RunStatus.COMPLETED | RunStatus.PARTIAL:
                return
            case RunStatus.BUDGET_EXCEEDED:
                raise _StopError("budget", f"The budget ended the stage {name}; a larger --budget goes on with it.")
            case RunStatus.PAUSED | RunStatus.WAITING | RunStatus.STOPPED | RunStatus.INTERRUPTED:
                raise _StopError("paused", f"The stage {name} stopped ({view.message or view.status.value}).")
            case _:
                why = view.error.message if view.error else view.message
                if view.error is not None and view.error.name == "BudgetExceededError":
                    raise _StopError("budget", f"The budget ended the stage {name}; a larger --budget goes on with it.")
                raise _StopError("failed", f"The stage {name} failed ({view.run_id}): {why}")

    # S4, S5

    def _propose(self, findings: Findings, answers: Mapping[str, Answer], cleaner: Cleaner) -> None:
        """Pure, and long where there is much: in a thread."""
        brought: list[tuple[Item, Refs]] = []
        for chunk in self._plan.chunks:
            answer = answers.get(chunk.id)
            if answer is None or answer.items is None:
                findings.unread.add(chunk.run_id)
                continue
            items, malformed = answer.read()
            findings.blocked += [Blocked("V0", f"an item of reader {chunk.id}", "it is malformed")] * malformed
            most = MOST_ITEMS * chunk.episodes or len(items)
            if len(items) > most:
                reason = f"it brings more than {MOST_ITEMS} lessons for each thing that was tried"
                findings.blocked += [Blocked("V0", item.text, reason) for item in items[most:]]
            brought += [(item, chunk.refs) for item in items[:most]]
        total = len(self._plan.chunks)
        findings.readers = (sum(a.items is not None for a in answers.values()), total)
        located = locate(brought, self._sessions, cleaner)
        claims = [*located.claims, *(hit.claim for hit in detect(self._ordered()) if hit.claim is not None)]
        findings.items = len(brought) + len(claims) - len(located.claims)
        clusters, conflicts = cluster(claims)
        made = propose(clusters, self._entries, self._sessions, at=self._plan.at, dream_id=self._plan.id,
                       most=self._plan.most)  # fmt: skip
        findings.proposals = made.proposals
        findings.kept_back = made.kept_back
        findings.blocked += [*located.blocked, *made.blocked]
        findings.conflicts = [*conflicts, *made.conflicts]

    def _ordered(self) -> list[Session]:
        return sorted(self._sessions.values(), key=lambda session: (session.at, session.run_id))

    # S6

    async def _verify(self, findings: Findings, ground: Ground) -> None:
        never = await asyncio.to_thread(inbox.unwanted, self._dreams)
        there = {p.id: p for p in await asyncio.to_thread(self._memory.proposals)}
        settled = {each.proposal for each in await asyncio.to_thread(self._dreams.settled)}
        new = [p for p in findings.proposals if not inbox.is_unwanted(p, never) and p.id not in settled]
        again = [p for p in there.values() if p.state == "unverified" and p.id not in {each.id for each in new}]
        fresh = [p for p in new if p.id not in there or there[p.id].state == "unverified"]
        checked = [await asyncio.to_thread(verify.verify, p, ground) for p in fresh]
        for proposal in checked:
            if proposal.state == "rejected":
                last = proposal.verdicts[-1]
                text = proposal.new.text if proposal.new is not None else proposal.why
                findings.blocked.append(Blocked(last.check, text, last.reason))
        open_again = [p for p in again if all(name in self._entries for name in p.target)]
        standing = [p for p in checked if p.state != "rejected"] + [
            msgspec.structs.replace(p, state="open") for p in open_again
        ]
        asked = [p for p in standing if verify.needs_skeptics(p)]
        votes = await self._refute(asked, ground)
        quorum = self._plan.quorum
        judged = [
            verify.tally(p, votes.get(p.id, [None] * self._plan.votes), quorum) if p in asked else p for p in standing
        ]
        for proposal in judged:
            if proposal.state == "rejected":
                reasons = [v.reason for v in proposal.verdicts if v.check == "V6" and v.result == "fail"]
                text = proposal.new.text if proposal.new is not None else proposal.why
                findings.blocked.append(Blocked("V6", text, reasons[0] if reasons else "a tie"))
        findings.proposals = [*(p for p in checked if p.state == "rejected"), *judged]
        findings.open = [p for p in judged if p.state != "rejected"]

    # S7 to S10

    async def _settle(self, findings: Findings) -> Report:
        """Puts in force what may be, and leaves the rest to a person."""
        if self._simulated:
            return await self._rehearsed(findings)
        policy = self._wish.policy
        auto = [p for p in findings.open if p.state == "open" and p.risk in policy.auto]
        others = [p for p in findings.open if p not in auto]
        trial = Trial("unproven")
        if auto and self._tasks is not None:
            trial, kept = await canary.try_out(
                self._tasks, self._entries, auto, lambda part: self._made(part).entries, self._try
            )
            findings.blocked += [Blocked("canary", words_of(p), "runs go worse with it") for p in auto if p not in kept]
            auto = kept
        if not (trial.passed or (trial.verdict == "unproven" and policy.unproven)):
            auto, others = [], [*auto, *others]
        done = self._made(auto)
        others += [refused.proposal for refused in done.refused]
        try:
            version = await asyncio.to_thread(self._publish, done, trial)
        except MemoryConflictError as error:
            await self._let_wait([*auto, *others])
            return await self._finish(findings, done, None, [*auto, *others], trial, "conflict", error.message)
        await self._let_wait(others)
        for proposal in done.applied:
            await asyncio.to_thread(self._memory.drop_proposal, proposal.id)
        status: Status = "waiting" if others else "published" if version else "nothing"
        if trial.verdict == "negative" and not version:
            status = "rejected"
        if status == "nothing" and findings.readers[1] and not findings.readers[0]:
            status = "failed"
        message = summary(status, trial, done, others, findings)
        return await self._finish(findings, done, version, others, trial, status, message)

    async def _rehearsed(self, findings: Findings) -> Report:
        """The end of a dream with simulated agents: their votes are none, and what they read has not been read."""
        report = self._report(findings, "nothing", "A rehearsal with simulated agents: nothing was changed.")
        report = msgspec.structs.replace(report, simulated=True)
        await asyncio.to_thread(self._dreams.keep_report, report)
        return report

    def _made(self, proposals: Sequence[Proposal]) -> Applied:
        """S7: what these proposals make of a copy of the notes."""
        return inbox.candidate(self._entries, proposals, self._plan.at)

    def _publish(self, done: Applied, trial: Trial) -> Version | None:
        """S10. A dream that was cut off just here finds its version in force already. Blocking."""
        plan = self._plan
        if not done.changed:
            return None
        note = f"dream {plan.id}"
        version = self._memory.keep(
            done.entries, parent=plan.parent, actor="dream", at=plan.at, dream_id=plan.id, note=note, counts=done.counts
        )
        if version.id == plan.parent:
            return None
        self._memory.evaluate(version.id, trial.document())
        if self._memory.head() != version.id:
            self._memory.publish(
                version.id, plan.parent,
                Move(after=version.id, actor="dream", at=plan.at, dream_id=plan.id, note=note),
            )  # fmt: skip
        return version

    async def _let_wait(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            await asyncio.to_thread(self._memory.put_proposal, proposal)

    async def _finish(
        self,
        findings: Findings,
        done: Applied,
        version: Version | None,
        others: Sequence[Proposal],
        trial: Trial,
        status: Status,
        message: str,
    ) -> Report:
        """Writes down what was read and how it ended: from then on the dream is over."""
        read = {name: mark for name, mark in self._plan.marks.items() if name not in findings.unread}
        await asyncio.to_thread(self._dreams.add_marks, read)
        report = msgspec.structs.replace(
            self._report(findings, status, message),
            version=version.id if version else self._plan.parent,
            published=version is not None,
            counts=done.counts,
            proposals={
                **{p.id: "rejected" for p in findings.proposals if p.state == "rejected"},
                **{p.id: "unverified" if p.state == "unverified" else "waiting" for p in others},
                **{p.id: "applied" for p in done.applied if version},
            },
            refused=[BlockedRow("S7", words_of(r.proposal), r.reason) for r in done.refused],
            canary=trial.document(),
        )
        await asyncio.to_thread(self._dreams.keep_report, report)
        return report

    def _report(self, findings: Findings, status: Status, message: str) -> Report:
        return report_of(
            findings, self._plan, status, message, active=sum(entry.active for entry in self._entries.values()),
            usage=self._usage, runs=self._runs, clean=cleaner_of({}).shown,
        )  # fmt: skip


def _each(on_event: OnEvent) -> Callable[[list[Recorded]], None]:
    def listen(events: list[Recorded]) -> None:
        for recorded in events:
            on_event(recorded)

    return listen
