"""Files of the store: written whole or not at all, on disk when the call returns, and read with a limit. Blocking."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from counterpoint.errors import MemoryStoreError

PATIENCE_S = 60.0
"""How long whoever holds a lock may take: a publication writes a few hundred small files at worst."""
LOOK_S = 0.02
SETTLING = 16
"""Files that wait for the disk at the same time."""
MAX_BYTES = 4 * 1024 * 1024
"""Of any one file of a store: more is no file of ours."""


def write(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Puts a file in the place of what is there; `durable`: it outlasts a loss of power. Raises MemoryStoreError."""
    if path.parent.is_symlink():
        raise MemoryStoreError(f"{path.parent} is a link to elsewhere, so nothing is written there.", hint="Remove it.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            bring_to_disk(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MemoryStoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def settle(paths: Sequence[Path]) -> None:
    """Brings files that were written without being durable to disk, and then their names. Raises MemoryStoreError.

    Many at once: whoever waits for the disk waits together, so that two thousand files take a fraction of a second.
    """
    folders = {folder for path in paths for folder in (path.parent, path.parent.parent)}
    try:
        with ThreadPoolExecutor(max(1, min(SETTLING, len(paths))), "settle") as pool:
            list(pool.map(_file_to_disk, paths))
            list(pool.map(bring_to_disk, folders))
    except OSError as error:
        raise MemoryStoreError(
            f"{error.filename or 'The memory'} cannot be written: {error.strerror or error}."
        ) from error


def _file_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def append(path: Path, line: bytes) -> None:
    """Adds a line, behind one that a crash may have cut off. The caller holds the store's lock."""
    try:
        with _opened(path) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MemoryStoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def _opened(path: Path) -> BinaryIO:
    """A file to add to. Never through a link: a repository of strangers may have one where its memory should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o644), "ab+")


def read(path: Path, limit: int = MAX_BYTES) -> bytes | None:
    """What a file holds; None: there is none. Raises MemoryStoreError for anything but a regular file within limits."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise MemoryStoreError(f"{path} is no regular file, so it is not read.", hint="Remove it.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MemoryStoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise MemoryStoreError(
            f"{path} is larger than {limit // 1024:,} KiB, so it is none of ours.", hint="Remove it."
        )
    return data


def bring_to_disk(folder: Path) -> None:
    """The names in a folder outlast a loss of power. (Windows keeps them without being asked.)"""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Nobody else holds this lock for the length of the body; it goes with its process. Raises MemoryStoreError, also
    when somebody holds it for longer than `PATIENCE_S`."""
    try:
        file = _opened(path)
    except OSError as error:
        raise MemoryStoreError(f"{path} cannot be locked: {error.strerror or error}.") from error
    with file:
        deadline = time.monotonic() + PATIENCE_S
        while not _lock(file.fileno()):
            if time.monotonic() > deadline:
                raise MemoryStoreError(
                    f"Another process has held {path} for {PATIENCE_S:g} s.", hint="Wait for it, or end it."
                )
            time.sleep(LOOK_S)
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        """Takes the lock, which goes when the file is closed. False: somebody else has it."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Takes the lock, which goes when the file is closed. False: somebody else has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
