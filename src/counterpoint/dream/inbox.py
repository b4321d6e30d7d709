"""S9: what waits for a person, and what a person's word does. All of it blocks.

By default, tiers 0 and 1 are applied by themselves once the canary has not been negative; 2 and 3 wait. What waits
expires after thirty days, and that is written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct, field

from counterpoint.dream.cluster import facets, relation
from counterpoint.dream.record import Dreams, Settled
from counterpoint.dream.select import DAY_S
from counterpoint.errors import MemoryRefusedError, UnknownMemoryError
from counterpoint.memory.applying import Allowance, Applied, apply
from counterpoint.memory.changes import Proposal, Verdict
from counterpoint.memory.entries import Entry
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move, Version

EXPIRY_S = 30 * DAY_S
WAITING = ("open", "unverified")


class Policy(Struct, frozen=True, kw_only=True):
    """What a dream may put in force by itself."""

    auto: list[int] = field(default_factory=lambda: [0, 1])
    """Risk tiers."""
    unproven: bool = False
    """Also where there are too few tasks to show that it helps."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was made of proposals by a person's word."""

    version: Version | None
    """None: nothing was changed."""
    applied: list[Proposal]
    refused: list[tuple[Proposal, str]]


def waiting(memory: MemoryStore) -> list[Proposal]:
    """What a person should look at, the riskiest last."""
    found = [proposal for proposal in memory.proposals() if proposal.state in WAITING]
    return sorted(found, key=lambda proposal: (proposal.risk, proposal.at, proposal.id))


def find(memory: MemoryStore, text: str) -> Proposal:
    """The proposal that waits under this id, or a unique prefix of it. Raises UnknownMemoryError."""
    named = [p for p in waiting(memory) if p.id.startswith((text, f"p-{text}"))]
    if len(named) != 1:
        raise UnknownMemoryError(
            f"{len(named) or 'No'} proposals that wait have an id that begins with {text[:40]!r}.",
            hint="See them with: counterpoint dream review",
        )
    return named[0]


def expire(memory: MemoryStore, dreams: Dreams, now: float) -> list[Proposal]:
    """Takes out what has waited for too long, and writes that down."""
    old = [proposal for proposal in waiting(memory) if proposal.at + EXPIRY_S < now]
    for proposal in old:
        dreams.settle(_settled(proposal, "expired", "rule", now, "nobody has decided in thirty days"))
        memory.drop_proposal(proposal.id)
    return old


def unwanted(dreams: Dreams) -> list[Settled]:
    """What people have said should never be suggested again."""
    return [settled for settled in dreams.settled() if settled.never]


def is_unwanted(proposal: Proposal, never: Iterable[Settled]) -> bool:
    """Whether a person has said no to this, or to something that says the same, for good."""
    new = proposal.new
    for settled in never:
        if settled.proposal == proposal.id:
            return True
        if new is None or not settled.text:
            continue
        mine = facets(new)
        if relation(mine, mine._replace(key=settled.key, text=settled.text))[0] == "same":
            return True
    return False


def reject(
    memory: MemoryStore, dreams: Dreams, proposal: Proposal, *, by: str, now: float, reason: str = "", never: bool
) -> None:
    """A person says no."""
    dreams.settle(_settled(proposal, "rejected", f"human:{by}", now, reason, never=never))
    memory.drop_proposal(proposal.id)


def accept(
    memory: MemoryStore,
    dreams: Dreams,
    proposals: Sequence[Proposal],
    *,
    by: str,
    now: float,
    forced: bool = False,
) -> Decision:
    """A person says yes: what the limits let through is put in force. Raises MemoryConflictError."""
    agreed = [_agreed(proposal, by) for proposal in proposals]
    head = memory.head()
    done = apply(memory.entries(head), agreed, at=now, allowance="forced" if forced else "reviewed")
    version = publish(memory, done, head, actor=by, now=now, note=_note(done), dream_id=_dream(agreed))
    for proposal in done.applied:
        dreams.settle(_settled(proposal, "accepted", f"human:{by}", now))
        memory.drop_proposal(proposal.id)
    return Decision(version, done.applied, [(refused.proposal, refused.reason) for refused in done.refused])


def edited(proposal: Proposal, text: str, by: str) -> Proposal:
    """The proposal with the words of a person in place of its own. Raises MemoryRefusedError."""
    if proposal.new is None:
        raise MemoryRefusedError(f"{proposal.id} brings no text that could be edited.")
    new = msgspec.structs.replace(proposal.new, text=" ".join(text.split()))
    return msgspec.structs.replace(proposal, new=new, why=f"{proposal.why}; worded by {by}")


def publish(
    memory: MemoryStore, done: Applied, head: str | None, *, actor: str, now: float, note: str, dream_id: str = ""
) -> Version | None:
    """S10: keeps what was made, and puts it in force by compare-and-swap. None: it is what is in force already."""
    if not done.changed:
        return None
    version = memory.keep(
        done.entries, parent=head, actor=actor, at=now, dream_id=dream_id, note=note, counts=done.counts
    )
    if version.id == head:
        return None
    memory.publish(version.id, head, Move(after=version.id, actor=actor, at=now, dream_id=dream_id, note=note))
    return version


def candidate(
    entries: dict[str, Entry], proposals: Sequence[Proposal], at: float, allowance: Allowance = "automatic"
) -> Applied:
    """S7: what the proposals make of a copy of the notes, within the loss budget."""
    return apply(entries, proposals, at=at, allowance=allowance)


def _agreed(proposal: Proposal, by: str) -> Proposal:
    yes = Verdict(by=f"human:{by}", check="review", result="pass")
    return msgspec.structs.replace(proposal, verdicts=[*proposal.verdicts, yes], state="accepted")


def _settled(proposal: Proposal, state: str, by: str, now: float, reason: str = "", *, never: bool = False) -> Settled:
    new = proposal.new
    return Settled(
        proposal=proposal.id, state=state, by=by, at=now, reason=reason, never=never,
        text=new.text if new is not None else "", key=new.key if new is not None else "",
    )  # fmt: skip


def _note(done: Applied) -> str:
    return f"{len(done.applied)} proposals accepted"


def _dream(proposals: Sequence[Proposal]) -> str:
    return proposals[0].dream_id if proposals else ""
