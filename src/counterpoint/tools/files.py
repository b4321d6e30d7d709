"""Read, LS and Glob: what lies in the working directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from counterpoint.models.messages import ToolSpec
from counterpoint.tools.base import Action, ToolContext, ToolError, ToolLimits
from counterpoint.tools.confine import BY_DESCRIPTOR, Place, opened, place, stamp
from counterpoint.tools.threads import Patience, in_thread
from counterpoint.tools.walk import files, matcher

CHUNK = 1 << 18
SNIFFED = 8192
WILD = frozenset("*?[{!")
MAGIC = {
    b"\x89PNG": "PNG image", b"\xff\xd8\xff": "JPEG image", b"GIF8": "GIF image", b"%PDF": "PDF document",
    b"PK\x03\x04": "ZIP archive", b"\x1f\x8b": "gzip archive", b"\x7fELF": "ELF program",
    b"SQLite format 3": "SQLite database",    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
}  # fmt: skip


def object_schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """The schema of an input with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


# --- Read --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """A text file, or a part of it, with line numbers."""

    read_only: bool = True
    spec: ToolSpec = field(
        default=ToolSpec(
            "Read",
            "Reads a text file. Lines come numbered from 1. At most 2000 lines at once: go on with offset. "
            "Very long lines are cut, and it is said where.",
            object_schema(
                {
                    "file_path": {"type": "string", "minLength": 1, "description": "Path of the file."},
                    "offset": {"type": "integer", "minimum": 0, "description": "First line to read, from 1."},
                    "limit": {"type": "integer", "minimum": 1, "description": "How many lines to read."},
                },
                "file_path",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        limits = context.limits
        first = max(1, input.get("offset", 1))
        count = min(input.get("limit", limits.lines), limits.lines)
        spot = await in_thread(lambda _: place(input["file_path"], context), limits.seconds)
        return Action(
            (spot.access("Read", "read"),),
            lambda: in_thread(lambda patience: _read(spot, first, count, context, patience), limits.seconds),
        )


@dataclass(slots=True)
class _Page:
    """The lines that are shown, and what is known of the rest."""

    lines: list[str] = field(default_factory=list[str])
    size: int = 0
    last: int = 0
    cut: int = 0
    broken: bool = False
    full: bool = False
    """The answer has no more room, though more lines were asked for."""


def _read(spot: Place, first: int, count: int, context: ToolContext, patience: Patience) -> str:
    limits = context.limits
    with opened(spot) as descriptor:
        size = os.fstat(descriptor).st_size
        context.seen[spot.path] = stamp(descriptor)
        head = os.read(descriptor, SNIFFED)
        _refuse_binary(spot, head, size)
        if not head:
            return f"[{spot.shown} is empty.]"
        page = _Page()
        total, complete = 0, True
        for total, (kept, dropped) in enumerate(_lines(descriptor, head, limits, patience), 1):
            if kept is None:
                total, complete = total - 1, False
                break
            if first <= total < first + count and not page.full:
                _add(page, total, kept, dropped, limits)
    if total < first:
        raise ToolError(f"{spot.shown!r} has {total:,} line{'s' * (total != 1)}; offset {first:,} is beyond its end.")
    return "\n".join([*page.lines, *_notes(page, first, total, complete, limits)])


def _refuse_binary(spot: Place, head: bytes, size: int) -> None:
    name = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if name or b"\0" in head:
        kind = f" ({name})" if name else ""
        raise ToolError(f"{spot.shown!r} is a binary file{kind} of {size:,} bytes; Read shows UTF-8 text only.")


def _lines(descriptor: int, head: bytes, limits: ToolLimits, patience: Patience) -> Iterator[tuple[bytes | None, int]]:
    """Each line as (its beginning, bytes dropped), never holding a long one; (None, 0) where looking further stops."""
    keep = limits.line_chars * 4
    kept, dropped, seen, chunk = b"", 0, 0, head
    while chunk:
        seen += len(chunk)
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            room = keep - len(kept)
            yield kept + part[:room], dropped + max(0, len(part) - room)
            kept, dropped = b"", 0
        room = keep - len(kept)
        kept, dropped = kept + rest[:room], dropped + max(0, len(rest) - room)
        patience.check()
        if seen > limits.scan_bytes:
            yield None, 0
            return
        chunk = os.read(descriptor, CHUNK)
    if kept or dropped:
        yield kept, dropped


def _add(page: _Page, number: int, kept: bytes, dropped: int, limits: ToolLimits) -> None:
    text = kept.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode("utf-8", "replace").removesuffix("\r")
    page.broken = page.broken or ("\ufffd" in text and not dropped and not _is_utf8(kept))
    over = max(0, len(text) - limits.line_chars)
    if over or dropped:
        page.cut += 1
        text = f"{text[: limits.line_chars]} [… {over + dropped:,} more characters of this line]"
    row = f"{number:6}\t{text}"
    page.size += len(row.encode()) + 1
    if page.size > limits.bytes and page.lines:
        page.full = True
        return
    page.lines.append(row)
    page.last = number


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _notes(page: _Page, first: int, total: int, complete: bool, limits: ToolLimits) -> list[str]:
    notes: list[str] = []
    if page.last < total or not complete:
        of = f"{total:,}" if complete else f"more than {total:,}"
        notes.append(f"[Lines {first:,} to {page.last:,} of {of}. Go on with offset={page.last + 1}.]")
    if page.cut:
        notes.append(
            f"[{page.cut:,} line{'s' * (page.cut != 1)} longer than {limits.line_chars:,} characters "
            "cut; use Grep to find a place inside.]"
        )
    if page.broken:
        notes.append("[Some bytes are not UTF-8; they are shown as \ufffd.]")
    return notes


# --- LS ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LS:
    """What is in one folder."""

    read_only: bool = True
    spec: ToolSpec = field(
        default=ToolSpec(
            "LS",
            "Lists one folder: folders end in /, files have their size in bytes, links show where they lead.",
            object_schema({"path": {"type": "string", "description": "Path of the folder."}}),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        limits = context.limits
        spot = await in_thread(lambda _: place(input.get("path") or ".", context), limits.seconds)
        return Action((spot.access("LS", "read"),), lambda: in_thread(lambda _: _list(spot, limits), limits.seconds))


def _list(spot: Place, limits: ToolLimits) -> str:
    with opened(spot, folder=True) as descriptor:
        target = descriptor if BY_DESCRIPTOR else spot.path
        with os.scandir(target) as entries:
            rows = sorted((not entry.is_dir(follow_symlinks=False), entry.name, _row(entry)) for entry in entries)
    shown = [row for _, _, row in rows[: limits.entries]]
    if not rows:
        return f"[{spot.shown} is an empty folder.]"
    if len(rows) > len(shown):
        shown.append(f"[{len(shown):,} of {len(rows):,} entries; use Glob for a choice of them.]")
    return "\n".join(shown)


def _row(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return f"{entry.name} (link)"
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:  # gone since it was listed
        return entry.name
    return f"{entry.name} ({state.st_size:,})" if stat.S_ISREG(state.st_mode) else f"{entry.name} (special file)"


# --- Glob --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Glob:
    """Files by name."""

    read_only: bool = True
    spec: ToolSpec = field(
        default=ToolSpec(
            "Glob",
            "Finds files by name, sorted by path. `**/` stands for any folders; a pattern without / matches in every "
            "folder. Links are not followed; .git and the like are left out, ignored files are not.",
            object_schema(
                {
                    "pattern": {"type": "string", "minLength": 1, "description": "Such as src/**/*.{ts,tsx}"},
                    "path": {"type": "string", "description": "Folder to look in; the working directory by default."},
                },
                "pattern",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        limits = context.limits
        folder, rest = _split(input["pattern"])
        path = os.path.join(input.get("path") or ".", folder)  # noqa: PTH118 (`folder` may be absolute)
        spot = await in_thread(lambda _: place(path, context), limits.seconds)
        return Action(
            (spot.access("Glob", "read"),),
            lambda: in_thread(lambda patience: _glob(spot, rest, limits, patience), limits.seconds),
        )


def _glob(spot: Place, pattern: str, limits: ToolLimits, patience: Patience) -> str:
    matches = matcher(pattern)
    found = sorted(name for name in files(spot, patience) if matches(name)) if spot.path.is_dir() else []
    if not found:
        return "[No file matches.]"
    shown = [below(spot, name) for name in found[: limits.entries]]
    if len(found) > len(shown):
        shown.append(f"[{len(shown):,} of {len(found):,} files; narrow the pattern or the path.]")
    return "\n".join(shown)


def _split(pattern: str) -> tuple[str, str]:
    """The folders that a pattern starts with, and the pattern below them: only those need be walked."""
    parts = pattern.split("/")
    plain = next((n for n, part in enumerate(parts[:-1]) if WILD & set(part)), len(parts) - 1)
    return ("/".join(parts[:plain]) + "/", "/" + "/".join(parts[plain:])) if plain else ("", pattern)


def below(spot: Place, path: str) -> str:
    """`path`, found in `spot`, as the agent can use it again: relative to the root."""
    return "/".join(filter(None, [spot.base, *spot.parts, path]))
