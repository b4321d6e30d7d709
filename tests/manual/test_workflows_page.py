"""The page about the bundled workflows: its tables are what the scripts declare, its scripted runs happen like that."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from counterpoint.cli.workflow_help import arguments
from counterpoint.script.find import BUNDLED
from counterpoint.script.parse import examine, read
from counterpoint.tools import jail

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "bundled" / "run.py"
NAMES = sorted({path.stem for path in BUNDLED.glob("*.js")} - {"dream", "dream-eval"})
RUNS = ["deep-research", "review", "bug-hunt", "plan-panel", "fix-until-green", "migrate"]


def section(name: str) -> str:
    page = (ROOT / "docs" / "workflows.md").read_text("utf-8")
    return page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def rows(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"| {left} | {right.replace('|', '&#124;')} |\n" for left, right in pairs)


def steady(text: str) -> str:
    """Without what depends on the machine, and on the length of what agents are told besides their prompt."""
    return re.sub(r"[\d,]+ tokens in, (.*), [\d.]+ s$", r"\1", text, flags=re.M)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples_bundled", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_phases_are_those_that_the_script_declares(name: str):
    meta = examine(read(BUNDLED / f"{name}.js")).meta
    assert meta is not None
    declared = arguments(meta.raw["args"])
    assert all(": " in nature for _, nature in declared), "an argument without a description"
    text = section(name)
    assert "| argument | |\n| --- | --- |\n" + rows([(f"`{given}`", nature) for given, nature in declared]) in text
    phases = [(phase.title, phase.detail or "") for phase in meta.phases]
    assert "| phase | |\n| --- | --- |\n" + rows(phases) in text


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.skipif(jail.found() == "none", reason="this machine has no sandbox for the commands")
async def test_a_scripted_run_prints_what_the_page_shows_and_returns_what_it_names(
    name: str, example: ModuleType, tmp_path: Path
):
    played = await example.play(name, tmp_path / "library")
    text = section(name)
    assert steady(f"```text\n{example.shown(played)}\n```") in steady(text)
    returns = re.search(r"^It returns (.+?)\n\n", text, re.M | re.S)
    assert returns is not None
    assert set(played.value) - set(re.findall(r"`(\w+)`", returns[1])) == set()


def test_every_case_of_the_example_is_on_the_page(example: ModuleType):
    assert list(example.CASES) == RUNS
