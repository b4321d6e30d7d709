"""Who stands around an agent: those who are told what it does, and whoever sends its requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from counterpoint.agents.compact import Compacted
from counterpoint.events import Fault, Usage, Workspace
from counterpoint.models.messages import Answer, Request, ToolSpec
from counterpoint.tools.base import FileChange
from counterpoint.tools.policy import Access

OnRetry = Callable[[Fault, float], None]
Send = Callable[[Request, OnRetry], Awaitable[Answer]]
"""Makes one request within the provider's limits, retries included. Raises ProviderError, or HookError (budget)."""


class Observer(Protocol):
    """Who is told what the agent does while it does it. Nothing here may block; only `kept` may wait."""

    def waits(self, what: str) -> None:
        """Something happened, and now the agent waits for that: the model, a tool, the budget."""
        ...

    def turn(self, n: int, usage: Usage, note: str) -> None:
        """The n-th model request was answered, and the agent goes on; `usage` is of that request alone."""
        ...

    def compacted(self, mark: Compacted) -> None:
        """Its conversation was too long for its model, which is sent less of it from now on."""
        ...

    def tool(self, name: str, summary: str, ok: bool, seconds: float) -> None: ...

    def denied(self, access: Access, reason: str) -> None:
        """The rules, or a person, have said no to something that it wanted to do."""
        ...

    def prompted(self, system: str, tools: list[ToolSpec]) -> None:
        """What every request of this attempt carries besides the conversation."""
        ...

    def changed(self, change: FileChange) -> None:
        """It has changed a file of the tree that it shares with others."""
        ...

    def worktree_opened(self, path: str, branch: str, base: str) -> None: ...

    def worktree_closed(self, workspace: Workspace) -> None:
        """What it left is committed."""
        ...

    def retried(self, fault: Fault, wait: float) -> None: ...

    def transcript(self, n: int, body: bytes) -> None:
        """Message n of the conversation, from 0, as JSON."""
        ...

    async def kept(self) -> None:
        """Returns when all that was told is on disk, so that a crash from then on cannot make it happen twice."""
        ...

    def unheard(self) -> list[str]:
        """What people have said to the agent since it last heard them."""
        ...

    def steering(self, most: int | None = None) -> list[str]:
        """The same, or the first few of it; it counts as heard."""
        ...
