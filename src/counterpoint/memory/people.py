"""What people do to their notes: their words are kept, and are the evidence of the change. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from counterpoint.errors import MemoryConflictError, MemoryRefusedError
from counterpoint.memory.applying import apply
from counterpoint.memory.changes import Op, Proposal, Verdict, new_proposal_id
from counterpoint.memory.entries import MAX_QUOTE, Author, Entry, Evidence, Status, evidence
from counterpoint.memory.store import STATED, MemoryStore
from counterpoint.memory.versions import Move, Version

TRIES = 5
"""Times that a change is made anew because somebody else has published meanwhile."""

Make = Callable[[Mapping[str, Entry]], list[Proposal]]
"""The changes that a person wants, made of the notes in force."""


def say(store: MemoryStore, text: str, *, at: float) -> Evidence:
    """Keeps a person's words, and gives the anchor that leads to them."""
    store.state(text)
    return evidence(text, (0, min(len(text), MAX_QUOTE)), run_id=STATED, seq=0, author=Author.USER, at=at)


def wish(op: Op, target: list[str], new: Entry | None, *, by: str, why: str, said: Evidence, at: float) -> Proposal:
    """A change that a person has asked for."""
    verdict = Verdict(by=f"human:{by}", check="review", result="pass")
    return Proposal(
        id=new_proposal_id(op, target, new, [said]), op=op, target=target, new=new, why=why, evidence=[said],
        verdicts=[verdict], state="accepted", at=at,
    )  # fmt: skip


def change(store: MemoryStore, make: Make, *, by: str, note: str, at: float) -> Version | None:
    """Makes the changes and puts them in force; None: there was nothing to change.

    All of them or none. Raises MemoryRefusedError where one breaks a rule, MemoryConflictError where others never stop
    publishing.
    """
    for tries_left in reversed(range(TRIES)):
        head = store.head()
        entries = store.entries(head)
        proposals = make(entries)
        if not proposals:
            return None
        result = apply(entries, proposals, at=at, allowance="forced")
        if result.refused:
            raise MemoryRefusedError(result.refused[0].reason)
        version = store.keep(result.entries, parent=head, actor="user", at=at, note=note, counts=result.counts)
        try:
            store.publish(version.id, head, Move(after=version.id, actor=by, at=at, note=note))
        except MemoryConflictError:
            if not tries_left:
                raise
            continue
        return version
    raise AssertionError("the last try either returns or raises")


def retire(store: MemoryStore, names: list[str], *, by: str, at: float) -> Version | None:
    """Makes tombstones of notes: they are loaded no more, and can be revived."""
    said = say(store, f"Forget {', '.join(names)}.", at=at)

    def make(entries: Mapping[str, Entry]) -> list[Proposal]:
        there = [name for name in names if name in entries and entries[name].active]
        return [wish(Op.RETIRE, [name], None, by=by, why=f"{by} said so.", said=said, at=at) for name in there]

    return change(store, make, by=by, note=f"forgot {len(names)}", at=at)


def revive(store: MemoryStore, name: str, *, by: str, at: float) -> Version | None:
    """Makes an active note of a tombstone again. Raises MemoryRefusedError where there is none, or it was erased."""
    said = say(store, f"Revive {name}.", at=at)

    def make(entries: Mapping[str, Entry]) -> list[Proposal]:
        old = entries.get(name)
        if old is None or old.active or not old.evidence:
            raise MemoryRefusedError(f"There is no tombstone {name[:40]!r} that could be revived.")
        new = msgspec.structs.replace(
            old, status=Status.ACTIVE, reason="", replaced_by=None, valid_to=None, evidence=[*old.evidence, said]
        )
        return [wish(Op.ADD, [], new, by=by, why=f"{by} said so.", said=said, at=at)]

    return change(store, make, by=by, note=f"revived {name}", at=at)
