"""Notes for the page: those that the runs of this store could be told, each with the lines that prove it. Read only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.client import Client
from counterpoint.dream.proof import Proof, prove
from counterpoint.errors import MemoryStoreError, UnknownRunError
from counterpoint.memory.entries import Entry
from counterpoint.memory.history import blame
from counterpoint.memory.places import project_root, project_store, user_store
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.utility import UNKNOWN, Utility, utilities

MOST_FOLDERS = 100
"""Folders of runs that are looked at for a memory, the newest first."""
LINES = 4
"""Lines of a transcript that are shown on each side of a quote."""
SHOWN = (
    "id",
    "kind",
    "scope",
    "key",
    "text",
    "trigger",
    "confidence",
    "support_sessions",
    "status",
    "reason",
    "pinned",
)


async def overview(client: Client) -> dict[str, Any]:
    """The user's memory, and those of the projects that runs were in."""
    folders = await _folders(client)
    return {"memories": await asyncio.to_thread(_rows, client.state, folders)}


async def note(client: Client, name: str) -> dict[str, Any]:
    """One note, with its evidence looked up now. Raises UnknownRunError where no memory has it."""
    folders = await _folders(client)
    found = await asyncio.to_thread(_find, client.state, folders, name)
    if found is None:
        raise UnknownRunError(f"No memory has the note {name[:40]!r}.")
    memory, entry, known = found
    anchors = [*entry.evidence, *entry.counter_evidence]
    proofs = [await prove(client.reader, memory, anchor) for anchor in anchors]
    steps = await asyncio.to_thread(blame, memory, entry.id)
    return {
        **_row(entry, known),
        "evidence": [_proof(proof, proof.anchor in entry.counter_evidence) for proof in proofs],
        "history": [{"version": step.move.after, "kind": step.move.kind, "what": step.difference.what,
                     "by": step.move.dream_id or step.move.actor, "at": step.move.at} for step in steps],
    }  # fmt: skip


async def _folders(client: Client) -> list[str]:
    return list(dict.fromkeys(run.cwd for run in await client.runs() if run.cwd))[:MOST_FOLDERS]


def _memories(state: Path, folders: list[str]) -> list[tuple[str, MemoryStore]]:
    """Whose memory it is, and the memory. Blocking."""
    roots = sorted({project_root(Path(folder)) for folder in folders if Path(folder).is_dir()})
    found = [("you", user_store(state))]
    for root in roots:
        try:
            found.append((str(root), project_store(root)))
        except MemoryStoreError:
            continue  # a link that leads out of the project: runs there are told nothing of it
    return [(owner, memory) for owner, memory in found if (memory.folder / "HEAD").is_file()]


def _rows(state: Path, folders: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for owner, memory in _memories(state, folders):
        try:
            head, known = memory.head(), utilities(memory.uses())
            entries = memory.entries(head).values()
            notes = [_row(entry, known.get(entry.id, UNKNOWN)) for entry in entries]
            rows.append({"owner": owner, "folder": str(memory.folder), "version": head, "notes": notes, "problem": ""})
        except MemoryStoreError as error:
            rows.append({"owner": owner, "folder": str(memory.folder), "version": None, "notes": [],
                         "problem": error.message})  # fmt: skip
    return rows


def _find(state: Path, folders: list[str], name: str) -> tuple[MemoryStore, Entry, Utility] | None:
    for _, memory in _memories(state, folders):
        entry = memory.entries(memory.head()).get(name)
        if entry is not None:
            return memory, entry, utilities(memory.uses()).get(name, UNKNOWN)
    return None


def _row(entry: Entry, known: Utility) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in SHOWN}, "user_stated": entry.user_stated,
        "utility": {**msgspec.to_builtins(known), "mean": known.mean},
    }  # fmt: skip


def _proof(proof: Proof, against: bool) -> dict[str, Any]:
    anchor = proof.anchor
    before, quote, after = proof.around(LINES) if proof.holds else ("", anchor.quote, "")
    return {
        "run_id": anchor.run_id, "session_id": anchor.session_id, "seq": anchor.seq, "author": anchor.author.value,
        "taint": anchor.taint.value, "at": anchor.at, "against": against, "holds": proof.holds,
        "problem": proof.problem, "before": before, "quote": quote, "after": after, "link": proof.link,
    }  # fmt: skip
