"""What the lead's models are told: one Markdown file a prompt, each with a version that changes with its text.

``{{name}}`` is replaced; what is put in is never looked at for further names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
GUIDE = HERE.parent / "skill" / "SKILL.md"
_HOLE = re.compile(r"\{\{(\w+)\}\}")
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as it is shipped."""

    name: str
    version: int
    text: str

    def fill(self, **values: str) -> str:
        """The text with its holes filled. Raises KeyError for a hole that has no value."""
        return _HOLE.sub(lambda hole: values[hole[1]], self.text)


@lru_cache
def prompt(name: str) -> Prompt:
    """The prompt of that name."""
    whole = (HERE / f"{name}.md").read_text(encoding="utf-8")
    front = _FRONT.match(whole)
    version = re.search(r"^version: (\d+)$", front[1], re.MULTILINE) if front else None
    if front is None or version is None:
        raise ValueError(f"The prompt {name} has no version.")
    return Prompt(name, int(version[1]), whole[front.end() :].strip())


@lru_cache
def guide() -> str:
    """The guide to writing workflows, without its front matter."""
    return _FRONT.sub("", GUIDE.read_text(encoding="utf-8"), count=1).strip()
