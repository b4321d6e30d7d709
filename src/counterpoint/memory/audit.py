"""Looks a whole memory over: are its files what they were, and do notes hold what none may? Blocking."""

from __future__ import annotations

from collections.abc import Callable

from counterpoint.errors import CounterpointError
from counterpoint.memory.entries import Entry, check_entry
from counterpoint.memory.render import render
from counterpoint.memory.store import MemoryStore, short


def problems(store: MemoryStore, clean: Callable[[str], str]) -> list[str]:
    """What is wrong, as sentences. `clean` takes secrets out of a text: a text that it changes has one."""
    try:
        head = store.head()
    except CounterpointError as error:
        return [error.message]
    found: list[str] = []
    for version_id in store.versions():
        try:
            entries = store.entries(version_id)
        except CounterpointError as error:
            found.append(f"version {short(version_id)}: {error.message}")
            continue
        if version_id == head:
            for entry in entries.values():
                found += _wrong(entry, clean)
            found += [
                f"{name} is not what the notes say: counterpoint memory render"
                for name, text in render(entries).items()
                if not _has(store, name, text)
            ]
    return found


def _wrong(entry: Entry, clean: Callable[[str], str]) -> list[str]:
    found: list[str] = []
    texts = [entry.text, entry.trigger, entry.key, *(anchor.quote for anchor in entry.evidence)]
    if any(clean(text) != text for text in texts):
        found.append(f"{entry.id} has a secret in it: counterpoint memory forget {entry.id} --redact")
    try:
        if entry.active:
            check_entry(entry)
    except CounterpointError as error:
        found.append(error.message)
    return found


def _has(store: MemoryStore, name: str, text: str) -> bool:
    try:
        return (store.folder / "rendered" / name).read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
