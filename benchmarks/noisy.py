"""The real engine with agents of ours: what the calibration of verification measures with."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from typing import Any

import msgspec

from counterpoint.agents.compact import Row
from counterpoint.agents.loop import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.daemon import find_child
from counterpoint.events import Fault, Outcome, RunCreated, RunStatus, Usage
from counterpoint.models.conform import Dice
from counterpoint.models.registry import Models
from counterpoint.runtime.run import Plan, Run
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.simulation import MemoryJournal

CHUNK = 4000
"""Items of one pipeline; max_items is 4,096."""

Act = Callable[[AgentTask], Any]
"""What an agent answers; None: it dies."""


class Crowd:
    """An executor of agents that answer at once."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.called = 0

    def announce(self, task: AgentTask) -> None:
        pass

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        self.called += 1
        answer = self._act(task)
        if answer is None:
            fault = Fault("ProviderError", "It died.", kind="rejected")
            return AgentResult(Outcome.FAILED, fault=fault, turns=1)
        return AgentResult(Outcome.OK, msgspec.json.encode(answer), usage=Usage(10, 0, 10, 1), model="noisy", turns=1)


async def carry_out(text: str, args: Any, crowd: Crowd) -> Any:
    """What a script returns whose agents are the crowd."""
    script = parse(text, "benchmark.js")
    settings = Settings(max_agents=10_000_000, concurrency=1000)
    journal = MemoryJournal()
    created = RunCreated(
        run_id="wf_00000000-000", name=script.meta.name, description="", script=script.path,
        source=journal.value(msgspec.json.encode(text)), seed=1, model="sim", cwd=tempfile.gettempdir(),
        args=journal.value(msgspec.json.encode(args)), simulated=True, bounds=settings.bounds(),
    )  # fmt: skip
    journal.history.append(journal.append(created))
    run = Run(
        Plan(script=script), journal=journal, epoch=0, models=Models(settings), executor=lambda _: crowd,
        find_workflow=find_child,
    )  # fmt: skip
    ended = await run.execute()
    if ended.result is None or ended.status not in (RunStatus.COMPLETED, RunStatus.PARTIAL):
        raise RuntimeError(f"The run ended as {ended.status}: {ended.message}")
    return msgspec.json.decode(bytes(ended.result.json))


def chance(*what: object) -> float:
    """A number from 0 to 1 that follows from what it is for."""
    return Dice("\0".join(map(str, what))).below(1_000_000_000) / 1_000_000_000


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)
