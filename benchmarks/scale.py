"""How far it goes, and what breaks first: a simulation of up to 100,000 agents on 1,000 workers, with measured costs.

    python benchmarks/scale.py [--slots 16] [--turns 5] [--seconds 20] [--requests-a-minute 4000] …

First the costs are measured on this machine (`costs.py`), with real servers; they are printed with the result. Then the
simulation is held against two real runs of other sizes than those that were measured. Then come the sizes that cannot
be run here. In the simulation each run, each worker, PostgreSQL, Temporal, the database's network card and the provider
are stations with a queue; an agent goes from one to the next and takes each one's time as it was measured.

It is a simulation of our own, of some hundred lines: an agent is a generator that yields the time at which it goes on,
and a station of first-come-first-served needs no event of its own, only the time at which its next place is free. That
is five times faster than with a general library, and nothing to install.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import os
import random
import sys
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from costs import Costs, measured
from machines import Machines, machines
from suite import FAN, Bench, measure

SIZES = (100, 1_000, 10_000, 100_000)
WORKERS = (10, 100, 1_000)
RUN_WIDTH = 1_000
"""Agents at work at once in one run, at most: what `concurrency` takes."""
ROUNDS = 3
SPREAD = 0.5
"""An answer takes so much more or less of its usual time."""
BEATS_EVERY_S = 7.5
"""Heartbeats of an agent on a worker: a quarter of `cluster_lease_s`."""
NOTHING, CONNECTIONS, PROVIDER = "nothing", "connections to PostgreSQL", "the provider's limit"
RUN, WORKER, POSTGRES, TEMPORAL = "CPU of a run's process", "CPU of a worker", "PostgreSQL's CPU", "Temporal's CPU"
NETWORK, SHARED = "network for bundles", "this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where the agents run, and what they do. What is not measured is assumed here."""

    agents: int
    workers: int
    slots: int = 16
    turns: int = 5
    seconds: float = 20.0
    """Of the provider, for an answer, and by how much of that it varies."""
    spread: float = SPREAD
    bundle_mb: float = 5.0
    """Of a repository, once to each worker for each run."""
    result_mb: float = 0.1
    """Of an agent's commits: to the database, and out of it to the run."""
    per_minute: float = 4_000.0
    """Requests that the provider takes."""
    postgres_cores: int = 2
    temporal_cores: int = 2
    gigabits: float = 1.0
    """The network card of the database's machine."""
    connections: int = 100
    """That PostgreSQL takes as it is installed."""
    run_width: int = RUN_WIDTH
    http: float = 1.0
    """Part of the requests that go over HTTP: none of those of the model `sim`."""
    shared_cores: float = 0.0
    """All processes share so many cores: as in the real runs that the simulation is held against."""
    local: bool = False
    """Agents are carried out in the run's own process."""

    @property
    def places(self) -> int:
        return self.run_width if self.local else self.workers * self.slots

    @property
    def runs(self) -> int:
        """So many that all places can be taken."""
        return max(1, -(-min(self.agents, self.places) // self.run_width))

    @property
    def in_flight(self) -> int:
        return min(self.agents, self.places, self.runs * self.run_width)

    @property
    def ideal(self) -> float:
        """Seconds, if nothing but the places were scarce, and nothing cost anything."""
        return self.agents / self.in_flight * self.turns * self.seconds


class Station:
    """Something that serves in order of arrival, with one or more servers."""

    def __init__(self, name: str, servers: float = 1.0) -> None:
        self.name = name
        self.busy = 0.0
        whole = max(1, int(servers))
        self._speed = servers / whole
        self._free = [0.0] * whole
        self.servers = servers

    def serve(self, now: float, seconds: float) -> float:
        """When somebody who comes now is done."""
        self.busy += seconds
        start = max(now, self._free[0])
        end = start + seconds / self._speed
        heapq.heapreplace(self._free, end)
        return end

    def part(self, wall: float) -> float:
        """Of its time that it was busy."""
        return self.busy / (self.servers * wall) if wall else 0.0


class Places:
    """So many at once; the others wait in order."""

    def __init__(self, clock: Clock, count: int) -> None:
        self._clock = clock
        self._waiting: deque[Agent] = deque()
        self._left = count
        self.taken = self.most = 0

    def take(self, agent: Agent) -> bool:
        """Whether there is one now; if not, the agent is woken when it has one."""
        if not self._left:
            self._waiting.append(agent)
            return False
        self._left -= 1
        self.taken += 1
        self.most = max(self.most, self.taken)
        return True

    def give_back(self) -> None:
        if self._waiting:
            self._clock.wake(self._waiting.popleft(), self._clock.now)
        else:
            self._left += 1
            self.taken -= 1


Agent = Generator[float | Places, None, None]
"""Yields when it goes on, or what it takes a place of."""


class Clock:
    """Wakes agents in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Agent]] = []
        self._count = 0

    def wake(self, agent: Agent, at: float) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at, self._count, agent))

    def run(self) -> None:
        while self._agenda:
            self.now, _, agent = heapq.heappop(self._agenda)
            wanted = next(agent, None)
            if isinstance(wanted, Places):
                if wanted.take(agent):
                    self.wake(agent, self.now)
            elif wanted is not None:
                self.wake(agent, wanted)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated evening came to."""

    world: World
    wall: float
    parts: dict[str, float]
    """Station → part of its time that it was busy; of several alike, the busiest."""
    at_once: int
    """Agents on workers, at most."""
    connections: int

    @property
    def busiest(self) -> list[tuple[str, float]]:
        return sorted(self.parts.items(), key=lambda item: -item[1])

    @property
    def first(self) -> str:
        """What breaks first."""
        if self.connections > self.world.connections:
            return CONNECTIONS
        name, part = self.busiest[0]
        return name if part > 0.7 and self.wall > 1.1 * self.world.ideal else NOTHING


class Simulation:
    """One evening in a world."""

    def __init__(self, world: World, costs: Costs) -> None:
        self._world, self._costs = world, costs
        self._dice = random.Random(7)
        self._clock = Clock()
        self._places = Places(self._clock, world.places)
        shared = Station(SHARED, world.shared_cores) if world.shared_cores else None
        self._runs = [shared or Station(RUN) for _ in range(world.runs)]
        self._widths = [Places(self._clock, world.run_width) for _ in range(world.runs)]
        self._workers = [shared or Station(WORKER) for _ in range(world.workers)]
        self._postgres = shared or Station(POSTGRES, world.postgres_cores)
        self._temporal = shared or Station(TEMPORAL, world.temporal_cores)
        self._network = Station(NETWORK)
        self._provider = Station(PROVIDER)
        self._fetched: set[tuple[int, int]] = set()
        """Run and worker that have the run's bundle."""
        self._wall = 0.0

    def run(self) -> Outcome:
        start = self._costs.local_run if self._world.shared_cores else 0.0
        for n in range(self._world.agents):
            self._clock.wake(self._local() if self._world.local else self._far(n), start)
        self._clock.run()
        parts: dict[str, float] = {}
        for station in (*self._runs, *self._workers, self._postgres, self._temporal, self._network, self._provider):
            parts[station.name] = max(parts.get(station.name, 0.0), station.part(self._wall))
        connections = self._costs.worker_connections * len(self._workers)
        return Outcome(
            self._world, self._wall, parts, self._places.most,
            round(connections + self._costs.driver_connections * len(self._runs)),
        )  # fmt: skip

    def _local(self) -> Agent:
        clock, costs, (cpu,) = self._clock, self._costs, self._runs
        yield self._places
        yield cpu.serve(clock.now, costs.local_agent / 2)
        yield clock.now + self._latency() * self._world.turns
        yield cpu.serve(clock.now, costs.local_agent / 2)
        yield clock.now + costs.sqlite_commit
        self._places.give_back()
        self._wall = max(self._wall, clock.now)

    def _far(self, n: int) -> Agent:
        """An agent on a worker: errand, queue, bundle, turns, result."""
        clock, costs, world = self._clock, self._costs, self._world
        of, at = n % len(self._runs), self._dice.randrange(len(self._workers))
        run, width, worker = self._runs[of], self._widths[of], self._workers[at]
        yield width
        yield run.serve(clock.now, costs.driver_agent / 2)
        yield self._postgres.serve(clock.now, costs.postgres_agent / 3) + costs.postgres_commit
        yield self._temporal.serve(clock.now, self._beside_heartbeats(costs.temporal_agent))
        yield self._places
        began = clock.now
        if (of, at) not in self._fetched:
            self._fetched.add((of, at))
            yield self._sent(world.bundle_mb)
        yield worker.serve(clock.now, costs.worker_agent)
        for turn in range(world.turns):
            yield self._provider.serve(clock.now, 60 / world.per_minute)
            yield clock.now + self._latency()
            yield worker.serve(clock.now, world.http * costs.worker_request + (costs.worker_turn if turn else 0.0))
            if turn:  # said, not waited for
                self._postgres.serve(clock.now, costs.postgres_turn)
                run.serve(clock.now, costs.driver_turn)
        yield self._sent(world.result_mb * 2)
        yield self._postgres.serve(clock.now, costs.postgres_agent / 3) + costs.postgres_commit
        self._places.give_back()
        self._temporal.busy += (clock.now - began) / BEATS_EVERY_S * costs.temporal_beat
        yield clock.now + costs.notify
        yield run.serve(clock.now, costs.driver_agent / 2)
        yield self._postgres.serve(clock.now, costs.postgres_agent / 3) + costs.postgres_commit
        width.give_back()
        self._wall = max(self._wall, clock.now)

    def _sent(self, megabytes: float) -> float:
        """When so much has gone to or from the database."""
        bits = megabytes * 8e6
        self._postgres.serve(self._clock.now, megabytes * 1e6 * self._costs.postgres_byte)
        return self._network.serve(self._clock.now, bits / (self._world.gigabits * 1e9))

    def _latency(self) -> float:
        return self._world.seconds * self._dice.uniform(1 - self._world.spread, 1 + self._world.spread)

    def _beside_heartbeats(self, seconds: float) -> float:
        """What Temporal takes for something while it also hears that agents are alive."""
        beats = self._places.taken / BEATS_EVERY_S * self._costs.temporal_beat / self._temporal.servers
        return seconds / max(0.02, 1 - beats)


def lifted(outcome: Outcome) -> tuple[str, World]:
    """The knob that moves the first wall, and the world after it was turned."""
    world = outcome.world
    match outcome.first:
        case "connections to PostgreSQL":
            most = -(-outcome.connections * 5 // 4 // 100) * 100
            return f"`max_connections = {most:,}`", replace(world, connections=most)
        case "the provider's limit":
            return f"{world.per_minute * 5:,.0f} requests a minute", replace(world, per_minute=world.per_minute * 5)
        case "Temporal's CPU":
            cores = world.temporal_cores * 4
            return f"{cores} cores for Temporal", replace(world, temporal_cores=cores)
        case "PostgreSQL's CPU":
            cores = world.postgres_cores * 4
            return f"{cores} cores for PostgreSQL", replace(world, postgres_cores=cores)
        case "CPU of a run's process":
            return f"runs of {world.run_width // 2} agents at once", replace(world, run_width=world.run_width // 2)
        case "network for bundles":
            return f"{world.gigabits * 10:g} Gbit/s", replace(world, gigabits=world.gigabits * 10)
        case name:
            raise ValueError(name)


# --- what is shown ---------------------------------------------------------------------------------------------------

HEAD = """| agents | workers | runs | at once | ideal | wall | breaks first | busiest |
| --: | --: | --: | --: | --: | --: | --- | --- |"""


def line(outcome: Outcome) -> str:
    world = outcome.world
    busiest = ", ".join(f"{name} {part:.0%}" for name, part in outcome.busiest[:3])
    return (
        f"| {world.agents:,} | {world.workers:,} | {world.runs} | {outcome.at_once:,} | {_time(world.ideal)} "
        f"| {_time(outcome.wall)} | {outcome.first} | {busiest} |"
    )


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


async def validated(here: Machines, costs: Costs) -> list[str]:
    """The simulation beside real runs of sizes that were not measured.

    Of three runs the quickest: it is the one that was least disturbed by what else the machine has to do.
    """
    rows = ["| run | predicted | measured | error |", "| --- | --: | --: | --: |"]
    files = Bench(here.folder / "validation", "")
    for agents in (1_000, 4_000):
        tried = [await measure(lambda n=agents: files.run(FAN, n, model="sim:latency=200ms", width=250))
                 for _ in range(ROUNDS)]  # fmt: skip
        world = World(agents=agents, workers=0, local=True, run_width=250, turns=1, seconds=0.2, spread=0,
                      shared_cores=1)  # fmt: skip
        what = f"{agents:,} local agents of 200 ms, 250 at once"
        rows.append(_compared(what, world, costs, min(cost.wall for cost in tried)))
    database = here.postgres.new_database()
    with here.at_work(2, 8, database):
        await here.run(8, database=database, cluster=True, model="sim", width=8)
        for agents in (48, 96):
            spent = [await here.run(agents, database=database, cluster=True, model="sim:latency=1s", width=500)
                     for _ in range(ROUNDS)]  # fmt: skip
            world = World(agents=agents, workers=2, slots=8, turns=1, seconds=1.0, spread=0, bundle_mb=0, result_mb=0,
                          http=0, per_minute=1e9, shared_cores=os.cpu_count() or 1)  # fmt: skip
            what = f"{agents} agents of 1 s on 2 workers of 8 places"
            rows.append(_compared(what, world, costs, min(each.wall for each in spent)))
    return rows


def _compared(what: str, world: World, costs: Costs, real: float) -> str:
    predicted = Simulation(world, costs).run().wall
    return f"| {what} | {predicted:.2f} s | {real:.2f} s | {(predicted - real) / real:+.0%} |"


def simulated(world: World, costs: Costs) -> None:
    """The tables of sizes that cannot be run here."""
    print(HEAD)
    for agents in SIZES:
        for workers in WORKERS:
            print(line(Simulation(replace(world, agents=agents, workers=workers), costs).run()), flush=True)
    print("\nThe largest size, and one wall after the other taken away:\n")
    print("| turned | runs | wall | breaks first | busiest |\n| --- | --: | --: | --- | --- |")
    turned, world = "nothing yet", replace(world, agents=SIZES[-1], workers=WORKERS[-1])
    for _ in range(12):
        outcome = Simulation(world, costs).run()
        busiest = ", ".join(f"{name} {part:.0%}" for name, part in outcome.busiest[:3])
        row = f"| {turned} | {world.runs} | {_time(outcome.wall)} | {outcome.first} | {busiest} |"
        print(row, flush=True)
        if outcome.first in (NOTHING, WORKER):
            break
        turned, world = lifted(outcome)


async def main() -> None:
    given = arguments()
    world = World(
        agents=0, workers=0, slots=given.slots, turns=given.turns, seconds=given.seconds, bundle_mb=given.bundle_mb,
        per_minute=given.requests_a_minute, postgres_cores=given.postgres_cores, temporal_cores=given.temporal_cores,
        gigabits=given.gigabits,
    )  # fmt: skip
    with machines() as here:
        costs = await measured(here)
        print(costs.table(), flush=True)
        print(f"\nThe simulation beside real runs:\n\n{chr(10).join(await validated(here, costs))}", flush=True)
    if given.validate:
        return
    print(
        f"\nAssumed: workers of {world.slots} places; agents of {world.turns} requests of {world.seconds:g} s; "
        f"a bundle of {world.bundle_mb:g} MB for each run on a worker, {world.result_mb:g} MB of commits an agent; "
        f"a provider that takes {world.per_minute:,.0f} a minute; {world.postgres_cores} cores for PostgreSQL "
        f"and {world.temporal_cores} for Temporal, {world.gigabits:g} Gbit/s; as many runs as it takes, of "
        f"{world.run_width:,} agents at once.\n"
    )
    began = time.perf_counter()
    simulated(world, costs)
    print(f"\nSimulated in {time.perf_counter() - began:.0f} s.")


def arguments() -> argparse.Namespace:
    usual = World(agents=0, workers=0)
    parser = argparse.ArgumentParser(description="What breaks first, by simulation with measured costs.")
    parser.add_argument("--slots", type=int, default=usual.slots, help="places of a worker")
    parser.add_argument("--turns", type=int, default=usual.turns, help="requests of an agent")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of each")
    parser.add_argument("--bundle-mb", type=float, default=usual.bundle_mb, help="of a repository, to each agent")
    parser.add_argument("--requests-a-minute", type=float, default=usual.per_minute, help="that the provider takes")
    parser.add_argument("--postgres-cores", type=int, default=usual.postgres_cores)
    parser.add_argument("--temporal-cores", type=int, default=usual.temporal_cores)
    parser.add_argument("--gigabits", type=float, default=usual.gigabits, help="of the database's network card")
    parser.add_argument("--validate", action="store_true", help="only hold the simulation against real runs")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
