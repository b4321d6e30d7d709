"""The pytest plugin, as a project that has Counterpoint installed meets it: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes.replies import Says
from tests.fakes.server import Fake

TESTS = """
from counterpoint.testing import ScriptedModel, Step

FLOW = "flow.js"

def test_scripted(counterpoint_play):
    counterpoint_play(FLOW, ScriptedModel(Step("hello")), cwd=".").expect(value="hello")

def test_recorded(counterpoint_play, counterpoint_cassette):
    counterpoint_play(FLOW, counterpoint_cassette, cwd=".").expect(value="from the provider")

def test_fails(counterpoint_play):
    counterpoint_play(FLOW, ScriptedModel(), cwd=".")
"""


def pytest(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "counterpoint.testing.plugin", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env={**os.environ, "HOME": str(folder), **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_projects_tests_record_once_and_replay_ever_after(tmp_path: Path):
    (tmp_path / "test_flow.py").write_text(TESTS, "utf-8")
    (tmp_path / "flow.js").write_text(
        "export const meta = { name: 'flow', description: 'a test' }\nreturn agent('say it')", "utf-8"
    )
    with Fake() as fake:
        fake.will(Says("from the provider"))
        given = {"ANTHROPIC_API_KEY": "k", "COUNTERPOINT_BASE_URL": fake.url}
        recorded = pytest(tmp_path, "--counterpoint-record", "anthropic:m", "-k", "recorded", **given)
    assert "1 passed" in recorded.stdout, recorded.stdout
    assert [path.name for path in (tmp_path / "cassettes").iterdir()] == ["test_flow.test_recorded.json"]

    replayed = pytest(tmp_path)
    assert "1 failed, 2 passed" in replayed.stdout, replayed.stdout
    assert "a call too many (no step is for it): say it: say it" in replayed.stdout
