"""What a tool is, on whose behalf it works, and how much it may say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from counterpoint.errors import DeniedError, ToolError
from counterpoint.events import Usage
from counterpoint.models.messages import ToolSpec
from counterpoint.tools.guard import Guard
from counterpoint.tools.jail import Cell
from counterpoint.tools.policy import Access
from counterpoint.tools.shells import Shells

__all__ = [
    "Access",
    "Action",
    "DeniedError",
    "FileChange",
    "Guard",
    "Stamp",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolLimits",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """How much one tool call may read, say and take."""

    lines: int = 2000
    """Lines of one Read."""
    line_chars: int = 2000
    """Characters of one line; Grep shows a quarter of that."""
    bytes: int = 100_000
    """Bytes of text that one call answers with."""
    entries: int = 500
    """Files, folders or matches that one call lists."""
    scan_bytes: int = 256 * 1024 * 1024
    """Bytes of one file that a call looks through."""
    seconds: float = 30.0
    """Wall time of one call."""


def _nothing() -> None:
    pass


def _untold(what: str) -> None:
    pass


def _unpaid(usage: Usage, note: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Stamp:
    """One version of a file."""

    device: int
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a tool made of one file. SHA-256 of its bytes; empty `before`: there was none."""

    path: str
    """Relative to the root where it lies below it."""
    before: str
    after: str
    diff: str


def _unheard(change: FileChange) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ToolContext:
    """On whose behalf a tool works, and where. Relative paths start at `root`; only the roots can be reached."""

    root: Path
    agent: str = ""
    more_roots: tuple[Path, ...] = ()
    """Further folders, to be read only."""
    limits: ToolLimits = field(default_factory=ToolLimits)
    guard: Guard = field(default_factory=Guard)
    seen: dict[Path, Stamp] = field(default_factory=dict[Path, Stamp])
    """Files that the agent has read or written, as they were then: it must not overwrite another version."""
    cell: Cell = field(default_factory=lambda: Cell(Path()))
    """What its commands may reach, but for the root, which is `root`."""
    shells: Shells | None = None
    """Its commands; None: it can run none."""
    blind: bool = False
    """It may write over files without having read them: a script has no memory to be wrong."""
    changed: Callable[[FileChange], None] = _unheard
    """Is called, on the event loop, with each change of a file."""
    paid: Callable[[Usage, str], None] = _unpaid
    """Is told what a tool's own request to a model has cost, and what it was for."""
    alive: Callable[[], None] = _nothing
    """Is called while a tool works, so that long work is not taken for a stall."""
    waits: Callable[[str], None] = _untold
    """Is told what it waits for, where that is no longer the tool itself."""

    @property
    def roots(self) -> tuple[Path, ...]:
        return (self.root, *self.more_roots)


@dataclass(frozen=True, slots=True)
class Action:
    """A call that is ready to be made: what it would do, and the doing of exactly that."""

    accesses: tuple[Access, ...]
    run: Callable[[], Awaitable[str]]
    """Raises ToolError with a message for the agent."""


class Tool(Protocol):
    """One thing that an agent can do besides talking."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def read_only(self) -> bool:
        """Whether a call changes nothing, so that it may be repeated after a crash and run beside others."""
        ...

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        """What a call whose input fits `spec.schema` would do; it does nothing yet. Raises ToolError."""
        ...
