"""The store in files: a state folder with an index, and a folder for each run that can be copied, moved and deleted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, select

from counterpoint.errors import StoreError, UnknownRunError
from counterpoint.events import Parent, Recorded, RunCreated, RunForked, RunStatus, Value
from counterpoint.store import file_writer, leases
from counterpoint.store.database import LEASES, REQUESTS, RUNS, bring_to_disk, store_error
from counterpoint.store.file_writer import FileWriter
from counterpoint.store.forks import blobs_of, ended_agents
from counterpoint.store.index import FileIndex, Index
from counterpoint.store.journal import Journal
from counterpoint.store.leases import Lease
from counterpoint.store.news import News, Polled
from counterpoint.store.reader import Facts, FolderReader, JournalReader, Origin, Written
from counterpoint.store.requests import Requests
from counterpoint.store.rows import Spoken
from counterpoint.store.shares import Shares

GONE = ".gone-"
"""How the folders of runs begin that are being deleted."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the index has it."""

    run_id: str
    name: str
    cwd: str
    script: str
    created_at: float


class Store:
    """All runs below one state folder. Open it with `async with Store(folder)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts: dict[str, tuple[Written, Facts]] = {}

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._make_folder)
        self._index: Index = await self._open_index()
        self.requests = Requests(self._index)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._index.close()

    async def _open_index(self) -> Index:
        return FileIndex(self.folder / "index.db")

    @staticmethod
    def new_run_id() -> str:
        digits = uuid.uuid4().hex
        return f"wf_{digits[:8]}-{digits[8:11]}"

    def place(self, run_id: str) -> str:
        """Where the run's journal is, for people."""
        return self.reader(run_id).place

    def run_folder(self, run_id: str) -> Path:
        """The run's folder on this machine."""
        return self.folder / "runs" / run_id

    def news(self, run_id: str, every_s: float) -> News:
        """Tells when something of the run may have changed: at once, or by looking again after `every_s`."""
        return Polled(every_s)

    async def create_run(self, created: RunCreated, values: Mapping[str, bytes]) -> None:
        """Records a new run, whole or not at all. `values` are the large values that its first event names, by blob."""
        await self._record([Recorded(1, time.time(), created)], values, (), begins=True)

    async def origin(self, run_id: str) -> Origin:
        """How the run began. Raises JournalFormatError or StoreError."""
        return await asyncio.to_thread(self.reader(run_id).origin)

    async def create_fork(
        self, created: RunCreated, parent: Parent, forked: RunForked, values: Mapping[str, bytes]
    ) -> None:
        """Records a new run that begins with what its parent's journal has up to the place that `parent` names.

        Agents that were under way there are left without what they had said, so that they begin anew.
        """
        reader = self.reader(parent.run_id)
        history = (await reader.read())[: parent.seq]
        events = [Recorded(1, history[0].at, created), *history[1:], Recorded(parent.seq + 1, parent.at, forked)]
        ended = ended_agents(history)
        turns = [spoken for spoken in await reader.all_turns(until=history[-1].at) if spoken[0] in ended]
        kept = {name: await reader.value(Value(blob=name)) for name in blobs_of(events) - values.keys()}
        await self._record(events, {**kept, **values}, turns, begins=True)

    async def create_imported(
        self, events: Sequence[Recorded], values: Mapping[str, bytes], turns: Sequence[Spoken]
    ) -> None:
        """Records a run that is over, and was another system's: all its events, the first of which has its id."""
        await self._record(events, values, turns, begins=False)

    async def _record(
        self, events: Sequence[Recorded], values: Mapping[str, bytes], turns: Sequence[Spoken], *, begins: bool
    ) -> None:
        """Into the index first: where that cannot be written no process could hold the run, and none is to be left."""
        created = events[0].event
        assert isinstance(created, RunCreated)  # noqa: S101  (what every journal begins with)
        at = created.parent.at if created.parent else events[0].at
        row = RunRow(created.run_id, created.name, created.cwd, created.script, at)

        def insert(connection: Connection) -> None:
            _insert_new(connection, [row])
            if begins:
                leases.announce(connection, row.run_id)

        await self._index.write(insert)
        await asyncio.to_thread(self._create, row.run_id, events, values, turns)

    def shares(self, run_id: str, priority: int) -> Shares | None:
        """What the run has of the limits that all processes keep to together; None: files know of no other process."""
        return None

    async def runs(self) -> list[RunRow]:
        """All runs, the newest first; folders that the index does not know, as copied ones, are taken in."""
        on_disk = await asyncio.to_thread(self._folders)
        known = {row.run_id: row for row in await self._indexed()}
        rows = [row for run_id, row in known.items() if run_id in on_disk]
        for run_id in on_disk - known.keys():
            rows.append(await asyncio.to_thread(self._look_up, run_id))
        new = [row for row in rows if row.run_id not in known and row.name]
        if new:
            with contextlib.suppress(StoreError):  # the index is only an index: next time they are found on disk again
                await self._index.write(lambda connection: _insert_new(connection, new))
        return newest_first(rows)

    async def _indexed(self) -> list[RunRow]:
        rows = await self._index.read(lambda connection: connection.execute(select(RUNS)).all())
        return [RunRow(row.run_id, row.name, row.cwd, row.script, row.created_at) for row in rows]

    async def facts(self, run_ids: Iterable[str]) -> dict[str, Facts | StoreError]:
        """What a list shows of each run; or why its journal cannot be read."""
        found = await asyncio.to_thread(self._all_facts, list(run_ids))
        living = await leases.living(self._index)
        dead = [run_id for run_id, facts in found.items() if _goes_on(facts) and run_id not in living]
        for run_id, facts in (await asyncio.to_thread(self._all_facts, dead)).items():  # it may have ended meanwhile
            if isinstance(facts, Facts) and facts.status is RunStatus.RUNNING:
                facts = dataclasses.replace(facts, status=RunStatus.INTERRUPTED)
            found[run_id] = facts
        return found

    async def written_since(self, at: float) -> list[str]:
        """Ids of the runs whose journals were written to since `at` (seconds since the epoch)."""
        return await asyncio.to_thread(self._written_since, at)

    async def find(self, text: str) -> str:
        """The id that `text` names: an id, a unique prefix (``wf_`` may be left out), or ``@last``.

        Raises UnknownRunError for none or several.
        """
        ids = [row.run_id for row in await self.runs()]
        if not ids:
            raise UnknownRunError(f"There is no run in {self.folder} yet.", hint="Start one with: counterpoint run")
        if text == "@last":
            return ids[0]
        matches = [run_id for run_id in ids if run_id == text] or [
            run_id for run_id in ids if text and run_id.startswith((text, f"wf_{text}"))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownRunError(
                f"{text!r} fits {len(matches)} runs: {', '.join(matches[:8])}.", hint="Give more of it."
            )
        raise UnknownRunError(
            f"No run has an id that begins with {text!r}.", hint="See them with: counterpoint ps --all"
        )

    async def acquire(self, run_id: str) -> Lease:
        """Takes the right to execute the run. Raises RunIsLiveError."""
        origin = await self.origin(run_id)

        def take(connection: Connection) -> leases.Taken:
            _insert_new(connection, [_row(origin)])
            return leases.take(connection, run_id, above=origin.epoch)

        return Lease(self._index, run_id, await self._index.write(take))

    async def is_live(self, run_id: str) -> bool:
        """Whether a process executes the run now."""
        held = await leases.holder(self._index, run_id)
        return held is not None and held.executes

    async def answers(self, run_id: str) -> bool:
        """Whether a process executes the run now, or is about to begin a new one: it can be asked something."""
        held = await leases.holder(self._index, run_id)
        return held is not None and held.answers

    def open_journal(self, run_id: str, lease: Lease) -> Journal:
        """The run's journal for its one writer, as an async context manager."""
        return Journal(FileWriter(self.run_folder(run_id), run_id, lease.epoch), run_id)

    @contextlib.asynccontextmanager
    async def writing(self, run_id: str) -> AsyncGenerator[Journal]:
        """The journal of a run that nobody executes, for the length of the body. Raises RunIsLiveError."""
        lease = await self.acquire(run_id)
        try:
            async with self.open_journal(run_id, lease) as journal:
                yield journal
        finally:
            await lease.release()

    @contextlib.asynccontextmanager
    async def held(self, run_id: str) -> AsyncGenerator[None]:
        """Nobody executes the run for the length of the body. Raises RunIsLiveError."""
        lease = await self.acquire(run_id)
        try:
            yield
        finally:
            await lease.release()

    async def remove(self, run_id: str) -> None:
        """Deletes the run's folder and forgets the run. The caller holds it (`held`). Raises StoreError."""
        await asyncio.to_thread(self._remove, run_id)

        def forget(connection: Connection) -> None:
            for table in (RUNS, LEASES, REQUESTS):
                connection.execute(table.delete().where(table.c.run_id == run_id))

        await self._index.write(forget)

    def reader(self, run_id: str) -> JournalReader:
        return FolderReader(self.run_folder(run_id), run_id)

    # --- blocking, in a thread ---------------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(
                f"The state folder {self.folder} cannot be made: {error.strerror}.", hint="Name another with --state."
            ) from error

    def _create(
        self, run_id: str, events: Sequence[Recorded], values: Mapping[str, bytes], turns: Sequence[Spoken]
    ) -> None:
        """Builds the run's folder under a hidden name; it gets its own when everything in it is on disk."""
        folder = self.run_folder(run_id)
        hidden = folder.with_name(f".{folder.name}")
        try:
            hidden.mkdir(mode=0o700)
            file_writer.create(hidden, run_id, events, values, turns)
            hidden.rename(folder)
            bring_to_disk(folder.parent)
        except OSError as error:
            raise store_error(error, folder) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _remove(self, run_id: str) -> None:
        """The folder gets a hidden name first: what a crash leaves of it is no run, and goes the next time."""
        folder = self.run_folder(run_id)
        try:
            folder.rename(folder.with_name(f"{GONE}{run_id}"))
            bring_to_disk(folder.parent)
            for left in folder.parent.glob(f"{GONE}*"):
                shutil.rmtree(left)
        except OSError as error:
            raise store_error(error, folder) from error

    def _folders(self) -> set[str]:
        with os.scandir(self.folder / "runs") as entries:
            return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}

    def _look_up(self, run_id: str) -> RunRow:
        """The row of a run that the index does not know; of one that cannot be read, little more than its id."""
        try:
            return _row(self.reader(run_id).origin())
        except StoreError:
            return RunRow(run_id, "", "", "", 0.0)

    def _all_facts(self, run_ids: list[str]) -> dict[str, Facts | StoreError]:
        found: dict[str, Facts | StoreError] = {}
        for run_id in run_ids:
            try:
                found[run_id] = self._facts_of(run_id)
            except StoreError as error:
                found[run_id] = error
        return found

    def _facts_of(self, run_id: str) -> Facts:
        """Read anew only where the journal was written to: a list is asked for every other second."""
        reader = FolderReader(self.run_folder(run_id), run_id)
        written = reader.last_written()
        known = self._facts.get(run_id)
        if known is None or known[0] != written:
            known = self._facts[run_id] = (written, reader.facts())
        return known[1]

    def _written_since(self, at: float) -> list[str]:
        found: set[str] = set()
        for path in (self.folder / "runs").glob("*/journal.db*"):
            with contextlib.suppress(FileNotFoundError):  # the log goes when its run ends
                if path.stat().st_mtime >= at:
                    found.add(path.parent.name)
        return sorted(found)


def _goes_on(facts: Facts | StoreError) -> bool:
    return isinstance(facts, Facts) and facts.status is RunStatus.RUNNING


def newest_first(rows: Iterable[RunRow]) -> list[RunRow]:
    return sorted(rows, key=lambda row: (-row.created_at, row.run_id))


def _row(origin: Origin) -> RunRow:
    created = origin.created
    return RunRow(created.run_id, created.name, created.cwd, created.script, origin.created_at)


def _insert_new(connection: Connection, rows: list[RunRow]) -> None:
    """Adds those rows that are not there."""
    for row in rows:
        if connection.execute(select(RUNS.c.run_id).where(RUNS.c.run_id == row.run_id)).first() is None:
            connection.execute(RUNS.insert().values(asdict(row)))
