"""The shared beginning of many prompts, so that a provider's prefix cache is written once and read by all the others.

Of the agents of a fan-out whose prompts begin alike, the first goes ahead; the rest follow when its answer is there,
or after a few seconds. Requests carry how many characters of their prompt are shared, for the cache's breakpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from counterpoint.agents.task import AgentTask

LEAST_CHARS = 6000
"""Shared beginnings below that are not worth a wait: providers cache from 1,024 tokens on, some from 2,048."""
KEY_CHARS = 512
LONGEST_WAIT_S = 5.0


@dataclass(slots=True)
class _Group:
    """Tasks of one model and kind whose prompts begin alike."""

    prompt: str
    shared: int
    led: bool = False
    """Whether the first has gone ahead."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Prefixes:
    """The groups of one attempt's tasks."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str, str], _Group] = {}

    def announce(self, task: AgentTask) -> None:
        """A task that will come; announce those of a fan-out before the first of them is sent."""
        if len(task.prompt) < LEAST_CHARS:
            return
        group = self._groups.get(_key(task))
        if group is None:
            self._groups[_key(task)] = _Group(task.prompt, len(task.prompt))
        else:
            group.shared = shared_beginning(group.prompt, task.prompt, group.shared)

    def shared(self, task: AgentTask) -> int:
        """Characters that the prompt shares with its siblings; 0 where that is too little, or there are none."""
        group = self._groups.get(_key(task)) if len(task.prompt) >= LEAST_CHARS else None
        known = group is not None and LEAST_CHARS <= group.shared < len(task.prompt)
        return group.shared if known and group is not None else 0

    @contextlib.asynccontextmanager
    async def turn(self, task: AgentTask) -> AsyncGenerator[int]:
        """Waits for the task's turn to send its first request; gives `shared`."""
        shared = self.shared(task)
        if not shared:
            yield 0
            return
        group = self._groups[_key(task)]
        if group.led:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT_S):
                    await group.answered.wait()
            yield shared
            return
        group.led = True
        try:
            yield shared
        finally:
            group.answered.set()


def shared_beginning(one: str, other: str, most: int) -> int:
    """Length of the common beginning of two texts, at most `most`; found by halving, so long texts cost little."""
    low, high = 0, min(most, len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _key(task: AgentTask) -> tuple[str, str, str, str]:
    return task.model, task.system, task.cwd, task.prompt[:KEY_CHARS]
