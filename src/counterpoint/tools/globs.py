"""Globs over relative paths with ``/``: ``*`` ``?`` ``[a-z]`` ``{a,b}``, and ``**`` for any folders.

Pure, and bounded: matching takes at most the product of the lengths, whoever wrote the pattern.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

MAX_ALTERNATIVES = 256
_BRACES = re.compile(r"\{([^{}]*)\}")
_NOTHING = re.compile(r"(?!)")

Components = list[re.Pattern[str] | None]
"""One expression a component, None for ``**``."""


class TooManyAlternativesError(ValueError):
    """The braces of a glob stand for too many patterns."""

    def __init__(self) -> None:
        super().__init__(f"The glob has more than {MAX_ALTERNATIVES} alternatives; write a simpler one.")


@lru_cache(maxsize=512)
def compiled(pattern: str) -> tuple[Components, ...]:
    """The alternatives of a pattern; one without ``/`` matches in every folder. Raises TooManyAlternativesError."""
    return tuple(_components(choice) for choice in _expand(pattern))


def matches(alternatives: tuple[Components, ...], parts: list[str]) -> bool:
    """Whether the path of these parts matches as a whole."""
    return any(_matches(choice, parts) for choice in alternatives)


def covers(alternatives: tuple[Components, ...], parts: list[str]) -> bool:
    """Whether the path, or a folder that it lies in, matches: as .gitignore has it."""
    return any(matches(alternatives, parts[:length]) for length in range(len(parts), 0, -1))


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
            raise TooManyAlternativesError
    return done


def _components(pattern: str) -> Components:
    """fnmatch's expressions do not backtrack."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if "/" not in pattern:
        parts.insert(0, "**")
    if parts[-1:] == ["**"]:
        parts.append("*")
    return [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]


def _matches(components: Components, parts: list[str]) -> bool:
    """All positions in the pattern are followed at once."""
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


def _with_empty(reachable: set[int], components: Components) -> set[int]:
    """Also the positions behind each ``**`` that stands for no folder."""
    result = set(reachable)
    for index, component in enumerate(components):
        if component is None and index in result:
            result.add(index + 1)
    return result
