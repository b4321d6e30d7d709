"""Carries out the steps of a composite action as a runner does: expressions, shells, files, caches, artifacts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


@dataclass
class Runner:
    """One machine of a job: its checkout, its temporary folder, and what outlives the job elsewhere."""

    checkout: Path
    kept: Path
    """Caches and artifacts."""
    attempt: int = 1
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    skip: frozenset[str] = frozenset()
    """Names and actions of steps that are left out, since the machine has what they bring."""
    said: str = ""

    def play(self, action: Path) -> int:
        """Carries all steps out; gives the exit code of the one that failed. Later ones run where they say so."""
        described = yaml.safe_load((action / "action.yml").read_text("utf-8"))
        given = {name: str(about.get("default", "")) for name, about in described["inputs"].items()} | self.inputs
        self.temp = self.checkout.parent / f"temp-{self.attempt}"
        self.temp.mkdir()
        code = 0
        for step in described["runs"]["steps"]:
            if {step.get("name"), str(step.get("uses", "")).split("@")[0]} & self.skip:
                continue
            if code and "always()" not in step.get("if", ""):
                continue
            if "!= ''" in step.get("if", "") and not given["artifact"]:
                continue
            filled = self._filled(step, given)
            if "run" in step:
                code = self._shell(filled, action) or code
            else:
                self._uses(filled)
        return code

    def _filled(self, step: Any, given: dict[str, str]) -> Any:
        if isinstance(step, str):
            return _EXPRESSION.sub(lambda found: self._value(found[1], given), step)
        match step:
            case {**members}:
                return {name: self._filled(each, given) for name, each in members.items()}
            case _:
                return step

    def _value(self, expression: str, given: dict[str, str]) -> str:
        facts = {
            "runner.temp": str(self.temp), "github.run_id": "4711", "github.job": "review",
            "github.run_attempt": str(self.attempt), **{f"inputs.{name}": text for name, text in given.items()},
        }  # fmt: skip
        return facts[expression]

    def _shell(self, step: dict[str, Any], action: Path) -> int:
        assert step["shell"] == "bash"
        files = {name: str(self.temp / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("COUNTERPOINT_", "GITHUB_"))},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.temp), "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(action),
            "GITHUB_SHA": "abc", "GITHUB_WORKSPACE": str(self.checkout), **files, **self.environment,
            **step.get("env", {}),
        }  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        ended = subprocess.run(
            command, cwd=self.checkout, env=environment, check=False, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.said += ended.stdout
        return ended.returncode

    def _uses(self, step: dict[str, Any]) -> None:
        name, options = step["uses"].split("@")[0], step.get("with", {})
        caches = self.kept / "caches"
        match name:
            case "actions/cache/restore":
                for prefix in (options["key"], *options["restore-keys"].split()):
                    found = sorted(caches.glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime)
                    if found:
                        shutil.copytree(found[-1], options["path"])
                        return
            case "actions/cache/save":
                if Path(options["path"]).is_dir():
                    shutil.copytree(options["path"], caches / options["key"])
            case "actions/upload-artifact":
                if (self.checkout / options["path"]).is_dir():
                    shutil.copytree(self.checkout / options["path"], self.kept / "artifacts" / options["name"])
            case _:
                raise AssertionError(f"the action uses {name}, which this runner does not know")

    def text(self, name: str) -> str:
        """One of the files that a runner reads."""
        return (self.temp / name).read_text("utf-8")
