"""S4: claims that say the same come together; those that contradict each other are never merged. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal, NamedTuple

from counterpoint.dream.items import Claim
from counterpoint.memory.entries import Author, Entry, Evidence
from counterpoint.memory.likeness import contradiction, likeness, words

ALIKE = 0.5
"""Likeness from which two texts under different keys are taken to be about the same."""
NEAR = 0.25
"""Likeness, or share of words, from which two texts under one key are taken to say the same."""

SAYING = frozenset(
    ("run", "runs", "execute", "executes", "use", "uses", "call", "calls", "need", "needs", "require", "requires",
     "want", "wants", "take", "takes", "lie", "lies", "live", "lives", "stand", "stands", "known", "named",
     "called", "set")
)  # fmt: skip
"""Words in which two sayings of one thing differ."""
_SETTING = re.compile(r"([\w-]{1,60})=([\w./-]{1,100})")
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[^\W_]+(?:[-'._/=:][^\W_]+)*")

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


def relation(one: Facets, other: Facets) -> tuple[Relation, str]:
    """How two texts stand to each other, and why they conflict."""
    if one.scope != other.scope:
        return "apart", ""
    if one.subject != other.subject and _shared(one.text, other.text) < ALIKE:
        return "apart", ""
    if _all_words(one.text) == _all_words(other.text):
        return "same", ""
    if one.subject == other.subject and (settled := _by_settings(one.text, other.text)):
        return settled
    return _under_one_key(one, other) if one.key == other.key else _under_two_keys(one, other)


def _by_settings(one: str, other: str) -> tuple[Relation, str] | None:
    """Two texts about one subject that set the same names: to the same values, they say the same, however they are
    worded; to different ones, they cannot both hold. None: their settings decide nothing."""
    ours, others = _settings(one), _settings(other)
    apart = [name for name in ours.keys() & others.keys() if not ours[name] & others[name]]
    if apart:
        return "conflict", f"they give {min(apart)} different values"
    return ("same", "") if ours and ours == others and not _negated(one, other) else None


def _negated(one: str, other: str) -> bool:
    return "negates" in contradiction(one, other) and _shared(one, other) >= 0.8


def _under_one_key(one: Facets, other: Facets) -> tuple[Relation, str]:
    """One subject and aspect: what does not say the same cannot hold beside it."""
    why = contradiction(one.text, other.text) or _against(one, other) or _other_value(one.text, other.text)
    if not why and (_shared(one.text, other.text) >= 0.6 or likeness(one.text, other.text) >= NEAR):
        return "same", ""
    if one.kind == other.kind:
        return "conflict", why or "they say different things of one matter"
    return "apart", ""


def _under_two_keys(one: Facets, other: Facets) -> tuple[Relation, str]:
    """Two subjects, perhaps two names for one. Other figures are then other things, and no contradiction."""
    if _shared(one.text, other.text) < ALIKE or likeness(one.text, other.text) < ALIKE:
        return "apart", ""
    why = contradiction(one.text, other.text) or _against(one, other) or _other_value(one.text, other.text)
    if not why:
        return "same", ""
    negated = "negates" in why or bool(_against(one, other))
    return ("conflict", why) if negated and _shared(one.text, other.text) >= 0.8 else ("apart", "")


def _against(one: Facets, other: Facets) -> str:
    against = {one.polarity, other.polarity} == {"positive", "negative"}
    return "one is for it and the other against it" if against else ""


def _other_value(one: str, other: str) -> str:
    """Whether the texts are the same but for one name or value, which is another."""
    mine, theirs = _tokens(one), _tokens(other)
    changes = [op for op in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes() if op[0] != "equal"]
    if len(changes) != 1 or changes[0][0] != "replace":
        return ""
    _, a, b, c, d = changes[0]
    small = b - a <= 2 and d - c <= 2 and 2 * (b - a) <= len(mine) and 2 * (d - c) <= len(theirs)
    return "they name different values" if small and not {*mine[a:b], *theirs[c:d]} <= SAYING else ""


@lru_cache(maxsize=8192)
def _tokens(text: str) -> tuple[str, ...]:
    """The words that carry meaning, in their order; compounds whole."""
    return tuple(token for token in _TOKEN.findall(text.casefold()) if words(token))


@lru_cache(maxsize=8192)
def _all_words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


@lru_cache(maxsize=8192)
def _settings(text: str) -> dict[str, frozenset[str]]:
    """What the text sets, as in ``--profile=x``: each name with its values."""
    found: dict[str, set[str]] = {}
    for name, value in _SETTING.findall(text.casefold()):
        found.setdefault(name, set()).add(value)
    return {name: frozenset(values) for name, values in found.items()}


@lru_cache(maxsize=8192)
def _words(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _shared(one: str, other: str) -> float:
    mine, theirs = _words(one), _words(other)
    return len(mine & theirs) / max(1, min(len(mine), len(theirs)))


class Facets(NamedTuple):
    """What of a claim or note says whether it is the same as another."""

    scope: str
    kind: str
    key: str
    polarity: str
    text: str

    @property
    def subject(self) -> str:
        return self.key.partition("::")[0]


def facets(given: Claim | Entry) -> Facets:
    """Those of a claim or a note."""
    if isinstance(given, Entry):
        return Facets(given.scope, given.kind.value, given.key, given.polarity, given.text)
    item = given.item
    return Facets(item.scope, item.kind.value, given.key, item.polarity, item.text)


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
            by = (
                "the later word of a person stands" if winner and winner.said_by_person else "what a program saw stands"
            )
            conflicts.append(conflict(one.head, other.head, why, winner.head.item.text if winner else "", by))
    return [each for n, each in enumerate(clusters) if n not in lost], conflicts


def _later(one: Cluster, other: Cluster) -> Cluster | None:
    """Whose word stands: a person's, else what a program saw; of two people's the later; None: nobody's."""
    if one.said_by_person != other.said_by_person:
        return one if one.said_by_person else other
    if not one.said_by_person and one.deterministic != other.deterministic:
        return one if one.deterministic else other
    if not one.said_by_person or one.newest == other.newest:
        return None
    return one if one.newest > other.newest else other


def conflict(
    one: Claim, other: Claim | Entry, why: str, winner: str, by: str = "the later word of a person stands"
) -> Conflict:
    """The record of a conflict, with a quote of each side, and by what it was settled."""
    text, anchors = (other.text, other.evidence) if isinstance(other, Entry) else (other.item.text, other.anchors)
    settled = f"{by}: {winner}" if winner else "neither was taken"
    return Conflict(one.item.text, text, why, (one.anchors[-1].quote, anchors[-1].quote if anchors else ""), settled)
