"""What notes are worth, learnt from the runs that had them, and which to propose for retirement when it is full. Pure.

The utility of a note is a Beta posterior of "the run went well, given that the note was in play". A note that was cited
counts whole; one that was only loaded counts a quarter, for it may have had no part in what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from counterpoint.memory.applying import MAX_ACTIVE
from counterpoint.memory.changes import Op, Proposal, new_proposal_id
from counterpoint.memory.entries import Entry
from counterpoint.memory.versions import Use

LOADED_ONLY = 0.25
ROOM = 0.05
"""Part of the cap that is kept free: nearer than that to it, notes are proposed for retirement."""
MOST_PROPOSALS = 30


@dataclass(frozen=True, slots=True)
class Utility:
    """Beta(good, bad), one of each from the start."""

    good: float = 1.0
    bad: float = 1.0
    loaded: int = 0
    """Runs that had the note."""
    cited: int = 0
    contradicted: int = 0

    @property
    def mean(self) -> float:
        return self.good / (self.good + self.bad)


UNKNOWN = Utility()


def utilities(uses: Iterable[Use]) -> dict[str, Utility]:
    """Of every note that was ever in play."""
    found: dict[str, Utility] = {}
    for use in uses:
        for name in dict.fromkeys([*use.loaded, *use.cited, *use.contradicted]):
            found[name] = _after(found.get(name, UNKNOWN), name, use)
    return found


def _after(known: Utility, name: str, use: Use) -> Utility:
    cited, contradicted = name in use.cited, name in use.contradicted
    weight = 0.0 if use.outcome == "unknown" else 1.0 if cited else LOADED_ONLY
    good = weight if use.outcome == "success" and not contradicted else 0.0
    bad = 1.0 if contradicted else weight if use.outcome == "failure" else 0.0
    return Utility(
        known.good + good, known.bad + bad, known.loaded + (name in use.loaded), known.cited + cited,
        known.contradicted + contradicted,
    )  # fmt: skip


def retirements(
    entries: Mapping[str, Entry], known: Mapping[str, Utility], *, at: float, cap: int = MAX_ACTIVE
) -> list[Proposal]:
    """Proposals to retire the least useful notes, where the store is nearly full; a person decides on each.

    What people said, and what is pinned, is never among them.
    """
    active = [entry for entry in entries.values() if entry.active]
    over = len(active) - int(cap * (1 - ROOM))
    may_go = [entry for entry in active if not entry.user_stated and not entry.pinned]
    may_go.sort(
        key=lambda entry: (known.get(entry.id, UNKNOWN).mean, entry.support_sessions, entry.recorded_at, entry.id)
    )
    return [
        _retirement(entry, known.get(entry.id, UNKNOWN), len(active), cap, at)
        for entry in may_go[: max(0, min(over, MOST_PROPOSALS))]
    ]


def _retirement(entry: Entry, utility: Utility, active: int, cap: int, at: float) -> Proposal:
    why = (
        f"{active:,} of at most {cap:,} notes are active, and this one has a utility of {utility.mean:.2f} "
        f"(loaded in {utility.loaded}, cited in {utility.cited}, contradicted in {utility.contradicted} runs)."
    )
    return Proposal(
        id=new_proposal_id(Op.RETIRE, [entry.id], None, []), op=Op.RETIRE, target=[entry.id], why=why, at=at, risk=2,
        would_disprove="A run in which it was cited and that went well.",
    )  # fmt: skip
