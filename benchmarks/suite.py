"""All figures of docs/performance.md, each beside its floor in the same run. `make bench` prints the table.

    python benchmarks/suite.py [--quick] [NAME ...]

Wall and CPU are of this process and its ended children; garbage is collected as the command line has it. Agents over
HTTP talk to `loopback.py`, whose latency is 50 ms; their floor is a bare aiohttp client that posts the same bytes to
the same server, as many at once. The floor of what goes into the journal is raw SQLite with the same number of rows,
committed as durably.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from counterpoint import daemon
from counterpoint.cli.main import collect_seldom
from counterpoint.client import Client
from counterpoint.events import LogWritten, RunEnded, RunStatus
from counterpoint.models.registry import Models
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.store.runs import Store
from counterpoint.version import VERSION

sys.path.insert(0, str(Path(__file__).parent))
from loopback import provider

FAN = """export const meta = { name: 'fan', description: 'N agents at once' }
return (await parallel(Array.from({ length: args.n }, (_, i) => () => agent(`task ${i}.`)))).filter(Boolean).length
"""
PIPELINE = """export const meta = { name: 'pipeline', description: 'N items through three stages' }
const items = Array.from({ length: args.n }, (_, i) => i)
const out = await pipeline(items, (n) => agent(`a ${n}`), (r, n) => agent(`b ${n}`), (r, n) => agent(`c ${n}`))
return out.filter(Boolean).length
"""
LARGE = """export const meta = { name: 'large', description: 'a large result' }
return 'x'.repeat(args.n)
"""
LATENCY_MS = 50
MODEL = "openai-compatible:m"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that something took."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was done how often, what it cost, and what the floor cost."""

    what: str
    count: int
    cost: Cost
    floor_is: str
    floor: Cost

    def line(self) -> str:
        each, bare = 1e3 / self.count, self.floor
        ratio = (
            f"{self.cost.wall / bare.wall:.1f} / {self.cost.cpu / bare.cpu:.1f}"
            if bare.cpu
            else f"{self.cost.wall / bare.wall:.1f}"
        )
        return (
            f"| {self.what} | {self.cost.wall:.2f} | {self.cost.wall * each:.2f} | {self.cost.cpu * each:.2f} "
            f"| {self.floor_is} | {bare.wall:.2f} | {bare.cpu * each:.2f} | {ratio} |"
        )


HEAD = """| what | wall s | wall ms each | CPU ms each | floor | its wall s | its CPU ms each | ratio wall / CPU |
| --- | --: | --: | --: | --- | --: | --: | --: |"""


def cpu_s() -> float:
    return sum(os.times()[:4])


async def measure(work: Callable[[], Awaitable[Any]]) -> Cost:
    wall, cpu = time.perf_counter(), cpu_s()
    await work()
    return Cost(time.perf_counter() - wall, cpu_s() - cpu)


class Bench:
    """A store of its own, and runs in it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address

    def settings(self, model: str, width: int) -> Settings:
        return Settings(
            state=self.folder, model=model, base_url=self.address if model == MODEL else None, concurrency=width,
            max_agents=1_000_000, max_items=1_000_000,
        )  # fmt: skip

    async def run(self, text: str, n: int, *, model: str, width: int) -> str:
        """A whole run; its id. Ends the benchmark where it does not complete."""
        settings = self.settings(model, width)
        async with Store(self.folder) as store, Models(settings) as models:
            run_id = await Client(store).submit(
                parse(text, "bench.js"), settings=settings, models=models, cwd=self.folder,
                args=msgspec.json.encode({"n": n}), version=VERSION,
            )  # fmt: skip
            self.expect(await daemon.execute(store, run_id, models))
        return run_id

    async def resume(self, run_id: str, *, model: str, width: int) -> None:
        async with Store(self.folder) as store, Models(self.settings(model, width)) as models:
            self.expect(await daemon.execute(store, run_id, models))

    @staticmethod
    def expect(ended: RunEnded) -> None:
        if ended.status is not RunStatus.COMPLETED:
            raise SystemExit(f"The run ended as {ended.status.value}: {ended.message}")

    async def post(self, count: int, width: int, body: bytes) -> None:
        """The floor over HTTP: the same bytes to the same server, as many at once."""
        room = asyncio.Semaphore(width)
        headers = {"content-type": "application/json"}
        connector = aiohttp.TCPConnector(limit=width)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:

            async def one() -> None:
                async with room, session.post(f"{self.address}/chat/completions", data=body, headers=headers) as answer:
                    json.loads(await answer.read())

            for _ in range(count):
                group.create_task(one())


async def asked_body(bench: Bench) -> bytes:
    """What one of our agents sends, in size: a prompt and the schemas of the tools."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 6000}]}).encode()


async def sleepers(count: int, width: int) -> None:
    """The floor without HTTP: bare tasks that sleep as long, as many at once."""
    room = asyncio.Semaphore(width)

    async def one() -> None:
        async with room:
            await asyncio.sleep(LATENCY_MS / 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())


# --- the rows --------------------------------------------------------------------------------------------------------


async def over_http(bench: Bench, count: int) -> Row:
    width, body = min(count, 1000), await asked_body(bench)
    await bench.run(FAN, 1, model=MODEL, width=1)  # libraries are loaded once
    cost = await measure(lambda: bench.run(FAN, count, model=MODEL, width=width))
    floor = await measure(lambda: bench.post(count, width, body))
    return Row(f"fan-out over HTTP, {count:,} agents", count, cost, "aiohttp posts", floor)


async def simulated(bench: Bench, count: int) -> Row:
    width, model = min(count, 1000), f"sim:latency={LATENCY_MS}ms"
    cost = await measure(lambda: bench.run(FAN, count, model=model, width=width))
    return Row(
        f"fan-out with sim, {count:,} agents",
        count,
        cost,
        "sleeping tasks",
        await measure(lambda: sleepers(count, width)),
    )


async def staged(bench: Bench, count: int) -> Row:
    items, width, model = count // 3, min(count // 3, 1000), f"sim:latency={LATENCY_MS}ms"
    cost = await measure(lambda: bench.run(PIPELINE, items, model=model, width=width))
    return Row(
        f"pipeline of 3 stages, {count:,} agents",
        count,
        cost,
        "sleeping tasks",
        await measure(lambda: sleepers(count, width)),
    )


async def resumed(bench: Bench, count: int) -> Row:
    run_id = await bench.run(FAN, count, model="sim", width=1000)
    cost = await measure(lambda: bench.resume(run_id, model="sim", width=1000))

    async def read() -> None:
        async with Store(bench.folder) as store:
            await Client(store).events(run_id)

    return Row(f"resume of {count:,} answered agents", count, cost, "reading the journal", await measure(read))


async def appends(bench: Bench, count: int) -> Row:
    run_id = await bench.run(FAN, 1, model="sim", width=1)
    event = LogWritten("x" * 200)

    async def ours() -> None:
        async with Store(bench.folder) as store, store.writing(run_id) as journal:
            for n in range(count):
                last = journal.append(event)
                if n % 100 == 99:
                    await journal.durable(last.seq)

    async def raw() -> None:
        await asyncio.to_thread(_raw_appends, bench.folder / "raw.db", count)

    cost = await measure(ours)
    return Row(f"{count:,} durable events, 100 a commit", count, cost, "raw SQLite", await measure(raw))


def _raw_appends(path: Path, count: int) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        connection.execute("CREATE TABLE events (run TEXT, seq INTEGER, body BLOB, PRIMARY KEY (run, seq))")
        body = b"x" * 260
        for first in range(0, count, 100):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO events VALUES ('r', ?, ?)", [(n, body) for n in range(first, first + 100)]
            )
            connection.execute("COMMIT")


async def large(bench: Bench, count: int) -> Row:
    cost = await measure(lambda: bench.run(LARGE, count, model="sim", width=1))

    async def write() -> None:
        await asyncio.to_thread(_write_durably, bench.folder / "raw.bin", count)

    return Row(f"a run with a result of {count / 1e6:.0f} MB", 1, cost, "a file, synced", await measure(write))


def _write_durably(path: Path, count: int) -> None:
    with path.open("wb") as file:
        file.write(b"x" * count)
        file.flush()
        os.fsync(file.fileno())


async def started(bench: Bench, count: int) -> Row:
    script = bench.folder / "one.js"
    script.write_text("export const meta = { name: 'one', description: 'one agent' }\nreturn await agent('x')\n")
    ours = [
        sys.executable,
        "-m",
        "counterpoint",
        "run",
        str(script),
        "--model",
        "sim",
        "--quiet",
        "--state",
        str(bench.folder),
    ]
    bare = [sys.executable, "-c", "import asyncio; asyncio.run(asyncio.sleep(0))"]
    return Row(
        "a command that runs one agent", 1, await _command(ours, count), "bare Python", await _command(bare, count)
    )


async def _command(command: list[str], rounds: int) -> Cost:
    async def once() -> None:
        await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)

    costs = [await measure(once) for _ in range(rounds)]
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


async def in_flight(bench: Bench, count: int) -> str:
    """Memory of agents that wait for their answers, over HTTP: growth of this process's peak for each."""
    await bench.run(FAN, 1, model=MODEL, width=1)  # libraries are loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await bench.run(FAN, count, model=MODEL, width=1000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"Memory: {count:,} agents in flight raise the peak by {grown / 1024:.0f} MB, {grown / count:.0f} KB each."


ROWS: dict[str, tuple[Callable[[Bench, int], Awaitable[Row]], list[int], list[int]]] = {
    "http": (over_http, [100, 1000, 10_000], [100]),
    "sim": (simulated, [100, 1000, 10_000], [100]),
    "pipeline": (staged, [3000], [300]),
    "resume": (resumed, [1000, 10_000], [100]),
    "appends": (appends, [20_000], [1000]),
    "large": (large, [1_000_000], [100_000]),
    "start": (started, [5], [1]),
}


async def table(names: list[str], *, quick: bool) -> None:
    print(HEAD)
    with provider(LATENCY_MS) as address:
        if "memory" in names:
            with tempfile.TemporaryDirectory(prefix="counterpoint-bench-") as folder:
                print(await in_flight(Bench(Path(folder), address), 100 if quick else 1000), file=sys.stderr)
        for name in names:
            if name != "memory":
                work, full, short = ROWS[name]
                for count in short if quick else full:
                    with tempfile.TemporaryDirectory(prefix="counterpoint-bench-") as folder:
                        print((await work(Bench(Path(folder), address), count)).line(), flush=True)


def main() -> None:
    collect_seldom()
    parser = argparse.ArgumentParser(description="The table of docs/performance.md.")
    parser.add_argument("names", nargs="*", choices=[*ROWS, "memory", []])
    parser.add_argument("--quick", action="store_true", help="small numbers: does it still run?")
    given = parser.parse_args()
    asyncio.run(table(given.names or [*ROWS, "memory"], quick=given.quick))


if __name__ == "__main__":
    main()
