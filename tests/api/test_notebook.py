"""Progress where Python has started a run: a display that changes in place in a notebook, lines elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import counterpoint
from counterpoint import Workflow

FLOW = """
export const meta = { name: '<b>counts</b>', description: 'a test', phases: [{ title: 'Count' }] }
phase('Count')
log('<script>alert(1)</script>')
return await parallel([1, 2, 3].map((n) => () => agent(`Say ${n}`)))
"""
CODE = f"""
import counterpoint
FLOW = counterpoint.Workflow({FLOW!r})
result = await counterpoint.run(FLOW, model="sim", progress=True)
print(result.status.value)
"""
CELL = f"""
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.display_pub = CapturingDisplayPublisher()
done = shell.run_cell({CODE!r})
done.raise_error()
shown = shell.display_pub.outputs
assert not shown[0]["update"] and all(each["update"] for each in shown[1:]), shown
assert len({{each["transient"]["display_id"] for each in shown}}) == 1
print(shown[-1]["data"]["text/plain"])
print(shown[-1]["data"]["text/html"])
"""


def test_a_notebook_shows_the_run_in_one_place_and_as_text_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("IPython")
    monkeypatch.setenv("COUNTERPOINT_STATE", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    ran = subprocess.run([sys.executable, "-c", CELL], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    status, line, html = ran.stdout.strip().splitlines()
    assert status == "completed"
    assert line.startswith("<b>counts</b> completed · 3 of 3 agents · ")
    assert "&lt;b&gt;counts" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "3 of 3</td>" in html
    assert "Count</td>" in html


async def test_elsewhere_it_is_a_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    await counterpoint.run(Workflow(FLOW), model="sim", progress=True, state=tmp_path)
    out, err = capsys.readouterr()
    assert out == ""
    assert "completed · 3 of 3 agents" in err.splitlines()[-1]
