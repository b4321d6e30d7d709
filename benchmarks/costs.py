"""What things cost on this machine: the inputs of `scale.py`, each measured when it is asked for."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from counterpoint.client import Client
from counterpoint.events import LogWritten, encode
from counterpoint.store.opening import store_at
from counterpoint.store.runs import Store
from counterpoint.store.server_store import ServerStore
from counterpoint.store.server_writer import channel

sys.path.insert(0, str(Path(__file__).parent))
from cluster import AT_ONCE, NOTHING, connected, noop, noop_worker
from loopback import provider
from machines import LONG, REPAIRS, Machines, Spent, since
from suite import FAN, LATENCY_MS, MODEL, Bench, measure

APART = "sim:invalid=1,latency=100ms..300ms"
"""So that turns of one agent are not reported together."""
PARCEL = random.Random(7).randbytes(5_000_000)
"""As little as a bundle can it be made smaller."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of CPU of one core where nothing else is said."""

    local_run: float
    """A run of its own, whatever its number of agents: wall seconds."""
    local_agent: float
    """Of the run's processes, an agent that they carry out themselves."""
    driver_agent: float
    """Of the run's processes, an agent on a worker."""
    driver_turn: float
    """The same, each further turn of it: a request, its answer, what is said of both."""
    worker_agent: float
    worker_turn: float
    """Without the request over HTTP."""
    worker_request: float
    """A request over HTTP, with the provider's library."""
    postgres_agent: float
    postgres_turn: float
    postgres_byte: float
    """Of a bundle that a worker fetches."""
    temporal_agent: float
    temporal_beat: float
    temporal_wait: float
    """Seconds until an activity that does nothing has been started, carried out and heard of, on an idle server."""
    sqlite_commit: float
    """Wall seconds of one event, durable."""
    sqlite_rate: float
    """Events a second, a hundred a commit."""
    postgres_commit: float
    postgres_rate: float
    notify: float
    """Wall seconds from the telling, after a commit, to whoever waits in another store."""
    event_bytes: float
    agent_events: float
    agent_wal: float
    """Bytes of PostgreSQL's log, an agent on a worker."""
    parcel_rate: float
    """Bytes a second out of the database, 5 MB at a time."""
    worker_connections: float
    driver_connections: float

    def table(self) -> str:
        rows = [
            ("a run of one local agent", f"{self.local_run * 1e3:.0f} ms wall"),
            ("run: a local agent (`sim`)", _ms(self.local_agent)),
            ("run: an agent on a worker", _ms(self.driver_agent)),
            ("run: each further turn of it", _ms(self.driver_turn)),
            ("worker: an agent", _ms(self.worker_agent)),
            ("worker: each further turn of it", _ms(self.worker_turn)),
            ("worker: a request over HTTP", _ms(self.worker_request)),
            ("PostgreSQL: an agent on a worker", _ms(self.postgres_agent)),
            ("PostgreSQL: each further turn of it", _ms(self.postgres_turn)),
            ("PostgreSQL: a MB of a bundle that is fetched", _ms(self.postgres_byte * 1e6)),
            ("Temporal: an agent", _ms(self.temporal_agent)),
            ("Temporal: a heartbeat", _ms(self.temporal_beat)),
            ("Temporal: a no-op activity, idle server", f"{self.temporal_wait * 1e3:.0f} ms wall"),
            ("SQLite: one durable event", f"{self.sqlite_commit * 1e3:.2f} ms wall"),
            ("SQLite: events, a hundred a commit", f"{self.sqlite_rate:,.0f} a second"),
            ("PostgreSQL (fsync on): one durable event", f"{self.postgres_commit * 1e3:.2f} ms wall"),
            ("PostgreSQL: events, a hundred a commit", f"{self.postgres_rate:,.0f} a second"),
            ("NOTIFY, from commit to reader", f"{self.notify * 1e3:.1f} ms wall"),
            ("journal: bytes of an event; events of an agent", f"{self.event_bytes:.0f}; {self.agent_events:.1f}"),
            ("PostgreSQL's log, an agent on a worker", f"{self.agent_wal / 1e3:.1f} kB"),
            ("bundles out of PostgreSQL, by one connection", f"{self.parcel_rate / 1e6:.0f} MB/s"),
            (
                "connections to PostgreSQL: a worker; a run",
                f"{self.worker_connections:.0f}; {self.driver_connections:.0f}",
            ),
        ]
        return "| cost | measured |\n| --- | --: |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms CPU"


async def measured(here: Machines) -> Costs:
    """All of it, in about a minute."""
    database = here.postgres.new_database()
    files = Bench(here.folder / "files", "")
    local_run, local_agent = await _local(files)
    request = await _requests(here.folder)
    sqlite_commit, sqlite_rate = await _appends(here, None)
    postgres_commit, postgres_rate = await _appends(here, database)
    temporal_wait, temporal_beat = await _temporal(here)
    with here.at_work(1, AT_ONCE, database):
        await here.run(100, database=database, cluster=True, model="sim", width=AT_ONCE)
        idle = _connections(here)
        log = _log_position(here, database)
        run = asyncio.create_task(here.run(200, database=database, cluster=True, model="sim", width=AT_ONCE))
        most = 0
        while not run.done():
            await asyncio.wait([run], timeout=1)
            most = max(most, await asyncio.to_thread(_connections, here))
        far = run.result()
        wal = (_log_position(here, database) - log) / 200
        long = await here.run(200, database=database, cluster=True, model=APART, width=AT_ONCE, script=LONG)
    event_bytes, events = await _events(files)
    parcel_rate, postgres_byte = await _parcels(here, database)
    return Costs(
        local_run=local_run, local_agent=local_agent, worker_request=max(0.0, request - local_agent),
        **_each(far, long, 200),
        temporal_beat=temporal_beat, temporal_wait=temporal_wait,
        sqlite_commit=sqlite_commit, sqlite_rate=sqlite_rate,
        postgres_commit=postgres_commit, postgres_rate=postgres_rate, notify=await _notify(here, database),
        event_bytes=event_bytes, agent_events=events, agent_wal=wal, parcel_rate=parcel_rate,
        postgres_byte=postgres_byte,
        worker_connections=idle, driver_connections=max(1, most - idle),
    )  # fmt: skip


def _each(far: Spent, long: Spent, agents: int) -> dict[str, float]:
    """What an agent of one turn takes, and what each further turn takes, by whom."""
    turns = REPAIRS * agents
    return {
        "driver_turn": max(0.0, long.driver - far.driver) / turns,
        "worker_turn": max(0.0, long.workers - far.workers) / turns,
        "postgres_turn": max(0.0, long.postgres - far.postgres) / turns,
        "driver_agent": far.driver / agents, "worker_agent": far.workers / agents,
        "postgres_agent": far.postgres / agents, "temporal_agent": far.temporal / agents,
    }  # fmt: skip


async def _local(files: Bench) -> tuple[float, float]:
    """Wall of a run of one agent, and CPU of an agent in a run of 500."""
    await files.run(FAN, 1, model="sim", width=1)
    one = [await measure(lambda: files.run(FAN, 1, model="sim", width=1)) for _ in range(3)]
    many = await measure(lambda: files.run(FAN, 500, model="sim", width=250))
    start = statistics.median(cost.cpu for cost in one)
    return statistics.median(cost.wall for cost in one), (many.cpu - start) / 500


async def _requests(folder: Path) -> float:
    with provider(LATENCY_MS) as address:
        bench = Bench(folder / "http", address)
        await bench.run(FAN, 1, model=MODEL, width=1)  # libraries are loaded once
        return (await measure(lambda: bench.run(FAN, 200, model=MODEL, width=100))).cpu / 200


async def _appends(here: Machines, database: str | None) -> tuple[float, float]:
    """Wall of a commit of one event; events a second, a hundred a commit."""
    event = LogWritten("x" * 200)
    folder = here.folder / f"appends{bool(database)}"
    async with store_at(folder, database) as store:
        run_id = await Bench(folder, "").run(FAN, 1, model="sim", width=1) if database is None else None
        if run_id is None:
            await here.run(1, database=database, cluster=False, model="sim", width=1)
            run_id = (await store.runs())[0].run_id
        async with store.writing(run_id) as journal:
            alone: list[float] = []
            for _ in range(50):
                began = time.perf_counter()
                await journal.durable(journal.append(event).seq)
                alone.append(time.perf_counter() - began)
            before = time.perf_counter()
            for n in range(5000):
                last = journal.append(event)
                if n % 100 == 99:
                    await journal.durable(last.seq)
    return statistics.median(alone), 5000 / (time.perf_counter() - before)


async def _temporal(here: Machines) -> tuple[float, float]:
    """Seconds of one no-op activity on an idle server, and Temporal's CPU of a heartbeat."""
    process = noop_worker(here)
    await noop(here, 20)
    client = await connected(here.temporal)
    alone: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        await client.execute_activity(
            NOTHING, id=uuid.uuid4().hex, task_queue=NOTHING, start_to_close_timeout=timedelta(seconds=60)
        )
        alone.append(time.perf_counter() - began)
    empty, _ = await noop(here, 40)
    before = here.spent()
    await _alive(client, 40, seconds=5.0, every_s=0.25)
    spent = since(before, here.spent())
    process.kill()
    process.communicate()
    here.workers.clear()
    return statistics.median(alone), max(0.0, spent.temporal - empty.temporal) / (40 * 20)


async def _alive(client: Any, count: int, *, seconds: float, every_s: float) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(
                client.execute_activity(
                    "alive", args=[seconds, every_s], id=uuid.uuid4().hex, task_queue=NOTHING,
                    start_to_close_timeout=timedelta(seconds=60), heartbeat_timeout=timedelta(seconds=30),
                )
            )  # fmt: skip


async def _notify(here: Machines, database: str) -> float:
    async with store_at(here.folder / "a", database) as told, store_at(here.folder / "b", database) as telling:
        assert isinstance(telling, ServerStore)
        run_id = (await told.runs())[0].run_id
        took: list[float] = []
        with told.news(run_id, 0) as news:
            await news.wait()
            for _ in range(30):
                began = time.perf_counter()
                await telling.server.call(lambda: telling.server.notify(channel(run_id)))
                await news.wait()
                took.append(time.perf_counter() - began)
    return statistics.median(took)


async def _events(files: Bench) -> tuple[float, float]:
    """Bytes of an event, and events of an agent."""
    run_id = await files.run(FAN, 200, model="sim", width=100)
    async with Store(files.folder) as store:
        events = await Client(store).events(run_id)
    return statistics.mean(len(encode(recorded.event)) for recorded in events), len(events) / 200


async def _parcels(here: Machines, database: str) -> tuple[float, float]:
    """Bytes a second that one connection gets out of the database, and PostgreSQL's CPU a byte."""
    store = store_at(here.folder / "parcels", database)
    assert isinstance(store, ServerStore)
    async with store:
        server = store.server

        def put() -> None:
            with server.connect() as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS bench_parcels (data bytea)")
                connection.exec_driver_sql("INSERT INTO bench_parcels (data) VALUES (%s)", (PARCEL,))

        def get() -> None:
            with server.connect() as connection:
                for _ in range(10):
                    found = connection.exec_driver_sql("SELECT data FROM bench_parcels").scalar()
                    assert len(found or b"") == len(PARCEL)

        await server.call(put)
        before = here.spent()
        await server.call(get)
        spent = since(before, here.spent())
    return 10 * len(PARCEL) / spent.wall, spent.postgres / (10 * len(PARCEL))


def _connections(here: Machines) -> int:
    named = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counterpoint'"
    return int(here.postgres.sql(named))


def _log_position(here: Machines, database: str) -> int:
    return int(here.postgres.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn", database.rpartition("/")[2]))
