"""What a session with the lead was: a folder with one line of JSON for each thing that happened, on disk at once.

It is written by the process that holds the session, and can be read by anybody; a line that was cut off by a crash is
passed over. Runs are not in it: they have journals of their own, and the session names them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.errors import SessionIsOpenError, StoreError, UsageError
from counterpoint.events import Usage
from counterpoint.models.messages import Message, UserTurn

_encode = msgspec.json.Encoder(enc_hook=str).encode
_messages = msgspec.json.Decoder(list[Message])


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    at: float
    kind: str
    body: dict[str, Any]


class Record:
    """One session's record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self._path = folder / "session.jsonl"

    @classmethod
    def create(cls, state: Path, **about: Any) -> Record:
        """A new session. Raises StoreError."""
        folder = state / "sessions" / f"s_{time.strftime('%Y%m%d')}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise StoreError(f"The session's folder {folder} cannot be made: {error.strerror}.") from error
        record = cls(folder)
        record.add("opened", **about)
        return record

    @classmethod
    def find(cls, state: Path, text: str) -> Record:
        """The session that `text` names: an id, a unique prefix of one, or ``@last``. Raises UsageError."""
        folders = sorted((state / "sessions").glob("s_*/session.jsonl"), key=lambda path: path.stat().st_mtime)
        named = [path.parent for path in folders if path.parent.name.startswith((text, f"s_{text}"))]
        if text == "@last" and folders:
            return cls(folders[-1].parent)
        if len(named) == 1:
            return cls(named[0])
        raise UsageError(
            f"{len(named)} sessions have an id that begins with {text!r}.",
            hint="See them with: counterpoint chat --list",
        )

    @classmethod
    def listing(cls, state: Path) -> list[dict[str, Any]]:
        """All sessions, the newest first: id, time, command and how each begins."""
        rows: list[dict[str, Any]] = []
        for path in (state / "sessions").glob("s_*/session.jsonl"):
            record = cls(path.parent)
            entries = record.entries()
            about = entries[0].body if entries else {}
            said = [m.text for m in record.messages() if isinstance(m, UserTurn)]
            rows.append({
                "session": record.id, "at": entries[0].at if entries else 0.0, "command": str(about.get("command", "")),
                "begins": str(about.get("task") or (said[0] if said else "")), "cwd": str(about.get("cwd", "")),
            })  # fmt: skip
        return sorted(rows, key=lambda row: -row["at"])

    @contextlib.contextmanager
    def held(self) -> Generator[None]:
        """No other process goes on with the session for the length of the body: two would write one conversation.

        The end of our process, whichever, gives it back. Raises SessionIsOpenError, StoreError.
        """
        path = self.folder / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The session's lock {path} cannot be opened: {error.strerror}.") from error
        try:
            _lock(descriptor, self.id)
            yield
        finally:
            os.close(descriptor)

    def add(self, kind: str, **body: Any) -> None:
        """Writes one entry, and has it on disk before it returns. Raises StoreError."""
        line = _encode({"at": time.time(), "kind": kind, **body}) + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"The session's record {self._path} cannot be written: {error.strerror}.") from error

    def message(self, message: Message) -> None:
        """Writes what was said in the conversation."""
        self.add("message", message=message)

    async def file(self, name: str, text: str) -> Path:
        """Keeps a text beside the record, and gives its path."""
        path = self.folder / name
        await asyncio.to_thread(path.write_text, text, encoding="utf-8", errors="surrogatepass")
        return path

    def entries(self) -> list[Entry]:
        """Everything that happened, in order."""
        found: list[Entry] = []
        for line in self._path.read_bytes().splitlines():
            try:
                body = msgspec.json.decode(line, type=dict[str, Any])
                found.append(Entry(float(body.pop("at")), str(body.pop("kind")), body))
            except (msgspec.DecodeError, KeyError, ValueError):
                continue
        return found

    def messages(self) -> list[Message]:
        """The conversation, as far as it is whole."""
        said = [entry.body.get("message") for entry in self.entries() if entry.kind == "message"]
        return _messages.decode(_encode(said))

    def usage(self) -> Usage:
        """What the lead itself has consumed."""
        total = Usage()
        for message in self.messages():
            total = total + (getattr(message, "usage", None) or Usage())
        return total


def _lock(descriptor: int, session: str) -> None:
    """Locks an open file, and writes our number into it for those who find it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        raise SessionIsOpenError(
            f"Session {session} is open in another process{f' ({holder})' if holder.isdigit() else ''}.",
            hint="Leave it there first, or begin a new one with: counterpoint chat",
        ) from None
    except OSError as error:
        raise StoreError(f"Session {session} cannot be locked: {error.strerror}.") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
