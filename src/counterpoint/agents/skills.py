"""Skills: folders with a SKILL.md. Agents see names and descriptions; the body comes when one asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from counterpoint.agents.frontmatter import FrontMatterError, split
from counterpoint.errors import ToolError, nearest
from counterpoint.models.messages import ToolSpec
from counterpoint.tools.base import Access, Action, ToolContext
from counterpoint.tools.files import object_schema

FOLDERS = (Path(".counterpoint/skills"), Path(".agents/skills"), Path(".claude/skills"))
MAX_BYTES = 256 * 1024
MAX_INDEX = 8000
"""Characters of names and descriptions."""
MAX_FILES = 100


@dataclass(frozen=True, slots=True)
class SkillFile:
    """One skill."""

    name: str
    description: str
    body: str
    folder: Path
    on_order: bool = False
    """No agent takes it by itself (``disable-model-invocation``): only agent types that name it have it."""


def load_skills(cwd: Path, home: Path | None = None) -> tuple[dict[str, SkillFile], list[str]]:
    """The skills that a folder sees, the nearest of a name winning; and what is wrong with files, as sentences."""
    found: dict[str, SkillFile] = {}
    wrong: list[str] = []
    for folder, project in _folders(cwd, home or Path.home()):
        for path in sorted(folder.glob("*/SKILL.md")):
            try:
                _refuse_strayed(path, project)
                skill = read_skill(path)
            except (FrontMatterError, OSError, UnicodeDecodeError) as error:
                wrong.append(f"{path}: {error}")
                continue
            found.setdefault(skill.name, skill)
    return found, wrong


def read_skill(path: Path) -> SkillFile:
    """One SKILL.md. Raises FrontMatterError, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise FrontMatterError(f"it is longer than {MAX_BYTES // 1024} KiB.")
    values, body = split(path.read_text(encoding="utf-8-sig"))
    name, description = values.get("name") or path.parent.name, values.get("description") or ""
    if not isinstance(name, str) or not isinstance(description, str) or not description:
        raise FrontMatterError("a skill has a name and a description.")
    on_order = str(values.get("disable-model-invocation", "")).lower() == "true"
    return SkillFile(name[:64], description[:1024], body.strip(), path.parent, on_order)


def _refuse_strayed(path: Path, project: Path | None) -> None:
    """A project cannot make agents read what lies outside of it, by a link; a user may put links where he likes."""
    if project is not None and not path.resolve().is_relative_to(project.resolve()):
        raise FrontMatterError("it lies outside of the project, behind a link.")


def _folders(cwd: Path, home: Path) -> Iterator[tuple[Path, Path | None]]:
    """Where skills are, and the project's folder that they belong to; None: the user's own."""
    for folder in (cwd, *cwd.parents):
        yield from ((folder / name, folder) for name in FOLDERS)
        if (folder / ".git").exists():
            break
    yield Path(platformdirs.user_config_dir("counterpoint")) / "skills", None
    yield Path(os.environ.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "skills", None


class Skill:
    """The tool that gives a skill's body."""

    read_only = True

    def __init__(self, skills: Mapping[str, SkillFile]) -> None:
        self._skills = skills
        self.spec = ToolSpec(
            "Skill",
            f"Gives the instructions of a skill. There are:\n{_index(skills)}",
            object_schema({"skill": {"type": "string", "description": "Its name."}}, "skill"),
        )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        skill = self._skills.get(input["skill"])
        if skill is None:
            known = sorted(self._skills)
            raise ToolError(
                f"There is no skill {input['skill']!r}{nearest(input['skill'], known)} There are: {', '.join(known)}."
            )

        async def give() -> str:
            return described(skill)

        return Action((Access("Skill", "own", skill.name),), give)


def described(skill: SkillFile) -> str:
    """A skill as an agent reads it: its body, and the files that go with it."""
    files = sorted(path for path in skill.folder.rglob("*") if path.is_file() and path.name != "SKILL.md")
    listed = "\n".join(f"- {path}" for path in files[:MAX_FILES])
    more = f"\n[{len(files) - MAX_FILES:,} more files.]" if len(files) > MAX_FILES else ""
    return f"# Skill {skill.name}\n\n{skill.body}" + (f"\n\nFiles that go with it:\n{listed}{more}" if files else "")


def _index(skills: Mapping[str, SkillFile]) -> str:
    lines: list[str] = []
    room = MAX_INDEX
    for name, skill in sorted(skills.items()):
        line = f"- {name}: {' '.join(skill.description.split())}"
        room -= len(line)
        if room < 0:
            lines.append(f"[{len(skills) - len(lines)} more skills are not listed here.]")
            break
        lines.append(line)
    return "\n".join(lines)
