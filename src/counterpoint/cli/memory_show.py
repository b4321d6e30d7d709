"""``memory list``, ``show``, ``recall``, ``uses`` and ``render``: looking at notes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.cli import memories
from counterpoint.cli.memories import of_whom
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import StoreError
from counterpoint.memory.audit import problems
from counterpoint.memory.places import open_recall
from counterpoint.memory.store import MemoryStore, short
from counterpoint.memory.uses import use_of
from counterpoint.memory.utility import UNKNOWN, Utility, utilities
from counterpoint.redaction import Redaction
from counterpoint.text import one_line, safe
from counterpoint.view import RunView


@click.command("list")
@click.option("--all", "all_", is_flag=True, help="Retired ones too.")
@click.option("--scope", help="Only of this scope: project, user, team, workflow:NAME, agent:NAME.")
@common
@of_whom
def list_(all_: bool, scope: str | None, output: Output, memory: MemoryStore) -> int:
    """The notes in force."""
    head = memory.head()
    entries = memory.entries(head)
    shown = [e for e in entries.values() if (all_ or e.active) and scope in (None, e.scope)]
    if output.json:
        output.document({
            "folder": str(memory.folder), "version": head, "active": sum(e.active for e in entries.values()),
            "entries": [memories.document(entry) for entry in shown],
        })  # fmt: skip
        return 0
    for entry in sorted(shown, key=lambda e: (not e.active, e.scope, e.key, e.id)):
        click.echo(memories.line(entry))
    output.say(f"{memories.notes(len(shown))}, version {short(head)}, in {safe(str(memory.folder))}")
    return 0


@click.command()
@click.argument("entry")
@common
@of_whom
def show(entry: str, output: Output, memory: MemoryStore) -> int:
    """One note, with its evidence."""
    note = memories.find_note(memory.entries(memory.head()), entry)
    known = utilities(memory.uses()).get(note.id, UNKNOWN)
    if output.json:
        output.document({**memories.document(note), "utility": _figures(known)})
        return 0
    click.echo("\n".join(memories.about(note)))
    click.echo(f"utility {known.mean:.2f}: loaded in {known.loaded} runs, cited in {known.cited}, called wrong in "
               f"{known.contradicted}")  # fmt: skip
    for anchor in [*note.evidence, *note.counter_evidence]:
        sign = "-" if anchor in note.counter_evidence else "+"
        click.echo(
            f"{sign} “{safe(anchor.quote)}”\n  {anchor.author.value}, {anchor.taint.value}: {memories.where(anchor)}"
        )
    return 0


@click.command()
@click.argument("task")
@click.option("--workflow", default="", help="The name of the run's workflow.")
@click.option("--agent-type", default="general-purpose", help="The agent's type.")
@common
@asynchronous
async def recall(task: str, workflow: str, agent_type: str, output: Output, state: Path | None) -> int:
    """What an agent with this task would be told now."""
    async with session(state) as here:
        remembered, wrong = await asyncio.to_thread(
            open_recall, Path.cwd(), here.store.folder, workflow=workflow, tokens=here.settings.memory_tokens,
            at=time.time(),
        )  # fmt: skip
        notes = remembered.notes(task, kind=agent_type)
        if output.json:
            told = notes.text if here.settings.memory else ""
            output.document({"memory": here.settings.memory, "notes": list(notes.ids), "text": told, "problems": wrong})
            return 0
        for problem in wrong:
            output.say(safe(problem))
        if not here.settings.memory:
            output.say("The setting memory is off: agents are told nothing of this.")
        click.echo(safe(notes.text) if notes.text else "Nothing.")
    return 0


@click.command()
@click.option("--rebuild", is_flag=True, help="Make it anew from the journals of all runs.")
@common
@asynchronous
async def uses(rebuild: bool, output: Output, state: Path | None) -> int:
    """How the notes of this project fared in runs."""
    memory = await asyncio.to_thread(memories.project_store, Path.cwd())
    if rebuild:
        count = await _rebuild(memory, state)
        output.say(f"{count} runs had notes of this memory.")
    known = await asyncio.to_thread(lambda: utilities(memory.uses()))
    entries = await asyncio.to_thread(lambda: memory.entries(memory.head()))
    rows = [(entry, known.get(entry.id, UNKNOWN)) for entry in entries.values() if entry.active]
    rows.sort(key=lambda row: (-row[1].mean, row[0].id))
    if output.json:
        output.document({"uses": [{"entry": entry.id, **_figures(worth)} for entry, worth in rows]})
        return 0
    if not rows:
        output.say("There is no note in force.")
    for entry, worth in rows:
        figures = f"{worth.loaded:5} loaded {worth.cited:5} cited {worth.contradicted:5} wrong"
        click.echo(f"{worth.mean:.2f} {figures}  {entry.id}  {one_line(entry.text, 60)}")
    return 0


async def _rebuild(memory: MemoryStore, state: Path | None) -> int:
    """Reads every journal of the state folder; those that cannot be read are passed over."""
    found = 0
    async with session(state) as here:
        for row in await here.store.runs():
            with contextlib.suppress(StoreError):
                view = RunView.of(await here.store.reader(row.run_id).read())
                found += await asyncio.to_thread(_take_up, memory, view)
    return found


def _take_up(memory: MemoryStore, view: RunView) -> bool:
    """Adds a run that had notes of this memory, wherever its folder was then."""
    known = {source["version"] for source in view.memory if source["kind"] == "store"}
    version = next((version for version in known if memory.has(version)), None)
    if version is None or not view.ended or view.simulated:
        return False
    memory.add_use(use_of(view, version, memory.tree(version).keys()))
    return True


@click.command()
@common
@of_whom
def check(output: Output, memory: MemoryStore) -> int:
    """Look the memory over: damaged files, secrets and control characters in notes, stale files. Exits with 1 then."""
    found = problems(memory, Redaction(os.environ).text)
    if output.json:
        output.document({"folder": str(memory.folder), "version": None if found else memory.head(), "problems": found})
    for problem in [] if output.json else found:
        click.echo(safe(problem))
    if not found:
        output.say(f"{safe(str(memory.folder))} is as it should be.")
    return int(bool(found))


@click.command()
@common
@of_whom
def render(output: Output, memory: MemoryStore) -> int:
    """Write MEMORY.md and its topics anew; they are always made when notes change."""
    paths = memory.render()
    if output.json:
        output.document({"files": [str(path) for path in paths]})
    for path in [] if output.json else paths:
        click.echo(safe(str(path)))
    return 0


def _figures(known: Utility) -> dict[str, Any]:
    return {**msgspec.to_builtins(known), "mean": round(known.mean, 4)}
