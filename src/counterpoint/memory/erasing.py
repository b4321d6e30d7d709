"""Erasing: the one way by which what was noted goes for good, with a line in the history that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from counterpoint.memory import files
from counterpoint.memory.entries import Entry, canonical
from counterpoint.memory.objects import Erased
from counterpoint.memory.store import STATED, MemoryStore

SHORTEST = 8
"""Characters of a text that is looked for in reports and in the history: shorter ones stand there by chance."""
SCRUB_BYTES = 64 * 1024 * 1024


def redact(store: MemoryStore, matches: Callable[[Entry], bool], *, by: str, at: float, secret: str = "") -> int:
    """Erases every form that matching notes ever had, and `secret` wherever it stands; gives how many forms went.

    Versions keep their ids and still open. HEAD moves, so that no change which was made of the erased notes can be
    published. What journals and transcripts hold is not touched. Blocking. Raises MemoryStoreError.
    """
    with store.locked():
        found = _concerned(store, matches, secret)
        words = _words(found.values()) | ({secret} if secret else set[str]())
        head = store.head()
        if head is not None:
            _move_on(store, head, found, by, at)
        for hashed, thing in found.items():
            store.objects.erase(hashed, Erased.of(thing, by, at))
        for proposal in store.proposals():
            if _mentions(proposal, words) or (proposal.new is not None and matches(proposal.new)):
                store.drop_proposal(proposal.id)
        _scrub(store.folder, sorted(words, key=len, reverse=True))
        store.rendered()
    return len(found)


def _concerned(store: MemoryStore, matches: Callable[[Entry], bool], secret: str) -> dict[str, Entry | str]:
    """Notes and statements that are to be erased. What a person said goes with the note that was made of it."""
    every = dict(store.objects.every())
    found = {hashed: thing for hashed, thing in every.items() if _concerns(thing, matches, secret)}
    anchors = [anchor for thing in found.values() if isinstance(thing, Entry) for anchor in thing.evidence]
    said = {anchor.sha256 for anchor in anchors if anchor.run_id == STATED}
    return found | {hashed: every[hashed] for hashed in said if hashed in every}


def _concerns(thing: Entry | str, matches: Callable[[Entry], bool], secret: str) -> bool:
    if isinstance(thing, str):
        return bool(secret) and secret.casefold() in thing.casefold()
    return matches(thing) or (bool(secret) and _mentions(thing, [secret]))


def _move_on(store: MemoryStore, head: str, found: dict[str, Entry | str], by: str, at: float) -> None:
    """HEAD without what is to be erased; the move tells of it also where HEAD had none of it."""
    tree = store.tree(head)
    for hashed, thing in found.items():
        if isinstance(thing, Entry) and tree.get(thing.id) == hashed:
            tree[thing.id] = store.objects.put(msgspec.json.encode(Erased.of(thing, by, at)))
    store.erased(head, tree, by=by, at=at, note=f"{len(found)} forms of notes were erased.")


def _mentions(thing: object, words: Iterable[str]) -> bool:
    text = canonical(thing).decode("utf-8", "replace").casefold()
    return any(json.dumps(word, ensure_ascii=False)[1:-1].casefold() in text for word in words)


def _words(erased: Iterable[Entry | str]) -> set[str]:
    """What must stand nowhere any more: the texts of erased notes and what they quote."""
    words: set[str] = set()
    for thing in erased:
        if isinstance(thing, Entry):
            words |= {thing.text, *(anchor.quote for anchor in [*thing.evidence, *thing.counter_evidence])}
        else:
            words.add(thing)
    return {word for word in words if len(word) >= SHORTEST}


def _scrub(folder: Path, words: list[str]) -> None:
    """Takes the words out of what is said of versions, moves and dreams."""
    places = [folder / "moves.jsonl", *(folder / "versions").glob("*.json")]
    places += [path for path in (folder / "dreams").rglob("*") if path.is_file() and not path.is_symlink()]
    escaped = [json.dumps(word, ensure_ascii=ascii)[1:-1] for word in words for ascii in (True, False)]
    forms = {*words, *escaped}
    if not forms:
        return
    pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)
    for path in places:
        data = files.read(path, SCRUB_BYTES) or b""
        clean = pattern.sub("[erased]", data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if clean != data:
            files.write(path, clean)
