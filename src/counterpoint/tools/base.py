"""What a tool is, where it may look, and how much it may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from counterpoint.errors import CounterpointError
from counterpoint.models.messages import ToolSpec


class ToolError(CounterpointError):
    """The tool could not do what was asked. For the agent: the message says what to do instead."""


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


@dataclass(frozen=True, slots=True)
class ToolContext:
    """On whose behalf a tool works, and where. Relative paths start at `root`; only the roots can be reached."""

    root: Path
    agent: str = ""
    more_roots: tuple[Path, ...] = ()
    limits: ToolLimits = field(default_factory=ToolLimits)

    @property
    def roots(self) -> tuple[Path, ...]:
        return (self.root, *self.more_roots)


class Tool(Protocol):
    """One thing that an agent can do besides talking."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def read_only(self) -> bool:
        """Whether a call changes nothing, so that it may be repeated after a crash and run beside others."""
        ...

    async def call(self, input: dict[str, Any], context: ToolContext) -> str:
        """Carries out a call whose input fits `spec.schema`. Raises ToolError with a message for the agent."""
        ...
