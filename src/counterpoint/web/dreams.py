"""The inbox of dreams, for the page: what waits in the memories of the projects that this store has runs of."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from counterpoint.dream import inbox
from counterpoint.dream.proof import prove
from counterpoint.dream.record import Dreams, Report
from counterpoint.errors import MemoryStoreError, UnknownMemoryError
from counterpoint.memory.changes import Proposal
from counterpoint.memory.entries import Entry, Evidence
from counterpoint.memory.places import project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.store.runs import Store
from counterpoint.web import verbs

MOST_FOLDERS = 100
"""Folders of runs that are looked at for a memory, the newest first."""
SHOWN = 10
"""Dreams of each memory that are listed."""
AROUND = 2
"""Lines of a transcript that are shown around a quote."""


class Word(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/dreams``: a person's word on one proposal."""

    memory: str
    proposal: str
    decision: Literal["accept", "reject", "never"]
    text: str = ""
    """For accept: the words of the person in place of those of the proposal."""


class Inbox:
    """The routes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [Route("/api/dreams", self.show), Route("/api/dreams", self.decide, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        """What waits in each memory, with the places that prove it, and the last dreams."""
        return JSONResponse({"memories": [await self._memory(each) for each in (await self._memories()).values()]})

    async def decide(self, request: Request) -> Response:
        """Carries out a person's word. Only memories that `show` names can be meant."""
        word = verbs.read(await request.body(), Word)
        memory = (await self._memories()).get(word.memory)
        if memory is None:
            raise UnknownMemoryError(f"No run of this store was made in a project with the memory {word.memory[:100]}.")
        return JSONResponse(await asyncio.to_thread(_decided, memory, word), 202)

    async def _memories(self) -> dict[str, MemoryStore]:
        folders = list(dict.fromkeys(row.cwd for row in await self._store.runs() if row.cwd))[:MOST_FOLDERS]
        return await asyncio.to_thread(_existing, folders)

    async def _memory(self, memory: MemoryStore) -> dict[str, Any]:
        """One memory. One that is damaged is named with what is wrong."""
        try:
            facts, waiting, entries = await asyncio.to_thread(_facts, memory)
        except MemoryStoreError as error:
            return {"folder": str(memory.folder), "problem": error.message, "active": 0, "waiting": [], "dreams": []}
        facts["waiting"] = [await self._row(memory, proposal, entries) for proposal in waiting]
        return facts

    async def _row(self, memory: MemoryStore, proposal: Proposal, entries: dict[str, Entry]) -> dict[str, Any]:
        return {
            "id": proposal.id, "op": proposal.op.value, "risk": proposal.risk, "state": proposal.state,
            "why": proposal.why, "would_disprove": proposal.would_disprove, "dream": proposal.dream_id,
            "old": [{"id": name, "text": entries[name].text if name in entries else ""} for name in proposal.target],
            "new": _note(proposal.new) if proposal.new is not None else None,
            "tokens": len(proposal.new.text) // 4 + 20 if proposal.new is not None else 0,
            "evidence": [await self._proof(memory, anchor) for anchor in proposal.evidence],
            "verdicts": [msgspec.to_builtins(verdict) for verdict in proposal.verdicts],
        }  # fmt: skip

    async def _proof(self, memory: MemoryStore, anchor: Evidence) -> dict[str, Any]:
        proof = await prove(self._store.reader, memory, anchor)
        before, quote, after = proof.around(AROUND)
        return {
            "quote": anchor.quote, "author": anchor.author.value, "taint": anchor.taint.value, "link": proof.link,
            "run_id": anchor.run_id, "agent": anchor.session_id, "seq": anchor.seq, "holds": proof.holds,
            "problem": proof.problem, "before": before[-400:], "at": quote, "after": after[:400],
        }  # fmt: skip


def _existing(folders: list[str]) -> dict[str, MemoryStore]:
    found: dict[str, MemoryStore] = {}
    for folder in folders:
        with contextlib.suppress(MemoryStoreError):  # a link that leads out of the project: no memory of its runs
            store = project_store(Path(folder))
            if store.folder.is_dir():
                found[str(store.folder)] = store
    return found


def _facts(memory: MemoryStore) -> tuple[dict[str, Any], list[Proposal], dict[str, Entry]]:
    dreams = Dreams(memory.folder)
    inbox.expire(memory, dreams, time.time())
    head = memory.head()
    entries = memory.entries(head)
    facts: dict[str, Any] = {
        "folder": str(memory.folder), "problem": "", "version": head,
        "active": sum(entry.active for entry in entries.values()),
        "dreams": [_dream(report) for report in dreams.reports()[:SHOWN]],
    }  # fmt: skip
    return facts, inbox.waiting(memory), entries


def _dream(report: Report) -> dict[str, Any]:
    return {
        "id": report.id, "at": report.at, "status": report.status, "message": report.message,
        "sessions": len(report.sessions), "runs": report.runs, "conflicts": len(report.conflicts),
        "blocked": [{"check": row.check, "text": row.text, "reason": row.reason} for row in report.blocked],
    }  # fmt: skip


def _note(entry: Entry) -> dict[str, Any]:
    return {"text": entry.text, "kind": entry.kind.value, "key": entry.key, "scope": entry.scope,
            "trigger": entry.trigger, "confidence": entry.confidence}  # fmt: skip


def _decided(memory: MemoryStore, word: Word) -> dict[str, Any]:
    dreams, by, now = Dreams(memory.folder), verbs.asker(), time.time()
    proposal = inbox.find(memory, word.proposal)
    if word.decision != "accept":
        inbox.reject(memory, dreams, proposal, by=by, now=now, never=word.decision == "never")
        return {"applied": [], "refused": []}
    chosen = inbox.edited(proposal, word.text, by) if word.text.strip() else proposal
    decision = inbox.accept(memory, dreams, [chosen], by=by, now=now)
    return {
        "applied": [each.id for each in decision.applied],
        "refused": [{"proposal": each.id, "reason": why} for each, why in decision.refused],
    }
