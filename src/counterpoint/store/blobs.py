"""Values over 64 KiB, as files named by the SHA-256 of what they hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from msgspec import Raw

from counterpoint.errors import JournalFormatError
from counterpoint.events import Value
from counterpoint.store.database import bring_to_disk

INLINE = 64 * 1024
"""Bytes of JSON that an event may hold itself."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_value(json: bytes, inline: int = INLINE) -> Value:
    """What stands for this JSON in an event: itself, or the name of the blob that the caller has to keep."""
    return Value(json=Raw(json)) if len(json) <= inline else Value(blob=digest(json), bytes=len(json))


class Blobs:
    """The blobs of one run. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Writes a blob; it outlasts a loss of power when this returns. Raises OSError."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700)
            bring_to_disk(self._folder.parent)
        if not self._has(name, data):
            self._write(name, data)
        bring_to_disk(self._folder)

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f"{name}.{os.getpid()}.new"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> bytes:
        """Reads a blob. Raises JournalFormatError when it is missing or no longer what it was."""
        try:
            data = (self._folder / name).read_bytes()
        except OSError as error:
            raise JournalFormatError(
                f"The value {self._folder / name} cannot be read: {error.strerror}.",
                hint="Restore it from a copy; or run everything again: counterpoint resume RUN --reuse none",
            ) from error
        if digest(data) != name:
            raise JournalFormatError(
                f"The value {self._folder / name} is damaged: its content has changed.",
                hint="Restore it from a copy; or run everything again: counterpoint resume RUN --reuse none",
            )
        return data

    def _has(self, name: str, data: bytes) -> bool:
        """Whether the blob is there, whole: one that was torn is written again."""
        try:
            return (self._folder / name).read_bytes() == data
        except FileNotFoundError:
            return False
