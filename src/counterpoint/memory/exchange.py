"""Notes from and to other programs. What comes from elsewhere is only ever proposed, with the file as its evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from counterpoint.errors import MemoryRefusedError, MemoryStoreError
from counterpoint.memory import files
from counterpoint.memory.changes import Op, Proposal, new_proposal_id
from counterpoint.memory.entries import (
    MAX_QUOTE,
    MAX_TEXT,
    Author,
    Entry,
    Kind,
    Taint,
    check_entry,
    evidence,
    new_id,
)
from counterpoint.memory.likeness import same_words
from counterpoint.memory.render import render
from counterpoint.memory.store import STATED, MemoryStore

KINDS = ("claude-code", "codex", "anthropic")
MAX_PAGES = 2000
MAX_PROPOSALS = 200
SHORTEST = 12
"""Characters of a line that can be a note."""
_LINE = re.compile(r"^[ \t]*(?:[-*+]|\d+[.)])[ \t]+(.+)$", re.MULTILINE)
_WORD = re.compile(r"[^\W_]+")
_LINK = re.compile(r"\[[^\]]*\]\([^)]*\.md\)|\S+\.md$|\[[\d,]+ more ")
_OURS = re.compile(r"\[m-[0-9a-f]{12}\] (.+) \([^()]*\)$")
"""A note in an index of ours, without its id and what stands behind it."""


class _Page(msgspec.Struct):
    """A memory as Anthropic's API has it; other members are passed over."""

    path: str
    content: str


class _Pages(msgspec.Struct):
    memories: list[_Page]


def read(source: Path) -> dict[str, str]:
    """The pages of another program's memory, by name: a folder of Markdown, one such file, or a JSON list of memories.

    Raises MemoryStoreError where there is nothing that can be read.
    """
    if source.is_dir():
        paths = sorted(source.rglob("*.md"))[:MAX_PAGES]
        return {str(path.relative_to(source)): (files.read(path) or b"").decode("utf-8", "replace") for path in paths}
    data = files.read(source) or b""
    if source.suffix != ".json":
        return {source.name: data.decode("utf-8", "replace")}
    try:
        found = msgspec.json.decode(data, type=_Pages | list[_Page])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MemoryStoreError(f"{source} is no list of memories with path and content: {error}.") from error
    listed = found.memories if isinstance(found, _Pages) else found
    return {page.path: page.content for page in listed[:MAX_PAGES]}


def propose(
    pages: Mapping[str, str], store: MemoryStore, *, scope: str, at: float
) -> tuple[list[Proposal], dict[str, str]]:
    """A proposal for each item of a list in the pages, and what was left out with the reason. Blocking.

    Each page that something is taken from is kept, for the anchors to lead to.
    """
    there = [entry.text for entry in store.entries(store.head()).values() if entry.active]
    waiting = [proposal.new.text for proposal in store.proposals() if proposal.new is not None]
    proposals: list[Proposal] = []
    left_out: dict[str, str] = {}
    for name, page in pages.items():
        for start, text in _items(page):
            if any(same_words(text, other) for other in (*there, *waiting)):
                left_out[text] = "it is noted, or waits, already"
            elif len(proposals) >= MAX_PROPOSALS:
                left_out[text] = f"there are {MAX_PROPOSALS} proposals, as many as a person reads"
            else:
                try:
                    proposals.append(_proposal(name, page, start, text, store, scope, at))
                    waiting.append(text)
                except MemoryRefusedError as error:
                    left_out[text] = error.message
    return proposals, left_out


def _items(page: str) -> Iterator[tuple[int, str]]:
    """Where each item of a list begins, and what it says; lines of an index that only lead elsewhere are none."""
    for found in _LINE.finditer(page):
        ours = _OURS.match(found[1])
        text, start = (ours[1], found.start(1) + ours.start(1)) if ours else (found[1].rstrip(), found.start(1))
        if len(text) >= SHORTEST and not _LINK.match(text):
            yield start, text


def _proposal(name: str, page: str, start: int, text: str, store: MemoryStore, scope: str, at: float) -> Proposal:
    if len(text) > MAX_TEXT:
        raise MemoryRefusedError(f"It has {len(text):,} characters; {MAX_TEXT} fit.")
    span = (start, start + min(len(text), MAX_QUOTE))
    anchor = evidence(page, span, run_id=STATED, seq=0, author=Author.AGENT, taint=Taint.DERIVED, at=at)
    subject = Path(name).stem[:60] or "imported"
    key = f"{subject}::{' '.join(_WORD.findall(text)[:5]).lower()[:80] or 'note'}"
    new = Entry(
        id=new_id(scope, key, text, [anchor]), kind=Kind.FACT, scope=scope, key=key, text=text, evidence=[anchor],
        support_sessions=1, confidence="low", valid_from=at, recorded_at=at,
    )  # fmt: skip
    check_entry(new)
    store.state(page)
    return Proposal(
        id=new_proposal_id(Op.ADD, [], new, [anchor]), op=Op.ADD, new=new, why=f"Another program has it ({name}).",
        would_disprove="The repository, or a person, says otherwise.", risk=2, evidence=[anchor], at=at,
    )  # fmt: skip


def pages(entries: Mapping[str, Entry]) -> list[dict[str, str]]:
    """The rendered notes as memories with path and content, as Anthropic's API has them."""
    return [{"path": f"/{name}", "content": text} for name, text in sorted(render(entries).items())]
