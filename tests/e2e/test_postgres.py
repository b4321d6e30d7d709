"""Runs in a real PostgreSQL: many machines, one that is away for a while, and addresses that hold a password."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.fakes.postgres import Postgres
from tests.store.test_store import a_run, texts

import counterpoint
from counterpoint import Workflow
from counterpoint.errors import JournalFormatError, LeaseLostError, StoreError
from counterpoint.events import LogWritten
from counterpoint.store.blobs import INLINE
from counterpoint.store.opening import store_at
from counterpoint.store.server_store import ServerStore

SECRET = "secret-word"
WAVES = """export const meta = { name: 'waves', description: 'a test' }
const heard = []
for (let wave = 0; wave < 6; wave++) {
  heard.push(...await parallel([1, 2, 3, 4, 5].map((i) => () => agent(`wave ${wave} agent ${i}`))))
}
return heard
"""


def server_store(folder: Path, url: str) -> ServerStore:
    store = store_at(folder, url)
    assert isinstance(store, ServerStore)
    return store


def execute(store: ServerStore, statement: str) -> None:
    with store.server.connect() as connection:
        connection.exec_driver_sql(statement)


def finished(events: list[Any]) -> Counter[str]:
    return Counter(event["agent"] for event in events if event["type"] == "agent_finished")


async def test_who_lost_the_run_to_a_higher_epoch_writes_nothing_more(tmp_path: Path, database: str):
    async with server_store(tmp_path / "one", database) as one, server_store(tmp_path / "two", database) as two:
        run_id = await a_run(one)
        lease = await one.acquire(run_id)
        async with one.open_journal(run_id, lease) as first:
            await first.durable(first.append(LogWritten("first")).seq)
            await lease.release()  # as it looks to others when this process has hung for long enough
            taken = await two.acquire(run_id)
            async with two.open_journal(run_id, taken) as second:
                lost = first.append(LogWritten("lost"))
                with pytest.raises(LeaseLostError, match=r"took run .* over; nothing more was written here"):
                    await first.durable(lost.seq)
                large = second.value(b'"' + b"z" * INLINE + b'"')
                await second.durable(second.append(LogWritten("second")).seq)
        await taken.release()
        assert large.blob
        assert texts([recorded.event for recorded in await one.reader(run_id).read()]) == ["first", "second"]
        assert await one.reader(run_id).value(large) == await second.read_value(large)
        execute(one, "UPDATE blobs SET data = '1'")
        with pytest.raises(JournalFormatError, match="is damaged"):
            await one.reader(run_id).value(large)
        async with two.held(run_id):
            await two.remove(run_id)
        assert await one.runs() == []
        with pytest.raises(StoreError, match="There is no run"):
            await one.acquire(run_id)


async def test_whoever_comes_first_makes_the_tables_and_those_of_a_newer_release_are_refused(
    tmp_path: Path, database: str
):
    async def use(name: str) -> str:
        async with store_at(tmp_path / name, database) as store:
            return await a_run(store, name)

    made = await asyncio.gather(*(use(f"machine {n}") for n in range(5)))
    async with server_store(tmp_path, database) as store:
        assert {row.run_id for row in await store.runs()} == set(made)
        execute(store, "INSERT INTO versions VALUES (99)")
        with pytest.raises(JournalFormatError, match=r"was written by a newer release \(format 99"):
            async with store_at(tmp_path, database):
                pass


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(tmp_path: Path, postgres: Postgres, database: str):
    """The server dies again and again under a writer that never stops; readers wait for it too."""
    away: list[float] = []
    read: list[str] = []
    async with store_at(tmp_path / "a", database) as store, store_at(tmp_path / "b", database) as others:
        run_id = await a_run(store)
        async with store.writing(run_id) as journal:
            journal.add_watcher(away.append)
            for round_ in range(3):
                for n in range(50):
                    journal.append(LogWritten(f"{round_}.{n}"))
                    journal.write_turn("a1", n, b"{}")
                    if n == 25:
                        postgres.kill()
                    await asyncio.sleep(0)
                await asyncio.to_thread(postgres.start)
                await journal.durable(journal.append(LogWritten(f"{round_}")).seq)
                read = texts([r.event for r in await others.reader(run_id).read()])
                assert read[-51:] == [*(f"{round_}.{n}" for n in range(50)), f"{round_}"]
            assert [n for n, _ in await journal.turns("a1")] == [*range(50)] * 3
        assert len(read) == 153
    assert away


async def test_a_run_outlives_its_database_and_says_so(tmp_path: Path, postgres: Postgres, database: str):
    asked: Counter[int] = Counter()

    one_by_one = asyncio.Lock()

    async def restart() -> None:
        async with one_by_one:
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)

    restarts: list[asyncio.Task[None]] = []

    def see(recorded: counterpoint.Recorded) -> None:
        asked[recorded.seq] += 1
        if sum(asked.values()) in (20, 60):
            restarts.append(asyncio.create_task(restart()))

    result = await counterpoint.run(
        Workflow(WAVES), model="sim:latency=5ms", state=tmp_path, database=database, on_event=see
    )
    await asyncio.gather(*restarts)
    assert len(restarts) == 2
    assert [text.split(" ", 2)[2].rsplit(" ", 1)[0] for text in result.value] == [
        f"{wave} agent {i}" for wave in range(6) for i in (1, 2, 3, 4, 5)
    ]
    assert set(asked.values()) == {1}
    assert list(asked) == list(range(2, len(asked) + 2))
    assert any("was out of reach" in line for line in result.document["log"])
    assert SECRET not in json.dumps(result.document)


async def test_a_killed_run_goes_on_on_another_machine(tmp_path: Path, cpt: Program, database: str):
    """Each machine has a state folder of its own, and the database in common."""
    cpt.environment["COUNTERPOINT_DATABASE"] = database
    here, there = ["--state", str(tmp_path / "here")], ["--state", str(tmp_path / "there")]
    script = cpt.script(WAVES, "waves")
    process = cpt.start("run", script, "--model", "sim:latency=30ms", "--jsonl", *here)
    assert process.stdout is not None
    told = [json.loads(process.stdout.readline()) for _ in range(45)]
    process.kill()
    process.communicate()
    before = finished(told)
    assert before
    listed = cpt("ps", "--all", "--json", *there)
    assert [run["status"] for run in listed.json["runs"]] == ["interrupted"]
    ended = cpt("resume", "@last", "--json", *there)
    assert ended.code == 0, ended.err
    events = cpt("export", "@last", "--jsonl", *there).lines
    assert set(finished(events).values()) == {1}
    assert len(finished(events)) == 30
    assert before.keys() <= {event["agent"] for event in events if event["type"] == "agent_reused"}
    for ended in (cpt("show", "@last", *here), cpt("config", *here), cpt("config", "--json", *here)):
        assert (ended.code, SECRET in ended.out + ended.err) == (0, False)
    for url in (f"{database}-none", f"postgresql:/{SECRET}", f"mysql://x:{SECRET}@y/z"):
        ended = cpt("ps", "-v", COUNTERPOINT_DATABASE=url)
        assert ended.code not in (0, -9)
        assert SECRET not in ended.out + ended.err


async def test_another_machine_steers_a_run(tmp_path: Path, database: str):
    async with store_at(tmp_path / "far", database) as far:
        started = asyncio.Event()
        running = asyncio.create_task(
            counterpoint.run(Workflow(WAVES), model="sim:latency=60s", state=tmp_path, database=database,
                             on_event=lambda _: started.set())
        )  # fmt: skip
        await started.wait()
        (row,) = await far.runs()
        assert await far.is_live(row.run_id)
        while not running.done():  # what is asked before the run listens is not for this attempt
            await far.requests.ask(row.run_id, "stop", None, b"{}", "far away")
            await asyncio.wait([running], timeout=1)
        result = await running
        assert (result.status, result.document["message"]) == (counterpoint.RunStatus.STOPPED, "Stopped by far away.")
        told = [recorded.seq async for recorded in counterpoint.watch(row.run_id, state=tmp_path, database=database)]
        assert told[-1] == max(told)


def test_a_server_that_does_not_answer_is_one_that_is_away(cpt: Program):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        shown = cpt("ps", COUNTERPOINT_DATABASE=f"postgresql://u@127.0.0.1:{port}/runs?connect_timeout=2")
    assert shown.code == 1
    assert "cannot be reached" in shown.err


def test_a_project_may_not_say_where_runs_are_kept(cpt: Program):
    (cpt.folder / ".counterpoint").mkdir()
    (cpt.folder / ".counterpoint" / "config.toml").write_text(f'database = "postgresql://u:{SECRET}@host/x"\n')
    rows = cpt("config", "--json").json
    assert rows["database"]["value"] is None
