"""S11: what became of what is in force. Notes that runs contradict, whose time is up or whose check fails are proposed
for retirement, and a version after which runs go worse is taken back, with a notice. All of it blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from counterpoint.dream import inbox
from counterpoint.dream.record import Dreams
from counterpoint.dream.verify import stale
from counterpoint.errors import MemoryConflictError
from counterpoint.memory.changes import Op, Proposal, Verdict, new_proposal_id
from counterpoint.memory.entries import Entry
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.utility import retirements, utilities
from counterpoint.memory.versions import Move, Use

WINDOW = 6
"""Runs after a version came into force, by which it is judged, and as many before it."""
CONTRADICTIONS = 2
MOST = 30
"""Proposals of one look: a person must be able to read them all. The others come with the next."""


@dataclass(slots=True)
class Looked:
    """What the watch has seen and done."""

    flagged: list[str] = field(default_factory=list[str])
    """Notes whose check no longer holds."""
    proposed: list[str] = field(default_factory=list[str])
    notice: str = ""


def look_after(memory: MemoryStore, dreams: Dreams, folder: Path, now: float) -> Looked:
    """Expires what has waited too long, takes back what does harm, and proposes what should be looked at."""
    inbox.expire(memory, dreams, now)
    looked = Looked(notice=guard(memory, now))
    head = memory.head()
    entries = memory.entries(head)
    uses = memory.uses()
    gone = stale(entries.values(), folder)
    looked.flagged = [entry.id for entry in gone]
    known = {p.id for p in memory.proposals()} | {settled.proposal for settled in dreams.settled()}
    for proposal in [*_doubts(entries, gone, uses, now), *retirements(entries, utilities(uses), at=now)]:
        if proposal.id not in known and len(looked.proposed) < MOST:
            known.add(proposal.id)
            memory.put_proposal(proposal)
            looked.proposed.append(proposal.id)
    return looked


def _doubts(entries: Mapping[str, Entry], gone: Sequence[Entry], uses: Sequence[Use], now: float) -> list[Proposal]:
    """Proposals to retire what its check, runs, or time speak against; a person decides."""
    worth = utilities(uses)
    found: dict[str, str] = {}
    for entry in entries.values():
        if not entry.active:
            continue
        times = worth[entry.id].contradicted if entry.id in worth else 0
        if times >= CONTRADICTIONS:
            found[entry.id] = f"{times} runs say that it is wrong"
        elif entry.review_after is not None and entry.review_after < now:
            found[entry.id] = "the time has come to look at it again"
    for entry in gone:
        check = entry.check
        found[entry.id] = f"its check no longer holds: {check.kind} {check.arg}" if check is not None else "it is stale"
    return [_retirement(entries[name], why, now) for name, why in sorted(found.items())]


def _retirement(entry: Entry, why: str, now: float) -> Proposal:
    """A question to a person; nothing applies it by itself. What speaks for the note is shown beside it."""
    anchors = entry.evidence[-2:]
    flag = Verdict(by="rule", check="V2", result="unsure", reason=why)
    return Proposal(
        id=new_proposal_id(Op.RETIRE, [entry.id, why], None, anchors), op=Op.RETIRE, target=[entry.id], why=why,
        would_disprove="A look at the project, or a run in which it held.", risk=3, evidence=list(anchors),
        verdicts=[flag], at=now,
    )  # fmt: skip


def guard(memory: MemoryStore, now: float) -> str:
    """Takes the version in force back if runs have gone worse since a dream put it there; gives the notice."""
    moves = memory.moves()
    last = moves[-1] if moves else None
    if last is None or last.kind != "publish" or last.actor != "dream" or last.before is None:
        return ""
    verdict = worse(memory.uses(), last)
    if not verdict:
        return ""
    note = f"taken back by the watch: {verdict}"
    try:
        memory.publish(
            last.before, last.after, Move(after=last.before, kind="rollback", actor="watch", at=now, note=note)
        )
    except MemoryConflictError:
        return ""
    return f"The version {last.after[:12]} of dream {last.dream_id} was {note}."


def worse(uses: Iterable[Use], move: Move) -> str:
    """Why runs with a version went worse than those before it; empty: they did not, or there are too few.

    As many runs on each side; a notable drop only: at least half a window fewer went well.
    """
    judged = [use for use in uses if use.outcome != "unknown"]
    judged.sort(key=lambda use: (use.at, use.run_id))
    after = [use for use in judged if use.version == move.after][:WINDOW]
    before = [use for use in judged if use.version == move.before][-WINDOW:]
    if len(after) < WINDOW // 2 or len(before) < WINDOW // 2:
        return ""
    good_after = sum(use.outcome == "success" for use in after) / len(after)
    good_before = sum(use.outcome == "success" for use in before) / len(before)
    if good_before - good_after < 0.5:
        return ""
    return f"of {len(after)} runs with it {good_after:.0%} went well, of {len(before)} before it {good_before:.0%}"
