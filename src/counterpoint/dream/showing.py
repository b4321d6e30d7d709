"""A proposal in words: for skeptics, who see the quotes with what is around them, and for reports. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from counterpoint.dream.excerpts import Chunk
from counterpoint.dream.verify import Ground, Vote
from counterpoint.memory.changes import Op, Proposal
from counterpoint.memory.entries import Entry, Evidence
from counterpoint.memory.likeness import Ranking, words

CONTEXT = 400
"""Characters around a quote that a skeptic sees, on each side."""
NOTES = 15
"""Notes in force that a reader sees."""
SHOWN = 6
"""Quotes that a skeptic sees."""
_DOES = {
    Op.ADD: "Add a note", Op.REVISE: "Change a note", Op.SUPERSEDE: "Put a note in the place of another",
    Op.MERGE: "Make one note of several", Op.RETIRE: "Retire a note", Op.LINK: "Link notes",
}  # fmt: skip


def shown_to_readers(chunks: Sequence[Chunk], entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """What each reader gets: its chunk, and those notes in force that have most in common with it."""
    active = {name: entry for name, entry in entries.items() if entry.active}
    ranking = Ranking({name: words(f"{entry.key} {entry.text}") for name, entry in active.items()})
    rows: list[dict[str, Any]] = []
    for chunk in chunks:
        scores = ranking.scores(chunk.text)
        nearest = sorted(scores, key=lambda name: (-scores[name], name))[:NOTES]
        notes = [{"id": name, "text": active[name].text} for name in nearest]
        rows.append({"id": chunk.id, "text": chunk.text, "notes": notes})
    return rows


def claim(proposal: Proposal, ground: Ground) -> dict[str, Any]:
    """What the skeptics of a proposal are shown; without secrets."""
    clean = ground.cleaner.redacted
    new = proposal.new
    lines = [f"{_DOES[proposal.op]}."]
    if new is not None:
        lines += [f"Kind: {new.kind}. About: {new.key}. Text: {new.text}"]
        lines += [f"When: {new.trigger}"] if new.trigger else []
    lines += [f"Why: {proposal.why}", f"It would be disproved by: {proposal.would_disprove}"]
    old = [ground.entries[name] for name in proposal.target if name in ground.entries]
    against = [f"{entry.id}: {entry.text}\n" + _quotes(entry.evidence[-2:], ground) for entry in old]
    if new is not None and new.counter_evidence and not old:
        against.append(_quotes(new.counter_evidence, ground))
    return {
        "id": proposal.id, "text": clean("\n".join(lines)),
        "evidence": clean(_quotes(proposal.evidence[:SHOWN], ground)), "against": clean("\n".join(against)),
    }  # fmt: skip


def _quotes(anchors: list[Evidence], ground: Ground) -> str:
    return "\n\n".join(_quote(anchor, ground) for anchor in anchors)


def _quote(anchor: Evidence, ground: Ground) -> str:
    session = ground.sessions.get(anchor.run_id)
    said = session.find(anchor.session_id, anchor.seq) if session is not None else None
    head = f"{anchor.author.value} ({anchor.taint.value}), in a run that ended as {anchor.outcome}: “{anchor.quote}”"
    if said is None:
        return head
    start, end = anchor.span
    around = ground.cleaner.shown(said.text[max(0, start - CONTEXT) : end + CONTEXT], echoes=True)
    return f"{head}\nAround it: {around}"


def vote(said: Any, model: str) -> Vote | None:
    """What a skeptic said; None: nothing that counts."""
    try:
        given = msgspec.convert(said, Vote | None)
    except msgspec.ValidationError:
        return None
    return given if given is None or given.model else msgspec.structs.replace(given, model=model)


def patch(proposal: Proposal, name: str, text: str) -> str:
    """A unified diff that adds the note to a file of instructions, for a person to apply: a dream never edits one.

    Empty where the proposal brings no text.
    """
    if proposal.new is None:
        return ""
    old = text.splitlines(keepends=True)
    if old and not old[-1].endswith("\n"):
        old[-1] += "\n"
    new = [*old, f"- {' '.join(proposal.new.text.split())}\n"]
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def words_of(proposal: Proposal) -> str:
    """A proposal in one line."""
    return proposal.new.text if proposal.new is not None else f"{proposal.op} {', '.join(proposal.target)}"
