"""Paths that cannot leave the roots.

A path is first resolved to a real one and must then lie in a root: `..`, absolute paths and links are all met by that.
The real path has no links left, so it is opened from the root's own descriptor, one component at a time, each without
following links: whoever swaps a folder for a link between check and use gets an error, not the file behind it. Where
the platform cannot open relative to a descriptor (Windows), the file is opened first and its real path checked again.

What this cannot see: hard links that another process made to files outside. Folders of the kernel (`/proc`, `/sys`,
`/dev`) are refused even where the root is `/`: they hold the environment, and keys, of this very process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from counterpoint.tools.base import ToolContext, ToolError

KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for its writer


@dataclass(frozen=True, slots=True)
class Place:
    """A real path in a root. `shown` is how messages name it: as the agent gave it."""

    root: Path
    path: Path
    shown: str
    base: str = ""
    """What relative paths found here start with, so that the agent can use them again; empty below the first root."""

    @property
    def parts(self) -> tuple[str, ...]:
        return self.path.relative_to(self.root).parts


def place(given: str, context: ToolContext) -> Place:
    """Where `given` leads. Raises ToolError where that is outside every root."""
    if "\0" in given:
        raise ToolError("The path has a NUL character in it; no file has.")
    if os.name == "nt" and ":" in given[2:]:
        raise ToolError(f"{given!r} names a stream of a file; only files themselves can be read.")
    start = os.path.realpath(context.root)
    try:
        real = Path(os.path.realpath(os.path.join(start, given)))  # noqa: PTH118 (Path would drop a trailing "/..")
    except (OSError, ValueError) as error:
        raise ToolError(f"{given!r} is no usable path: {error}.") from error
    for root in (Path(os.path.realpath(root)) for root in context.roots):
        if real.is_relative_to(root) and not any(real.is_relative_to(folder) for folder in KERNEL):
            return Place(root, real, given, "" if str(root) == start else root.as_posix())
    raise ToolError(
        f"{given!r} leads outside of the working directory {context.root}. Only files inside it can be reached."
    )


@contextmanager
def opened(spot: Place, *, folder: bool = False) -> Generator[int]:
    """A descriptor of the file (regular files only) or folder. Raises ToolError where it is something else."""
    try:
        descriptor = _open(spot, folder=folder)
    except FileNotFoundError:
        raise ToolError(f"{spot.shown!r} does not exist.") from None
    except NotADirectoryError:
        what = "is no folder" if folder else "does not exist: a part of its path is no folder, or became a link"
        raise ToolError(f"{spot.shown!r} {what}.") from None
    except OSError as error:
        raise ToolError(f"{spot.shown!r} cannot be opened: {error.strerror or error}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(spot: Place, *, folder: bool) -> int:
    descriptor = _open_chain(spot, folder=folder) if BY_DESCRIPTOR else _open_checked(spot, folder=folder)
    try:
        _must_be(os.fstat(descriptor).st_mode, spot, folder=folder)
    except ToolError:
        os.close(descriptor)
        raise
    return descriptor


def _open_chain(spot: Place, *, folder: bool) -> int:
    current = os.open(spot.root, _FLAGS | _FOLDER)
    parts = spot.parts
    for number, part in enumerate(parts, 1):
        inner = folder or number < len(parts)
        try:
            if not inner:  # opening a device can have effects of its own, so look first
                _must_be(os.stat(part, dir_fd=current, follow_symlinks=False).st_mode, spot, folder=False)
            following = os.open(part, _FLAGS | _NO_FOLLOW | (_FOLDER if inner else _NO_WAIT), dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _open_checked(spot: Place, *, folder: bool) -> int:
    _must_be(spot.path.stat().st_mode, spot, folder=folder)
    descriptor = os.open(spot.path, _FLAGS)
    if Path(os.path.realpath(spot.path)) != spot.path or not os.path.samestat(os.fstat(descriptor), spot.path.stat()):
        os.close(descriptor)
        raise ToolError(f"{spot.shown!r} was replaced while it was being opened.")
    return descriptor


def _must_be(mode: int, spot: Place, *, folder: bool) -> None:
    if folder:
        if not stat.S_ISDIR(mode):
            raise ToolError(f"{spot.shown!r} is no folder.")
    elif stat.S_ISDIR(mode):
        raise ToolError(f"{spot.shown!r} is a folder. Use LS or Glob to see what is in it.")
    elif not stat.S_ISREG(mode):
        raise ToolError(f"{spot.shown!r} is a {_kind(mode)}, not a regular file; only regular files can be read.")


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
        (stat.S_ISLNK, "link"),
    ):
        if test(mode):
            return name
    return "special file"
