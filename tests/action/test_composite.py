"""The action from its first step to its last, as a runner carries it out, on one machine and then on another."""

from __future__ import annotations

import json
from pathlib import Path

from tests.action.composite import Runner

ROOT = Path(__file__).parent.parent.parent
READY = frozenset({"actions/setup-python", "Install"})
"""The tests' own Python has what these bring."""
FLOW = """
export const meta = { name: 'flow', description: 'a test' }
const found = await agent('look', { label: 'first' })
const second = await agent('look again', { label: 'second', model: args.second })
const bad = { file: 'src/a.py', line: 7, title: 'Divides by zero', severity: 'high', why: 'x' }
return { report: found, findings: [bad] }
"""


def machine(folder: Path, attempt: int, **inputs: str) -> Runner:
    """A machine that nothing is on but a checkout."""
    checkout = folder / f"machine-{attempt}" / "checkout"
    checkout.mkdir(parents=True)
    (checkout / "flow.js").write_text(FLOW, "utf-8")
    given = {"workflow": "flow.js", "model": "sim", "args": '{"second": "sim:fail=1"}', **inputs}
    return Runner(checkout, folder / "kept", attempt, given, skip=READY)


def test_all_steps_run_and_a_second_machine_goes_on_from_the_cache(tmp_path: Path):
    first = machine(tmp_path, 1)
    assert first.play(ROOT) == 4, first.said
    assert "1 of 2 agents ended well" in first.said
    assert "### Counterpoint: flow — partial" in first.text("GITHUB_STEP_SUMMARY")
    run_id = dict(line.split("=", 1) for line in first.text("GITHUB_OUTPUT").splitlines())["run-id"]
    artifact = tmp_path / "kept" / "artifacts" / "counterpoint-run"
    assert {path.name for path in artifact.iterdir()} == {"run.html", "run.jsonl", "findings.sarif"}
    assert json.loads((artifact / "run.jsonl").read_text("utf-8").splitlines()[0])["run_id"] == run_id

    second = machine(tmp_path, 2, **{"allow-partial": "true", "artifact": ""})
    assert second.play(ROOT) == 0, second.said
    assert f"Going on with run {run_id}" in second.said
    assert "1 reused" in second.said
    assert "::error file=src/a.py,line=7,title=Divides by zero::" in second.said
    assert {path.name for path in (tmp_path / "kept" / "caches").iterdir()} == {
        "counterpoint-4711-review-1", "counterpoint-4711-review-2",
    }  # fmt: skip
