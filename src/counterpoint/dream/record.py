"""What a dream leaves on disk, so that another process can go on with it: its plan, its runs, its report.

    dreams/<id>/plan.json    what it reads, written before anything is spent
    dreams/<id>/runs.json    which runs its agents are in
    dreams/<id>/report.json  how it ended; until this is there, the dream goes on
    dreams/marks.json        how far each run has been read
    dreams/schedule.json     when it dreams by itself
    dreams/settled.jsonl     what became of proposals that waited

All of it blocks.
"""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from counterpoint.dream.excerpts import Chunk
from counterpoint.dream.items import Item
from counterpoint.dream.schedule import Schedule
from counterpoint.dream.select import Mark
from counterpoint.errors import MemoryStoreError, UnknownMemoryError
from counterpoint.memory import files
from counterpoint.memory.changes import Counts

T = TypeVar("T")
PLAN_BYTES = 256 * 1024 * 1024
_ID = re.compile(r"d-\d{8}-[0-9a-f]{8}")

Status = Literal["published", "nothing", "waiting", "budget", "rejected", "paused", "failed", "conflict"]


class Plan(Struct, frozen=True, kw_only=True):
    """What a dream is to do: with the recorded answers of its agents, everything else follows from it."""

    id: str
    at: float
    parent: str | None
    """The version that it starts from."""
    folder: str
    chunks: list[Chunk]
    marks: dict[str, Mark]
    """What will have been read when it has ended."""
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    hits: list[str] = field(default_factory=list[str])
    """What the detectors saw, in words."""
    votes: int = 3
    quorum: int = 2
    models: list[str] = field(default_factory=list[str])
    """Of the skeptics; none: the dream's own."""
    instructions: str = ""
    most: int = 30


class BlockedRow(Struct, frozen=True):
    """Something that was brought and not taken."""

    check: str
    text: str
    reason: str


class ConflictRow(Struct, frozen=True):
    """Two things that cannot both hold."""

    one: str
    other: str
    why: str
    quotes: list[str]
    settled: str


class Report(Struct, frozen=True, kw_only=True):
    """How a dream ended, with sums that balance."""

    id: str
    at: float
    status: Status
    message: str = ""
    parent: str | None = None
    version: str | None = None
    """The version that it made; in force only if it was published."""
    published: bool = False
    counts: Counts = Counts()
    sessions: list[str] = field(default_factory=list[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    readers: list[int] = field(default_factory=lambda: [0, 0])
    """How many answered, of how many."""
    hits: list[str] = field(default_factory=list[str])
    items: int = 0
    """Claims of readers and detectors."""
    kept_back: int = 0
    """Proposals above the most that one dream makes; none of them waits."""
    proposals: dict[str, str] = field(default_factory=dict[str, str])
    """Proposal → what became of it."""
    blocked: list[BlockedRow] = field(default_factory=list[BlockedRow])
    conflicts: list[ConflictRow] = field(default_factory=list[ConflictRow])
    refused: list[BlockedRow] = field(default_factory=list[BlockedRow])
    """What the limits of a version did not let through, such as the loss budget."""
    flagged: list[str] = field(default_factory=list[str])
    """Notes whose check no longer holds."""
    runs: dict[str, str] = field(default_factory=dict[str, str])
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    canary: dict[str, Any] | None = None
    simulated: bool = False
    """Its agents only acted: it was a rehearsal."""


class Answer(Struct, frozen=True):
    """What one reader answered; None: it did not."""

    id: str
    items: list[Any] | None = None

    def read(self) -> tuple[list[Item], int]:
        """Its items, and how many of them are none."""
        found: list[Item] = []
        for raw in self.items or []:
            try:
                found.append(msgspec.convert(raw, Item))
            except (msgspec.ValidationError, RecursionError):
                continue
        return found, len(self.items or []) - len(found)


class Settled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a proposal that waited. With `never`, nothing like it is proposed again."""

    proposal: str
    state: str
    by: str
    at: float
    reason: str = ""
    never: bool = False
    text: str = ""
    key: str = ""


class Dreams:
    """The dreams of one memory."""

    def __init__(self, memory_folder: Path) -> None:
        self.folder = memory_folder / "dreams"

    @staticmethod
    def new_id(at: float) -> str:
        return f"d-{time.strftime('%Y%m%d', time.gmtime(at))}-{secrets.token_hex(4)}"

    def ids(self) -> list[str]:
        """All dreams, the newest first."""
        found = [(path.parent.stat().st_mtime_ns, path.parent.name) for path in self.folder.glob("d-*/plan.json")]
        return [name for _, name in sorted(found, reverse=True) if _ID.fullmatch(name)]

    def find(self, text: str) -> str:
        """The dream that `text` names: an id, a unique prefix, or ``@last``. Raises UnknownMemoryError."""
        ids = self.ids()
        if text == "@last" and ids:
            return ids[0]
        named = [name for name in ids if name.startswith((text, f"d-{text}"))]
        if len(named) == 1:
            return named[0]
        raise UnknownMemoryError(
            f"{len(named) or 'No'} dreams have an id that begins with {text[:40]!r}.",
            hint="See them with: counterpoint dream status",
        )

    def unfinished(self) -> Plan | None:
        """The dream that was begun last and has not ended."""
        for name in self.ids()[:1]:
            if self.report(name) is None:
                return self.plan(name)
        return None

    def plan(self, dream_id: str) -> Plan:
        return self._must(dream_id, "plan.json", Plan)

    def keep_plan(self, plan: Plan) -> None:
        files.write(self._path(plan.id, "plan.json"), msgspec.json.encode(plan))

    def runs(self, dream_id: str) -> dict[str, str]:
        return self._read(dream_id, "runs.json", dict[str, str]) or {}

    def keep_runs(self, dream_id: str, runs: dict[str, str]) -> None:
        files.write(self._path(dream_id, "runs.json"), msgspec.json.encode(runs))

    def report(self, dream_id: str) -> Report | None:
        return self._read(dream_id, "report.json", Report)

    def keep_report(self, report: Report) -> None:
        files.write(self._path(report.id, "report.json"), msgspec.json.encode(report))

    def reports(self) -> list[Report]:
        """Of all dreams that have ended, the newest first."""
        return [report for name in self.ids() if (report := self.report(name)) is not None]

    def schedule(self) -> Schedule | None:
        data = files.read(self.folder / "schedule.json")
        return self._decode(data, Schedule, "schedule.json") if data else None

    def keep_schedule(self, schedule: Schedule) -> None:
        files.write(self.folder / "schedule.json", msgspec.json.encode(schedule))

    def drop_schedule(self) -> None:
        (self.folder / "schedule.json").unlink(missing_ok=True)

    def marks(self) -> dict[str, Mark]:
        data = files.read(self.folder / "marks.json", PLAN_BYTES)
        return self._decode(data, dict[str, Mark], "marks.json") if data else {}

    def add_marks(self, marks: dict[str, Mark]) -> None:
        if marks:
            files.write(self.folder / "marks.json", msgspec.json.encode(self.marks() | marks))

    def settled(self) -> list[Settled]:
        data = files.read(self.folder / "settled.jsonl", PLAN_BYTES) or b""
        found: list[Settled] = []
        for line in data.splitlines():
            try:
                found.append(msgspec.json.decode(line, type=Settled))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a line that a crash has cut off
        return found

    def settle(self, settled: Settled) -> None:
        with files.locked(self.folder / "lock"):
            files.append(self.folder / "settled.jsonl", msgspec.json.encode(settled))

    def _path(self, dream_id: str, name: str) -> Path:
        if not _ID.fullmatch(dream_id):
            raise UnknownMemoryError(f"{dream_id[:80]!r} is no id of a dream.")
        return self.folder / dream_id / name

    def _read(self, dream_id: str, name: str, kind: type[T]) -> T | None:
        data = files.read(self._path(dream_id, name), PLAN_BYTES)
        return None if data is None else self._decode(data, kind, f"{dream_id}/{name}")

    def _must(self, dream_id: str, name: str, kind: type[T]) -> T:
        found = self._read(dream_id, name, kind)
        if found is None:
            raise MemoryStoreError(f"The dream {dream_id} has no {name} in {self.folder}.", hint="Delete its folder.")
        return found

    def _decode(self, data: bytes, kind: type[T], name: str) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MemoryStoreError(
                f"{self.folder / name} is damaged: {error}.", hint="Delete it; runs are then read again."
            ) from error
