"""A run is killed at every kind of event and at random moments, and goes on as if nothing had been.

The killed process is a fork of one that has everything imported, so that two hundred deaths take seconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from counterpoint import daemon
from counterpoint.client import Client
from counterpoint.events import AgentFinished, AgentQueued, AgentStarted, Outcome, Recorded, RunEnded, RunStatus
from counterpoint.models.registry import Models
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.store.runs import Store

SCRIPT = """
export const meta = {
  name: 'all',
  description: 'everything that a journal can hold',
  phases: [{ title: 'A' }, { title: 'B' }],
}
const SCHEMA = {
  type: 'object',
  properties: { ok: { type: 'boolean' }, n: { type: 'integer' } },
  required: ['ok', 'n'],
}
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
phase('A')
log('begins')
const race = await Promise.race([agent('slow and long').then(() => 'agent'), wait(60000).then(() => 'timer')])
const items = await pipeline(
  [1, 2, 3, 4, 5, 6],
  (n) => agent(`one ${n}`),
  (text, n) => agent(`two ${n} ${text.length}`, { schema: SCHEMA }),
)
await wait(5)
const child = await workflow({ scriptPath: 'child.js' }, { n: 3 })
phase('B')
const listed = await counterpoint.tool('Glob', { pattern: '*.js' })
const wide = await parallel(Array.from({ length: 12 }, (_, i) => async () => {
  await wait(i % 3)
  return agent(`wide ${i}`, { phase: 'B' })
}))
log(`has ${wide.length}`)
const twice = [await agent('same'), await agent('same')]
return { race, items, child, listed, wide, twice, chance: Math.random() }
"""
CHILD = """
export const meta = { name: 'child', description: 'a part' }
return await parallel(Array.from({ length: args.n }, (_, i) => () => agent(`child ${i}`)))
"""
DEATHS = 200
"""At random moments, in all."""
MODEL = "sim:latency=2ms..12ms"
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["counterpoint.daemon", "counterpoint.models.sim", "sqlalchemy.dialects.sqlite", __name__]
)


class Place:
    """A folder with a run in it, and what its processes do there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(state=folder / "state", model=MODEL, concurrency=4)

    def submit(self) -> str:
        """Records a run of SCRIPT and gives its id."""
        (self.folder / "child.js").write_text(CHILD)

        async def submitting() -> str:
            async with Store(self.settings.state) as store, Models(self.settings) as models:
                return await Client(store).submit(
                    parse(SCRIPT, "all.js"), settings=self.settings, models=models, cwd=self.folder, version="test"
                )

        return asyncio.run(submitting())

    def execute(self, run_id: str) -> None:
        async def executing() -> None:
            async with Store(self.settings.state) as store, Models(self.settings) as models:
                await daemon.execute(store, run_id, models)

        asyncio.run(executing())

    def start(self, run_id: str) -> Any:
        process = PROCESSES.Process(target=_execute, args=(self.folder, run_id))
        process.start()
        return process

    def events(self, run_id: str) -> list[Recorded]:
        async def reading() -> list[Recorded]:
            async with Store(self.settings.state) as store:
                return await Client(store).events(run_id)

        return asyncio.run(reading())

    def value(self, run_id: str, ended: RunEnded) -> Any:
        async def reading() -> Any:
            async with Store(self.settings.state) as store:
                return await Client(store).value(run_id, ended.result)

        return asyncio.run(reading())


def _execute(folder: Path, run_id: str) -> None:
    Place(folder).execute(run_id)


def kill(process: Any) -> None:
    process.kill()  # SIGKILL, unless it is over already
    process.join()


def assert_nothing_lost(place: Place, run_id: str, before: list[Recorded], expected: Any) -> None:
    """The journal begins with what was there, each result was paid once, and the result is the same."""
    events = place.events(run_id)
    assert events[: len(before)] == before
    assert [recorded.seq for recorded in events] == list(range(1, len(events) + 1))
    done: set[str] = set()
    keys = Counter(recorded.event.key for recorded in events if isinstance(recorded.event, AgentQueued))
    for recorded in events:
        match recorded.event:
            case AgentStarted(agent=agent):
                assert agent not in done, f"{agent} was asked again although its result is in the journal"
            case AgentFinished(agent=agent, outcome=Outcome.OK):
                assert agent not in done
                done.add(agent)
            case _:
                pass
    ended = events[-1].event
    assert isinstance(ended, RunEnded)
    assert ended.status is RunStatus.COMPLETED, ended
    value = place.value(run_id, ended)
    assert {**value, "chance": 0} == {**expected, "chance": 0}
    assert len(done) == len(keys) == 1 + 12 + 3 + 12 + 2


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Recorded]]:
    """The value of a run that nobody disturbed, and its events."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    run_id = place.submit()
    place.execute(run_id)
    events = place.events(run_id)
    assert isinstance(events[-1].event, RunEnded)
    assert events[-1].event.status is RunStatus.COMPLETED, events[-1].event
    return place.value(run_id, events[-1].event), events


def wait_for_event(place: Place, run_id: str, process: Any, tag: str, count: int) -> None:
    """Returns when the journal has `count` events of that kind, or the process is over."""

    async def waiting() -> None:
        async with Store(place.settings.state) as store:
            client = Client(store)
            while process.is_alive():
                events = await client.events(run_id)
                if sum(recorded.event.__struct_config__.tag == tag for recorded in events) >= count:
                    return

    asyncio.run(waiting())


def test_a_run_killed_after_any_kind_of_event_ends_the_same(tmp_path: Path, expected: tuple[Any, list[Recorded]]):
    value, events = expected
    tags = Counter(str(recorded.event.__struct_config__.tag) for recorded in events)
    assert len(tags) >= 12
    for tag, count in tags.items():
        place = Place(tmp_path)
        run_id = place.submit()
        process = place.start(run_id)
        wait_for_event(place, run_id, process, tag, (count + 1) // 2)
        kill(process)
        before = place.events(run_id)
        place.execute(run_id)
        assert_nothing_lost(place, run_id, before, value)


@pytest.mark.parametrize("part", range(4))
def test_a_run_killed_at_any_moment_ends_the_same(tmp_path: Path, part: int, expected: tuple[Any, list[Recorded]]):
    value, events = expected
    took = events[-1].at - events[0].at
    chance = random.Random(part)
    deaths = 0
    while deaths < DEATHS // 4:
        place = Place(tmp_path)
        run_id = place.submit()
        for _ in range(chance.choice((1, 1, 2))):  # now and then it dies again while it goes on
            process = place.start(run_id)
            process.join(chance.uniform(0, took))
            deaths += process.is_alive()
            kill(process)
        before = place.events(run_id)
        if not isinstance(before[-1].event, RunEnded):
            place.execute(run_id)
        assert_nothing_lost(place, run_id, before, value)
        shutil.rmtree(place.settings.state)


def test_a_copy_whose_log_was_cut_off_anywhere_goes_on_from_what_is_whole(
    tmp_path: Path, expected: tuple[Any, list[Recorded]]
):
    value, _ = expected
    place = Place(tmp_path)
    run_id, whole = "", list[Recorded]()
    while not whole or isinstance(whole[-1].event, RunEnded):  # it was over before it could be killed
        run_id = place.submit()
        process = place.start(run_id)
        wait_for_event(place, run_id, process, "tool_called", 1)
        kill(process)
        whole = place.events(run_id)
    chance = random.Random(7)
    for n in range(4):
        copy = Place(tmp_path / f"copy {n}")
        shutil.copytree(tmp_path / "state", copy.settings.state)
        log = copy.settings.state / "runs" / run_id / "journal.db-wal"
        with log.open("r+b") as file:
            file.truncate(chance.randrange(log.stat().st_size))
        left = copy.events(run_id)
        assert left == whole[: len(left)]
        copy.execute(run_id)
        assert_nothing_lost(copy, run_id, left, value)
