"""What may happen to notes: six typed operations, proposed with evidence, judged, and counted when they are applied."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from counterpoint.memory.entries import Entry, Evidence, canonical, digest


class Op(StrEnum):
    """What a proposal does."""

    ADD = "ADD"
    REVISE = "REVISE"
    """The note says it otherwise; its id stays."""
    SUPERSEDE = "SUPERSEDE"
    """A new note takes the place of one that no longer holds."""
    MERGE = "MERGE"
    """One new note takes the place of several that say the same."""
    RETIRE = "RETIRE"
    LINK = "LINK"
    """The first target names the others."""


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer to the question whether a proposal may pass."""

    by: str
    """``rule``, ``model:ID`` or ``human:WHO``."""
    check: str
    """``V0`` to ``V6``, or ``review``."""
    result: Literal["pass", "fail", "unsure"]
    reason: str = ""
    quote: str | None = None


ProposalState = Literal["open", "accepted", "rejected", "auto", "expired", "unverified"]
"""`unverified`: too few votes were cast; it is not accepted, and not refuted either."""


class Proposal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change that somebody proposes."""

    id: str
    """``p-…``: see `new_proposal_id`."""
    op: Op
    target: list[str] = []
    """Ids of the notes that it changes."""
    new: Entry | None = None
    why: str = ""
    would_disprove: str = ""
    """What would show that it is wrong."""
    risk: Literal[0, 1, 2, 3] = 2
    evidence: list[Evidence] = []
    verdicts: list[Verdict] = []
    state: ProposalState = "open"
    dream_id: str = ""
    at: float = 0.0


def new_proposal_id(op: Op, target: list[str], new: Entry | None, anchors: list[Evidence]) -> str:
    """The same proposal has the same id in every repetition of a dream."""
    return f"p-{digest(canonical([op, target, new, sorted(anchor.id for anchor in anchors)]))[:12]}"


class Counts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version changed of its parent. `superseded`, `merged` and `retired` count the notes that went."""

    active: int = 0
    """Active notes in it."""
    added: int = 0
    revised: int = 0
    superseded: int = 0
    merged: int = 0
    retired: int = 0
    revived: int = 0
    kept: int = 0
    """Active before and after, and not changed."""
