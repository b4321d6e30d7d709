"""Events and turns as rows, and back: what journals in files and in a database have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.sql.base import Executable

from counterpoint.errors import JournalFormatError, StoreError
from counterpoint.events import Recorded, decode, encode
from counterpoint.store.database import EVENTS, TURNS

Turn = tuple[str, str, int, float, bytes]
"""Run, agent, number, time (seconds since the epoch), JSON of a message."""
Spoken = tuple[str, int, float, bytes]
"""A message of a transcript: agent, number, time, JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class Along:
    """A statement that is committed together with the events around it; only a database can do that."""

    statement: Executable
    rows: Sequence[dict[str, Any]]
    done: asyncio.Future[None] | None = None
    """Has its result when it is committed."""


@dataclass(slots=True)
class Batch:
    """What is committed in one transaction."""

    events: list[Recorded]
    turns: list[Turn]
    blobs: list[tuple[str, bytes]]
    """Name and content of the large values."""
    along: list[Along]


class Writer(Protocol):
    """The place of one journal, as its one writer has it. Everything is blocking, and called in one thread."""

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        ...

    def open(self) -> list[Recorded]:
        """Takes the journal over, and gives what is in it. Raises StoreError."""
        ...

    def write(self, batch: Batch) -> None:
        """Returns when the batch is durable. Raises StoreError, or an error for `explained`; then nothing of it is."""
        ...

    def finish(self) -> None:
        """Everything is written, and nobody writes any more."""
        ...

    def close(self) -> None:
        """Lets go, whether it ended well or not."""
        ...

    def explained(self, error: BaseException) -> StoreError:
        """What an error of the library means for a person."""
        ...

    def read_blob(self, name: str) -> bytes:
        """In any thread. Raises StoreError."""
        ...

    def read_turns(self, agent: str) -> list[tuple[int, bytes]]:
        """In any thread. Raises StoreError."""
        ...


def read_events(connection: Connection, run_id: str, after: int) -> list[Recorded]:
    """The events behind `after`. Raises JournalFormatError for what this release cannot read."""
    rows = connection.execute(
        select(EVENTS.c.seq, EVENTS.c.at, EVENTS.c.body)
        .where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after)
        .order_by(EVENTS.c.seq)
    )
    events = [Recorded(seq, at, _decode(body, seq)) for seq, at, body in rows]
    if events and events[-1].seq != after + len(events):
        raise JournalFormatError(
            f"The journal of run {run_id} is damaged: events are missing.",
            hint="Restore the run's folder from a copy; the other runs are not affected.",
        )
    return events


def read_turns(connection: Connection, run_id: str, agent: str) -> list[tuple[int, float, bytes]]:
    """Number, time and JSON of each message of an agent, in the order of writing."""
    rows = connection.execute(
        select(TURNS.c.n, TURNS.c.at, TURNS.c.body)
        .where(TURNS.c.run_id == run_id, TURNS.c.agent == agent)
        .order_by(TURNS.c.id)
    )
    return [(n, at, body) for n, at, body in rows]


def read_all_turns(connection: Connection, run_id: str, until: float) -> list[Spoken]:
    """The messages of all agents up to a time, in the order of writing."""
    rows = connection.execute(
        select(TURNS.c.agent, TURNS.c.n, TURNS.c.at, TURNS.c.body)
        .where(TURNS.c.run_id == run_id, TURNS.c.at <= until)
        .order_by(TURNS.c.id)
    )
    return [(agent, n, at, body) for agent, n, at, body in rows]


def _decode(body: bytes, seq: int) -> Any:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise JournalFormatError(
            f"Event {seq} is of a kind that this release does not know: {error}.",
            hint="Update Counterpoint to read it.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalFormatError(
            f"Event {seq} of the journal is damaged: {error}.",
            hint="Restore the run's folder from a copy; the other runs are not affected.",
        ) from error


def event_row(run_id: str, epoch: int, recorded: Recorded) -> tuple[str, int, float, int, str, bytes]:
    tag: str = recorded.event.__struct_config__.tag  # pyright: ignore[reportAssignmentType]  (our tags are texts)
    return run_id, recorded.seq, recorded.at, epoch, tag, encode(recorded.event)
