"""What a run costs beside the bare event loop: N simulated agents at once, in one `parallel`.

Each round measures two things in this process, one after the other:

- *floor*: N bare asyncio tasks that sleep the agents' latency. Nothing that answers N calls can be faster.
- *run*: a whole run, from the script's text to the returned value: it is recorded, leased, its script executed in a
  child process, each agent asked of the model `sim`, each answer in the journal on disk before the script hears it.

Wall is the time of the whole; CPU is that of this process and its children; `per agent` divides by N. The ratio is
wall of the run over wall of the floor, of each round; what counts is the median. Each run is checked: no answer may be
lost, repeated or in another's place, neither in the result nor in the journal. Garbage is collected as the command line
has it. On a busy machine CPU can still be compared, wall cannot: the floor sleeps, and needs no processor for it.

    python benchmarks/fanout.py --agents 1000 --latency 50 --rounds 7
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from os import times
from pathlib import Path
from typing import Any

import msgspec

from counterpoint import daemon
from counterpoint.cli.main import collect_seldom
from counterpoint.client import Client
from counterpoint.events import AgentFinished, AgentQueued, AgentStarted, Outcome, RunStatus
from counterpoint.models.registry import Models
from counterpoint.script import Script
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.store.runs import Store
from counterpoint.version import VERSION

SCRIPT = """export const meta = { name: 'fanout', description: 'N agents at once' }
return await parallel(Array.from({ length: args.agents }, (_, i) => () => agent(`task ${i}.`)))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that something took."""

    wall: float
    cpu: float


async def measure(work: Callable[[], Awaitable[Any]]) -> tuple[Cost, Any]:
    """What `work` costs, and what it gives."""
    wall, cpu = time.perf_counter(), cpu_s()
    result = await work()
    return Cost(time.perf_counter() - wall, cpu_s() - cpu), result


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(times()[:4])


async def floor(agents: int, latency_s: float) -> None:
    """The least that has to be done for so many answers: to wait for them, all at once."""
    async with asyncio.TaskGroup() as group:
        for _ in range(agents):
            group.create_task(asyncio.sleep(latency_s))


async def whole_run(store: Store, settings: Settings, script: Script, agents: int) -> str:
    """Records and executes a run, and gives its id."""
    args = msgspec.json.encode({"agents": agents})
    async with Models(settings) as models:
        run_id = await Client(store).submit(
            script, settings=settings, models=models, cwd=store.folder, args=args, version=VERSION
        )
        ended = await daemon.execute(store, run_id, models)
    if ended.status is not RunStatus.COMPLETED:
        raise SystemExit(f"The run ended as {ended.status.value}: {ended.message}")
    return run_id


async def check(store: Store, run_id: str, agents: int) -> None:
    """Ends the benchmark where an answer is lost, repeated, or in another's place."""
    client = Client(store)
    view = await client.view(run_id)
    result: list[str] = await client.value(run_id, view.result)
    misplaced = [n for n, text in enumerate(result) if f" task {n}. " not in text]
    if len(result) != agents or misplaced:
        raise SystemExit(f"The result has {len(result)} answers of {agents}; misplaced: {misplaced[:10]}.")
    journal = await client.events(run_id)
    for kind in (AgentQueued, AgentStarted, AgentFinished):
        seen = Counter(recorded.event.agent for recorded in journal if isinstance(recorded.event, kind))
        if seen != Counter(f"a{n + 1}" for n in range(agents)):
            raise SystemExit(f"The journal has {seen.total()} of {agents} {kind.__name__}.")
    answers = {
        recorded.event.agent: msgspec.json.decode(recorded.event.value.json)
        for recorded in journal
        if isinstance(recorded.event, AgentFinished) and recorded.event.outcome is Outcome.OK and recorded.event.value
    }
    if [answers[f"a{n + 1}"] for n in range(agents)] != result:
        raise SystemExit("The journal's answers are not those of the result.")


async def rounds(agents: int, latency_ms: int, count: int) -> list[tuple[Cost, Cost]]:
    """Floor and run of each round. The first round, in which modules are still being loaded, does not count."""
    costs: list[tuple[Cost, Cost]] = []
    script = parse(SCRIPT, "fanout.js")
    with tempfile.TemporaryDirectory(prefix="counterpoint-bench-") as folder:
        settings = Settings(
            state=Path(folder), model=f"sim:latency={latency_ms}ms", concurrency=min(agents, 1000), max_agents=agents,
            max_items=agents,
        )  # fmt: skip
        async with Store(settings.state) as store:
            for _ in range(count + 1):
                bare, _ = await measure(lambda: floor(agents, latency_ms / 1000))
                run, run_id = await measure(lambda: whole_run(store, settings, script, agents))
                await check(store, run_id, agents)
                costs.append((bare, run))
    return costs[1:]


def report(costs: list[tuple[Cost, Cost]], agents: int, latency_ms: int) -> None:
    """The table: medians over the rounds."""
    print(f"{agents:,} agents at once, {latency_ms} ms each, medians of {len(costs)} rounds; every answer checked")
    print(f"{'':8}{'wall':>10}{'wall/agent':>14}{'CPU':>10}{'CPU/agent':>14}")
    for name, column in (("floor", 0), ("run", 1)):
        wall = statistics.median(pair[column].wall for pair in costs)
        cpu = statistics.median(pair[column].cpu for pair in costs)
        print(f"{name:8}{wall:8.3f} s{wall / agents * 1e6:11.0f} µs{cpu:8.3f} s{cpu / agents * 1e6:11.0f} µs")
    ratios = sorted(run.wall / bare.wall for bare, run in costs)
    print(
        f"ratio   {statistics.median(ratios):.2f}  (wall of run / wall of floor; {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    collect_seldom()
    parser = argparse.ArgumentParser(description="What a run costs beside the bare event loop.")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--latency", type=int, default=50, help="milliseconds of each agent")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    report(asyncio.run(rounds(given.agents, given.latency, given.rounds)), given.agents, given.latency)


if __name__ == "__main__":
    sys.exit(main())
