"""Runs of a conversation, each in a process of its own: planned, proposed, started, looked after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.background import execute_apart
from counterpoint.cli.approval import Approved, Proposal, approve
from counterpoint.cli.leading import Office, read_decided_args
from counterpoint.cli.plan import authored, refuse_small
from counterpoint.cli.receipts import me
from counterpoint.cli.simulate import rendered
from counterpoint.client import load_script
from counterpoint.errors import UsageError
from counterpoint.lead.author import AuthorError
from counterpoint.lead.notice import notice, returned
from counterpoint.script import Script
from counterpoint.script.find import find
from counterpoint.script.shape import shape_of
from counterpoint.text import count, duration, money, one_line
from counterpoint.tools.arguments import check_args
from counterpoint.version import VERSION
from counterpoint.view import RunView

Ask = Callable[[str], Awaitable[str]]
MOST_SHOWN = 12
PART = 6000
"""Characters of one further part of a result."""


@dataclass(slots=True)
class Background:
    """What the lead, and slash commands, can have done (`lead.session.Runs`)."""

    here: Office
    ask: Ask | None
    """Asks the person at the terminal; None: nobody is there."""
    plans: dict[str, Path] = field(default_factory=dict[str, Path])
    """The scripts that were written in this session."""
    runs: list[str] = field(default_factory=list[str])
    """All runs of the session, in the order in which they were started."""
    open: set[str] = field(default_factory=set[str])
    """Those whose end has not been told."""

    @classmethod
    def of(cls, here: Office, ask: Ask | None) -> Background:
        """With the runs that the session's record names."""
        entries = here.record.entries()
        started = [str(entry.body["run_id"]) for entry in entries if entry.kind == "run"]
        told = {str(entry.body["run_id"]) for entry in entries if entry.kind == "told"}
        plans = {str(entry.body["name"]): Path(entry.body["path"]) for entry in entries if entry.kind == "planned"}
        return cls(here, ask, plans, started, set(started) - told)

    # --- what is started

    async def plan(self, task: str) -> str:
        refuse_small(self.here.line.model.spec)
        if not task.strip():
            raise UsageError("There is nothing to plan.", hint="/plan TASK")
        attempt = await authored(self.here, task)
        script, estimate = attempt.script, attempt.estimate
        if script is None or estimate is None:
            raise AuthorError([attempt])
        name = f"plan-{len(self.plans) + 1}"
        self.plans[name] = Path(script.path)
        self.here.record.add("planned", name=name, path=script.path)
        shape = shape_of(script.source, script.meta)
        return f"{name} is ready to be started.\n{rendered(script, self.here.model, shape, estimate)}"

    async def start(self, what: str, args: str) -> str:
        script = await load_script(self.plans.get(what) or find(what, self.here.folder, names_only=True))
        return await self.propose(script, read_decided_args(args), "the lead proposes it")

    async def propose(self, script: Script, args: bytes | None, why: str) -> str:
        """Asks for a yes, and starts the run in a process of its own."""
        here = self.here
        check_args(script, args)
        estimate = await here.estimate(script, args)
        approved = await approve(here, Proposal(script, args, estimate, why), ask=self.ask)
        if not isinstance(approved, Approved):
            return f"Not started: the user was asked and said no ({approved})." if approved == "no" else UNASKED
        proposal = approved.proposal
        run_id = await here.here.client.submit(
            proposal.script, settings=here.here.settings, models=here.models, cwd=here.folder, args=proposal.args,
            version=VERSION,
        )  # fmt: skip
        here.record.add("run", run_id=run_id, approved_by=approved.by)
        self.runs.append(run_id)
        self.open.add(run_id)
        await execute_apart(here.here.store, run_id)
        return f"Run {run_id} “{one_line(proposal.script.meta.name, 60)}” has begun; its end comes as one message."

    # --- what is asked of runs

    async def status(self, run: str) -> str:
        ids = [await self._id(run)] if run else self.runs[-MOST_SHOWN:]
        lines = [_line(await self.here.here.client.view(run_id)) for run_id in ids]
        return "\n".join(lines) or "This session has started no run."

    async def result(self, run: str, start: int) -> str:
        client = self.here.here.client
        view = await client.view(await self._id(run))
        if view.result is None:
            return f"{_line(view)}\nIt has returned nothing."
        return returned(view.run_id, await client.value(view.run_id, view.result), start, PART)

    async def steer(self, run: str, text: str, agent: str) -> str:
        if not text.strip():
            raise UsageError("There is nothing to say.", hint="/steer RUN TEXT")
        return await self._request(run, "steer", agent or None, text=text)

    async def stop(self, run: str) -> str:
        return await self._request(run, "stop", None, drain=False)

    async def _request(self, run: str, verb: str, target: str | None, **body: Any) -> str:
        client, run_id = self.here.here.client, await self._id(run)
        if not await client.is_live(run_id) and _begun(await client.view(run_id)):
            raise UsageError(f"Run {run_id} is not under way.")
        number = await client.ask(run_id, verb, target, by=f"{me()} (chat)", **body)
        self.here.record.add("asked", run_id=run_id, verb=verb, request=number)
        return f"Asked run {run_id} to {verb} (request {number})."

    async def _id(self, run: str) -> str:
        if run == "@last" and self.runs:
            return self.runs[-1]
        return await self.here.here.client.find(run)

    # --- what ends

    async def ended(self) -> list[tuple[RunView, str]]:
        """Runs that have ended since the last time, each with what the lead is told; they count as told."""
        client = self.here.here.client
        found: list[tuple[RunView, str]] = []
        for run_id in sorted(self.open):
            if await client.is_live(run_id):
                continue
            view = await client.view(run_id)
            if not _begun(view):
                continue
            said = notice(view, await client.value(run_id, view.result))
            self.open.discard(run_id)
            self.here.record.add("told", run_id=run_id, status=view.status.value)
            found.append((view, said))
        return found


UNASKED = "Not started: nobody is at the terminal to say yes. The user can start it, or start the chat with --yes."


def _begun(view: RunView) -> bool:
    """Whether the process that is to execute the run has got so far."""
    return view.attempt > 0 or view.ended


def _line(view: RunView) -> str:
    good, of = view.coverage()
    usage = view.usage()
    status = view.shown_status().value if _begun(view) else "starting"
    rows = ", ".join(f"{one_line(row['title'], 24)} {row['ok']}/{row['agents']}" for row in view.phase_rows()[:8])
    return (
        f"{view.run_id} {one_line(view.name, 40)}: {status}, {good} of {of} agents ok, "
        f"{count(usage.output_tokens)} tokens out, {money(usage.usd)}, {duration(view.duration_s())}"
        + (f"; {rows}" if rows else "")
    )
