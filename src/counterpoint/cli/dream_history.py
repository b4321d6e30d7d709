"""``dream log``, ``diff`` and ``rollback``: versions of the notes."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from counterpoint.cli import memories
from counterpoint.cli.memories import of_whom
from counterpoint.cli.options import Output, common
from counterpoint.cli.receipts import me
from counterpoint.errors import MemoryRefusedError, MemoryStoreError, UsageError
from counterpoint.memory import history
from counterpoint.memory.history import Difference
from counterpoint.memory.store import MemoryStore, short
from counterpoint.memory.versions import Move
from counterpoint.text import safe

COUNTED = ("added", "revived", "revised", "superseded", "merged", "retired")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, help="Moves that are shown.")
@common
@of_whom
def log(limit: int, output: Output, memory: MemoryStore) -> int:
    """How the notes in force came to be what they are, the newest first."""
    moves = memory.moves()[::-1]
    if output.json:
        output.document({"head": memory.head(), "moves": [_row(memory, move) for move in moves[:limit]]})
        return 0
    for number, move in enumerate(moves[:limit]):
        name = "HEAD" if not number else f"HEAD~{number}"
        did = {name: n for name, n in _counts(memory, move).items() if name in COUNTED and n}
        figures = ", ".join(f"{name} {n}" for name, n in did.items()) if move.kind == "publish" else move.kind
        by = move.dream_id or safe(move.actor)
        click.echo(f"{short(move.after)}  {name:7}  {memories.day(move.at)}  {by}: {figures or safe(move.note)}")
    if not moves:
        output.say(f"There is no version yet in {safe(str(memory.folder))}.")
    return 0


def _row(memory: MemoryStore, move: Move) -> dict[str, Any]:
    version = memory.version(move.after)
    return {**memories.document(move), "counts": _counts(memory, move), "eval": version.eval}


def _counts(memory: MemoryStore, move: Move) -> dict[str, int]:
    return msgspec.structs.asdict(memory.version(move.after).counts)


@click.command()
@click.argument("versions", metavar="[A..B]", default="HEAD~1..HEAD")
@common
@of_whom
def diff(versions: str, output: Output, memory: MemoryStore) -> int:
    """What changed from version A to version B: ids or prefixes of ids, HEAD, HEAD~2. One version means A..HEAD."""
    one, dots, other = versions.partition("..")
    newer = memory.resolve(other or "HEAD")
    if dots or one != "HEAD":
        older = None if versions == "HEAD~1..HEAD" and len(memory.moves()) == 1 else memory.resolve(one or "HEAD~1")
    else:
        raise UsageError("diff takes two versions, as HEAD~1..HEAD.")
    found = history.diff(memory.entries(older), memory.entries(newer))
    if output.json:
        rows = [{"what": each.what, "before": _note(each.before), "after": _note(each.after), "fields": each.fields}
                for each in found]  # fmt: skip
        output.document({"from": older, "to": newer, "changes": rows})
        return 0
    for each in found:
        click.echo("\n".join(lines_of(each)))
    differ = f"{memories.notes(len(found))} {'differs' if len(found) == 1 else 'differ'}"
    output.say(f"{differ} between {short(older)} and {short(newer)}.")
    return 0


def _note(entry: Any) -> dict[str, Any] | None:
    return None if entry is None else memories.document(entry)


def lines_of(each: Difference) -> list[str]:
    """One change, for people."""
    old, new = each.before, each.after
    head = f"{each.what} {each.entry.id} ({safe(each.entry.key)})"
    if old is not None and new is not None and old.active and new.active and old.text == new.text:
        return [head, f"  {safe(new.text)}", f"  other: {', '.join(each.fields)}"]
    lines = [head]
    if old is not None and old.active:
        lines.append(f"- {safe(old.text)}")
    if new is not None and new.active:
        lines.append(f"+ {safe(new.text)}")
    if new is not None and not new.active:
        lines.append(f"  why: {safe(new.reason)}")
    return lines


@click.command()
@click.argument("version", default="HEAD~1")
@common
@of_whom
def rollback(version: str, output: Output, memory: MemoryStore) -> int:
    """Put an earlier version in force again: an id, or HEAD~2; without one, what was in force before the last change.

    Runs under way keep the version that they began with.
    """
    head, wanted = memory.head(), memory.resolve(version)
    if wanted == head:
        raise MemoryRefusedError(f"Version {short(head)} is in force already.")
    changed = _changed(memory, head, wanted)
    now = time.time()
    move = Move(after=wanted, kind="rollback", actor=me(), at=now, note=f"from {short(head)}")
    memory.publish(wanted, head, move)
    if output.json:
        output.document({"version": wanted, "from": head, "changes": changed})
    elif changed is None:
        click.echo(f"{short(wanted)} is in force; {short(head)} cannot be read.")
    else:
        click.echo(f"{short(wanted)} is in force; {memories.notes(changed)} changed with it.")
        output.say("Back with: counterpoint dream rollback")
    return 0


def _changed(memory: MemoryStore, head: str | None, wanted: str) -> int | None:
    """How many notes differ; None: the version in force is damaged, which is why one goes back."""
    there = memory.entries(wanted)
    try:
        return len(history.diff(memory.entries(head), there))
    except MemoryStoreError:
        return None
