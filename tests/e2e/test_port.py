"""The example of `port`: a small library goes from Python to JavaScript, with worktrees, merges, builds and tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program

from counterpoint.tools import jail

EXAMPLE = Path(__file__).parent.parent.parent / "examples/port"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="the ported library is run by node, which is not here"),
    pytest.mark.skipif(jail.found() == "none", reason="this machine has no sandbox"),
]


def command(folder: Path, *words: str) -> str:
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def steps(result: Any) -> dict[str, list[str]]:
    return {file["path"].removeprefix("ledger/"): file["steps"] for file in result["files"]}


def test_the_original_gives_what_the_vector_says(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "original", tmp_path / "original")
    said = command(tmp_path / "original", sys.executable, "-B", "test_ledger.py")
    assert said == "32 of 32 cases are right.\n"


def test_each_file_of_the_example_goes_its_way_and_the_ported_library_passes_its_tests(cpt: Program) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLE / "run.py", "ported"], cwd=cpt.folder, env={**os.environ, **cpt.environment},
        check=False, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    folder = cpt.folder / "ported"
    assert ran.returncode == 4, ran.stdout + ran.stderr
    ended = cpt("result", "@last", "--json").json
    result = ended["result"]

    plain = ["written", "review 1: 2 found no difference", "merged"]
    wrong_in_the_test = ["round 2: test fails", "fix of round 2", "merged"]
    assert steps(result) == {
        "checksum.py": [*plain, "round 1: build fails", "fix of round 1", "merged", *wrong_in_the_test],
        "dates.py": plain,
        "invoice.py": plain,
        "money.py": [
            "written", "review 1: 2 of 2 refute it", "fix 1", "review 2: 2 found no difference",
            "merged after a conflict in port/python.mjs, made again by an agent",
        ],
        "roman.py": plain,
        "slug.py": [
            "written", "review 1: 2 of 2 refute it", "fix 1", "review 2: 1 of 2 refute it", "fix 2",
            "review 3: 2 of 2 refute it", "given up, kept on its branch",
        ],
        "table.py": [
            "written", "review 1: 1 of 2 refute it", "fix 1", "review 2: 2 found no difference", "merged",
        ],
        "wrap.py": [*plain, *wrong_in_the_test],
    }  # fmt: skip
    assert result["rounds"] == [
        {"n": 1, "build": False, "test": None, "failing": ["port/checksum.mjs"]},
        {"n": 2, "build": True, "test": False, "failing": ["port/wrap.mjs", "port/checksum.mjs"]},
        {"n": 3, "build": True, "test": True, "failing": []},
    ]
    assert (result["green"], len(result["ported"])) == (True, 7)
    assert [(file["path"], file["state"]) for file in result["open"]] == [("ledger/slug.py", "hopeless")]
    assert "- ledger/slug.py: hopeless: reviewers still refute it, it is not merged." in ran.stdout

    assert command(folder, "node", "test_port.mjs").endswith("30 of 30 cases are right.\n")
    assert command(folder, "git", "status", "--porcelain") == ""
    assert not (folder / "port/slug.mjs").exists()
    branches = command(folder, "git", "branch", "--format=%(refname:short)", "--list", "counterpoint/*").split()
    kept = [command(folder, "git", "ls-tree", "--name-only", branch, "port/") for branch in branches]
    assert any("port/slug.mjs" in files for files in kept)

    events = cpt("export", "@last", "--jsonl").lines
    assert [event["tool"] for event in events if event["type"] == "tool_called"].count("Bash") == 3 + 2
    fixers = [event["agent"] for event in events if event.get("phase") == "Green" and event["type"] == "agent_queued"]
    assert len(fixers) == 3
    for fixer in fixers:
        tools = {tool["name"] for tool in cpt("show", "@last", fixer, "--json").json["tools"]}
        assert "Edit" in tools
        assert "Bash" not in tools
