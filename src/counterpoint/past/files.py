"""Files of strangers: read within limits, never through a link, and wrong ones named with their line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from counterpoint.errors import ImportRefusedError

MAX_FILE = 512 * 1024 * 1024
MAX_LINE = 32 * 1024 * 1024
MAX_LINES = 500_000
MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a file that is one JSON document."""

_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""A whole pair, half of one, or any other escape: what follows a backslash that is escaped itself is none."""

T = TypeVar("T")


def lines(path: Path, kind: type[T]) -> Iterator[tuple[int, T]]:
    """Each line of a JSON Lines file, as this type, with its number. Blocking. Raises ImportRefusedError.

    A last line that was cut off is left out: whoever wrote the file has died over it.
    """
    decoder = msgspec.json.Decoder(kind)
    with os.fdopen(_opened(path, MAX_FILE), "rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if number > MAX_LINES:
                raise ImportRefusedError(path, number, f"the file has more than {MAX_LINES:,} lines")
            if len(line) > MAX_LINE:
                raise ImportRefusedError(path, number, f"the line is longer than {MAX_LINE // 1024**2} MiB")
            if not line.strip():
                continue
            try:
                yield number, decoder.decode(_mended(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if line.endswith(b"\n"):
                    raise ImportRefusedError(path, number, _why(error)) from error


def document(path: Path, kind: type[T]) -> T:
    """A file that is one JSON document, as this type. Blocking. Raises ImportRefusedError."""
    with os.fdopen(_opened(path, MAX_DOCUMENT), "rb") as file:
        try:
            return msgspec.json.decode(_mended(file.read()), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ImportRefusedError(path, 0, _why(error)) from error


def text(path: Path, most: int) -> str:
    """The beginning of a text file. Blocking. Raises ImportRefusedError."""
    with os.fdopen(_opened(path, MAX_DOCUMENT), "rb") as file:
        return file.read(most).decode("utf-8", "replace")


def refuse_links(*folders: Path) -> None:
    """Raises ImportRefusedError where one of them is a link: it could lead out of what the user has named."""
    for folder in folders:
        if folder.is_symlink():
            raise ImportRefusedError(folder, 0, "it is a symbolic link, and none is followed")


def decoded(path: Path, number: int, raw: msgspec.Raw, kind: type[T]) -> T:
    """A part of a line that was not looked at yet. Raises ImportRefusedError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportRefusedError(path, number, _why(error)) from error


def _mended(json: bytes) -> bytes:
    """Half of a pair of surrogates, which JavaScript leaves where it cuts a text, becomes the sign of a lost letter."""
    return _ESCAPES.sub(_whole, json) if _HALVES.search(json) else json


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")


def _opened(path: Path, most: int) -> int:
    """A descriptor of a plain file. A link could lead out of the folder that the user has named."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        link = (
            "it is a symbolic link, and none is followed"
            if path.is_symlink()
            else f"it cannot be read: {error.strerror}"
        )
        raise ImportRefusedError(path, 0, link) from error
    found = os.fstat(descriptor)
    wrong = "" if stat.S_ISREG(found.st_mode) else "it is no file"
    if found.st_size > most:
        wrong = f"it has {found.st_size:,} bytes, and at most {most:,} are read"
    if wrong:
        os.close(descriptor)
        raise ImportRefusedError(path, 0, wrong)
    return descriptor
