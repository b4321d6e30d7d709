"""The program as a user has it: a process, its exit code, its output, a state folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.warm import Started, start

Process = Started | subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a finished command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


NOT_OURS = ("COUNTERPOINT_", "ANTHROPIC_", "OPENAI_", "COLUMNS", "LINES")
"""Variables that a test's program does not get; the last two make every terminal as wide as a test worker's."""


class Program:
    """`counterpoint` in a folder, with a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.before: tuple[str, ...] = ()
        """A command line that runs it somewhere special."""
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)},
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home" / "config"),
            "COUNTERPOINT_STATE": str(self.state),
        }

    def script(self, text: str, name: str = "flow") -> str:
        """Writes a script, with a meta where it has none, and gives its path."""
        if "export const meta" not in text:
            text = f"export const meta = {{ name: '{name}', description: 'a test' }}\n{text}"
        path = self.folder / f"{name}.js"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def start(self, *arguments: str, **environment: str) -> Process:
        """Starts it: see `tests.warm`; where `before` or Python's own variables are given, from nothing."""
        whole = {**self.environment, **environment}
        if not self.before and not any(name.startswith(("PYTHON", "LC_", "LANG")) for name in environment):
            return start(arguments, self.folder, whole)
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", "counterpoint", *arguments],
            cwd=self.folder,
            env=whole,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, timeout: float = 60, **environment: str) -> Ended:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Ended(process.wait(), out, err)

    def run(self, text: str, *arguments: str, name: str = "flow") -> Ended:
        """Runs a script's text with `sim` and gives the JSON document."""
        return self("run", self.script(text, name), "--model", "sim", "--json", *arguments)


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)
