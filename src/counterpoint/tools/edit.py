"""Write and Edit: files of the working directory, whole or at exact places, each change at once and shown as a diff.

Two agents in one tree do not lose each other's work: whoever writes a file that has changed since he read it is told so
and reads again. Between the check and the change the file is held by a lock that all agents of this process share.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.models.messages import ToolSpec
from counterpoint.tools.base import Action, FileChange, Stamp, ToolContext, ToolError
from counterpoint.tools.confine import Place, opened, place_to_write, replace, stamp
from counterpoint.tools.files import object_schema
from counterpoint.tools.threads import in_thread

MAX_BYTES = 10 * 1024 * 1024
DIFF_LINES = 200
DIFFED = 3000
"""Lines of a change that are compared one by one."""
_locks: weakref.WeakValueDictionary[Path, asyncio.Lock] = weakref.WeakValueDictionary()


def _lock(path: Path) -> asyncio.Lock:
    """The one lock of this file; it lives as long as somebody holds or waits for it."""
    found = _locks.get(path)
    if found is None:
        found = _locks[path] = asyncio.Lock()
    return found


Changed = tuple[str, FileChange]
"""What the agent is told, and what was done."""


async def _changing(spot: Place, context: ToolContext, change: Callable[[], Changed]) -> str:
    async with _lock(spot.path):
        told, done = await in_thread(lambda _: change(), context.limits.seconds)
        context.changed(done)
    return told


def _done(spot: Place, before: bytes | None, after: bytes, diff: str) -> FileChange:
    return FileChange(spot.shown, _sha(before) if before is not None else "", _sha(after), diff)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- Write -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Write:
    """A whole file."""

    read_only: bool = False
    spec: ToolSpec = field(
        default=ToolSpec(
            "Write",
            "Writes a whole text file, making its folders. A file that exists has to be read first; to change a part "
            "of one, use Edit.",
            object_schema(
                {
                    "file_path": {"type": "string", "minLength": 1, "description": "Path of the file."},
                    "content": {"type": "string", "description": "All of its text."},
                },
                "file_path",
                "content",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        spot = await in_thread(lambda _: place_to_write(input["file_path"], context), context.limits.seconds)
        data = _encoded(input["content"])
        return Action(
            (spot.access("Write", "write"),), lambda: _changing(spot, context, lambda: _write(spot, data, context))
        )


def _write(spot: Place, data: bytes, context: ToolContext) -> Changed:
    before, expected = None, context.seen.get(spot.path)
    if expected is not None or (context.blind and spot.path.exists()):
        before, version = _content(spot)
        expected = expected or version
    context.seen[spot.path] = replace(spot, data, expected)
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    if before is None:
        told = f"Wrote {spot.shown}: new, {lines:,} line{'s' * (lines != 1)}."
        return told, _done(spot, None, data, "")
    diff = _diff(before, data.decode(), spot)
    return f"Wrote {spot.shown}:\n{diff}", _done(spot, before.encode(), data, diff)


# --- Edit --------------------------------------------------------------------------------------------------------

_PIECES = {
    "old_string": {"type": "string", "minLength": 1, "description": "The text to replace, exactly as it stands."},
    "new_string": {"type": "string", "description": "What takes its place."},
    "replace_all": {"type": "boolean", "description": "Replace it everywhere, not in the only place."},
}


@dataclass(frozen=True, slots=True)
class Edit:
    """Exact places of a file."""

    read_only: bool = False
    spec: ToolSpec = field(
        default=ToolSpec(
            "Edit",
            "Replaces text in a file. old_string must stand there exactly, and once only unless replace_all is true. "
            "Several changes of one file at once: give edits instead; either all of them are made or none. Answers "
            "with the diff.",
            object_schema(
                {
                    "file_path": {"type": "string", "minLength": 1, "description": "Path of the file."},
                    **_PIECES,
                    "edits": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 200,
                        "items": object_schema(_PIECES, "old_string", "new_string"),
                        "description": "Several changes, made one after the other.",
                    },
                },
                "file_path",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        edits = _edits(input)
        spot = await in_thread(lambda _: place_to_write(input["file_path"], context), context.limits.seconds)
        return Action(
            (spot.access("Edit", "write"),), lambda: _changing(spot, context, lambda: _edit(spot, edits, context))
        )


def _edits(input: dict[str, Any]) -> list[dict[str, Any]]:
    one = {name: input[name] for name in _PIECES if name in input}
    if "edits" in input and not one:
        return input["edits"]
    if "edits" in input or not {"old_string", "new_string"} <= set(one):
        raise ToolError("Give either old_string and new_string, or edits.")
    return [one]


def _edit(spot: Place, edits: list[dict[str, Any]], context: ToolContext) -> Changed:
    before, version = _content(spot)
    if context.seen.get(spot.path, version) != version:
        raise ToolError(f"{spot.shown!r} has changed since you read it, so nothing was changed. Read it again.")
    text = before
    for number, edit in enumerate(edits, 1):
        text = _replaced(text, edit, f"edit {number} of {len(edits)}" if len(edits) > 1 else "the edit", spot)
    data = _encoded(text)
    context.seen[spot.path] = replace(spot, data, version)
    diff = _diff(before, text, spot)
    return f"Edited {spot.shown}:\n{diff}", _done(spot, before.encode(), data, diff)


def _replaced(text: str, edit: dict[str, Any], which: str, spot: Place) -> str:
    old, new = edit["old_string"], edit["new_string"]
    if "\r\n" in text and "\r" not in old:  # models write plain line ends; the file keeps its own
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    if old == new:
        raise ToolError(f"Nothing was changed: in {which}, old_string and new_string are the same.")
    count = text.count(old)
    if count == 0:
        raise ToolError(
            f"Nothing was changed: in {which}, old_string does not stand in {spot.shown!r}.{_near(text, old)}"
        )
    if count > 1 and not edit.get("replace_all"):
        raise ToolError(
            f"Nothing was changed: in {which}, old_string stands {count:,} times in {spot.shown!r}. Give more of its "
            "surroundings, or replace_all."
        )
    return text.replace(old, new)


def _near(text: str, old: str) -> str:
    """Where the text stands but for blanks, as a help."""
    first = next((line.strip() for line in old.splitlines() if line.strip()), "")
    if not first:
        return ""
    at = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == first][:3]
    return f" Its first line stands, but for blanks, at line {', '.join(map(str, at))}." if at else ""


# --- both --------------------------------------------------------------------------------------------------------


def _content(spot: Place) -> tuple[str, Stamp]:
    """The text of the file, and its version. Raises ToolError where it is no text, or too much."""
    with opened(spot) as descriptor:
        version = stamp(descriptor)
        if version.size > MAX_BYTES:
            raise ToolError(f"{spot.shown!r} has {version.size:,} bytes; at most {MAX_BYTES:,} can be edited.")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    try:
        return data.decode(), version
    except UnicodeDecodeError:
        raise ToolError(f"{spot.shown!r} is no UTF-8 text; it cannot be edited as text.") from None


def _encoded(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ToolError("The text has halves of surrogate pairs in it, which no file can hold.") from None
    if len(data) > MAX_BYTES:
        raise ToolError(f"The text has {len(data):,} bytes; at most {MAX_BYTES:,} can be written at once.")
    return data


def _diff(before: str, after: str, spot: Place) -> str:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    same_before = _common(old, new)
    same_after = _common(old[same_before:][::-1], new[same_before:][::-1])
    changed = max(len(old), len(new)) - same_before - same_after
    if changed > DIFFED:  # comparing takes the product of the lengths
        ends = len(old) - same_after
        return f"[Lines {same_before + 1:,} to {ends:,} became {len(new) - same_before - same_after:,} others.]"
    first, last = max(0, same_before - 3), max(0, same_after - 3)
    shown = difflib.unified_diff(old[first : len(old) - last], new[first : len(new) - last], spot.shown, spot.shown)
    lines = [line.rstrip("\n") for line in shown]
    if first and lines:
        lines.insert(2, f"[Line numbers count from line {first + 1:,}.]")
    if not lines:
        return "[Nothing is different.]"
    if len(lines) > DIFF_LINES:
        return "\n".join([*lines[:DIFF_LINES], f"[… {len(lines) - DIFF_LINES:,} more lines of the diff.]"])
    return "\n".join(lines)


def _common(old: list[str], new: list[str]) -> int:
    """How many lines both begin with."""
    return next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
