"""Notes, and what people said word by word: each is a file named by the SHA-256 of its bytes.

An erased object keeps its name, so that every version which names it still opens: it shows a tombstone without words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from counterpoint.errors import MemoryStoreError
from counterpoint.memory import files
from counterpoint.memory.entries import Entry, Kind, Status, digest

T = TypeVar("T")
HASH = re.compile(r"[0-9a-f]{64}")
_ERASED = b'{"type":"erased"'
"""How the file of something begins that was erased."""
WHOLE = "Restore the folder from a copy, or go back to a version that is whole: counterpoint dream rollback"


class Erased(Struct, frozen=True, tag="erased"):
    """What is left of something that was erased: that it was there, and who erased it."""

    at: float
    by: str
    entry: str = ""
    kind: Kind = Kind.FACT
    scope: str = "project"

    @classmethod
    def of(cls, thing: Entry | str, by: str, at: float) -> Erased:
        """What is to be left of a note or a statement."""
        return cls(at, by) if isinstance(thing, str) else cls(at, by, thing.id, thing.kind, thing.scope)

    def shown(self, name: str) -> Entry:
        """The tombstone that stands for an erased note."""
        return Entry(
            id=name, kind=self.kind, scope=self.scope, key="erased::erased", text="[erased]",
            status=Status.TOMBSTONE, reason=f"erased by {self.by}", recorded_at=self.at,
        )  # fmt: skip


class Objects:
    """The objects below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, hashed: str) -> Path:
        return self._folder / hashed[:2] / hashed[2:]

    def entry(self, name: str, hashed: str) -> Entry:
        """The note of that id as this object has it. Raises MemoryStoreError where it is missing or changed."""
        data = self._read(hashed)
        if data is None:
            raise self.damaged(hashed, "it is missing")
        if data.startswith(_ERASED):
            return self.decode(data, Erased, hashed).shown(name)
        if digest(data) != hashed:
            raise self.damaged(hashed, "its content has changed")
        entry = self.decode(data, Entry, hashed)
        if entry.id != name:
            raise self.damaged(hashed, f"it is the note {entry.id[:40]}, not {name[:40]}")
        return entry

    def statement(self, hashed: str) -> str | None:
        """A person's own words; None: erased, or never said here."""
        data = self._read(hashed)
        return data.decode("utf-8") if data is not None and digest(data) == hashed else None

    def is_erased(self, hashed: str) -> bool:
        return (self._read(hashed) or b"").startswith(_ERASED)

    def put(self, data: bytes) -> str:
        """Keeps an object; what was erased stays so. Gives its SHA-256."""
        (hashed,) = self.put_all([data])
        return hashed

    def put_all(self, things: Iterable[bytes]) -> list[str]:
        """The same for many. All are on disk when the call returns, also those that somebody who died had begun."""
        found = {digest(data): data for data in things}
        for hashed, data in found.items():
            there = self._read(hashed)
            if there != data and not (there or b"").startswith(_ERASED):
                files.write(self.path(hashed), data, durable=False)
        files.settle([self.path(hashed) for hashed in found])
        return list(found)

    def every(self) -> Iterator[tuple[str, Entry | str]]:
        """Every note and statement that there ever was, and is not erased, by its SHA-256."""
        for path in sorted(self._folder.glob("??/*")):
            hashed = path.parent.name + path.name
            data = files.read(path) if HASH.fullmatch(hashed) else None
            if not data or data.startswith(_ERASED):
                continue
            try:
                yield hashed, msgspec.json.decode(data, type=Entry)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield hashed, data.decode("utf-8", "replace")

    def erase(self, hashed: str, left: Erased) -> None:
        """Puts what is left in the place of an object."""
        files.write(self.path(hashed), msgspec.json.encode(left))

    def _read(self, hashed: str) -> bytes | None:
        return files.read(self.path(hashed)) if HASH.fullmatch(hashed) else None

    def decode(self, data: bytes, kind: type[T], name: str) -> T:
        """JSON of this store. Raises MemoryStoreError where it is none."""
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.damaged(name, str(error)) from error

    def damaged(self, name: str, why: str, *, hint: str = WHOLE) -> MemoryStoreError:
        return MemoryStoreError(f"The memory in {self._folder.parent} is damaged at {name}: {why}.", hint=hint)


def stated(text: str) -> bytes:
    """A person's own words as an object."""
    return text.encode("utf-8", "replace")
