"""Files below a folder: never through links, never into version control's own folders, matched by glob."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache

from counterpoint.tools.base import ToolError
from counterpoint.tools.confine import BY_DESCRIPTOR, Place, opened
from counterpoint.tools.threads import Patience

VCS = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "CVS"})
MAX_ALTERNATIVES = 256
_BRACES = re.compile(r"\{([^{}]*)\}")
_NOTHING = re.compile(r"(?!)")

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
    choices = [_components(choice) for choice in _expand(pattern)]
    return lambda path: any(_matches(choice, path.split("/")) for choice in choices)


def _expand(pattern: str) -> list[str]:
    done, waiting = list[str](), [pattern]
    while waiting:
        current = waiting.pop()
        found = _BRACES.search(current)
        if found is None:
            done.append(current)
        else:
            head, tail = current[: found.start()], current[found.end() :]
            waiting.extend(f"{head}{choice}{tail}" for choice in found[1].split(","))
        if len(done) + len(waiting) > MAX_ALTERNATIVES:
            raise ToolError(f"The glob has more than {MAX_ALTERNATIVES} alternatives; write a simpler one.")
    return done


def _components(pattern: str) -> list[re.Pattern[str] | None]:
    """One expression a component, None for ``**``. fnmatch's expressions do not backtrack."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if "/" not in pattern:
        parts.insert(0, "**")
    if parts[-1:] == ["**"]:
        parts.append("*")
    return [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]


def _matches(components: list[re.Pattern[str] | None], parts: list[str]) -> bool:
    """All positions in the pattern are followed at once, so the time is the product of the lengths at worst."""
    reachable = {0}
    for part in parts:
        following = set[int]()
        for index in _with_empty(reachable, components):
            component = components[index] if index < len(components) else _NOTHING
            if component is None:
                following.add(index)
            elif component.match(part):
                following.add(index + 1)
        reachable = following
    return len(components) in reachable


def _with_empty(reachable: set[int], components: list[re.Pattern[str] | None]) -> set[int]:
    """Also the positions behind each ``**`` that stands for no folder."""
    result = set(reachable)
    for index, component in enumerate(components):
        if component is None and index in result:
            result.add(index + 1)
    return result
