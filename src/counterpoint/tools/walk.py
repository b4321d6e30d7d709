"""Files below a folder: never through links, never into version control's own folders, matched by glob."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache

from counterpoint.tools import globs
from counterpoint.tools.base import ToolError
from counterpoint.tools.confine import BY_DESCRIPTOR, Place, opened
from counterpoint.tools.threads import Patience

VCS = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "CVS"})

Matcher = Callable[[str], bool]


def files(spot: Place, patience: Patience) -> Iterator[str]:
    """Regular files below the folder, as paths relative to it with ``/``, sorted within each folder."""
    with opened(spot, folder=True) as descriptor:
        for folder, names, directory in _folders(spot, descriptor):
            patience.check()
            prefix = folder.removeprefix(".").removeprefix("/")
            for name in sorted(names):
                if _is_regular(name, folder, directory):
                    yield f"{prefix}/{name}" if prefix else name


def _folders(spot: Place, descriptor: int) -> Iterator[tuple[str, list[str], int | None]]:
    if BY_DESCRIPTOR:
        for folder, inner, names, directory in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
            inner[:] = sorted(name for name in inner if name not in VCS)
            yield folder, names, directory
        return
    for folder, inner, names in os.walk(spot.path, followlinks=False):
        inner[:] = sorted(name for name in inner if name not in VCS)
        yield os.path.relpath(folder, spot.path).replace(os.sep, "/"), names, None


def _is_regular(name: str, folder: str, directory: int | None) -> bool:
    try:
        if directory is None:
            return stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode)  # noqa: PTH118 (no Path per file)
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:  # gone since it was listed
        return False


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Matcher:
    """Whether a relative path matches a glob: ``*`` ``?`` ``[a-z]`` ``{a,b}``, and ``**`` for any folders.

    A pattern without ``/`` matches the name in any folder; a leading ``!`` inverts.
    Raises ToolError for too many alternatives.
    """
    if pattern.startswith("!"):
        inner = matcher(pattern[1:])
        return lambda path: not inner(path)
    try:
        alternatives = globs.compiled(pattern)
    except globs.TooManyAlternativesError as error:
        raise ToolError(str(error)) from error
    return lambda path: globs.matches(alternatives, path.split("/"))
