"""Paths that cannot leave the roots.

A path is first resolved to a real one and must then lie in a root: `..`, absolute paths and links are all met by that.
The real path has no links left, so it is opened from the root's own descriptor, one component at a time, each without
following links: whoever swaps a folder for a link between check and use gets an error, not the file behind it. Where
the platform cannot open relative to a descriptor (Windows), the file is opened first and its real path checked again.

What this cannot see: hard links that another process made to files outside. Folders of the kernel (`/proc`, `/sys`,
`/dev`) are refused even where the root is `/`: they hold the environment, and keys, of this very process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from counterpoint.tools.base import Stamp, ToolContext, ToolError
from counterpoint.tools.policy import Access, Kind

KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | (_FLAGS & ~os.O_RDONLY)
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

    def access(self, tool: str, kind: Kind) -> Access:
        """A tool's access to it, for the rules."""
        return Access(tool, kind, "/".join(self.parts) or ".", self.path.as_posix())


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


def place_to_write(given: str, context: ToolContext) -> Place:
    """The same for what is written: only below the first root, the others are there to be read."""
    return place(given, dataclasses.replace(context, more_roots=()))


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


def stamp(descriptor: int) -> Stamp:
    """What tells one version of an open file from another."""
    return _stamp(os.fstat(descriptor))


def _stamp(state: os.stat_result) -> Stamp:
    return Stamp(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


def replace(spot: Place, data: bytes, expected: Stamp | None) -> Stamp:
    """Puts `data` in the file's place at once: whoever reads sees the old content or the new, never a part.

    `expected` is the version that it takes the place of, None where there must be none yet; folders are made. The
    file's mode stays. Raises ToolError where another version is there, or something that is no regular file.
    """
    if not spot.parts:
        raise ToolError(f"{spot.shown!r} is a folder.")
    try:
        return _replace(spot, data, expected)
    except NotADirectoryError:
        raise ToolError(f"A part of the path of {spot.shown!r} is no folder, or became a link.") from None
    except OSError as error:
        raise ToolError(f"{spot.shown!r} cannot be written: {error.strerror or error}.") from error


def _replace(spot: Place, data: bytes, expected: Stamp | None) -> Stamp:
    folder = _folder_of(spot)
    name, fresh = spot.path.name, f".{spot.path.name[:100]}.{secrets.token_hex(6)}.tmp"
    at = _At(folder, spot)
    try:
        mode = _check_version(at, name, expected, spot)
        descriptor = os.open(at.path(fresh), _WRITE, 0o666, dir_fd=folder)
        try:
            _fill(descriptor, data, mode)
            written = stamp(descriptor)
        except BaseException:
            os.unlink(at.path(fresh), dir_fd=folder)
            raise
        finally:
            os.close(descriptor)
        os.replace(at.path(fresh), at.path(name), src_dir_fd=folder, dst_dir_fd=folder)
        return written
    finally:
        if folder is not None:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class _At:
    """How to name things in a folder: by name alone where its descriptor goes with every call."""

    folder: int | None
    spot: Place

    def path(self, name: str) -> str:
        return name if self.folder is not None else str(self.spot.path.with_name(name))


def _folder_of(spot: Place) -> int | None:
    """A descriptor of the folder that the file is in, made where it is missing; None: there are no descriptors here."""
    if not BY_DESCRIPTOR:
        spot.path.parent.mkdir(parents=True, exist_ok=True)
        if Path(os.path.realpath(spot.path)) != spot.path:
            raise ToolError(f"{spot.shown!r} was replaced while it was being written.")
        return None
    current = os.open(spot.root, _FLAGS | _FOLDER)
    for part in spot.parts[:-1]:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=current)
            following = os.open(part, _FLAGS | _NO_FOLLOW | _FOLDER, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _check_version(at: _At, name: str, expected: Stamp | None, spot: Place) -> int | None:
    """The mode of the file that is there, None where there is none."""
    try:
        state = os.stat(at.path(name), dir_fd=at.folder, follow_symlinks=False)
    except FileNotFoundError:
        if expected is not None:
            raise ToolError(f"{spot.shown!r} is gone: somebody removed it since you read it.") from None
        return None
    _must_be(state.st_mode, spot, folder=False)
    if expected is None:
        raise ToolError(f"{spot.shown!r} exists, and you have not read it. Read it first, then write or edit it.")
    if _stamp(state) != expected:
        raise ToolError(f"{spot.shown!r} has changed since you read it, so nothing was written. Read it again.")
    return stat.S_IMODE(state.st_mode)


def _fill(descriptor: int, data: bytes, mode: int | None) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    os.fsync(descriptor)


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
