"""The search of `search.py` without ripgrep, as a process of its own: it imports the standard library only.

Arguments: pattern, mode, flags, lines before, lines after, columns, bytes of one file, and ``.`` (files are named on
standard input, apart by NUL, relative to the current folder) or ``-`` (standard input is the file). Answers as ripgrep
does with ``--null``. A file is opened component by component without following links.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

SNIFFED = 8192
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Job:
    """What to look for, and how to answer."""

    pattern: re.Pattern[str]
    mode: str
    before: int
    after: int
    columns: int
    most: int
    """Bytes of one file; what is longer is searched so far."""


def main(arguments: list[str]) -> int:
    """Searches; the result is the exit code: 0 whatever was found, 2 for a pattern that is none."""
    pattern, mode, flags, before, after, columns, most, where = arguments
    try:
        compiled = re.compile(pattern, re.IGNORECASE if "i" in flags else 0)
    except (re.error, OverflowError, RecursionError) as error:
        sys.stderr.write(f"{pattern!r} is no regular expression: {error}")
        return 2
    job = Job(compiled, mode, int(before), int(after), int(columns), int(most))
    if where == "-":
        emit(job, b"<stdin>", content(0, job.most))
        return 0
    groups = 0
    for path in filter(None, sys.stdin.buffer.read().split(b"\0")):
        text = text_of(path, job.most)
        if text is not None:
            separated = job.mode == "content" and groups > 0 and (job.before or job.after) > 0
            groups += emit(job, path, text, separated=separated)
    return 0


def text_of(path: bytes, most: int) -> str | None:
    """The file's text; None where it cannot be read, or is binary."""
    try:
        descriptor = open_below(path)
    except OSError:
        return None
    try:
        return content(descriptor, most)
    finally:
        os.close(descriptor)


def open_below(path: bytes) -> int:
    """Opens a relative path, following no links."""
    if os.open not in os.supports_dir_fd:
        return os.open(path, _FLAGS)
    current = os.open(b".", os.O_RDONLY)
    for part in path.split(b"/"):
        try:
            following = os.open(part, _FLAGS, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def content(descriptor: int, most: int) -> str | None:
    """Its text, up to `most` bytes; None where it is binary or no regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    data = os.read(descriptor, SNIFFED)
    if b"\0" in data:
        return None
    parts, size = [data], len(data)
    while data and size < most:
        data = os.read(descriptor, 1 << 20)
        parts.append(data)
        size += len(data)
    return b"".join(parts).decode("utf-8", "replace")


def emit(job: Job, path: bytes, text: str | None, *, separated: bool = False) -> int:
    """Writes what matches in one file; the number of matches."""
    if text is None:
        return 0
    out = sys.stdout.buffer
    lines = text.removesuffix("\n").split("\n") if text else []
    if job.mode == "content":
        return emit_lines(job, path, lines, separated)
    hits = (1 for line in lines if job.pattern.search(line))
    count = next(hits, 0) if job.mode == "files_with_matches" else sum(hits)
    if count:
        out.write(path + b"\0" + (b"" if job.mode == "files_with_matches" else b"%d\n" % count))
    return count


def emit_lines(job: Job, path: bytes, lines: list[str], separated: bool) -> int:
    """The matching lines with those around them; ``--`` between groups that do not touch."""
    count, last = 0, None
    for number, line, hit in around(job, lines):
        count += hit
        if (job.before or job.after) and (separated if last is None else number > last + 1):
            sys.stdout.buffer.write(b"--\n")
        last = number
        row = f"{number}{':' if hit else '-'}{shortened(line, job.columns)}\n"
        sys.stdout.buffer.write(path + b"\0" + row.encode("utf-8", "replace"))
    return count


def around(job: Job, lines: list[str]) -> Iterator[tuple[int, str, bool]]:
    """(number, line, whether it matches) for each line to show."""
    waiting: deque[tuple[int, str]] = deque(maxlen=job.before)
    rest = 0
    for number, line in enumerate(lines, 1):
        if job.pattern.search(line):
            for earlier in waiting:
                yield (*earlier, False)
            waiting.clear()
            rest = job.after
            yield number, line, True
        elif rest:
            rest -= 1
            yield number, line, False
        else:
            waiting.append((number, line))


def shortened(line: str, columns: int) -> str:
    """The line, cut with a note."""
    line = line.rstrip("\r")
    return line if len(line) <= columns else f"{line[:columns]} [... {len(line) - columns} more characters]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
