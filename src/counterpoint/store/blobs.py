"""Values over 64 KiB, as files named by the SHA-256 of what they hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from counterpoint.errors import JournalFormatError

INLINE = 64 * 1024
"""Bytes of JSON that an event may hold itself."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Blobs:
    """The blobs of one run. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Writes a blob; it is on disk when this returns."""
        target = self._folder / name
        if target.exists():
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        temporary = self._folder / f"{name}.{os.getpid()}.new"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def get(self, name: str) -> bytes:
        """Reads a blob. Raises JournalFormatError when it is missing or no longer what it was."""
        try:
            data = (self._folder / name).read_bytes()
        except OSError as error:
            raise JournalFormatError(f"The value {self._folder / name} cannot be read: {error.strerror}.") from error
        if digest(data) != name:
            raise JournalFormatError(f"The value {self._folder / name} is damaged: its content has changed.")
        return data
