"""What a resume would do, found by doing it: the script runs against its record, and nothing else happens.

Agents and tools that the record does not answer never start, nothing is written, nothing is spent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Raw

from counterpoint.agents.compact import Row
from counterpoint.agents.loop import Observer
from counterpoint.agents.merging import Check, Report, Source
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.events import NO_USAGE, Recorded, RunEnded, RunStatus, Usage, Value
from counterpoint.models.registry import Models
from counterpoint.runtime.children import FindWorkflow
from counterpoint.runtime.effects import differing
from counterpoint.runtime.run import Plan, Run


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a resume would reuse and run. `run` is what is called until the script has to wait: more may follow."""

    reuse: int
    keep: int
    """Agents that keep an end that was not ok."""
    run: int
    ends: bool
    """Whether the script ends without running anything."""
    saves: Usage
    differing: list[tuple[str, str]]
    """Agent and file, for each file of the shared tree that is not as a reused agent left it."""


ReadValue = Callable[[Value], Awaitable[bytes]]


class _Dry:
    """A journal that forgets."""

    def __init__(self, history: list[Recorded], read_value: ReadValue) -> None:
        self.history = history
        self.durable_seq = history[-1].seq if history else 0
        self._read_value = read_value

    def append(self, event: Any) -> Recorded:
        self.durable_seq += 1
        return Recorded(self.durable_seq, time.time(), event)

    async def durable(self, seq: int) -> None:
        pass

    def value(self, json: bytes, *, apart: bool = False) -> Value:
        return Value(json=Raw(json))

    async def read_value(self, value: Value) -> bytes:
        return await self._read_value(value)

    def write_turn(self, agent: str, n: int, body: bytes) -> None:
        pass

    async def turns(self, agent: str) -> list[tuple[int, bytes]]:
        return []


class _Never:
    """An executor whose agents do not come to an end."""

    def announce(self, task: AgentTask) -> None:
        pass

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        return await _never()


async def _never(*_: object) -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


async def rehearse(
    plan: Plan, *, history: list[Recorded], read_value: ReadValue, models: Models, find_workflow: FindWorkflow
) -> Rehearsal:
    """Says what a resume by this plan would do."""
    run = Run(
        plan,
        journal=_Dry(history, read_value),
        epoch=0,
        models=models,
        executor=lambda _: _Never(),
        find_workflow=find_workflow,
        use_tool=_use_no_tool,
        merge=_merge_nothing,
    )
    async with asyncio.TaskGroup() as group:
        attempt = group.create_task(run.execute())
        waits = group.create_task(run.attempt.deliveries.waiting.wait())
        await asyncio.wait((attempt, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        found = await _look(run, ends=attempt.done())
        run.end(RunEnded(RunStatus.STOPPED))
    return found


async def _merge_nothing(
    folder: Path, sources: Sequence[Source], place: Path, check: Check | None, *, all_or_none: bool = False
) -> Report:
    return await _never()


async def _use_no_tool(name: str, input: dict[str, Any], folder: Path) -> str:
    return await _never()


async def _look(run: Run, *, ends: bool) -> Rehearsal:
    called = [agent for agent in run.view.agents.values() if agent.called]
    reused = [agent for agent in called if agent.good]
    saves = NO_USAGE
    for agent in reused:
        saves = saves + agent.usage
    kept = sum(run.attempt.replay.stands(agent.key) for agent in called)
    return Rehearsal(len(reused), kept, len(called) - len(reused) - kept, ends, saves, await differing(run.view))
