"""The command line, called in this process: what it prints and the code that it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.conftest import Ended

from counterpoint.cli.failures import report
from counterpoint.cli.main import program


class Commands:
    """`counterpoint` in a project with a state of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.project, self.state = folder / "project", folder / "state"
        self._capture = capture

    def __call__(self, *arguments: str) -> Ended:
        self._capture.readouterr()
        try:
            code = program.main(
                [*arguments, "--state", str(self.state)], standalone_mode=False, prog_name="counterpoint"
            )
        except BaseException as error:
            code = report(error)
        said = self._capture.readouterr()
        return Ended(code if isinstance(code, int) else 0, said.out, said.err)


@pytest.fixture
def cpt(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands(tmp_path, capsys)
    commands.project.mkdir()
    (commands.project / ".git").mkdir()
    monkeypatch.chdir(commands.project)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    return commands
