"""What a dream knows when its agents have answered, and the report that is made of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from counterpoint.dream.canary import Trial
from counterpoint.dream.cluster import Conflict
from counterpoint.dream.items import Blocked
from counterpoint.dream.record import BlockedRow, ConflictRow, Plan, Report, Status
from counterpoint.events import Usage
from counterpoint.memory.applying import Applied
from counterpoint.memory.changes import Counts, Proposal


@dataclass(slots=True)
class Findings:
    """What was brought, and what became of it so far."""

    open: list[Proposal] = field(default_factory=list[Proposal])
    proposals: list[Proposal] = field(default_factory=list[Proposal])
    blocked: list[Blocked] = field(default_factory=list[Blocked])
    conflicts: list[Conflict] = field(default_factory=list[Conflict])
    items: int = 0
    kept_back: int = 0
    """Proposals above the most that one dream makes."""
    readers: tuple[int, int] = (0, 0)
    unread: set[str] = field(default_factory=set[str])
    """Runs whose readers did not all answer: they are read again."""


def report_of(
    findings: Findings,
    plan: Plan,
    status: Status,
    message: str,
    *,
    active: int,
    usage: Usage,
    runs: Mapping[str, str],
    clean: Callable[[str], str],
) -> Report:
    """What is known of the dream so far; `active` notes were in force, and are. `clean` takes secrets out of texts."""
    return Report(
        id=plan.id, at=plan.at, status=status, message=message, parent=plan.parent, version=plan.parent,
        sessions=sorted(plan.marks), left_out=plan.left_out, readers=list(findings.readers), hits=plan.hits,
        items=findings.items, kept_back=findings.kept_back, runs=dict(runs),
        blocked=[BlockedRow(b.check, clean(b.text), clean(b.reason)) for b in findings.blocked],
        conflicts=[
            ConflictRow(clean(c.one), clean(c.other), c.why, [clean(quote) for quote in c.quotes], clean(c.settled))
            for c in findings.conflicts
        ],
        usage={"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "requests": usage.requests,
               "usd": usage.usd},
        counts=Counts(active=active, kept=active),
    )  # fmt: skip


def summary(status: Status, trial: Trial, done: Applied, others: Sequence[Proposal], findings: Findings) -> str:
    """How it ended, in a sentence."""
    answered, asked = findings.readers
    if status == "rejected":
        return "Runs go worse with what was proposed, so nothing was put in force."
    if status == "failed":
        return "No reader answered, so nothing is known of what the runs teach: the next dream reads them again."
    parts = [f"{len(done.applied)} changes are in force"] if done.applied else []
    parts += [f"{len(others)} wait for a person"] if others else []
    lost = [refused for refused in done.refused if "may go in one application" in refused.reason]
    parts += [f"{len(lost)} more would have taken away too much at once"] if lost else []
    if others and trial.verdict == "unproven":
        parts.append("too few tasks show whether they help (unproven)")
    if findings.kept_back:
        parts.append(f"{findings.kept_back} more are above the most that one dream proposes")
    parts += [f"{len(findings.blocked)} claims were not taken"] if findings.blocked else []
    parts = parts or ["The runs taught nothing that is not known"]
    parts += [f"{asked - answered} of {asked} readers did not answer: those runs are read again"] * (answered < asked)
    return f"{'; '.join(parts)}."
