"""What readers and detectors bring: claims with quotes, and the places where those quotes really stand. Pure.

A model says a quote and the number of the excerpt that it is from. Code looks whether it stands there (I2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from counterpoint.dream.cleaning import NUL, Cleaner, visible
from counterpoint.dream.session import Part, Said, Session
from counterpoint.memory.entries import MAX_QUOTE, Author, Check, Evidence, Kind, Polarity, Taint, evidence
from counterpoint.redaction import MARK

SHORTEST_QUOTE = 8


class Quote(Struct, frozen=True):
    """A quote as a reader gives it: the number of the excerpt, and what stands there."""

    ref: str
    text: str


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One claim of a reader."""

    kind: Kind
    subject: str
    aspect: str
    text: str
    quotes: list[Quote]
    trigger: str = ""
    polarity: Polarity = "neutral"
    scope: str = "project"
    would_disprove: str = ""
    review_days: int | None = None
    check: Check | None = None
    replaces: str | None = None
    """A note that no longer holds, this taking its place."""
    retire: bool = False
    """`replaces` goes, and nothing takes its place."""


class Ref(Struct, frozen=True):
    """The place of an excerpt that a reader saw."""

    run_id: str
    session_id: str
    seq: int
    start: int
    end: int


Refs = Mapping[str, Ref]


@dataclass(frozen=True, slots=True)
class Claim:
    """An item whose quotes have been looked up."""

    item: Item
    anchors: tuple[Evidence, ...]
    by: str
    """``reader`` or the name of a detector."""
    deterministic: bool = False
    """A program saw it, such as a test that went from red to green."""

    @property
    def key(self) -> str:
        return f"{_slug(self.item.subject)}::{_slug(self.item.aspect)}"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that was brought and is not taken: shown in the report, so that an attack is seen."""

    check: str
    """``V0`` to ``V6``."""
    text: str
    reason: str


@dataclass(slots=True)
class Located:
    """What became of items when their quotes were looked up."""

    claims: list[Claim] = field(default_factory=list[Claim])
    blocked: list[Blocked] = field(default_factory=list[Blocked])


_Found = Evidence | Literal["absent", "hidden", "echo", "secret", "elsewhere", "nobody", "short"]
_WHY = {
    "absent": "the quote does not stand there",
    "hidden": "the quote has hidden signs in the transcript",
    "echo": "the quote repeats a note that its author was told",
    "secret": "the quote has a secret in it",
    "elsewhere": "there is no such excerpt",
    "nobody": "the quote goes across the words of several authors",
    "short": "the quote is too short to prove anything",
}


def locate(items: Iterable[tuple[Item, Refs]], sessions: Mapping[str, Session], cleaner: Cleaner) -> Located:
    """Looks up the quotes of readers. One quote that is not where it should be ends the claim."""
    located = Located()
    for item, refs in items:
        found = [_locate(quote, refs, sessions, cleaner) for quote in item.quotes]
        wrong = [each for each in found if isinstance(each, str)]
        anchors = list({each.id: each for each in found if isinstance(each, Evidence)}.values())
        if wrong or not anchors:
            reason = _WHY[wrong[0]] if wrong else "it has no quote"
            located.blocked.append(Blocked("V1", item.text, reason))
        else:
            located.claims.append(Claim(item, tuple(anchors), "reader"))
    return located


def _locate(quote: Quote, refs: Refs, sessions: Mapping[str, Session], cleaner: Cleaner) -> _Found:
    ref = refs.get(quote.ref.strip("[] "))
    session = sessions.get(ref.run_id) if ref is not None else None
    said = session.find(ref.session_id, ref.seq) if session is not None and ref is not None else None
    if ref is None or session is None or said is None:
        return "elsewhere"
    if MARK in quote.text:
        return "secret"
    if len(quote.text.strip()) < SHORTEST_QUOTE:
        return "short"
    span = _span(quote.text, said.text, ref.start, ref.end)
    if span is None:
        there = _pattern(quote.text).search(visible(said.text[ref.start : ref.end]))
        return "hidden" if there else "absent"
    found = anchor(session, said, span)
    if found is None:
        return "nobody"
    lived = cleaner.lived(said.text, by_person=found.author is Author.USER)
    return "echo" if NUL in lived[span[0] : span[1]] else found


def _span(quote: str, text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where the quote stands, in other spacing perhaps; a long one is cut."""
    match = _pattern(quote).search(text, start, end)
    return (match.start(), min(match.end(), match.start() + MAX_QUOTE)) if match else None


def _pattern(quote: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, quote.split())) or r"(?!)")


def anchor(session: Session, said: Said, span: tuple[int, int], *, by_program: bool = False) -> Evidence | None:
    """The anchor of a piece of a text; None where it is not the words of one author.

    `by_program`: a detector has seen in the piece how a command ended, so it proves that, whoever wrote the words.
    """
    part = part_of(said, span)
    if part is None:
        return None
    author = Author.TEST if by_program and part.taint is not Taint.UNTRUSTED else part.author
    return evidence(
        said.text, span, run_id=session.run_id, session_id=said.session_id, seq=said.seq, author=author,
        taint=part.taint, outcome=session.outcome, at=said.at,
    )  # fmt: skip


def part_of(said: Said, span: tuple[int, int]) -> Part | None:
    return next((part for part in said.parts if part.start <= span[0] and span[1] <= part.end), None)


def witnesses(anchors: Iterable[Evidence]) -> int:
    """How many independent sessions speak: copies of one text count once, unless a program wrote it."""
    anchors = list(anchors)
    sessions = {anchor.session for anchor in anchors}
    texts = {anchor.session if anchor.author is Author.TEST else anchor.sha256 for anchor in anchors}
    return min(len(sessions), len(texts))


def trusted(anchors: Iterable[Evidence]) -> list[Evidence]:
    """Those that may support an instruction: of people, of programs, and of agents that heard nothing from outside."""
    return [
        anchor
        for anchor in anchors
        if anchor.taint is not Taint.UNTRUSTED and anchor.author in (Author.USER, Author.ASSISTANT, Author.TEST)
    ]


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[^\W_]+", visible(text).casefold()))[:70] or "general"
