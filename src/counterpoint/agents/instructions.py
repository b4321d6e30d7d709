"""AGENTS.md and CLAUDE.md: what a project, and the user, tell every agent that works with files.

Read from the repository's root down to the run's folder, so that the nearest comes last, with ``@path`` imports. A
project's file can import from its own repository only: a text from the internet must not bring the user's keys into a
prompt. What was read is recorded, and bounded; what did not fit is named in the text.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_BYTES = 64 * 1024
"""Of all files together."""
MAX_DEPTH = 4
_IMPORT = re.compile(r"(?:^|(?<=\s))@([^\s`@]+)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(^```.*?^```|^~~~.*?^~~~|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read."""

    path: str
    sha256: str
    bytes: int


@dataclass(slots=True)
class Instructions:
    """The text for the prompt, and where it comes from."""

    text: str = ""
    sources: list[Source] = field(default_factory=list[Source])


def load_instructions(cwd: Path, names: tuple[str, ...], home: Path | None = None) -> Instructions:
    """The instructions in force for a folder; `names` are the files to look for in each."""
    reader = _Reader()
    own = Path(os.environ.get("CLAUDE_CONFIG_DIR") or (home or Path.home()) / ".claude")
    if "CLAUDE.md" in names:
        reader.take(own / "CLAUDE.md", own, 0)
    folders = list(_folders(cwd))
    for folder in reversed(folders):
        for name in names:
            reader.take(folder / name, folders[-1], 0)
            if name == "CLAUDE.md":
                reader.take(folder / "CLAUDE.local.md", folders[-1], 0)
    return Instructions("\n\n".join(reader.parts), reader.sources)


def _folders(cwd: Path) -> Iterator[Path]:
    """From the folder to the repository's root; the folder alone where there is no repository."""
    found: list[Path] = []
    for folder in (cwd, *cwd.parents):
        found.append(folder)
        if (folder / ".git").exists():
            return iter(found)
    return iter([cwd])


class _Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.sources: list[Source] = []
        self._seen: set[Path] = set()
        self._room = MAX_BYTES

    def take(self, path: Path, root: Path, depth: int) -> None:
        """Adds a file, unless it is there already, and what it imports behind it."""
        real = Path(os.path.realpath(path))
        if real in self._seen or not real.is_relative_to(os.path.realpath(root)) or not real.is_file():
            return
        self._seen.add(real)
        size = real.stat().st_size
        with real.open("rb") as file:
            data = file.read(self._room)
        if b"\0" in data:
            self.parts.append(f'<instructions file="{path}">\n[This file is no text.]\n</instructions>')
            return
        self._room -= len(data)
        text = _COMMENT.sub("", data.decode("utf-8", "replace")).strip()
        left = f"\n[{size - len(data):,} bytes of this file are left out.]" if size > len(data) else ""
        self.sources.append(Source(str(path), hashlib.sha256(data).hexdigest(), size))
        if text or left:
            self.parts.append(f'<instructions file="{path}">\n{text}{left}\n</instructions>')
        if depth < MAX_DEPTH:
            for name in _imports(text):
                target = Path(name).expanduser()
                self.take(target if target.is_absolute() else path.parent / target, root, depth + 1)


def _imports(text: str) -> list[str]:
    """Paths behind an @ that stand in no code."""
    return [found.rstrip(".,;:)") for found in _IMPORT.findall(_CODE.sub("", text))]
