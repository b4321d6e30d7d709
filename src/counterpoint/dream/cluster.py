"""S4: claims that say the same come together; those that contradict each other are never merged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from counterpoint.dream.items import Claim
from counterpoint.memory.entries import Author, Entry, Evidence
from counterpoint.memory.likeness import contradiction, likeness, same_words, words

ALIKE = 0.5
"""Likeness from which two texts under different keys are taken to be about the same."""
NEAR = 0.25
"""Likeness, or share of words, from which two texts under one key are taken to say the same."""

Relation = Literal["same", "conflict", "apart"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Claims that say the same. The first speaks for all: of people if there is one, and with the most detail."""

    claims: tuple[Claim, ...]

    @property
    def head(self) -> Claim:
        return self.claims[0]

    @property
    def anchors(self) -> list[Evidence]:
        found = {anchor.id: anchor for claim in self.claims for anchor in claim.anchors}
        return sorted(found.values(), key=lambda anchor: (anchor.at, anchor.id))

    @property
    def deterministic(self) -> bool:
        return any(claim.deterministic for claim in self.claims)

    @property
    def said_by_person(self) -> bool:
        return any(anchor.author is Author.USER for anchor in self.anchors)

    @property
    def newest(self) -> float:
        return max(anchor.at for anchor in self.anchors)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two things that cannot both hold, and what is made of it."""

    one: str
    other: str
    why: str
    quotes: tuple[str, str]
    settled: str
    """What was decided: the later word of a person, or nothing."""


def relation(one: tuple[str, str, str, str, str], other: tuple[str, str, str, str, str]) -> tuple[Relation, str]:
    """How two texts stand to each other, and why they conflict. Each is (scope, kind, key, polarity, text)."""
    if one[0] != other[0]:
        return "apart", ""
    (_, kind, key, polarity, text), (_, other_kind, other_key, other_polarity, other_text) = one, other
    if same_words(text, other_text):
        return "same", ""
    alike = likeness(text, other_text)
    one_key = key == other_key
    if not one_key and alike < ALIKE and not _opposite(text, other_text):
        return "apart", ""
    why = contradiction(text, other_text)
    if {polarity, other_polarity} == {"positive", "negative"}:
        why = why or "one is for it and the other against it"
    if not why and (alike >= NEAR or _shared(text, other_text) >= 0.6):
        return "same", ""
    if one_key and kind == other_kind:
        return "conflict", why or "they say different things of one matter"
    return ("conflict", why) if why and alike >= ALIKE else ("apart", "")


def _opposite(one: str, other: str) -> bool:
    """Whether one text is the other with a negation, whatever keys they have."""
    return bool(contradiction(one, other)) and _shared(one, other) >= 0.8


def _shared(one: str, other: str) -> float:
    mine, theirs = set(words(one)), set(words(other))
    return len(mine & theirs) / max(1, min(len(mine), len(theirs)))


def facets(given: Claim | Entry) -> tuple[str, str, str, str, str]:
    """What `relation` looks at."""
    if isinstance(given, Entry):
        return given.scope, given.kind.value, given.key, given.polarity, given.text
    item = given.item
    return item.scope, item.kind.value, given.key, item.polarity, item.text


def cluster(claims: Iterable[Claim]) -> tuple[list[Cluster], list[Conflict]]:
    """Brings together what says the same. Of two that contradict each other, the later word of a person stands;
    otherwise none of them does."""
    groups: list[list[Claim]] = []
    for claim in sorted(claims, key=_order):
        home = next((group for group in groups if relation(facets(group[0]), facets(claim))[0] == "same"), None)
        if home is None:
            groups.append([claim])
        else:
            home.append(claim)
    clusters = [Cluster(tuple(sorted(group, key=_order))) for group in groups]
    return _without_conflicts(clusters)


def _order(claim: Claim) -> tuple[bool, bool, int, float, str]:
    """People first, then what a program saw, then the text with most in it, so that detail is not lost."""
    person = any(anchor.author is Author.USER for anchor in claim.anchors)
    first = min(anchor.at for anchor in claim.anchors)
    return not person, not claim.deterministic, -len(claim.item.text), first, claim.item.text


def _without_conflicts(clusters: Sequence[Cluster]) -> tuple[list[Cluster], list[Conflict]]:
    lost: set[int] = set()
    conflicts: list[Conflict] = []
    for n, one in enumerate(clusters):
        for k, other in enumerate(clusters[:n]):
            if n in lost or k in lost:
                continue
            kind, why = relation(facets(one.head), facets(other.head))
            if kind != "conflict":
                continue
            winner = _later(one, other)
            lost |= {n, k} - ({n} if winner is one else {k} if winner is other else set())
            conflicts.append(conflict(one.head, other.head, why, winner.head.item.text if winner else ""))
    return [each for n, each in enumerate(clusters) if n not in lost], conflicts


def _later(one: Cluster, other: Cluster) -> Cluster | None:
    """Whose word stands: a person's against others', of two people's the later; None: nobody's."""
    if one.said_by_person != other.said_by_person:
        return one if one.said_by_person else other
    if not one.said_by_person or one.newest == other.newest:
        return None
    return one if one.newest > other.newest else other


def conflict(one: Claim, other: Claim | Entry, why: str, winner: str) -> Conflict:
    """The record of a conflict, with a quote of each side."""
    text, anchors = (other.text, other.evidence) if isinstance(other, Entry) else (other.item.text, other.anchors)
    settled = f"the later word of a person stands: {winner}" if winner else "neither was taken"
    return Conflict(one.item.text, text, why, (one.anchors[-1].quote, anchors[-1].quote if anchors else ""), settled)
