"""The GitHub Action: its program as a job runs it, and its description held against that program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
HEAD = "export const meta = { name: 'flow', description: 'a test' }\n"
EVIL = "::error file=x::owned\n`````\n<img src=x onerror=y> @everyone %0A::set-output"
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str
    folder: Path

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text("utf-8")

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "outputs").read_text("utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def commands(self) -> list[str]:
        """What GitHub would obey: lines that begin with ``::`` where commands are not stopped."""
        found: list[str] = []
        until = ""
        for line in self.out.splitlines():
            stop = re.match(r"::stop-commands::(\w+)$", line)
            if until:
                until = "" if line == f"::{until}::" else until
            elif stop:
                until = stop[1]
            elif line.startswith("::"):
                found.append(line)
        return found


def job(folder: Path, script: str, **inputs: str) -> Done:
    """One step of a job whose workflow is the script; stderr goes where stdout does, as there."""
    (folder / "flow.js").write_text(HEAD + script, "utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COUNTERPOINT_", "GITHUB_"))},
        "HOME": str(folder), "COUNTERPOINT_STATE": str(folder / "state"), "GITHUB_SHA": "abc",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "outputs"),
        "GITHUB_EVENT_PATH": str(folder / "event.json"), "INPUT_WORKFLOW": "flow.js", "INPUT_MODEL": "sim",
        **inputs,
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, str(ROOT / "action" / "run.py")], cwd=folder, env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Done(ended.returncode, ended.stdout, "", folder)


def finding(**more: Any) -> str:
    base = {"file": "src/a.py", "line": 7, "title": "Divides by zero", "severity": "high", "why": "A list\nis empty."}
    return json.dumps({**base, **more})


def test_a_finding_becomes_an_annotation_and_a_row_and_code_scanning(tmp_path: Path):
    script = (
        f"await agent('look'); return {{findings: [{finding()}, {finding(severity='low', file='b,c.py', line=0)}]}}"
    )
    done = job(tmp_path, script)
    assert done.code == 0, done.out
    assert done.commands == [
        "::error file=src/a.py,line=7,title=Divides by zero::Divides by zero%0AA list%0Ais empty.",
        "::notice file=b%2Cc.py,title=Divides by zero::Divides by zero%0AA list%0Ais empty.",
    ]
    assert "| error | src/a.py:7 | Divides by zero |" in done.summary
    assert (done.outputs["status"], done.outputs["findings"]) == ("completed", "2")
    kept = tmp_path / "counterpoint-run"
    assert {path.name for path in kept.iterdir()} == {"run.html", "run.jsonl", "findings.sarif"}
    results = json.loads((kept / "findings.sarif").read_text("utf-8"))["runs"][0]["results"]
    assert [(result["level"], result["properties"]["severity"]) for result in results] == [
        ("error", "high"),
        ("note", "low"),
    ]


def test_findings_fail_the_job_where_it_is_told_so(tmp_path: Path):
    script = f"await agent('look'); return {{findings: [{finding(verdict='disputed')}]}}"
    done = job(tmp_path, script, INPUT_FAIL_ON="medium")
    assert done.code == 1
    assert done.commands[-1] == "::error::1 findings; fail-on is medium."


def test_a_run_with_nothing_done_fails(tmp_path: Path):
    done = job(tmp_path, "return {findings: []}")
    assert done.code == 1
    assert done.commands == ["::error::Nothing was done: 0 of 0 agents ended well. That is no success."]


def test_what_strangers_wrote_is_data_and_no_line_of_it_is_obeyed(tmp_path: Path):
    event = {"issue": {"number": 5, "title": "Broken", "body": EVIL}, "comment": {"id": 9, "body": TOKEN}}
    (tmp_path / "event.json").write_text(json.dumps(event), "utf-8")
    script = """
    for (const item of args.items) log(item.text)
    const title = args.items[0].text
    await agent('look', {label: title})
    return {report: args.items.map((item) => item.text).join(' '), findings: [
      {file: '/etc/passwd', title}, {file: '../x', title}, {file: 'a.py', line: 'x', title, why: title}, 7, {title}]}
    """
    done = job(tmp_path, script, INPUT_EVENT_ITEMS="items", INPUT_ARGS='{"more": 1}')
    assert done.code == 0, done.out
    assert len(done.commands) == 1
    assert done.commands[0].startswith("::warning file=a.py,title=Broken")
    assert "::error file=x::owned" in done.out, "the narration is shown"
    before, report = done.summary.split("``````text\n", 1)
    assert "<img" not in before
    assert report.rstrip().endswith("\n``````")
    for kept in (tmp_path / "counterpoint-run").iterdir():
        assert TOKEN not in kept.read_text("utf-8"), kept.name
    assert TOKEN not in done.summary


def test_inputs_that_cannot_be_used_say_so(tmp_path: Path):
    assert job(tmp_path, "", INPUT_ARGS="{").commands[0].startswith("::error::The input args is no JSON")
    assert job(tmp_path, "const x = : 1").commands == ["::error::The run did not start (exit code 2)."]


# --- the descriptions ------------------------------------------------------------------------------------------------


def test_the_description_gives_the_program_what_it_reads_and_no_shell_any_text() -> None:
    described = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    program = (ROOT / "action" / "run.py").read_text("utf-8")
    steps = described["runs"]["steps"]
    step = next(step for step in steps if step.get("id") == "run")
    read = {f"INPUT_{name.upper()}" for name in re.findall(r'value\("(\w+)"\)', program)}
    assert read == {name for name in step["env"] if name.startswith("INPUT_")}
    assert all("${{" not in step.get("run", "") for step in steps)
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(steps)))
    assert used == set(described["inputs"])
    written = set(re.findall(r'"([\w-]+)": ', program.split("def outputs")[1].split("def ")[0]))
    assert set(described["outputs"]) <= written


@pytest.mark.parametrize(("name", "meant"), [
    (".counterpoint/workflows/a.js", True), ("sub/.claude/workflows/b.mjs", True), ("src/workflows/a.js", False),
])  # fmt: skip
def test_the_hook_for_other_repositories_checks_their_workflows(tmp_path: Path, name: str, meant: bool):
    hook: dict[str, str] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))[0]
    assert bool(re.search(hook["files"], name)) is meant
    bad = tmp_path / "bad.js"
    bad.write_text("const x = : 1", "utf-8")
    command = shutil.which(hook["entry"].split()[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert command is not None
    assert (
        subprocess.run([command, *hook["entry"].split()[1:], str(bad)], capture_output=True, check=False).returncode
        == 2
    )
