"""The store: a state folder with an index, and a folder for each run that can be copied, moved and deleted."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from counterpoint.errors import StoreError, UnknownRunError
from counterpoint.store import leases
from counterpoint.store.database import RUNS, store_error
from counterpoint.store.index import Index
from counterpoint.store.journal import Journal
from counterpoint.store.leases import Lease
from counterpoint.store.reader import JournalReader
from counterpoint.store.requests import Requests
from counterpoint.view import RunView


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

    async def __aenter__(self) -> Store:
        await asyncio.to_thread(self._make_folder)
        self._index = Index(self.folder / "index.db")
        self.requests = Requests(self._index)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._index.close()

    @staticmethod
    def new_run_id() -> str:
        digits = uuid.uuid4().hex
        return f"wf_{digits[:8]}-{digits[8:11]}"

    def journal_path(self, run_id: str) -> Path:
        return self._run_folder(run_id) / "journal.db"

    async def create_run(self, run_id: str, *, name: str, cwd: str, script: str) -> None:
        """Makes the run's folder and its line in the index."""
        folder = self._run_folder(run_id)
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700)
        except OSError as error:
            raise store_error(error, folder) from error
        row = RUNS.insert().values(run_id=run_id, name=name, cwd=cwd, script=script, created_at=time.time())
        await self._index.write(lambda connection: connection.execute(row))

    async def runs(self) -> list[RunRow]:
        """All runs, the newest first; folders that were copied here are taken in."""
        await self._adopt()
        query = select(RUNS).order_by(RUNS.c.created_at.desc(), RUNS.c.run_id)
        rows = await self._index.read(lambda connection: connection.execute(query).all())
        return [
            RunRow(row.run_id, row.name, row.cwd, row.script, row.created_at)
            for row in rows
            if self._run_folder(row.run_id).is_dir()
        ]

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
        return await leases.acquire(self._index, run_id)

    async def is_live(self, run_id: str) -> bool:
        """Whether a process executes the run now."""
        held = await leases.holder(self._index, run_id)
        return held is not None and held.alive

    def open_journal(self, run_id: str, lease: Lease) -> Journal:
        """The run's journal for its one writer, as an async context manager."""
        return Journal(self._run_folder(run_id), run_id, lease.epoch)

    @contextlib.asynccontextmanager
    async def writing(self, run_id: str) -> AsyncGenerator[Journal]:
        """The journal of a run that nobody executes, for the length of the body. Raises RunIsLiveError."""
        lease = await self.acquire(run_id)
        try:
            async with self.open_journal(run_id, lease) as journal:
                yield journal
        finally:
            await lease.release()

    def reader(self, run_id: str) -> JournalReader:
        return JournalReader(self._run_folder(run_id), run_id)

    def _run_folder(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id

    def _make_folder(self) -> None:
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(
                f"The state folder {self.folder} cannot be made: {error.strerror}.", hint="Name another with --state."
            ) from error

    async def _adopt(self) -> None:
        """Takes run folders in that the index does not know: the index is only an index."""
        on_disk = await asyncio.to_thread(self._folders)
        known = await self._index.read(lambda connection: set(connection.scalars(select(RUNS.c.run_id))))
        for run_id in on_disk - known:
            await self._adopt_one(run_id)

    async def _adopt_one(self, run_id: str) -> None:
        view = RunView.of((await self.reader(run_id).read())[:1])
        row = RUNS.insert().values(
            run_id=run_id, name=view.name, cwd=view.cwd, script=view.script, created_at=view.created_at
        )

        def insert(connection: Connection) -> None:
            if connection.execute(select(RUNS.c.run_id).where(RUNS.c.run_id == run_id)).first() is None:
                connection.execute(row)

        await self._index.write(insert)

    def _written_since(self, at: float) -> list[str]:
        files = [*(self.folder / "runs").glob("*/journal.db"), *(self.folder / "runs").glob("*/journal.db-wal")]
        return sorted({path.parent.name for path in files if path.stat().st_mtime >= at})

    def _folders(self) -> set[str]:
        return {folder.parent.name for folder in (self.folder / "runs").glob("*/journal.db")}
