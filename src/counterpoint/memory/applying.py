"""Proposals applied to the notes of a version, with a limit to what may be lost, and a balance of what became of each.

What breaks a rule is refused with the reason, and the others are applied: the result says which were which. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from counterpoint.errors import MemoryRefusedError
from counterpoint.memory.changes import Counts, Op, Proposal
from counterpoint.memory.entries import MAX_EVIDENCE, MAX_LINKS, Author, Entry, Evidence, Status, check_entry
from counterpoint.memory.likeness import contradiction, same_words

MAX_ACTIVE = 2000
"""Active notes of one store."""

Allowance = Literal["automatic", "reviewed", "forced"]
SHARES: dict[Allowance, float] = {"automatic": 0.10, "reviewed": 0.25, "forced": 1.0}
"""Which part of the active notes may go in one application. Of fewer than ten, one may."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal that was not applied, and why."""

    proposal: Proposal
    reason: str


@dataclass(slots=True)
class Applied:
    """The notes afterwards."""

    entries: dict[str, Entry]
    counts: Counts
    applied: list[Proposal] = field(default_factory=list[Proposal])
    refused: list[Refused] = field(default_factory=list[Refused])

    @property
    def changed(self) -> bool:
        return bool(self.applied)


def apply(
    entries: Mapping[str, Entry],
    proposals: Iterable[Proposal],
    *,
    at: float,
    allowance: Allowance = "automatic",
    max_active: int = MAX_ACTIVE,
) -> Applied:
    """Applies proposals in their order to a copy of `entries`."""
    work = _Application(entries, at, allowance, max_active)
    applied: list[Proposal] = []
    refused: list[Refused] = []
    for proposal in proposals:
        try:
            work.take(proposal)
            applied.append(proposal)
        except MemoryRefusedError as error:
            refused.append(Refused(proposal, error.message))
    return Applied(work.entries, work.balance(), applied, refused)


def allowed_loss(active: int, allowance: Allowance) -> int:
    """How many of so many active notes may go at once."""
    return max(1, int(active * SHARES[allowance]))


def by_a_person(proposal: Proposal) -> bool:
    """Whether somebody has looked at this very proposal and said yes."""
    return any(verdict.by.startswith("human:") and verdict.result == "pass" for verdict in proposal.verdicts)


class _Application:
    def __init__(self, entries: Mapping[str, Entry], at: float, allowance: Allowance, max_active: int) -> None:
        self.entries = dict(entries)
        self._before = dict(entries)
        self._at = at
        self._allowance: Allowance = allowance
        self._active = sum(entry.active for entry in entries.values())
        self._loss_left = allowed_loss(self._active, allowance)
        self._room = max_active - self._active
        self._fate: dict[str, str] = {}
        """What became of notes that were there: revised, superseded, merged, retired, linked."""
        self._new: Counter[str] = Counter()

    def take(self, proposal: Proposal) -> None:
        """Applies one proposal, whole or not at all. Raises MemoryRefusedError."""
        ways: dict[Op, Callable[[Proposal], None]] = {
            Op.ADD: self._add, Op.REVISE: self._revise, Op.SUPERSEDE: self._replace, Op.MERGE: self._merge,
            Op.RETIRE: self._retire, Op.LINK: self._link,
        }  # fmt: skip
        ways[proposal.op](proposal)

    def balance(self) -> Counts:
        """What became of each note. Raises MemoryRefusedError where the sums do not close: a fault of ours."""
        fates = Counter(self._fate.values())
        active = sum(entry.active for entry in self.entries.values())
        counts = Counts(
            active=active, kept=self._active - sum(fates.values()), added=self._new["added"],
            revived=self._new["revived"], revised=fates["revised"] + fates["linked"], superseded=fates["superseded"],
            merged=fates["merged"], retired=fates["retired"],
        )  # fmt: skip
        unchanged = sum(entry.active and self.entries.get(name) == entry for name, entry in self._before.items())
        missing = self._before.keys() - self.entries.keys()
        if (
            missing
            or unchanged != counts.kept
            or active != counts.kept + counts.revised + counts.added + counts.revived
        ):
            raise MemoryRefusedError(f"The balance of this change does not close: {counts}, missing {sorted(missing)}.")
        return counts

    # --- the six operations ------------------------------------------------------------------------------------------

    def _add(self, proposal: Proposal) -> None:
        new = self._new_entry(proposal)
        there = self.entries.get(new.id)
        if there is not None and there.active:
            raise MemoryRefusedError(f"The note {new.id} is there already.")
        if new.id in self._fate:
            raise MemoryRefusedError(f"Another change of the same application has touched {new.id}.")
        for entry in self.entries.values():
            if entry.active and (entry.scope, entry.key) == (new.scope, new.key) and same_words(entry.text, new.text):
                raise MemoryRefusedError(f"The note {entry.id} says the same already.")
        self._make_room(1)
        self._new["revived" if there is not None else "added"] += 1
        self.entries[new.id] = _supported(new, there.evidence if there else [])

    def _revise(self, proposal: Proposal) -> None:
        (old,) = self._targets(proposal, 1, 1)
        new = self._new_entry(proposal)
        if new.id != old.id:
            raise MemoryRefusedError(f"A revision of {old.id} has the same id, not {new.id}.")
        if new.scope != old.scope and not by_a_person(proposal):
            raise MemoryRefusedError(f"Only a person may take {old.id} from scope {old.scope} to {new.scope}.")
        self._must_have_evidence(proposal)
        self._keep_what_people_said(proposal, [old])
        revised = _supported(new, old.evidence)
        if revised == old:
            raise MemoryRefusedError(f"The note {old.id} says that already.")
        self.entries[old.id] = revised
        self._fate[old.id] = "revised"

    def _replace(self, proposal: Proposal) -> None:
        (old,) = self._targets(proposal, 1, 1)
        new = self._new_entry(proposal)
        self._take_the_place_of([old], new, proposal, "superseded")

    def _merge(self, proposal: Proposal) -> None:
        old = self._targets(proposal, 2, 20)
        new = self._new_entry(proposal)
        for one in old:
            for other in (*old, new):
                why = contradiction(one.text, other.text)
                if why or one.scope != other.scope or {one.polarity, other.polarity} == {"positive", "negative"}:
                    raise MemoryRefusedError(
                        f"{one.id} and {other.id} are not the same: {why or 'their scope or polarity differs'}."
                    )
        anchors = [anchor for each in old for anchor in each.evidence]
        self._take_the_place_of(old, _supported(new, anchors), proposal, "merged")

    def _retire(self, proposal: Proposal) -> None:
        old = self._targets(proposal, 1, 1)
        self._must_be_later(proposal, old)
        self._keep_what_people_said(proposal, old)
        self._lose(1)
        self._bury(old[0], "retired", proposal, None)

    def _link(self, proposal: Proposal) -> None:
        first, *others = self._targets(proposal, 2, MAX_LINKS, touched=True)
        links = list(dict.fromkeys([*first.links, *(other.id for other in others)]))
        if links == first.links:
            raise MemoryRefusedError(f"The note {first.id} has these links already.")
        linked = msgspec.structs.replace(first, links=links)
        check_entry(linked)
        self.entries[first.id] = linked
        if self._before.get(first.id, linked).active and first.id in self._before:
            self._fate.setdefault(first.id, "linked")

    # --- what they have in common ------------------------------------------------------------------------------------

    def _take_the_place_of(self, old: list[Entry], new: Entry, proposal: Proposal, fate: str) -> None:
        if new.id in self.entries:
            raise MemoryRefusedError(f"The note {new.id} is there already; another cannot take its name.")
        if any(entry.scope != new.scope for entry in old) and not by_a_person(proposal):
            raise MemoryRefusedError(f"Only a person may let a note of another scope take the place of {old[0].id}.")
        if fate == "superseded":
            self._must_be_later(proposal, old)
        self._keep_what_people_said(proposal, old)
        self._lose(len(old) - (fate == "merged"))
        self._room -= fate == "superseded"
        self._new["added"] += 1
        kept = msgspec.structs.replace(_supported(new, []), supersedes=old[0].id if fate == "superseded" else None)
        self.entries[new.id] = kept
        for entry in old:
            self._bury(entry, fate, proposal, new.id)

    def _bury(self, entry: Entry, fate: str, proposal: Proposal, heir: str | None) -> None:
        self._fate[entry.id] = fate
        self.entries[entry.id] = msgspec.structs.replace(
            entry, status=Status.TOMBSTONE, replaced_by=heir, reason=" ".join(proposal.why.split())[:300] or fate,
            valid_to=self._at,
        )  # fmt: skip

    def _new_entry(self, proposal: Proposal) -> Entry:
        if proposal.new is None or not proposal.new.active:
            raise MemoryRefusedError(f"{proposal.op} of {proposal.id} brings no note.")
        check_entry(proposal.new)
        return proposal.new

    def _targets(self, proposal: Proposal, least: int, most: int, *, touched: bool = False) -> list[Entry]:
        names = list(dict.fromkeys(proposal.target))
        if not least <= len(names) <= most:
            raise MemoryRefusedError(f"{proposal.op} takes {least} to {most} notes, and {len(names)} are named.")
        for name in names:
            entry = self.entries.get(name)
            if entry is None or not entry.active:
                raise MemoryRefusedError(f"There is no active note {name[:40]!r}.")
            was = self._before.get(name)
            if not touched and (name in self._fate or was is None or not was.active):
                raise MemoryRefusedError(f"Another change of the same application has touched {name}.")
        return [self.entries[name] for name in names]

    def _must_have_evidence(self, proposal: Proposal) -> None:
        if not proposal.evidence and not by_a_person(proposal):
            raise MemoryRefusedError(f"{proposal.op} of {', '.join(proposal.target)} has no evidence of its own.")

    def _must_be_later(self, proposal: Proposal, old: list[Entry]) -> None:
        """To take something away is as hard as to add it: evidence of its own, and later than what goes."""
        self._must_have_evidence(proposal)
        if by_a_person(proposal):
            return
        newest = max(anchor.at for entry in old for anchor in entry.evidence)
        if max(anchor.at for anchor in proposal.evidence) <= newest:
            raise MemoryRefusedError(f"What speaks against {old[0].id} is no later than what speaks for it.")

    def _keep_what_people_said(self, proposal: Proposal, old: list[Entry]) -> None:
        said = [entry.id for entry in old if entry.user_stated]
        people = any(anchor.author is Author.USER for anchor in proposal.evidence)
        if said and not people and not by_a_person(proposal):
            raise MemoryRefusedError(f"A person stated {', '.join(said)}: only a person may change it.")

    def _lose(self, number: int) -> None:
        if number > self._loss_left:
            limit = allowed_loss(self._active, self._allowance)
            raise MemoryRefusedError(
                f"At most {limit} of {self._active} notes may go in one application ({self._allowance}): the limit is "
                "reached."
            )
        self._loss_left -= number
        self._room += number

    def _make_room(self, number: int) -> None:
        if number > self._room:
            raise MemoryRefusedError("The memory is full; something has to be retired first.")
        self._room -= number


def _supported(entry: Entry, earlier: list[Evidence]) -> Entry:
    """The note with its earlier anchors as well, and as many witnesses as they are sessions.

    Where there are too many anchors, the oldest and the newest stay.
    """
    anchors = list({anchor.id: anchor for anchor in [*earlier, *entry.evidence]}.values())
    anchors.sort(key=lambda anchor: (anchor.at, anchor.id))
    sessions = len({anchor.session for anchor in anchors})
    most = MAX_EVIDENCE - len(entry.counter_evidence)
    if len(anchors) > most:
        anchors = [*anchors[: most // 2], *anchors[len(anchors) - (most - most // 2) :]]
    return msgspec.structs.replace(entry, evidence=anchors, support_sessions=max(sessions, entry.support_sessions))
