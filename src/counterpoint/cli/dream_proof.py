"""``dream blame`` and ``dream why``: from a note to what proves it, and from a run to the notes that were in play."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from counterpoint.cli import memories
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.dream.proof import Proof, prove
from counterpoint.errors import CounterpointError
from counterpoint.memory.entries import Entry
from counterpoint.memory.history import Step
from counterpoint.memory.history import blame as history_of
from counterpoint.memory.places import project_store, user_store
from counterpoint.memory.store import MemoryStore, short
from counterpoint.text import one_line, safe
from counterpoint.view import RunView

LINES = 3
"""Lines of the transcript on each side of a quote."""


@click.command()
@click.argument("entry")
@click.option("--user", is_flag=True, help="Of your own memory instead of this project's.")
@common
@asynchronous
async def blame(entry: str, user: bool, output: Output, state: Path | None) -> int:
    """What proves a note: each quote, looked up in its transcript now; and every change that there was of it."""
    async with session(state) as here:
        memory = user_store(here.store.folder) if user else await asyncio.to_thread(project_store, Path.cwd())
        note = memories.find_note(await asyncio.to_thread(lambda: memory.entries(memory.head())), entry)
        steps = await asyncio.to_thread(history_of, memory, note.id)
        proofs = [await prove(here.store.reader, memory, anchor) for anchor in [*note.evidence, *note.counter_evidence]]
    if output.json:
        output.document({
            "entry": memories.document(note),
            "evidence": [{**memories.document(proof.anchor), "holds": proof.holds, "problem": proof.problem,
                          "against": proof.anchor in note.counter_evidence, "link": proof.link} for proof in proofs],
            "history": [{**memories.document(step.move), "what": step.difference.what} for step in steps],
        })  # fmt: skip
        return 0
    click.echo("\n".join([*memories.about(note), ""]))
    for proof in proofs:
        click.echo("\n".join(_proof_lines(note, proof)))
    for step in steps:
        click.echo(_step_line(step))
    return 0


def _proof_lines(note: Entry, proof: Proof) -> list[str]:
    anchor = proof.anchor
    sign = "against" if anchor in note.counter_evidence else "for"
    state = "holds" if proof.holds else f"DOES NOT HOLD: {proof.problem}"
    lines = [f"{sign}: {anchor.author.value}, {anchor.taint.value}, {memories.day(anchor.at)}; {state}"]
    if proof.holds:
        before, quote, after = proof.around(LINES)
        shown = f"{safe(before)}»{safe(quote)}«{safe(after)}"
        lines += [f"    {line}" for line in shown.splitlines()]
    else:
        lines.append(f"    “{safe(anchor.quote)}”")
    lines.append(f"    {memories.where(anchor)}")
    return [*lines, f"    in the page: {safe(proof.link)}", ""] if proof.link else [*lines, ""]


def _step_line(step: Step) -> str:
    move = step.move
    by = move.dream_id or safe(move.actor)
    return f"{short(move.after)}  {memories.day(move.at)}  {move.kind}: {step.difference.what} by {by}"


@click.command()
@click.argument("run")
@common
@asynchronous
async def why(run: str, output: Output, state: Path | None) -> int:
    """Which notes were in play in a run: what each agent was told, and what it named."""
    async with session(state) as here:
        view = await here.client.view(await here.client.find(run))
        stores = [project_store(Path(view.cwd)), user_store(here.store.folder)]
        notes, missing = await asyncio.to_thread(_notes_of, view, stores)
    names = [*dict.fromkeys(name for agent in view.agents.values() for name in agent.notes)]
    rows = [_row(name, notes.get(name), view) for name in names]
    if output.json:
        output.document({"run_id": view.run_id, "sources": view.memory, "notes": rows, "problems": missing})
        return 0
    for source in view.memory:
        what = f"{source['scope']} {source['kind']}, {memories.notes(source['entries'])}"
        click.echo(f"{what}, version {short(source['version'])}, {safe(source['path'])}")
    for row in rows:
        click.echo(f"{row['id']}  {one_line(row['text'] or '(not to be had any more)', 80)}")
        for what in ("loaded", "cited", "contradicted"):
            if row[what]:
                click.echo(f"    {what} by {', '.join(row[what][:12])}{' …' if len(row[what]) > 12 else ''}")
    for problem in missing:
        output.say(safe(problem))
    if not view.memory:
        output.say(f"No agent of {view.run_id} was told any note.")
    return 0


def _row(name: str, entry: Entry | None, view: RunView) -> dict[str, Any]:
    agents = view.agents.values()
    return {
        "id": name, "text": entry.text if entry is not None else None,
        "loaded": [agent.id for agent in agents if name in agent.notes],
        "cited": [agent.id for agent in agents if name in agent.cited],
        "contradicted": [agent.id for agent in agents if name in agent.contradicted],
    }  # fmt: skip


def _notes_of(view: RunView, stores: list[MemoryStore]) -> tuple[dict[str, Entry], list[str]]:
    """The notes as they were in the versions that the run had, wherever their store is now. Blocking."""
    found: dict[str, Entry] = {}
    problems: list[str] = []
    for source in view.memory:
        if source["kind"] != "store":
            continue
        places = [MemoryStore(Path(source["path"])), *stores]
        store = next((place for place in places if place.has(source["version"])), None)
        try:
            if store is not None:
                found |= store.entries(source["version"])
            else:
                problems.append(f"Version {short(source['version'])} is in none of the memories that are here.")
        except CounterpointError as error:
            problems.append(error.message)
    return found, problems
