"""Where an agent is carried out: here, or elsewhere. The task is whole, so it can travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from counterpoint.agents.compact import Row
from counterpoint.agents.loop import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.events import Usage

Cost = Callable[[Usage], float | None]
"""What a consumption costs in US dollars; None: the price is unknown."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one model request wants of the budget. `input_tokens` is an estimate from above."""

    agent: str
    phase: str | None
    input_tokens: int
    cost: Cost
    usual: int = 4096
    """Output tokens that such a request may well want, thinking included."""


class Grant(Protocol):
    """What a request may use."""

    @property
    def max_tokens(self) -> int | None:
        """Output tokens; None: no ceiling."""
        ...


G = TypeVar("G", bound=Grant)


class Allowance(Protocol[G]):
    """The budget as one model request sees it."""

    @property
    def bounded(self) -> bool:
        """Whether there is any ceiling; without one, nothing has to be reserved."""
        ...

    async def reserve(self, claim: Claim, waits: Callable[[], None]) -> G:
        """Takes what the request may use out of the budget, waiting for it. Raises HookError at the ceiling.

        `waits` is called while it waits, at least every 20 seconds, to show that this is no stall.
        """
        ...

    def settle(self, grant: G, used: Usage | None) -> None:
        """The request is over and has used that; None: it failed."""
        ...


class Executor(Protocol):
    """Carries out agents."""

    def announce(self, task: AgentTask) -> None:
        """The task was accepted and waits for its slot."""
        ...

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult: ...
