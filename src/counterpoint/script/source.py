"""A script's text, and where things stand in it: lines and columns from 1, columns in UTF-16 units."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

Span = tuple[int, int, bytes]
"""A stretch of bytes, from and to, and what stands there instead."""


@dataclass(frozen=True)
class Source:
    """A text with a table of its lines. tree-sitter counts bytes of its UTF-8; people and editors do not."""

    text: str
    encoded: bytes = field(init=False, repr=False)
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        encoded = self.text.encode("utf-8", "surrogatepass")
        starts = [0]
        at = encoded.find(b"\n")
        while at >= 0:
            starts.append(at + 1)
            at = encoded.find(b"\n", at + 1)
        object.__setattr__(self, "encoded", encoded)
        object.__setattr__(self, "_starts", starts)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte offset."""
        row = bisect.bisect_right(self._starts, offset) - 1
        return row + 1, units(self.encoded[self._starts[row] : offset]) + 1

    def offset(self, line: int, column: int) -> int:
        """The byte offset of a line and column; the end of the line for a column behind it."""
        start = self._starts[min(line, len(self._starts)) - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.encoded)
        inside = self.encoded[start:end]
        if inside.isascii():
            return min(start + column - 1, end)
        wide = inside.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")[: 2 * (column - 1)]
        return start + len(wide.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass"))

    def line(self, number: int) -> str:
        """One line, without its end."""
        if number > len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.encoded)
        return self.encoded[start:end].decode("utf-8", "replace").rstrip("\r")

    @property
    def end(self) -> tuple[int, int]:
        """Line and column behind the last character."""
        return self.place(len(self.encoded))

    def without(self, spans: Iterable[Span]) -> Source:
        """The text with blanks, or something shorter and blanks, where the spans are: nothing else moves."""
        pieces: list[bytes] = []
        at = 0
        for start, end, instead in sorted(spans):
            if start < at:
                continue  # inside of one that is gone already
            if b"\n" in self.encoded[start : start + len(instead)]:
                instead = b""  # a line that ends there must go on ending there
            pieces += [self.encoded[at:start], instead, _blank(self.encoded[start + len(instead) : end])]
            at = end
        pieces.append(self.encoded[at:])
        return Source(b"".join(pieces).decode("utf-8", "surrogatepass"))


def units(encoded: bytes) -> int:
    """Length in UTF-16 units of what is UTF-8: one a character, two for those of four bytes."""
    if encoded.isascii():
        return len(encoded)
    return sum((byte & 0xC0) != 0x80 for byte in encoded) + sum(byte >= 0xF0 for byte in encoded)


def _blank(encoded: bytes) -> bytes:
    if encoded.isascii():
        return b"\n".join(b" " * len(line) for line in encoded.split(b"\n"))
    return b"\n".join(b" " * units(line) for line in encoded.split(b"\n"))
