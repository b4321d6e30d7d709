"""``dream status`` and ``dream show``: where dreaming stands, and what there is behind a proposal."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.cli.dream_run import told
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.dream import inbox
from counterpoint.dream.lease import holder
from counterpoint.dream.record import Dreams
from counterpoint.dream.showing import patch
from counterpoint.dream.standing import SHOWN, standing
from counterpoint.errors import UsageError
from counterpoint.memory.changes import Proposal
from counterpoint.memory.places import project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.text import one_line, safe

TIERS = ("more evidence", "a fact that a program proves", "tells agents what to do", "takes something away")


@click.command()
@common
def status(output: Output, state: Path | None) -> int:
    """Where dreaming stands in this project."""
    memory = project_store(Path.cwd())
    dreams = Dreams(memory.folder)
    reports, wait, live = dreams.reports(), inbox.waiting(memory), holder(dreams.folder)
    head = memory.head()
    active = sum(entry.active for entry in memory.entries(head).values())
    unfinished, timer = dreams.unfinished(), dreams.schedule()
    if output.json:
        output.document(standing(memory))
        return 0
    click.echo(f"{active} notes in force (version {head[:12] if head else 'none'}); {len(dreams.marks())} runs read.")
    if live is not None:
        click.echo(f"Process {live.pid} on {live.host} is dreaming.")
    elif unfinished is not None:
        click.echo(f"The dream {unfinished.id} was cut off: counterpoint dream run goes on with it.")
    if timer is not None:
        click.echo(f"It dreams by itself: {safe(timer.cron)} ({timer.kind}).")
    for report in reports[:SHOWN]:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(report.at))
        click.echo(f"{report.id}  {when}  {report.status}: {one_line(report.message, 90)}")
    moves = memory.moves()
    if moves and moves[-1].actor == "watch":
        click.echo(f"{moves[-1].before and moves[-1].before[:12]} was {safe(moves[-1].note)}.")
    if wait:
        click.echo(f"{len(wait)} proposals wait: counterpoint dream review")
    return 0


@click.command()
@click.argument("name", metavar="DREAM|PROPOSAL")
@click.option("--patch", "patched", metavar="AGENTS.md", help="Of a proposal: a patch that adds it to that file.")
@common
@asynchronous
async def show(name: str, patched: str | None, output: Output, state: Path | None) -> int:
    """Show a dream (d-…, or @last), or a proposal (p-…) with its evidence and verdicts.

    Files of instructions are yours: a dream edits none. --patch AGENTS.md prints what `git apply` takes.
    """
    memory = await asyncio.to_thread(project_store, Path.cwd())
    if name.startswith("p-"):
        async with session(state):
            proposal = await asyncio.to_thread(inbox.find, memory, name)
        if patched is not None:
            click.echo(await asyncio.to_thread(_patch, proposal, patched), nl=False)
        elif output.json:
            output.document(msgspec.to_builtins(proposal))
        else:
            click.echo("\n".join(await asyncio.to_thread(screen, memory, proposal)))
        return 0
    dreams = Dreams(memory.folder)
    dream_id = await asyncio.to_thread(dreams.find, name)
    report = await asyncio.to_thread(dreams.report, dream_id)
    if report is None:
        plan = await asyncio.to_thread(dreams.plan, dream_id)
        runs = await asyncio.to_thread(dreams.runs, dream_id)
        unfinished: dict[str, Any] = {
            "id": dream_id,
            "status": "unfinished",
            "sessions": sorted(plan.marks),
            "runs": runs,
        }
        output.document(unfinished) if output.json else click.echo(f"{dream_id} has not ended: counterpoint dream run")
        return 0
    output.document(msgspec.to_builtins(report)) if output.json else click.echo(told(report))
    return 0


def _patch(proposal: Proposal, name: str) -> str:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{name} is no file of this folder.")
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return patch(proposal, name, text)


def screen(memory: MemoryStore, proposal: Proposal) -> list[str]:
    """One proposal, with everything that a person needs to decide. Blocking."""
    entries = memory.entries(memory.head())
    lines = [f"{proposal.id}  {proposal.op}  tier {proposal.risk} ({TIERS[proposal.risk]})  {proposal.state}"]
    for name in proposal.target:
        old = entries.get(name)
        lines.append(f"- {safe(old.text) if old is not None else 'gone'}  [{name}]")
    if proposal.new is not None:
        new = proposal.new
        lines.append(f"+ {safe(new.text)}")
        lines.append(f"  {new.kind} about {safe(new.key)}, scope {safe(new.scope)}, confidence {new.confidence}")
        lines += [f"  when: {safe(new.trigger)}"] if new.trigger else []
    lines += [f"why: {safe(proposal.why)}", f"would be disproved by: {safe(proposal.would_disprove)}"]
    for anchor in proposal.evidence:
        look = f"show {anchor.run_id} {anchor.session_id}" if anchor.session_id else f"export {anchor.run_id} --jsonl"
        place = f"message {anchor.seq + 1}" if anchor.session_id else f"event {anchor.seq}"
        lines.append(f"“{safe(anchor.quote)}”")
        lines.append(f"  {anchor.author.value}, {anchor.taint.value}: {place} of counterpoint {look}")
    for verdict in proposal.verdicts:
        if verdict.result != "pass" or verdict.check in ("V6", "review"):
            lines.append(f"{verdict.check} {verdict.by}: {verdict.result} {safe(verdict.reason)}")
    size = len(proposal.new.text) // 4 + 20 if proposal.new is not None else 0
    lines.append(f"costs about {size} tokens of each prompt that it is loaded into")
    return lines
