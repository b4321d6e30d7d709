"""A script's text, and where things stand in it: lines and columns from 1, columns in UTF-16 units."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field


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
        before = self.encoded[self._starts[row] : offset].decode("utf-8", "replace")
        return row + 1, units(before) + 1

    def place_of_char(self, index: int) -> tuple[int, int]:
        """Line and column of a character index."""
        row = self.text.count("\n", 0, index)
        start = self.text.rfind("\n", 0, index) + 1
        return row + 1, units(self.text[start:index]) + 1

    def char_index(self, line: int, column: int) -> int:
        """The index of the character at a line and column."""
        start = self._starts[min(line, len(self._starts)) - 1]
        index = len(self.encoded[:start].decode("utf-8", "replace"))
        left = column - 1
        while left > 0 and index < len(self.text):
            left -= 2 if ord(self.text[index]) > 0xFFFF else 1
            index += 1
        return index

    def line(self, number: int) -> str:
        """One line, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.encoded)
        return self.encoded[start:end].decode("utf-8", "replace").rstrip("\r")


def units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text) + sum(ord(c) > 0xFFFF for c in text) if not text.isascii() else len(text)
