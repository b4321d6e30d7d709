"""The store as its users have it: what was acknowledged is there, whoever dies, copies, reads or writes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Raw

from counterpoint.errors import JournalFormatError, LeaseLostError, RunIsLiveError, StoreError, UnknownRunError
from counterpoint.events import LogWritten, RunCreated, RunEnded, RunStarted, RunStatus, Value
from counterpoint.store.blobs import INLINE, as_value
from counterpoint.store.opening import store_at
from counterpoint.store.reader import Facts
from counterpoint.store.runs import Store

At = Callable[[str], Store]
"""A store, as a machine or a process of its own has it that is named."""


@pytest.fixture(params=["files", "postgresql"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> At:
    """The same store for everybody, in each of its two forms."""
    if request.param == "files":
        return lambda _: Store(tmp_path)
    url = request.getfixturevalue("database")
    return lambda machine: store_at(tmp_path / machine, url)


def created(run_id: str, name: str = "flow") -> RunCreated:
    return RunCreated(run_id, name, "a test", "flow.js", Value(json=Raw(b'"return 1"')), 7, "sim", "/tmp")


async def a_run(store: Store, name: str = "flow") -> str:
    run_id = store.new_run_id()
    await store.create_run(created(run_id, name), {})
    return run_id


def path_of(folder: Path, run_id: str) -> Path:
    return folder / "runs" / run_id / "journal.db"


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def texts(events: list[object]) -> list[str]:
    return [event.text for event in events if isinstance(event, LogWritten)]


async def test_a_run_is_there_whole_with_the_large_values_of_its_first_event(at: At):
    large = b'"' + b"x" * INLINE + b'"'
    value = as_value(large)
    assert value.blob
    async with at("here") as store:
        run_id = store.new_run_id()
        event = RunCreated(run_id, "flow", "a test", "flow.js", value, 7, "sim", "/tmp")
        await store.create_run(event, {value.blob: large})
        (recorded,) = await store.reader(run_id).read()
        assert (recorded.seq, recorded.event) == (1, event)
        assert await store.reader(run_id).value(value) == large
        assert [(row.run_id, row.name, row.created_at) for row in await store.runs()] == [(run_id, "flow", recorded.at)]


async def test_a_run_that_cannot_be_recorded_leaves_nothing(tmp_path: Path):
    async with Store(tmp_path) as store:
        run_id = await a_run(store)
        before = listing(tmp_path)
        with pytest.raises(StoreError):
            await store.create_run(created(run_id), {})
        assert listing(tmp_path) == before


async def test_what_is_durable_can_be_read_by_others_in_order_and_at_once(at: At):
    async with at("here") as store, at("there") as others:
        run_id = await a_run(store)
        told: list[int] = []
        async with store.writing(run_id) as journal:
            journal.add_listener(lambda events: told.extend(recorded.seq for recorded in events))
            for n in range(1000):
                recorded = journal.append(LogWritten(f"{n}"))
                if n % 100 == 99:
                    await journal.durable(recorded.seq)
                    read = await others.reader(run_id).read(after=1)
                    assert texts([r.event for r in read])[: n + 1] == [str(m) for m in range(n + 1)]
        assert told == list(range(2, 1002))
        events = await others.reader(run_id).read()
        assert [recorded.seq for recorded in events] == list(range(1, 1002))
        assert [recorded.at for recorded in events] == sorted(recorded.at for recorded in events)


async def test_a_large_value_is_on_disk_before_the_event_that_names_it(tmp_path: Path):
    json = b'"' + b"y" * 3 * INLINE + b'"'
    async with Store(tmp_path) as store:
        run_id = await a_run(store)
        async with store.writing(run_id) as journal:
            small, large, apart = journal.value(b"[1]"), journal.value(json), journal.value(b"[1]", apart=True)
            assert (small.blob, large.bytes, apart.bytes) == (None, len(json), 3)
            assert await journal.read_value(large) == json
            await journal.durable(journal.append(LogWritten("names it")).seq)
            for value, expected in ((small, b"[1]"), (large, json), (apart, b"[1]")):
                assert await store.reader(run_id).value(value) == expected
            assert large.blob
            path = tmp_path / "runs" / run_id / "blobs" / large.blob
            path.write_bytes(json[:1000])
            with pytest.raises(JournalFormatError, match="is damaged: its content has changed"):
                await store.reader(run_id).value(large)
            journal.value(json)
            await journal.durable(journal.append(LogWritten("again")).seq)
            assert await store.reader(run_id).value(large) == json
        assert [path.name for path in path.parent.iterdir() if path.suffix] == []


async def test_a_run_has_one_writer(at: At):
    async with at("here") as store, at("there") as other:
        run_id = await a_run(store)
        async with store.writing(run_id):
            assert await other.is_live(run_id)
            with pytest.raises(RunIsLiveError, match="is being executed by process"):
                await other.acquire(run_id)
        assert not await other.is_live(run_id)
        await (await other.acquire(run_id)).release()


async def test_who_lost_the_run_writes_nothing_more(tmp_path: Path):
    """Two state folders that share a run, as by a mounted copy: leases cannot see each other, the journal can."""
    (tmp_path / "one" / "runs").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "runs").symlink_to(tmp_path / "one" / "runs")
    async with Store(tmp_path / "one") as one, Store(tmp_path / "two") as two:
        run_id = await a_run(one)
        first = one.open_journal(run_id, await one.acquire(run_id))
        async with first:
            await first.durable(first.append(LogWritten("first")).seq)
            async with two.open_journal(run_id, await two.acquire(run_id)) as second:
                assert texts([recorded.event for recorded in second.history]) == ["first"]
                lost = first.append(LogWritten("lost"))
                with pytest.raises(LeaseLostError, match=r"took run .* over; nothing more was written here"):
                    await first.durable(lost.seq)
                with pytest.raises(LeaseLostError):
                    await first.guard()
                with pytest.raises(LeaseLostError):
                    first.append(LogWritten("lost too"))
                await second.durable(second.append(LogWritten("second")).seq)
        assert texts([recorded.event for recorded in await one.reader(run_id).read()]) == ["first", "second"]


async def test_an_epoch_survives_the_index(tmp_path: Path):
    async with Store(tmp_path) as store:
        run_id = await a_run(store)
        for _ in range(3):
            async with store.writing(run_id) as journal:
                journal.append(LogWritten("x"))
    (tmp_path / "index.db").unlink()
    async with Store(tmp_path) as store, store.writing(run_id) as journal:
        assert len(journal.history) == 4
        await journal.durable(journal.append(LogWritten("y")).seq)


async def test_a_closed_run_is_one_file(tmp_path: Path):
    async with Store(tmp_path) as store:
        run_id = await a_run(store)
        async with store.writing(run_id) as journal:
            journal.append(LogWritten("x"))
            assert {path.name for path in (tmp_path / "runs" / run_id).iterdir()} > {"journal.db", "journal.db-wal"}
        assert [path.name for path in (tmp_path / "runs" / run_id).iterdir()] == ["journal.db"]


async def test_a_journal_whose_writer_died_while_closing_it_can_be_read_and_written(tmp_path: Path):
    async with Store(tmp_path) as store:
        run_id = await a_run(store)
        async with store.writing(run_id) as journal:
            for n in range(200):
                journal.append(LogWritten(f"{n} {'x' * 500}"))
        before = await store.reader(run_id).read()
        leave_hot(path_of(tmp_path, run_id))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            sqlite3.connect(f"file:{path_of(tmp_path, run_id)}?mode=ro", uri=True).execute(
                "SELECT 1 FROM events"
            ).fetchone()
        assert await store.reader(run_id).read() == before
        assert store.reader(run_id).facts().status is RunStatus.RUNNING
        async with store.writing(run_id) as journal:
            assert journal.history == before


def leave_hot(path: Path) -> None:
    """Makes of a journal what a transaction leaves that was cut off after a part of it had reached the file."""
    work = path.with_name("work.db")
    shutil.copy(path, work)
    connection = sqlite3.connect(work, isolation_level=None)
    connection.executescript("PRAGMA cache_size=2; BEGIN; UPDATE events SET body = body || 'zzz'")
    for suffix in ("", "-journal"):
        shutil.copy(f"{work}{suffix}", f"{path}{suffix}")
    connection.execute("ROLLBACK")
    connection.close()
    work.unlink()


async def test_copied_folders_are_taken_in_and_a_broken_one_is_shown_as_such(tmp_path: Path):
    async with Store(tmp_path / "one") as one:
        runs = [await a_run(one, f"flow {n}") for n in range(30)]
        async with one.writing(runs[3]) as journal, one.writing(runs[4]) as cut_off:
            cut_off.append(RunStarted(1, 1, "h", 1))
            journal.append(RunStarted(1, 1, "h", 1))
            journal.append(RunEnded(RunStatus.FAILED))
    shutil.copytree(tmp_path / "one" / "runs", tmp_path / "two" / "runs")
    (tmp_path / "two" / "runs" / runs[5] / "journal.db").write_bytes(b"x" * 5000)
    (tmp_path / "two" / "runs" / ".wf_unfinished").mkdir()
    async with Store(tmp_path / "two") as two:
        for _ in range(2):
            rows = {row.run_id: row.name for row in await two.runs()}
            assert rows == {run_id: f"flow {n}" if n != 5 else "" for n, run_id in enumerate(runs)}
        facts = await two.facts(runs)
        assert facts[runs[3]] == Facts(RunStatus.FAILED, (), None)
        assert facts[runs[4]] == Facts(RunStatus.INTERRUPTED, (), None)
        assert isinstance(facts[runs[5]], JournalFormatError)


async def test_a_run_is_found_by_its_id_a_unique_prefix_or_as_the_last(at: At):
    async with at("here") as store:
        with pytest.raises(UnknownRunError, match="There is no run in"):
            await store.find("@last")
        for run_id in ("wf_aa11", "wf_aa12", "wf_b"):
            await store.create_run(created(run_id), {})
        assert await store.find("wf_aa11") == await store.find("aa11") == "wf_aa11"
        assert await store.find("b") == await store.find("wf_b") == await store.find("@last") == "wf_b"
        for text in ("aa1", "wf_", "w"):
            with pytest.raises(UnknownRunError, match=r"fits [23] runs"):
                await store.find(text)
        for text in ("x", "", "wf_c", "WF_b"):
            with pytest.raises(UnknownRunError, match="No run has an id"):
                await store.find(text)


async def test_many_writers_of_the_index_all_get_through(at: At):
    stores = [at("here") for _ in range(12)]

    async def work(store: Store) -> list[str]:
        async with store:
            runs = [await a_run(store) for _ in range(3)]
            for run_id in runs:
                async with store.writing(run_id) as journal:
                    journal.append(LogWritten("x"))
                await store.requests.ask(run_id, "stop", None, b"{}", "test")
            return runs

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(store)) for store in stores]
    made = {run_id for task in tasks for run_id in task.result()}
    async with at("here") as store:
        assert {row.run_id for row in await store.runs()} == made
        assert [len(await store.requests.pending(run_id, 0)) for run_id in made] == [1] * 36
