"""What an agent on a cluster costs beside one of the run's own process, and beside an activity that does nothing.

All in one run on one machine: PostgreSQL with fsync, Temporal's development server (in memory), workers as processes.

- *overhead*: agents of the model `sim` that answer at once, a hundred at a time. *local* carries them out in the run's
  process, its journal in the same PostgreSQL; *cluster* on one worker; *no-op* is an activity of Temporal's own without
  anything of ours around it: nothing that goes through Temporal can be cheaper.
- *throughput*: agents of one second, on 1, 2 and 4 workers of 8 places each. Ideal is 8 agents a second for each.

CPU is by process: of the run, of the workers, of PostgreSQL, of Temporal. They share this machine's cores, so the sum
of them bounds what can be seen here; each on a machine of its own would be bounded by its own column.

    python benchmarks/cluster.py [--agents 200]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

sys.path.insert(0, str(Path(__file__).parent))
from machines import Machines, Spent, machines, since

AT_ONCE = 100
SLOTS = 8
PER_WORKER = 40
NOTHING = "nothing"
HEAD = """| what | agents | wall s | a second | wall ms each | CPU ms each: run | workers | database | Temporal | sum |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"""


@activity.defn(name=NOTHING)
async def nothing() -> None:
    """An activity that does nothing."""


@activity.defn(name="alive")
async def alive(seconds: float, every_s: float) -> None:
    """An activity that is alive for a while, and says so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        activity.heartbeat()
        await asyncio.sleep(every_s)


async def serve(address: str) -> None:
    """A worker that takes the activities of this file, until it is killed."""
    client = await connected(address)
    worker = Worker(
        client, task_queue=NOTHING, activities=[nothing, alive], max_concurrent_activities=500,
        max_heartbeat_throttle_interval=timedelta(milliseconds=10),
    )  # fmt: skip
    async with worker:
        print("ready", flush=True)
        await asyncio.Event().wait()


async def connected(address: str) -> Client:
    host, _, namespace = address.removeprefix("temporal://").partition("/")
    return await Client.connect(host, namespace=namespace)


def noop_worker(here: Machines) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", here.temporal], text=True, stdout=subprocess.PIPE, start_new_session=True
    )
    here.workers.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def noop(here: Machines, count: int) -> tuple[Spent, list[float]]:
    """So many activities that do nothing, a hundred at a time; and how long each took."""
    client = await connected(here.temporal)
    gate, took = asyncio.Semaphore(AT_ONCE), list[float]()

    async def one() -> None:
        async with gate:
            began = time.perf_counter()
            await client.execute_activity(
                NOTHING, id=uuid.uuid4().hex, task_queue=NOTHING, start_to_close_timeout=timedelta(seconds=60)
            )
            took.append(time.perf_counter() - began)

    before = here.spent()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return since(before, here.spent()), took


def line(what: str, count: int, spent: Spent) -> str:
    parts = (spent.driver, spent.workers, spent.postgres, spent.temporal, spent.cpu)
    each = " | ".join(f"{seconds / count * 1e3:.1f}" for seconds in parts)
    wall = f"{spent.wall:.2f} | {count / spent.wall:.1f} | {spent.wall / count * 1e3:.1f}"
    return f"| {what} | {count:,} | {wall} | {each} |"


async def table(agents: int) -> None:
    print(HEAD, flush=True)
    with machines() as here:
        database = here.postgres.new_database()
        await here.run(20, database=database, cluster=False, model="sim", width=20)  # what is loaded once
        local = await here.run(agents, database=database, cluster=False, model="sim", width=AT_ONCE)
        print(line("local, the journal in PostgreSQL", agents, local), flush=True)
        process = noop_worker(here)
        await noop(here, 20)
        bare, _ = await noop(here, agents)
        print(line("Temporal's no-op activity, one worker", agents, bare), flush=True)
        process.kill()
        process.communicate()
        here.workers.clear()
        with here.at_work(1, AT_ONCE, database):
            await here.run(20, database=database, cluster=True, model="sim", width=20)
            far = await here.run(agents, database=database, cluster=True, model="sim", width=AT_ONCE)
            print(line("cluster, one worker", agents, far), flush=True)
        for workers in (1, 2, 4):
            with here.at_work(workers, SLOTS, database):
                await here.run(8, database=database, cluster=True, model="sim", width=8)
                count = PER_WORKER * workers
                took = await here.run(count, database=database, cluster=True, model="sim:latency=1s", width=500)
                print(line(f"1 s of latency, {workers} × {SLOTS} places", count, took), flush=True)
    print(
        f"\nAn agent on the cluster takes {far.wall / local.wall:.1f} times the wall and {far.cpu / local.cpu:.1f} "
        f"times the CPU of a local one; {far.wall / bare.wall:.1f} times the wall and {far.cpu / bare.cpu:.1f} times "
        "the CPU of a no-op activity."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What an agent on a cluster costs.")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(serve(given.serve) if given.serve else table(given.agents))


if __name__ == "__main__":
    main()
