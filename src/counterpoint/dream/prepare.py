"""S0 to S2: what a dream is asked for, which runs it reads, and what the detectors see in them. Only reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from counterpoint.dream import select
from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.detect import Hit, detect
from counterpoint.dream.excerpts import chunks
from counterpoint.dream.inbox import Policy
from counterpoint.dream.record import Dreams, Plan
from counterpoint.dream.select import Candidate, Gate, Mark, Selection
from counterpoint.dream.session import Session, read_session
from counterpoint.errors import MemoryStoreError, StoreError
from counterpoint.memory.entries import Entry
from counterpoint.memory.places import project_root, user_store
from counterpoint.memory.store import MemoryStore
from counterpoint.redaction import Redaction
from counterpoint.store.runs import Store
from counterpoint.view import RunView

MOST_CHARS = 6_000_000
"""Characters of the runs that one dream reads."""
INSTRUCTIONS = 4_096
"""Characters of what the user asks of a dream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a dream is asked for."""

    since: float = 0.0
    """Only runs that ended later (seconds since the epoch)."""
    sessions: tuple[str, ...] = ()
    """Only these runs, whether or not they have been read; empty: all that are new."""
    gate: Gate | None = None
    """Only if one is due; None: in any case."""
    budget: tuple[str, ...] = ()
    """Ceilings for all of its agents together, as on the command line."""
    seconds: float | None = None
    """Ceiling for the time; None: there is none."""
    policy: Policy = field(default_factory=Policy)
    votes: int = 3
    quorum: int = 2
    skeptics: tuple[str, ...] = ()
    """Models of the skeptics, in turn."""
    instructions: str = ""
    most: int = 30
    """Proposals."""
    anywhere: bool = False
    """Runs of all folders, not only of the project's."""


@dataclass(slots=True)
class Prepared:
    sessions: dict[str, Session]
    left_out: dict[str, str]
    marks: dict[str, Mark]
    hits: list[Hit]
    cleaner: Cleaner
    not_due: str = ""


async def prepare(store: Store, memory: MemoryStore, dreams: Dreams, wish: Wish, folder: Path, now: float) -> Prepared:
    marks = await asyncio.to_thread(dreams.marks)
    selection = await _select(store, marks, wish, folder, now)
    entries = await asyncio.to_thread(memory.entries, memory.head())
    reports = await asyncio.to_thread(dreams.reports)
    last = max((report.at for report in reports if not report.simulated), default=None)
    not_due = select.due(wish.gate, now=now, last=last, fresh=selection.chosen) if wish.gate else ""
    sessions = {session.run_id: session for session in selection.chosen}
    new_marks = {name: Mark(session.last_seq, session.digest) for name, session in sessions.items()}
    hits = await asyncio.to_thread(detect, selection.chosen)
    known = await asyncio.to_thread(everything_known, store, entries)
    cleaner = await asyncio.to_thread(cleaner_of, known, selection.chosen)
    return Prepared(sessions, selection.left_out, new_marks, hits, cleaner, not_due)


async def _select(store: Store, marks: Mapping[str, Mark], wish: Wish, folder: Path, now: float) -> Selection:
    """S1. What cannot be read is left out like everything else, with the reason."""
    left_out: dict[str, str] = {}
    sessions: list[Session] = []
    wanted = [await store.find(text) for text in wish.sessions]
    known: Mapping[str, Mark] = {} if wanted else marks
    below = "" if wish.anywhere or wanted else str(await asyncio.to_thread(project_root, folder))
    rows = await store.runs()
    roots = await asyncio.to_thread(_roots, {row.cwd for row in rows if row.cwd}, below)
    for row in rows:
        if wanted and row.run_id not in wanted:
            continue
        try:
            events = await store.reader(row.run_id).read()
            reason = select.ineligible(
                _candidate(RunView.of(events), roots), known, now=now, since=wish.since, folder=below
            )
            if reason:
                left_out[row.run_id] = reason
            else:
                sessions.append(await read_session(store, row.run_id, events))
        except StoreError as error:
            left_out[row.run_id] = f"it cannot be read: {error.message}"
    selection = select.sample(sessions, known, most_chars=MOST_CHARS)
    selection.left_out = left_out | selection.left_out
    return selection


def _roots(folders: set[str], here: str) -> dict[str, str]:
    """The project of each folder: worktrees of a repository belong to it, wherever they lie; a folder below `here`
    does, unless it is in another repository."""
    found = {folder: project_root(Path(folder)) for folder in folders}
    return {
        folder: here if here and root.is_relative_to(here) and not (root / ".git").exists() else str(root)
        for folder, root in found.items()
    }


def _candidate(view: RunView, roots: Mapping[str, str]) -> Candidate:
    return Candidate(
        view.run_id, view.name, view.script, roots.get(view.cwd, view.cwd), view.status, view.last_seq, view.last_at,
        private=bool(view.bounds.get("private")), fork=view.parent is not None, simulated=view.simulated,
    )  # fmt: skip


def cleaner_of(known: Mapping[str, Entry], sessions: Iterable[Session] = ()) -> Cleaner:
    """What takes secrets out of texts, and notes: those in force, and those that agents of these runs were told, in
    force or not. What is retired must not come back by an agent that repeats it."""
    told = {name for session in sessions for name in session.recalled}
    return Cleaner(Redaction(os.environ), (e.text for e in known.values() if e.active or e.id in told))


def everything_known(store: Store, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The notes of a project, and those of the user, which agents are told as well. Blocking."""
    own = user_store(store.folder)
    try:
        return {**own.entries(own.head()), **entries}
    except MemoryStoreError:
        return dict(entries)  # agents were told nothing of it either


def plan_of(prepared: Prepared, memory: MemoryStore, wish: Wish, folder: Path, now: float) -> Plan:
    """What the dream is to do. Blocking: it looks through all texts."""
    return Plan(
        id=Dreams.new_id(now),
        at=now,
        parent=memory.head(),
        folder=str(folder),
        chunks=chunks(prepared.sessions.values(), prepared.hits, prepared.cleaner),
        marks=prepared.marks,
        left_out=prepared.left_out,
        hits=[prepared.cleaner.shown(f"{hit.detector}: {hit.summary}") for hit in prepared.hits],
        votes=wish.votes,
        quorum=wish.quorum,
        models=list(wish.skeptics),
        instructions=wish.instructions[:INSTRUCTIONS],
        most=wish.most,
    )
