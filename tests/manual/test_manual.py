"""The manual: it builds without a warning, its reference is whole, and what says that it runs, runs."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.manual.blocks import blocks, play

import counterpoint
from counterpoint import events
from counterpoint.cli.main import COMMANDS, HIDDEN
from counterpoint.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if blocks(page)]


def reference(name: str) -> str:
    command = [sys.executable, str(ROOT / "manual" / "reference.py"), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_says_that_it_runs_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    work = tmp_path / "work"
    (work / "docs").mkdir(parents=True)
    (work / "docs" / "a.md").write_text("# A page\n\nIts text.\n", "utf-8")
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COUNTERPOINT_STATE", str(tmp_path / "state"))
    play(page)


def test_the_tutorial_and_the_guides_to_the_doors_are_among_them():
    assert {page.stem for page in PAGES} >= {"README", "import", "python", "testing", "tutorial"}


def test_the_manual_builds_without_a_warning(tmp_path: Path):
    pytest.importorskip("mkdocs")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    settings = (tmp_path / "reference" / "settings.html").read_text("utf-8")
    for setting in dataclasses.fields(Settings):
        assert setting.name in settings or setting.name in ("origins", "withheld")
    assert "https://fonts" not in (tmp_path / "index.html").read_text("utf-8")


def test_the_reference_has_every_command_name_and_event():
    cli, python, kinds = reference("cli"), reference("python"), reference("events")
    assert re.findall(r"^## ([\w-]+)$", cli, re.M) == [name for name in COMMANDS if name not in HIDDEN]
    names = {name for name in counterpoint.__all__ if not name.startswith("_")}
    assert names <= set(re.findall(r"^### (\w+)$", python, re.M))
    tags = {kind.__struct_config__.tag for kind in events.Event.__subclasses__()}
    assert {str(tag) for tag in tags} <= set(re.findall(r"^### (\w+)$", kinds, re.M))
