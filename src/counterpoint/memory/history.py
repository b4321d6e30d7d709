"""What changed between versions, and where a note comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from counterpoint.memory.entries import Entry
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move

What = Literal["added", "revised", "retired", "revived", "gone"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one note from one version to another. `gone`: the older version has it, the newer does not."""

    what: What
    before: Entry | None
    after: Entry | None

    @property
    def entry(self) -> Entry:
        """The note as it was last."""
        last = self.after or self.before
        assert last is not None  # noqa: S101  (one of the two is there)
        return last

    @property
    def fields(self) -> list[str]:
        """Names of the members that differ."""
        if self.before is None or self.after is None:
            return []
        old, new = msgspec.to_builtins(self.before), msgspec.to_builtins(self.after)
        return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


@dataclass(frozen=True, slots=True)
class Step:
    """A move of HEAD, and what it did to one note."""

    move: Move
    difference: Difference


def diff(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[Difference]:
    """What changed, in the order of ids."""
    found: list[Difference] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            found.append(Difference(_what(old, new), old, new))
    return found


def _what(old: Entry | None, new: Entry | None) -> What:
    if new is None:
        return "gone"
    if old is None:
        return "added"
    if old.active == new.active:
        return "revised"
    return "revived" if new.active else "retired"


def blame(store: MemoryStore, name: str) -> list[Step]:
    """Every move of HEAD that changed this note, the oldest first. Blocking. Raises MemoryStoreError."""
    steps: list[Step] = []
    trees = {move.after: store.tree(move.after) for move in store.moves()}
    for move in store.moves():
        old = store.tree(move.before) if move.before not in trees else trees[move.before or ""]
        new = trees[move.after]
        if old.get(name) != new.get(name):
            before = store.objects.entry(name, old[name]) if name in old else None
            after = store.objects.entry(name, new[name]) if name in new else None
            steps.append(Step(move, Difference(_what(before, after), before, after)))
    return steps
