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
    # By name: a checkout that was installed before there was a plugin has no entry point for it.
    named = ["-p", "counterpoint.testing.plugin", "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"]
    surroundings = {**os.environ, "HOME": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *named, *arguments],
        cwd=folder, env=surroundings, capture_output=True, text=True, check=False,
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

    # The guide's first example is a test of a project, too.
    guide = (Path(__file__).parent.parent.parent / "docs" / "testing.md").read_text("utf-8")
    (tmp_path / "test_guide.py").write_text(guide.split("```python\n")[1].split("```")[0], "utf-8")
    replayed = pytest(tmp_path, "-o", "asyncio_mode=auto")
    assert "1 failed, 3 passed" in replayed.stdout, replayed.stdout
    assert "a call too many (no step is for it): say it: say it" in replayed.stdout
