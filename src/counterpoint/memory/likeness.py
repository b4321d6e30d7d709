"""How near two texts are, and whether they say the opposite. Words only, so the same everywhere and always. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

_WORD = re.compile(r"[^\W_]+(?:[-'._/][^\W_]+)*")
_PART = re.compile(r"[^\W\d_]+|\d+")
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nothing|neither|nor|without|avoid|avoids|stop|don't|dont|doesn't|isn't|aren't|wasn't|can't|"
    r"cannot|won't|mustn't|shouldn't|didn't|except|instead of|rather than|disable[sd]?|unless|fail(?:s|ed)?|wrong)\b"
)
_MODAL = re.compile(
    r"\b(?:must|always|never|only|should|may|might|can|could|sometimes|usually|often|optional(?:ly)?)\b"
)
_STOP = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "by", "do", "for", "from", "has", "have", "if", "in", "into", "is", "it",
    "its", "of", "on", "or", "that", "the", "their", "then", "there", "this", "to", "use", "was", "were", "when",
    "which", "will", "with", "you", "your",
])  # fmt: skip
K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    """The words that carry meaning, in lower case; of a compound, its parts as well: ``foo_bar.py`` → foo, bar, py."""
    found: list[str] = []
    for token in _WORD.findall(text.casefold()):
        parts = [part for part in _PART.findall(token) if len(part) > 1 or part.isdigit()]
        found += parts if parts == [token] else [token, *parts]
    return [_stem(word) for word in found if word not in _STOP]


def _stem(word: str) -> str:
    """Plurals and the commonest endings taken off; rough, and the same for both sides of a comparison."""
    for ending in ("ing", "ies", "es", "ed", "s"):
        if word.isalpha() and word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def likeness(one: str, other: str) -> float:
    """Share of word pairs that two texts have in common, 0 to 1."""
    mine, theirs = _shingles(one), _shingles(other)
    return len(mine & theirs) / len(mine | theirs) if mine or theirs else 1.0


def _shingles(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[n : n + 2]) for n in range(max(1, len(found) - 1))} if found else set()


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but signs, case and spaces."""
    return _WORD.findall(one.casefold()) == _WORD.findall(other.casefold())


def contradiction(one: str, other: str) -> str:
    """Why two texts must not be taken for the same: negations, modal words or figures differ. Empty: they agree."""
    a, b = one.casefold().replace("’", "'"), other.casefold().replace("’", "'")
    if Counter(_NEGATION.findall(a)) != Counter(_NEGATION.findall(b)):
        return "one of them negates what the other does not"
    if set(_MODAL.findall(a)) != set(_MODAL.findall(b)):
        return "they differ in how strictly they hold"
    if set(_FIGURE.findall(a)) != set(_FIGURE.findall(b)):
        return "their figures differ"
    return ""


class Ranking:
    """Texts under names, ranked by how well they answer a query (BM25)."""

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        """`texts` has the words of each, see `words`."""
        self._total = len(texts)
        usual = max(1.0, sum(map(len, texts.values())) / max(1, len(texts)))
        self._postings: dict[str, list[tuple[str, float]]] = {}
        for name, text in texts.items():
            norm = K1 * (1 - B + B * len(text) / usual)
            for word, times in Counter(text).items():
                self._postings.setdefault(word, []).append((name, times * (K1 + 1) / (times + norm)))

    def scores(self, query: str) -> dict[str, float]:
        """Score of each text that shares a word with the query, above 0."""
        scores: dict[str, float] = {}
        for word in sorted(set(words(query)) & self._postings.keys()):
            posting = self._postings[word]
            weight = math.log(1 + (self._total - len(posting) + 0.5) / (len(posting) + 0.5))
            for name, part in posting:
                scores[name] = scores.get(name, 0.0) + weight * part
        return scores
