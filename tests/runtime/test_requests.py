"""What is asked of a run while its process has yet to come so far: it is done when it comes, or truthfully refused."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from counterpoint import daemon
from counterpoint.client import Client, read_script
from counterpoint.errors import StoreError
from counterpoint.events import RunEnded, RunStatus
from counterpoint.models.registry import Models
from counterpoint.runtime.run import Run
from counterpoint.settings import load
from counterpoint.store.runs import Store
from counterpoint.version import VERSION

TEXT = """export const meta = { name: 'gate', description: 'a test' }
return await counterpoint.checkpoint('Go on?')"""


class _Desk:
    """One recorded run, and what may be done with it."""

    def __init__(self, store: Store, models: Models, run_id: str) -> None:
        self.client = Client(store)
        self.run_id = run_id
        self._store = store
        self._models = models

    async def statuses(self) -> set[RunStatus]:
        """As `show` and as the list of runs have it."""
        return {(await self.client.view(self.run_id)).status, *(run.status for run in await self.client.runs())}

    async def ask(self, verb: str) -> int:
        return await self.client.ask(self.run_id, verb, by="somebody")

    async def execute(self, orders: daemon.Orders | None = None) -> RunStatus:
        return (await daemon.execute(self._store, self.run_id, self._models, orders)).status

    async def receipts(self) -> dict[int, tuple[bool, str]]:
        view = await self.client.view(self.run_id)
        return {number: (request.ok, request.message) for number, request in view.requests.items()}


@asynccontextmanager
async def _recorded(folder: Path) -> AsyncGenerator[_Desk]:
    settings = load(cwd=folder, flags={"model": "sim"})
    async with Store(folder / "state") as store, Models(settings) as models:
        script = await read_script(TEXT, "gate.js")
        run_id = await Client(store).submit(script, settings=settings, models=models, cwd=folder, version=VERSION)
        yield _Desk(store, models, run_id)


async def test_a_run_that_no_process_has_begun_goes_on_as_far_as_anybody_sees_and_obeys_what_it_was_told(
    tmp_path: Path,
):
    async with _recorded(tmp_path) as desk:
        assert await desk.statuses() == {RunStatus.RUNNING}
        assert await desk.client.is_live(desk.run_id)
        number = await desk.ask("stop")
        assert await desk.execute() is RunStatus.STOPPED
        assert await desk.receipts() == {number: (True, "Stopped.")}
        assert await desk.statuses() == {RunStatus.STOPPED}
        assert await desk.execute() is RunStatus.WAITING


async def test_what_was_asked_while_nobody_held_the_run_lapses_and_what_is_asked_as_it_begins_is_done(tmp_path: Path):
    asking: list[asyncio.Task[int]] = []
    async with _recorded(tmp_path) as desk:
        assert await desk.execute() is RunStatus.WAITING
        early = await desk.ask("stop")

        def ask(_: Run) -> None:
            asking.append(asyncio.get_running_loop().create_task(desk.ask("pause")))

        assert await desk.execute(daemon.Orders(started=ask, waits_for_people=True)) is RunStatus.PAUSED
        assert await desk.receipts() == {
            early: (False, "The run had ended before this was read."),
            await asking[0]: (True, "No more agents start."),
        }


async def test_in_a_run_that_was_moved_here_the_numbers_of_requests_go_on(tmp_path: Path):
    async with _recorded(tmp_path) as desk:
        early = [await desk.ask("pause"), await desk.ask("stop")]
        await desk.execute()
        run_id = desk.run_id
    shutil.copytree(tmp_path / "state" / "runs", tmp_path / "moved" / "runs")
    async with Store(tmp_path / "moved") as store, Models(load(cwd=tmp_path, flags={"model": "sim"})) as models:
        moved = _Desk(store, models, run_id)
        asking: list[asyncio.Task[int]] = []

        async def ask() -> int:
            while not (await moved.client.view(run_id)).attempt > 1:  # noqa: ASYNC110 (another task's journal)
                await asyncio.sleep(0)
            return await moved.ask("pause")

        def begin(_: Run) -> None:
            asking.append(asyncio.get_running_loop().create_task(ask()))

        assert await moved.execute(daemon.Orders(started=begin, waits_for_people=True)) is RunStatus.PAUSED
        number = await asking[0]
        assert number > max(early)
        assert (await moved.receipts())[number] == (True, "No more agents start.")


async def test_an_interrupt_at_the_first_moment_is_not_lost(tmp_path: Path):
    stopped = RunEnded(RunStatus.STOPPED, message="Stopped by a signal.")
    early: list[Callable[[Run], None]] = [lambda run: run.drain(stopped), lambda run: run.end(stopped)]
    async with _recorded(tmp_path) as desk:
        for signal in early:
            assert await desk.execute(daemon.Orders(started=signal, waits_for_people=True)) is RunStatus.STOPPED


async def test_where_the_index_is_damaged_no_run_is_left_behind(tmp_path: Path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "index.db").write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match=r"index\.db is damaged"):
        async with _recorded(tmp_path):
            pass
    assert not list((tmp_path / "state" / "runs").iterdir())
