"""Notes and what proves them: the words of the memory, and the rules that hold for each of them alone. Pure.

Times are seconds since the epoch. One form of encoding holds everywhere (`canonical`), because what is stored is named
by the hash of its bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct

from counterpoint.errors import MemoryRefusedError

MAX_TEXT = 600
"""Characters of a note."""
MAX_QUOTE = 300
MAX_TRIGGER = 300
MAX_KEY = 160
MAX_EVIDENCE = 50
"""Anchors of one note, for and against it."""
MAX_CHECK = 200
"""Characters of what a check looks for."""
MAX_LINKS = 20
MAX_NAME = 200
"""Characters of the id of a run or session."""

Outcomes = Literal["success", "failure", "unknown"]
Confidence = Literal["low", "medium", "high"]
Polarity = Literal["positive", "negative", "neutral"]

_ENTRY_ID = re.compile(r"m-[0-9a-f]{12}")
_NAMED_SCOPE = re.compile(r"(?:workflow|agent):[^\s/\\:]{1,100}")


class Kind(StrEnum):
    """What a note is."""

    FACT = "fact"
    PREFERENCE = "preference"
    PROCEDURE = "procedure"
    PITFALL = "pitfall"
    POINTER = "pointer"


class Author(StrEnum):
    """Who said what an anchor quotes."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL_LOCAL = "tool_local"
    TOOL_EXTERNAL = "tool_external"
    AGENT = "agent"
    TEST = "test"


class Taint(StrEnum):
    """How far the author of a quote is to be trusted."""

    CLEAN = "clean"
    DERIVED = "derived"
    UNTRUSTED = "untrusted"


class Status(StrEnum):
    ACTIVE = "active"
    TOMBSTONE = "tombstone"


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An anchor: a place in a transcript, and what stands there.

    With `session_id` empty, `seq` is the number of an event in the journal of the run; else `session_id` is an agent's
    id and `seq` the place of a message among all those of its transcript, in the order of writing, from 0.
    """

    id: str
    """``e-…``: see `evidence`."""
    run_id: str
    session_id: str = ""
    seq: int
    span: tuple[int, int]
    """Where the quote begins and ends, in characters of that text."""
    quote: str
    sha256: str
    """Of the whole text that the span lies in, as UTF-8."""
    author: Author
    taint: Taint = Taint.CLEAN
    outcome: Outcomes = "unknown"
    """How the session went."""
    at: float = 0.0

    @property
    def session(self) -> str:
        """What counts as one independent witness."""
        return self.run_id


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How code can see, without changing anything, whether a note still holds."""

    kind: Literal["path_exists", "command", "grep", "version"]
    arg: str


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One note. It has the same id through all its revisions."""

    id: str
    """``m-`` and twelve hexadecimal digits: see `new_id`."""
    kind: Kind
    scope: str
    """``user``, ``project``, ``team``, ``workflow:NAME`` or ``agent:NAME``."""
    key: str
    """``subject::aspect``: what it is about."""
    text: str
    trigger: str = ""
    """When it applies."""
    polarity: Polarity = "neutral"
    evidence: list[Evidence] = []
    support_sessions: int = 0
    """Independent sessions that support it."""
    counter_evidence: list[Evidence] = []
    confidence: Confidence = "medium"
    valid_from: float = 0.0
    valid_to: float | None = None
    recorded_at: float = 0.0
    review_after: float | None = None
    check: Check | None = None
    supersedes: str | None = None
    """The note that it took the place of."""
    links: list[str] = []
    status: Status = Status.ACTIVE
    replaced_by: str | None = None
    """Of a tombstone: the note that took its place."""
    reason: str = ""
    """Of a tombstone: why it is one."""
    pinned: bool = False
    """It is loaded whatever the task is about."""

    @property
    def active(self) -> bool:
        return self.status is Status.ACTIVE

    def holds(self, at: float) -> bool:
        """Whether it is in force, and meant for that time."""
        return self.active and (self.valid_to is None or at < self.valid_to)

    @property
    def user_stated(self) -> bool:
        """A person said it: only with a person's consent does it go."""
        return any(anchor.author is Author.USER for anchor in self.evidence)


_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The one encoding of a value: sorted members, no spaces, defaults left out."""
    return _encoder.encode(value)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def evidence(
    source: str,
    span: tuple[int, int],
    *,
    run_id: str,
    seq: int,
    author: Author,
    session_id: str = "",
    taint: Taint = Taint.CLEAN,
    outcome: Outcomes = "unknown",
    at: float = 0.0,
) -> Evidence:
    """The anchor of `source[span]`, where `source` is the whole text of that message or event."""
    whole = digest(source.encode("utf-8", "replace"))
    name = digest(canonical([run_id, session_id, seq, span, whole]))[:12]
    return Evidence(
        id=f"e-{name}", run_id=run_id, session_id=session_id, seq=seq, span=span, quote=source[span[0] : span[1]],
        sha256=whole, author=author, taint=taint, outcome=outcome, at=at,
    )  # fmt: skip


def quotes(anchor: Evidence, source: str) -> bool:
    """Whether the anchor's text is what stands at its place, in the text that was meant."""
    start, end = anchor.span
    return (
        0 <= start < end <= len(source)
        and source[start:end] == anchor.quote
        and digest(source.encode("utf-8", "replace")) == anchor.sha256
    )


def new_id(scope: str, key: str, text: str, anchors: list[Evidence]) -> str:
    """The id of a new note. The same note from the same evidence has the same id, in every repetition of a dream."""
    return f"m-{digest(canonical([scope, key, text, sorted(anchor.id for anchor in anchors)]))[:12]}"


def is_entry_id(text: str) -> bool:
    return _ENTRY_ID.fullmatch(text) is not None


def check_entry(entry: Entry) -> None:
    """Raises MemoryRefusedError where a note breaks a rule of its own: ids, lengths, scope, signs, evidence."""
    for wrong in _faults(entry):
        raise MemoryRefusedError(f"The note {entry.id!r} cannot be kept: {wrong}.")


def _faults(entry: Entry) -> list[str]:
    check = entry.check.arg if entry.check is not None else ""
    faults = [
        (not is_entry_id(entry.id), "its id is not m- and twelve hexadecimal digits"),
        (not is_scope(entry.scope), f"there is no scope {entry.scope[:60]!r}"),
        (not 0 < len(entry.text) <= MAX_TEXT, f"its text has {len(entry.text):,} characters; 1 to {MAX_TEXT} fit"),
        (len(entry.trigger) > MAX_TRIGGER, f"its trigger is longer than {MAX_TRIGGER} characters"),
        (not _is_key(entry.key), f"its key is not subject::aspect of at most {MAX_KEY} characters"),
        (not entry.evidence, "it has no evidence"),
        (len(entry.evidence) + len(entry.counter_evidence) > MAX_EVIDENCE, f"it has more than {MAX_EVIDENCE} anchors"),
        (len(entry.links) > MAX_LINKS, f"it has more than {MAX_LINKS} links"),
        (not all(map(is_entry_id, [*entry.links, *_named(entry)])), "it names a note by something that is no id"),
        (len(check) > MAX_CHECK, f"its check is longer than {MAX_CHECK} characters"),
        (
            any(map(_acts, (entry.text, entry.trigger, entry.key, entry.reason, check))),
            "it has control or invisible signs",
        ),
    ]
    wrong = [sentence for holds, sentence in faults if holds]
    anchors = [*entry.evidence, *entry.counter_evidence]
    return wrong + [f"its anchor {anchor.id[:40]!r} {fault}" for anchor in anchors for fault in _anchor_faults(anchor)]


def _anchor_faults(anchor: Evidence) -> list[str]:
    start, end = anchor.span
    if not 0 < len(anchor.quote) <= MAX_QUOTE:
        return [f"quotes {len(anchor.quote):,} characters; 1 to {MAX_QUOTE} fit"]
    if end - start != len(anchor.quote) or start < 0:
        return ["has a span that is not as long as its quote"]
    if max(len(anchor.run_id), len(anchor.session_id)) > MAX_NAME or _acts(anchor.run_id + anchor.session_id):
        return ["names its run or session by something that is no name"]
    return []


def _named(entry: Entry) -> list[str]:
    return [name for name in (entry.supersedes, entry.replaced_by) if name is not None]


def is_scope(scope: str) -> bool:
    return scope in ("user", "project", "team") or _NAMED_SCOPE.fullmatch(scope) is not None


def _is_key(key: str) -> bool:
    subject, separator, aspect = key.partition("::")
    return bool(subject.strip() and separator and aspect.strip()) and len(key) <= MAX_KEY


def _acts(text: str) -> bool:
    """Whether a text could act on a terminal, hide something, or break out of its line."""
    return any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in text)
