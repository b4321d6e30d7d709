"""Words that people find runs by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from counterpoint.errors import UsageError

TAG = re.compile(r"[\w.+/-][\w.:+/-]{0,39}")
MOST = 20
"""Tags of one run."""


def checked_tag(text: str) -> str:
    """The tag. Raises UsageError for what can be none."""
    if not TAG.fullmatch(text):
        raise UsageError(f"{text[:60]!r} can be no tag.", hint="Up to 40 letters, digits and . _ - + / :")
    return text


def retagged(tags: Iterable[str], add: Iterable[str], remove: Iterable[str]) -> tuple[str, ...]:
    """The tags of a run after a change, in alphabetical order. Raises UsageError for too many."""
    found = tuple(sorted({*tags, *add} - {*remove}))
    if len(found) > MOST:
        raise UsageError(f"A run has at most {MOST} tags; these are {len(found)}.")
    return found


def matches(text: str, *, run_id: str, name: str, status: str, tags: Iterable[str]) -> bool:
    """Whether a run fits a filter: ``tag:nightly status:failed "some text"``; all of it must hold."""
    return all(_holds(word, run_id, name.lower(), status, tags) for word in text.lower().split())


def _holds(word: str, run_id: str, name: str, status: str, tags: Iterable[str]) -> bool:
    key, colon, wanted = word.partition(":")
    match key:
        case "tag" if colon:
            return wanted in {tag.lower() for tag in tags}
        case "status" if colon:
            return wanted == status
        case _:
            return word in name or word in run_id
