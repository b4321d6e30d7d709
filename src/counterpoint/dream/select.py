"""S1: which runs a dream reads. What is left out is said, with the reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from counterpoint.dream.session import Session
from counterpoint.events import RunStatus

EXTRACTOR = 1
"""Version of what is read out of runs: runs that an earlier one has read are read again."""
IDLE_S = 3 * 3600.0
DREAM_SCRIPTS = ("bundled:dream", "bundled:dream-eval")
DAY_S = 86_400.0
_OPEN = frozenset({RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED, RunStatus.INTERRUPTED})


class Mark(Struct, frozen=True, omit_defaults=True):
    """How far a run has been read: a watermark."""

    last_seq: int
    digest: str
    extractor: int = EXTRACTOR


class Gate(Struct, frozen=True, kw_only=True):
    """When a dream is due by itself: after so long and so many new runs, or after a correction by a person."""

    hours: float = 24.0
    sessions: int = 5
    corrections: int = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a run before it is read."""

    run_id: str
    name: str
    script: str
    project: str
    """The root of the project that it was in."""
    status: RunStatus
    last_seq: int
    last_at: float
    private: bool = False
    fork: bool = False
    simulated: bool = False


@dataclass(slots=True)
class Selection:
    """What a dream reads, and what it does not."""

    chosen: list[Session] = field(default_factory=list[Session])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """Run → why."""


def ineligible(run: Candidate, marks: Mapping[str, Mark], *, now: float, since: float, folder: str) -> str:
    """Why a run is not read; empty: it is."""
    mark = marks.get(run.run_id)
    reasons = [
        (run.script in DREAM_SCRIPTS or run.name in ("dream", "dream-eval"), "it is a dream"),
        (folder not in ("", run.project), "it belongs to another project"),
        (run.private, "it is private"),
        (run.fork, "it is a fork: what it has in common with the other run would count twice"),
        (run.simulated, "its agents were simulated"),
        (run.status is RunStatus.UNREADABLE, "its journal cannot be read"),
        (run.last_at < since, "it is older than what was asked for"),
        (run.status in _OPEN and now - run.last_at < IDLE_S, "it goes on"),
        (
            mark is not None and mark.extractor == EXTRACTOR and mark.last_seq == run.last_seq,
            "it has been read",
        ),
    ]
    return next((reason for holds, reason in reasons if holds), "")


def sample(sessions: Iterable[Session], marks: Mapping[str, Mark], *, most_chars: int) -> Selection:
    """The runs that are worth most, as far as their texts fit; in the order of time."""
    selection = Selection()
    sessions = list(sessions)
    usual = sorted(session.output_tokens for session in sessions)[len(sessions) // 2] if sessions else 0
    room = most_chars
    for session in sorted(sessions, key=lambda each: (-value(each, usual), -each.ended_at, each.run_id)):
        mark = marks.get(session.run_id)
        size = sum(len(said.text) for said in session.said)
        if mark is not None and mark.extractor == EXTRACTOR and mark.digest == session.digest:
            selection.left_out[session.run_id] = "it has been read"
        elif not size:
            selection.left_out[session.run_id] = "nothing was said in it"
        elif size > room and selection.chosen:
            selection.left_out[session.run_id] = "others are worth more, and the budget has no room for all"
        else:
            room -= size
            if session.cut:
                selection.left_out[session.run_id] = "what was said in it after the first 4,000 texts"
            selection.chosen.append(session)
    selection.chosen.sort(key=lambda each: (each.at, each.run_id))
    return selection


def value(session: Session, usual_tokens: int) -> int:
    """How much a run is likely to teach: corrections, overturned verdicts, failures before a success, unusual cost."""
    failures = [step.ok for step in session.steps]
    recovered = False in failures and True in failures[failures.index(False) :]
    overturned = any('"stands":false' in worker.value or "stands: False" in worker.value for worker in session.workers)
    unusual = usual_tokens > 0 and session.output_tokens > 3 * usual_tokens
    return 8 * bool(session.corrections) + 4 * overturned + 3 * recovered + 2 * unusual + (session.outcome == "failure")


def due(gate: Gate, *, now: float, last: float | None, fresh: Iterable[Session]) -> str:
    """Why no dream is due yet; empty: one is."""
    sessions = list(fresh)
    corrections = sum(len(session.corrections) for session in sessions)
    if gate.corrections and corrections >= gate.corrections:
        return ""
    if last is not None and now - last < gate.hours * 3600:
        return f"the last dream was {(now - last) / 3600:.1f} h ago, less than {gate.hours:g} h"
    if len(sessions) < gate.sessions:
        return f"{len(sessions)} new runs, fewer than {gate.sessions}, and no correction"
    return ""
