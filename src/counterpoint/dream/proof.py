"""From an anchor to what stands at its place now: the transcript of a run, an event, or what a person said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from counterpoint.dream.transcripts import anchored_text
from counterpoint.errors import StoreError
from counterpoint.memory.entries import Evidence, quotes
from counterpoint.memory.store import STATED, MemoryStore
from counterpoint.store.reader import JournalReader

Reader = Callable[[str], JournalReader]


@dataclass(frozen=True, slots=True)
class Proof:
    """An anchor, looked up."""

    anchor: Evidence
    text: str | None
    """The whole text that it points into; None: it is not to be had."""
    problem: str = ""
    """Why it does not hold."""

    @property
    def holds(self) -> bool:
        """Whether the quote stands at its place, in the text that was meant."""
        return not self.problem

    @property
    def link(self) -> str:
        """Where the page shows the place, behind its address; empty for what no run has."""
        anchor = self.anchor
        if anchor.run_id == STATED:
            return ""
        where = {"seq": anchor.seq}
        if anchor.session_id:
            where = {"agent": anchor.session_id, "message": anchor.seq, "quote": anchor.quote}
        return f"#/run/{quote(anchor.run_id)}?{urlencode(where)}"

    def around(self, lines: int) -> tuple[str, str, str]:
        """The text before the quote, the quote, and the text behind it: so many lines of each."""
        start, end = self.anchor.span
        text = self.text or ""
        before, after = text[:start].split("\n"), text[end:].split("\n")
        return "\n".join(before[-lines:]), text[start:end], "\n".join(after[:lines])


async def prove(read: Reader, memory: MemoryStore, anchor: Evidence) -> Proof:
    """Looks an anchor up where it points to; `read` opens the journal of a run. What is wrong is in the result."""
    try:
        if anchor.run_id == STATED:
            text = await asyncio.to_thread(memory.objects.statement, anchor.sha256)
        else:
            text = await anchored_text(read(anchor.run_id), anchor)
    except StoreError as error:
        return Proof(anchor, None, error.message)
    if text is None:
        return Proof(anchor, None, "the place that it names is not there any more")
    return Proof(anchor, text, "" if quotes(anchor, text) else "the text at its place is another now")
