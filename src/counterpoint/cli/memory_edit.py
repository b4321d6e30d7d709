"""``memory add``, ``edit``, ``forget`` and ``revive``: what people do to notes. Each change makes a version."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from counterpoint.cli import memories
from counterpoint.cli.memories import of_whom
from counterpoint.cli.options import Output, common
from counterpoint.cli.receipts import me
from counterpoint.errors import MemoryRefusedError, UsageError
from counterpoint.memory import people
from counterpoint.memory.changes import Op, Proposal
from counterpoint.memory.entries import Entry, Kind, new_id
from counterpoint.memory.erasing import redact
from counterpoint.memory.store import MemoryStore, short
from counterpoint.memory.versions import Version
from counterpoint.redaction import Redaction
from counterpoint.text import one_line, safe

KINDS = click.Choice([kind.value for kind in Kind])
SHORTEST = 3
"""Characters of what is to be erased everywhere."""


@click.command()
@click.argument("text")
@click.option("--kind", type=KINDS, default="preference", help="What it is.")
@click.option("--about", "key", metavar="SUBJECT::ASPECT", help="What it is about; else its first words.")
@click.option("--when", "trigger", default="", help="When it applies; else always.")
@click.option("--scope", help="project, team, workflow:NAME, agent:NAME, or user (with --user).")
@click.option("--pin", is_flag=True, help="Tell it to every agent, whatever its task.")
@common
@of_whom
def add(text: str, kind: str, key: str | None, trigger: str, scope: str | None, pin: bool, output: Output,
        memory: MemoryStore) -> int:  # fmt: skip
    """Note something that agents are to know."""
    text, at = " ".join(text.split()), time.time()
    _refuse_secrets(text, trigger, key or "")
    said = people.say(memory, text, at=at)
    of_user = memory.folder.parent.name != ".counterpoint"
    scope, key = scope or ("user" if of_user else "project"), key or _key(text)
    new = Entry(
        id=new_id(scope, key, text, [said]), kind=Kind(kind), scope=scope, key=key, text=text, trigger=trigger,
        evidence=[said], support_sessions=1, confidence="high", valid_from=at, recorded_at=at, pinned=pin,
    )  # fmt: skip

    def make(entries: Mapping[str, Entry]) -> list[Proposal]:
        return [people.wish(Op.ADD, [], new, by=me(), why="A person said so.", said=said, at=at)]

    version = people.change(memory, make, by=me(), note="added 1", at=at)
    return _told(output, version, new.id)


@click.command()
@click.argument("entry")
@click.option("--text", help="What it says; else your editor is opened.")
@click.option("--kind", type=KINDS, help="What it is.")
@click.option("--about", "key", metavar="SUBJECT::ASPECT", help="What it is about.")
@click.option("--when", "trigger", help="When it applies.")
@click.option("--scope", help="project, user, team, workflow:NAME or agent:NAME.")
@click.option("--pin/--unpin", "pinned", default=None, help="Tell it to every agent, whatever its task.")
@common
@of_whom
def edit(entry: str, output: Output, memory: MemoryStore, **given: Any) -> int:
    """Say a note otherwise. It keeps its id and its evidence."""
    at = time.time()
    note = memories.find_note(memory.entries(memory.head()), entry)
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        changes = {"text": _edited(note, output)}
    changes["text"] = " ".join(changes.get("text", note.text).split())
    if "kind" in changes:
        changes["kind"] = Kind(changes["kind"])
    _refuse_secrets(*(str(value) for value in changes.values()))
    said = people.say(memory, changes["text"], at=at)

    def make(entries: Mapping[str, Entry]) -> list[Proposal]:
        old = entries.get(note.id, note)
        new = msgspec.structs.replace(old, **changes, evidence=[*old.evidence, said])
        return [people.wish(Op.REVISE, [note.id], new, by=me(), why="A person said so.", said=said, at=at)]

    version = people.change(memory, make, by=me(), note=f"edited {note.id}", at=at)
    return _told(output, version, note.id)


@click.command()
@click.argument("pattern")
@click.option("--redact", "erase", is_flag=True, help="Erase them for good, from every version.")
@common
@of_whom
def forget(pattern: str, erase: bool, output: Output, memory: MemoryStore) -> int:
    """Retire the notes whose id this is or that have these words: they are told to nobody, and can be revived.

    With --redact they are erased from the memory for good. What transcripts of runs hold is not touched: see gc.
    """
    found = memories.matching(memory.entries(memory.head()), pattern)
    at = time.time()
    if erase:
        return _erase(memory, pattern, found, output, at)
    active = [entry for entry in found if entry.active]
    if not active:
        raise UsageError(
            f"No note in force has {pattern[:60]!r} in it.", hint="See them with: counterpoint memory list"
        )
    for entry in active:
        output.say(f"forgets {entry.id}: {one_line(entry.text, 80)}")
    _confirm(f"Forget {memories.notes(len(active))}?", output, needed=len(active) > 1)
    version = people.retire(memory, [entry.id for entry in active], by=me(), at=at)
    return _told(output, version, *(entry.id for entry in active))


def _erase(memory: MemoryStore, pattern: str, found: list[Entry], output: Output, at: float) -> int:
    ids = {entry.id for entry in found}
    is_id = bool(re.fullmatch(r"m-[0-9a-f]{12}", pattern))
    if not is_id and len(pattern) < SHORTEST:
        raise UsageError(f"{pattern!r} is too short to be erased everywhere: at least {SHORTEST} characters.")
    for entry in found:
        output.say(f"erases {entry.id}: {one_line(entry.text, 80)}")
    _confirm("Erase this from every version? It cannot be undone.", output, needed=True)
    erased = redact(
        memory, lambda entry: entry.id in ids or entry.id == pattern, by=me(), at=at, secret="" if is_id else pattern
    )
    if output.json:
        output.document({"erased": erased, "entries": sorted(ids), "version": memory.head()})
    else:
        click.echo(f"{erased} forms of notes were erased.")
    return 0


@click.command()
@click.argument("entry")
@common
@of_whom
def revive(entry: str, output: Output, memory: MemoryStore) -> int:
    """Take a retired note back."""
    note = memories.find_note(memory.entries(memory.head()), entry)
    version = people.revive(memory, note.id, by=me(), at=time.time())
    return _told(output, version, note.id)


def _told(output: Output, version: Version | None, *names: str) -> int:
    version_id = version.id if version is not None else None
    if output.json:
        output.document({"version": version_id, "entries": list(names)})
    else:
        click.echo(" ".join(names))
        output.say(f"version {short(version_id)}; back with: counterpoint dream rollback")
    return 0


def _confirm(question: str, output: Output, *, needed: bool) -> None:
    if needed and not output.yes:
        if not output.input or not sys.stdin.isatty():
            raise UsageError("This has to be confirmed, and nobody can be asked.", hint="Say --yes.")
        click.confirm(question, abort=True, err=True)


def _edited(note: Entry, output: Output) -> str:
    if not output.input:
        raise UsageError("edit needs something to change, as --text.", hint="counterpoint memory edit --help")
    text = click.edit(note.text)
    if text is None or not text.strip():
        raise click.Abort
    return text


def _key(text: str) -> str:
    """A subject for a note that was given none: its first words."""
    words = re.findall(r"[^\W_]+", text)[:4]
    return f"{' '.join(words).lower()[:80] or 'note'}::note"


def _refuse_secrets(*texts: str) -> None:
    redaction = Redaction(os.environ)
    for text in texts:
        if redaction.text(text) != text:
            raise MemoryRefusedError(
                f"There is a secret in {safe(one_line(redaction.text(text), 80))!r}, and notes go into prompts.",
                hint="Say where it is kept, not what it is.",
            )
