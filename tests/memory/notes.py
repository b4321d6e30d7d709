"""Notes and proposals for tests."""

from __future__ import annotations

from typing import Any

from counterpoint.memory.changes import Op, Proposal, Verdict, new_proposal_id
from counterpoint.memory.entries import Author, Entry, Evidence, Kind, evidence, new_id

SAID = "We use pnpm here, never npm."
YES = Verdict(by="human:ada", check="review", result="pass")


def anchor(run: str = "wf_1", at: float = 5.0, author: Author = Author.ASSISTANT) -> Evidence:
    return evidence(SAID, (0, 16), run_id=run, session_id="a1", seq=0, author=author, at=at)


def note(text: str = "Use pnpm, not npm.", key: str = "package manager::choice", scope: str = "project",
         author: Author = Author.ASSISTANT, run: str = "wf_1", **more: Any) -> Entry:  # fmt: skip
    proof = anchor(run, author=author)
    return Entry(
        id=new_id(scope, key, text, [proof]), kind=Kind.PREFERENCE, scope=scope, key=key, text=text, evidence=[proof],
        support_sessions=1, recorded_at=10.0, **more,
    )  # fmt: skip


def propose(op: Op, target: list[Entry], new: Entry | None = None, *, at: float = 50.0, person: bool = False,
            evidence: list[Evidence] | None = None) -> Proposal:  # fmt: skip
    """A proposal with evidence that is later than what it replaces."""
    proofs = [anchor("wf_2", at)] if evidence is None else evidence
    names = [entry.id for entry in target]
    return Proposal(
        id=new_proposal_id(op, names, new, proofs), op=op, target=names, new=new, why="It changed.", evidence=proofs,
        verdicts=[YES] if person else [], at=at,
    )  # fmt: skip


def by_id(*notes: Entry) -> dict[str, Entry]:
    return {each.id: each for each in notes}
