"""Held-out tasks that a project keeps, and the agents that try them with the notes of a version.

``.counterpoint/dream/tasks.toml`` has them; the answer of an agent counts when the pattern `expect` is found in it:

    [[task]]
    name = "port"
    prompt = "At which port does the service listen in tests? Answer with the number alone."
    expect = '^8081$'
    guard = true        # this one must not get worse, whatever the mean says
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from counterpoint.dream.canary import Entries, Outcomes, Try
from counterpoint.errors import UsageError
from counterpoint.memory.entries import Entry
from counterpoint.memory.recall import Recall, Source

FILE = Path(".counterpoint/dream/tasks.toml")
FILE_BYTES = 1024 * 1024


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """One task with its checker."""

    name: str
    prompt: str
    expect: str
    """A regular expression."""
    guard: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    task: list[Task] = field(default_factory=list[Task])


class _Row(Struct, frozen=True):
    task: str
    seed: int
    answer: str | None = None


def read_tasks(folder: Path) -> list[Task]:
    """The tasks of a project; none where it has no file. Blocking. Raises UsageError for a file that cannot be used."""
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > FILE_BYTES:
            raise UsageError(f"{path} is larger than {FILE_BYTES // 1024} KiB.")
        tasks = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).task
        for task in tasks:
            re.compile(task.expect)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as error:
        raise UsageError(f"{path} cannot be used: {error}.", hint="docs/dreaming.md shows one.") from error
    if len({task.name for task in tasks}) < len(tasks):
        raise UsageError(f"{path}: two tasks have one name.")
    return tasks


class ProjectTasks:
    """The tasks of a project, tried by agents over a workflow that comes with us."""

    def __init__(self, tasks: Sequence[Task], *, memory_tokens: int) -> None:
        """`memory_tokens` is the share of each prompt that notes may have."""
        self._tasks = {task.name: task for task in tasks}
        self._memory_tokens = memory_tokens

    @property
    def names(self) -> Sequence[str]:
        return list(self._tasks)

    @property
    def guards(self) -> Sequence[str]:
        return [task.name for task in self._tasks.values() if task.guard]

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int], run: Try) -> Outcomes:
        """Each task with each seed, by agents that are told these notes as they would be told them in a run."""
        tasks = [{"name": name, "prompt": self._prompt(entries, self._tasks[name])} for name in names]
        value = await run({"tasks": tasks, "seeds": list(seeds)})
        rows = msgspec.convert(value["answers"], list[_Row])
        return {
            (row.task, row.seed): re.search(self._tasks[row.task].expect, row.answer.strip(), re.MULTILINE) is not None
            for row in rows
            if row.answer is not None
        }

    def _prompt(self, entries: Mapping[str, Entry], task: Task) -> str:
        recall = Recall([Source("project", "", "", dict(entries))], tokens=self._memory_tokens)
        notes = recall.notes(task.prompt, salt=task.name).text
        return f"{task.prompt}\n\n{notes}" if notes else task.prompt


async def project_tasks(folder: Path, *, memory_tokens: int) -> ProjectTasks | None:
    """The tasks of a project; None: it has none."""
    tasks = await asyncio.to_thread(read_tasks, folder)
    return ProjectTasks(tasks, memory_tokens=memory_tokens) if tasks else None
