"""What the commands about notes have in common: which memory is meant, which notes a text names, how they are shown."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from counterpoint import settings
from counterpoint.errors import UnknownMemoryError
from counterpoint.memory.entries import Entry, Evidence
from counterpoint.memory.places import project_store, user_store
from counterpoint.memory.store import STATED
from counterpoint.text import one_line, safe


def of_whom(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the option that says whose memory is meant; the command gets `memory` instead of `state`."""

    @click.option("--user", is_flag=True, help="Your own memory, which every project sees, instead of this project's.")
    @functools.wraps(command)
    def wrapped(*args: Any, user: bool, state: Path | None, **kwargs: Any) -> Any:
        cwd = Path.cwd()
        memory = user_store(settings.load(cwd=cwd, flags={"state": state}).state) if user else project_store(cwd)
        return command(*args, memory=memory, **kwargs)

    return wrapped


def find_note(entries: dict[str, Entry], text: str) -> Entry:
    """The note that `text` names: an id, or a unique prefix of one. Raises UnknownMemoryError."""
    found = [entry for name, entry in entries.items() if name.startswith((text, f"m-{text}"))]
    if len(found) == 1:
        return found[0]
    raise UnknownMemoryError(
        f"{len(found) or 'No'} notes have an id that begins with {text[:40]!r}.",
        hint="See them with: counterpoint memory list --all",
    )


def matching(entries: dict[str, Entry], pattern: str) -> list[Entry]:
    """The notes whose id this is, or that have these words in them; big and small letters are the same."""
    sought = pattern.casefold()
    return [
        entry
        for entry in entries.values()
        if entry.id == pattern or any(sought in part.casefold() for part in (entry.text, entry.key, entry.trigger))
    ]


def line(entry: Entry) -> str:
    """One note in a list."""
    mark = " " if entry.active else "x"
    return f"{mark} {entry.id}  {entry.kind:10}  {one_line(entry.scope, 18):18}  {one_line(entry.text, 90)}"


def about(entry: Entry) -> list[str]:
    """Everything about one note but its evidence."""
    lines = [safe(entry.text), f"{entry.id}: {entry.kind} about {safe(entry.key)}, scope {safe(entry.scope)}"]
    lines += [f"when: {safe(entry.trigger)}"] if entry.trigger else []
    said = "stated by a person, " if entry.user_stated else ""
    runs = f"{entry.support_sessions} session{'' if entry.support_sessions == 1 else 's'}"
    lines.append(f"{said}{runs}, confidence {entry.confidence}, since {day(entry.valid_from)}")
    lines += ["always loaded"] if entry.pinned else []
    lines += [f"check: {entry.check.kind} {safe(entry.check.arg)}"] if entry.check else []
    lines += [f"look again after {day(entry.review_after)}"] if entry.review_after else []
    lines += [f"in the place of {entry.supersedes}"] if entry.supersedes else []
    lines += [f"see {', '.join(entry.links)}"] if entry.links else []
    if not entry.active:
        heir = f", {entry.replaced_by} took its place" if entry.replaced_by else ""
        lines.append(f"retired: {safe(entry.reason)}{heir}")
    return lines


def notes(number: int) -> str:
    """So many notes."""
    return f"{number} note{'' if number == 1 else 's'}"


def where(anchor: Evidence) -> str:
    """How to open the place that an anchor names."""
    if anchor.run_id == STATED:
        return "a person's own words, kept with the notes"
    if anchor.session_id:
        return f"counterpoint show {safe(anchor.run_id)} {safe(anchor.session_id)} (message {anchor.seq})"
    return f"counterpoint export {safe(anchor.run_id)} --jsonl (event {anchor.seq})"


def day(at: float | None) -> str:
    """A time as a person reads it, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "always"


def document(value: Any) -> Any:
    """A note, a move or anything in them as JSON, with every member."""
    match value:
        case msgspec.Struct():
            return {name: document(getattr(value, name)) for name in value.__struct_fields__}
        case list() | tuple():
            return [document(each) for each in cast("Sequence[Any]", value)]
        case Enum():
            return value.value
        case _:
            return value
