"""The marks around notes in a prompt: so that an agent can tell them from its task, and dreaming from what was lived.

What is recalled must not be learnt again as if it were new: `recalled` finds it in a text, also where an agent repeats
a note in its own answer. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from counterpoint.text import NOTES_TAG

_OPENING = re.compile(rf'<{NOTES_TAG} id="([0-9a-f]{{10}})"[^>\n]{{0,100}}>')
_CLOSING = re.compile(rf'</{NOTES_TAG} id="([0-9a-f]{{10}})">')
_WORDS = re.compile(r"[^\W_]+")
FEWEST_WORDS = 3
"""Of a note that is looked for word by word: shorter ones stand in texts by chance."""

_ID = re.compile(r"^- \[(m-[0-9a-f]{12})\]", re.MULTILINE)
Span = tuple[int, int]


def marked(content: str, salt: str) -> str:
    """The content between marks whose number nobody can foresee who wrote it, so that it cannot end them itself."""
    seed = f"{salt}\0{content}".encode("utf-8", "replace")
    mark = hashlib.blake2b(seed, digest_size=5).hexdigest()
    return f'<{NOTES_TAG} id="{mark}">\n{content}\n</{NOTES_TAG} id="{mark}">'


def without_notes(text: str) -> str:
    """The text without what stands between marks, and without the white space before it."""
    kept: list[str] = []
    place = 0
    for start, end in _blocks(text):
        kept.append(text[place:start].rstrip())
        place = end
    return "".join([*kept, text[place:]]) if kept else text


def noted(text: str) -> list[str]:
    """Ids of the notes that are told between marks."""
    return [name for start, end in _blocks(text) for name in _ID.findall(text[start:end])]


def recalled(text: str, notes: Iterable[str]) -> list[Span]:
    """Where a text repeats what its author was told: marked blocks, and these notes word by word. In order, merged."""
    spans = _blocks(text)
    for note in dict.fromkeys(notes):
        words = _WORDS.findall(note)
        if len(words) >= FEWEST_WORDS:
            pattern = re.compile(r"[\W_]+".join(map(re.escape, words)), re.IGNORECASE)
            spans += [found.span() for found in pattern.finditer(text)]
    return _merged(spans)


def _blocks(text: str) -> list[Span]:
    """From each opening mark to its own closing one. In one pass: the text may be hostile."""
    closings: dict[str, list[int]] = {}
    for found in _CLOSING.finditer(text):
        closings.setdefault(found[1], []).append(found.end())
    spans: list[Span] = []
    for found in _OPENING.finditer(text) if closings else ():
        ends = [end for end in closings.get(found[1], ())[:1] if end > found.end()]
        if ends and (not spans or found.start() >= spans[-1][1]):
            spans.append((found.start(), ends[0]))
    return spans


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
