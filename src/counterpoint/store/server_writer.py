"""A journal in a PostgreSQL database, from the side of its one writer.

Each transaction begins with an update of the run's head, which fails for a writer of an older epoch, and counts the
commits: when the connection breaks, the number says whether the last one arrived, so nothing is lost or written twice.
While the server is away the run waits: nothing is acknowledged, so the script hears nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from counterpoint.errors import JournalFormatError, LeaseLostError, StoreError
from counterpoint.events import Recorded, RunCreated
from counterpoint.store import leases
from counterpoint.store.blobs import digest
from counterpoint.store.database import RUNS
from counterpoint.store.migrations import BLOBS, HEADS
from counterpoint.store.rows import Batch, Spoken, event_row, read_events, read_turns
from counterpoint.store.server import NOTIFY, PAUSE_S, Server, is_away

PATIENCE_S = 900.0
"""How long a run waits for a server that is away, before it ends as interrupted."""
INSERT_EVENT = "INSERT INTO events (run_id, seq, at, epoch, type, body) VALUES (%s, %s, %s, %s, %s, %s)"
INSERT_TURN = "INSERT INTO turns (run_id, agent, n, at, body) VALUES (%s, %s, %s, %s, %s)"
TAKE_HEAD = (
    "UPDATE heads SET batch = %s, written_at = extract(epoch FROM clock_timestamp()) WHERE run_id = %s AND epoch = %s"
)


def create(
    server: Server,
    events: Sequence[Recorded],
    values: Mapping[str, bytes],
    turns: Sequence[Spoken] = (),
    *,
    begins: bool = False,
) -> None:
    """Records a new run with these events, transcripts and the large values of both. Raises StoreError."""
    created = events[0].event
    assert isinstance(created, RunCreated)  # noqa: S101  (what every journal begins with)
    run_id = created.run_id
    row = {"name": created.name, "cwd": created.cwd, "script": created.script, "created_at": events[0].at}

    def insert_all(connection: Connection) -> None:
        connection.execute(RUNS.insert().values(run_id=run_id, **row))
        connection.execute(HEADS.insert().values(run_id=run_id, epoch=0, batch=0, written_at=time.time()))
        if begins:
            leases.announce(connection, run_id)
        _put_blobs(connection, run_id, list(values.items()))
        connection.exec_driver_sql(INSERT_EVENT, [event_row(run_id, 0, recorded) for recorded in events])
        if turns:
            connection.exec_driver_sql(INSERT_TURN, [(run_id, *spoken) for spoken in turns])

    server.change(insert_all)


class ServerWriter:
    """The one writer of a run."""

    def __init__(self, server: Server, run_id: str, epoch: int) -> None:
        self.back: Callable[[float], None] | None = None
        """Is told, in the writer's thread, when the server is back, and after how many seconds."""
        self._server = server
        self._run_id = run_id
        self._epoch = epoch
        self._batch = 0
        self._connection: Connection | None = None

    @property
    def place(self) -> str:
        return f"{self._server.place} ({self._run_id})"

    def open(self) -> list[Recorded]:
        def take(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")
            mine = (HEADS.c.run_id == self._run_id, HEADS.c.epoch <= self._epoch)
            took = connection.execute(HEADS.update().where(*mine).values(epoch=self._epoch, batch=0)).rowcount
            connection.exec_driver_sql("COMMIT" if took else "ROLLBACK")
            if not took:
                raise LeaseLostError(f"Another process holds run {self._run_id}.")

        self._server.ask(take)
        return self._server.ask(lambda connection: read_events(connection, self._run_id, 0))

    def write(self, batch: Batch) -> None:
        """Waits for a server that is away, up to `PATIENCE_S`."""
        self._batch += 1
        away_since: float | None = None
        while True:
            try:
                connection = self._connected()
                if away_since is None or self._arrived(connection) < self._batch:
                    self._commit(connection, batch)
                connection.exec_driver_sql(NOTIFY, (channel(self._run_id),))
                break
            except DBAPIError as error:
                now = time.monotonic()
                away_since = away_since or now
                if not is_away(error) or now - away_since > PATIENCE_S:
                    raise
                self.close()
                time.sleep(PAUSE_S)
        if away_since is not None and self.back is not None:
            self.back(time.monotonic() - away_since)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._server.connect()
        return self._connection

    def _arrived(self, connection: Connection) -> int:
        """The number of the last commit of ours."""
        mine = (HEADS.c.run_id == self._run_id, HEADS.c.epoch == self._epoch)
        found = connection.execute(select(HEADS.c.batch).where(*mine)).scalar()
        return -1 if found is None else found

    def _commit(self, connection: Connection, batch: Batch) -> None:
        connection.exec_driver_sql("BEGIN")
        if connection.exec_driver_sql(TAKE_HEAD, (self._batch, self._run_id, self._epoch)).rowcount != 1:
            connection.exec_driver_sql("ROLLBACK")
            raise LeaseLostError(f"Another process took run {self._run_id} over; nothing more was written here.")
        if batch.blobs:
            _put_blobs(connection, self._run_id, batch.blobs)
        if batch.events:
            rows = [event_row(self._run_id, self._epoch, recorded) for recorded in batch.events]
            connection.exec_driver_sql(INSERT_EVENT, rows)
        if batch.turns:
            connection.exec_driver_sql(INSERT_TURN, batch.turns)
        for along in batch.along:
            connection.execute(along.statement, list(along.rows))
        connection.exec_driver_sql("COMMIT")

    def finish(self) -> None:
        """There is nothing to tidy up."""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def explained(self, error: BaseException) -> StoreError:
        return self._server.explained(error)

    def read_blob(self, name: str) -> bytes:
        return read_blob(self._server, self._run_id, name)

    def read_turns(self, agent: str) -> list[tuple[int, bytes]]:
        rows = self._server.ask(lambda connection: read_turns(connection, self._run_id, agent))
        return [(n, body) for n, _, body in rows]


def channel(run_id: str) -> str:
    """The name under which everybody is told that something of the run has changed."""
    return f"counterpoint.{run_id}"[:63]


def read_blob(server: Server, run_id: str, name: str) -> bytes:
    """A large value. Raises StoreError; JournalFormatError when it is missing or no longer what it was."""
    wanted = select(BLOBS.c.data).where(BLOBS.c.run_id == run_id, BLOBS.c.name == name)
    data = server.ask(lambda connection: connection.execute(wanted).scalar())
    if data is None or digest(data) != name:
        raise JournalFormatError(
            f"The value {name} of run {run_id} in {server.place} is {'missing' if data is None else 'damaged'}.",
            hint="Restore it from a copy; or run everything again: counterpoint resume RUN --reuse none",
        )
    return bytes(data)


def _put_blobs(connection: Connection, run_id: str, blobs: list[tuple[str, bytes]]) -> None:
    if blobs:
        rows = [{"run_id": run_id, "name": name, "data": data} for name, data in blobs]
        connection.execute(insert(BLOBS).on_conflict_do_nothing(), rows)
