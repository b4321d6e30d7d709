"""Grep: lines by regular expression, by ripgrep where it is installed, else by a Python child that answers alike.

Either is a child process: a pattern that takes for ever is killed with it and never holds up the other agents.
They differ in two things. Patterns: ripgrep's have no look-around and no references to groups (it says so), Python's
do. Files: ripgrep leaves out what .gitignore names, the Python child leaves out only version control's own folders.

Neither follows links. While it walks, ripgrep decides that by name: somebody who swaps folders for links in that very
moment can lead it astray; the Python child, which opens by descriptor, not. Agents' tools that only read make no links.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.models.messages import ToolSpec
from counterpoint.tools import grep_child
from counterpoint.tools.base import Action, ToolContext, ToolError
from counterpoint.tools.confine import Place, opened, place
from counterpoint.tools.files import below, object_schema
from counterpoint.tools.threads import Patience, in_thread
from counterpoint.tools.walk import VCS, files, matcher

MAX_COUNTED = 20_000
_COUNT = {"type": "integer", "minimum": 0, "maximum": 1000}


@dataclass(frozen=True, slots=True)
class Grep:
    """Lines by regular expression. `program` is ripgrep's path; None: the Python child; ``""``: look for it."""

    program: str | None = ""
    read_only: bool = True
    spec: ToolSpec = field(
        default=ToolSpec(
            "Grep",
            "Searches file contents by regular expression, line by line. Answers with the files that match, unless "
            "output_mode asks for the lines (content) or their number a file (count). Sorted by path. Binary files, "
            "links and .git are left out.",
            object_schema(
                {
                    "pattern": {"type": "string", "minLength": 1, "description": "Regular expression."},
                    "path": {"type": "string", "description": "File or folder; the working directory by default."},
                    "glob": {"type": "string", "minLength": 1, "description": "Only these files, such as *.{ts,tsx}"},
                    "output_mode": {"enum": ["content", "files_with_matches", "count"]},
                    "-i": {"type": "boolean", "description": "Upper and lower case are the same."},
                    "-n": {"type": "boolean", "description": "Line numbers, with content; true by default."},
                    "-A": {**_COUNT, "description": "Lines after each match, with content."},
                    "-B": {**_COUNT, "description": "Lines before each match, with content."},
                    "-C": {**_COUNT, "description": "Lines before and after, with content."},
                    "head_limit": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "First so many lines of the answer.",
                    },
                },
                "pattern",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        search = await in_thread(lambda _: self._prepared(input, context), context.limits.seconds)
        return Action((search.spot.access("Grep", "read"),), lambda: self._searched(search, context))

    async def _searched(self, search: _Search, context: ToolContext) -> str:
        try:
            async with asyncio.timeout(context.limits.seconds):
                return await _search(search)
        except TimeoutError:
            raise ToolError(
                f"The search took longer than {context.limits.seconds:g} seconds. Narrow the path, glob or pattern."
            ) from None

    def _prepared(self, input: dict[str, Any], context: ToolContext) -> _Search:
        spot = place(input.get("path") or ".", context)
        program = ripgrep(context.roots) if self.program == "" else self.program
        return _Search(input, spot, context, program, alone=not spot.path.is_dir())


def ripgrep(roots: tuple[Path, ...]) -> str | None:
    """Path of ``rg``; never one that lies where agents work."""
    found = shutil.which("rg")
    real = Path(os.path.realpath(found)) if found else None
    if real is None or any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        return None
    return str(real)


@dataclass(frozen=True, slots=True)
class _Search:
    input: dict[str, Any]
    spot: Place
    context: ToolContext
    program: str | None
    alone: bool
    """One file, which the program gets as its standard input."""

    @property
    def mode(self) -> str:
        return self.input.get("output_mode", "files_with_matches")

    def hides(self, path: str) -> bool:
        """Whether what was found in this file is not for the agent."""
        found = self.spot.path if self.alone else self.spot.path / path.removeprefix("./")
        inside = found.relative_to(self.spot.root).as_posix()
        return self.context.guard.hides(inside, found.as_posix())

    @property
    def columns(self) -> int:
        return self.context.limits.line_chars // 4

    @property
    def limit(self) -> int:
        return min(self.input.get("head_limit", self.context.limits.entries), self.context.limits.lines)


async def _search(search: _Search) -> str:
    listing = b"" if search.alone or search.program else await _listing(search)
    with opened(search.spot, folder=not search.alone) as descriptor:
        async with _started(search, descriptor) as process:
            if process.stdin is not None:
                process.stdin.write(listing)
                process.stdin.close()
            rows, total, hidden = await _rows(process, search)
            error = b"" if total > MAX_COUNTED else await _ended(process)
    if error and not rows:
        raise ToolError(f"The search failed: {error.decode('utf-8', 'replace').strip()}")
    return _answer(rows, total, hidden, search)


async def _listing(search: _Search) -> bytes:
    matches = matcher(search.input.get("glob", "**"))

    def collect(patience: Patience) -> bytes:
        return b"\0".join(sorted(os.fsencode(path) for path in files(search.spot, patience) if matches(path)))

    return await in_thread(collect, search.context.limits.seconds)


@contextlib.asynccontextmanager
async def _started(search: _Search, descriptor: int) -> AsyncGenerator[Process]:
    arguments = _ripgrep_arguments(search) if search.program else _child_arguments(search)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=_folder(search, descriptor),
        stdin=_stdin(search, descriptor),
        stdout=PIPE,
        stderr=PIPE,
        env={name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ},
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()  # what is left in the pipes, so that they close


def _stdin(search: _Search, descriptor: int) -> int:
    if search.alone:
        return descriptor
    return DEVNULL if search.program else PIPE


def _folder(search: _Search, descriptor: int) -> str:
    """Where the child starts. By the descriptor where that can be: the name may have become a link by now."""
    if search.alone:
        return str(search.spot.root)
    by_descriptor = f"/proc/self/fd/{descriptor}"
    return by_descriptor if Path(by_descriptor).is_dir() else str(search.spot.path)


def _ripgrep_arguments(search: _Search) -> list[str]:
    given, mode = search.input, search.mode
    arguments = [search.program or "", "--no-config", "--no-messages", "--color=never", "--no-heading", "--null"]
    arguments += ["--hidden", "--no-ignore-global", "--sort=path", "--with-filename"]
    arguments += [f"--max-columns={search.columns}", "--max-columns-preview"]
    arguments += {"content": ["--line-number"], "count": ["--count"]}.get(mode, ["--files-with-matches"])
    arguments += ["--ignore-case"] * bool(given.get("-i"))
    arguments += [f"--glob={given['glob']}"] if "glob" in given else []
    arguments += [f"--glob=!**/{folder}/**" for folder in sorted(VCS)]
    if mode == "content":
        before, after = _context_lines(given)
        arguments += [f"--before-context={before}", f"--after-context={after}"]
    return [*arguments, f"--regexp={given['pattern']}", "-" if search.alone else "."]


def _child_arguments(search: _Search) -> list[str]:
    before, after = _context_lines(search.input)
    return [
        sys.executable, "-I", "-S", grep_child.__file__, search.input["pattern"], search.mode,
        "i" if search.input.get("-i") else "", str(before), str(after), str(search.columns),
        str(search.context.limits.scan_bytes), "-" if search.alone else ".",
    ]  # fmt: skip


def _context_lines(given: dict[str, Any]) -> tuple[int, int]:
    around = given.get("-C", 0)
    return given.get("-B", around), given.get("-A", around)


async def _rows(process: Process, search: _Search) -> tuple[list[str], int, set[str]]:
    """The first rows of the answer, how many there are (counted up to MAX_COUNTED), and files that must not show."""
    rows: list[str] = []
    hidden = set[str]()
    total = size = 0
    while total <= MAX_COUNTED and (record := await _record(process, search.mode)):
        if search.hides(record[0]):
            hidden.add(record[0])
            continue
        total += 1
        if len(rows) < search.limit and size < search.context.limits.bytes:
            rows.append(_row(*record, search))
            size += len(rows[-1])
    return rows, total, hidden


async def _record(process: Process, mode: str) -> tuple[str, str] | None:
    """The next of what either program prints: ``path NUL rest newline``; in files_with_matches, ``path NUL``."""
    assert process.stdout is not None  # noqa: S101 (it was asked for)
    end = b"\0" if mode == "files_with_matches" else b"\n"
    try:
        record = await process.stdout.readuntil(end)
    except asyncio.IncompleteReadError:
        return None
    path, _, rest = record.removesuffix(end).partition(b"\0")
    return path.decode("utf-8", "replace"), rest.decode("utf-8", "replace").rstrip("\r")


def _row(path: str, rest: str, search: _Search) -> str:
    if not rest and search.mode == "content":
        return path  # "--" between groups, or a note on a binary file
    file = search.spot.shown if path in ("<stdin>", "-") else below(search.spot, path.removeprefix("./"))
    if search.mode == "files_with_matches":
        return file
    if search.mode == "count":
        return f"{file}:{rest}"
    number, sign, text = _numbered(rest)
    return f"{file}{sign}{number}{sign}{text}" if search.input.get("-n", True) else f"{file}{sign}{text}"


def _numbered(rest: str) -> tuple[str, str, str]:
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return rest[:digits], rest[digits : digits + 1], rest[digits + 1 :]


async def _ended(process: Process) -> bytes:
    """What it complained of, once it has ended by itself."""
    assert process.stderr is not None  # noqa: S101 (it was asked for)
    complaint = await process.stderr.read()
    await process.wait()
    return complaint[:2000]


def _answer(rows: list[str], total: int, hidden: set[str], search: _Search) -> str:
    if not rows:
        rows.append("[Nothing matches.]")
        total = 1
    if total > len(rows):
        of = f"{total:,}" if total <= MAX_COUNTED else f"more than {MAX_COUNTED:,}"
        rows.append(f"[The first {len(rows):,} of {of} lines; narrow the search, or raise head_limit.]")
    if hidden:
        rows.append(
            f"[Matches in {len(hidden):,} file{'s' * (len(hidden) != 1)} are not shown: you may not read them.]"
        )
    return "\n".join(rows)
