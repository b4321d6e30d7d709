"""Where an agent is carried out: here, or elsewhere. The task is whole, so it can travel."""

from __future__ import annotations

from typing import Protocol

from counterpoint.agents.loop import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.models.messages import Message


class Allowance(Protocol):
    """The budget as one model request sees it."""

    async def reserve(self) -> int | None:
        """Output tokens that the request may use; None: no ceiling. Raises HookError at the ceiling."""
        ...

    def settle(self, reserved: int | None, used: int) -> None: ...


class Executor(Protocol):
    """Carries out agents."""

    async def run(self, task: AgentTask, observer: Observer, history: list[Message]) -> AgentResult: ...
