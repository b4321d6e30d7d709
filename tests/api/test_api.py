"""Workflows from Python: in an event loop that runs already, with models of one's own, beside the command line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

import counterpoint
from counterpoint import Answer, Recorded, Request, RunStatus, Usage, Workflow

ADDS = "export const meta = { name: 'adds', description: 'a test' }\n"


class Echo:
    """A model of one's own."""

    spec = "echo:1"
    output: Literal["native", "tool"] = "native"
    tools = False
    simulated = False

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def cost(self, usage: Usage) -> float | None:
        return 0.0

    async def request(self, request: Request) -> Answer:
        self.asked.append(request)
        return Answer("echo", [], Usage(input_tokens=3, output_tokens=2, requests=1), self.spec)


def workflow(body: str) -> Workflow:
    return Workflow(ADDS + body)


async def test_a_script_in_a_string_runs_and_gives_its_value(tmp_path: Path):
    result = await counterpoint.run(workflow("return args.a + args.b"), args={"a": 1, "b": 2}, state=tmp_path)
    assert (result.value, result.ok, result.status, result.coverage) == (3, True, RunStatus.COMPLETED, (0, 0))


async def test_a_model_of_ones_own_answers(tmp_path: Path):
    model = Echo()
    result = await counterpoint.run(
        workflow("return [await agent('a'), await agent('b')]"), model=model, state=tmp_path
    )
    assert result.value == ["echo", "echo"]
    assert len(model.asked) == 2
    assert result.usage["output_tokens"] == 4


async def test_a_script_can_name_a_further_model(tmp_path: Path):
    text = "return await agent('a', { model: 'mine' })"
    result = await counterpoint.run(workflow(text), model="sim", models={"mine": Echo()}, state=tmp_path)
    assert result.value == "echo"


async def test_events_are_told_as_they_become_durable(tmp_path: Path):
    told: list[Recorded] = []
    result = await counterpoint.run(
        workflow("return await agent('a')"), model="sim", state=tmp_path, on_event=told.append
    )
    assert [recorded.seq for recorded in told] == list(range(2, told[-1].seq + 1))
    assert counterpoint.RunView.of([event async for event in counterpoint.watch(result.run_id, state=tmp_path)]).ended


async def test_several_runs_share_a_loop(tmp_path: Path):
    text = workflow("return await agent(`n ${args}`)")
    results = await asyncio.gather(*(counterpoint.run(text, args=n, model="sim", state=tmp_path) for n in range(5)))
    assert len({result.run_id for result in results}) == 5
    assert all(f"n {n}" in result.value for n, result in enumerate(results))


async def test_a_failed_agent_is_asked_again_alone(tmp_path: Path):
    text = workflow("return await parallel([() => agent('a'), () => agent('b')])")
    first = await counterpoint.run(text, model="sim:fail=1", state=tmp_path)
    assert (first.status, first.value, first.coverage) == (RunStatus.PARTIAL, [None, None], (0, 2))
    again = await counterpoint.resume("@last", state=tmp_path)
    assert again.run_id == first.run_id
    assert again.document["resumed_from"] == 0


async def test_a_submitted_run_is_watched_from_here(tmp_path: Path):
    script = tmp_path / "flow.js"
    script.write_text(ADDS + "log('hello')\nreturn await agent('a')")
    run_id = await counterpoint.submit(script, model="sim", state=tmp_path / "state")
    kinds = [type(recorded.event).__name__ async for recorded in counterpoint.watch(run_id, state=tmp_path / "state")]
    assert kinds[0] == "RunCreated"
    assert kinds[-1] == "RunEnded"
    assert (await counterpoint.result(run_id, state=tmp_path / "state")).ok


async def test_what_is_wrong_with_a_script_or_a_setting_is_raised(tmp_path: Path):
    with pytest.raises(counterpoint.ScriptRefused) as refused:
        await counterpoint.run(Workflow("return 1 +", "half.js"), state=tmp_path)
    assert "half.js:1:1" in str(refused.value)
    with pytest.raises(counterpoint.UsageError, match="did you mean 'concurrency'"):
        await counterpoint.run(workflow("return 1"), state=tmp_path, concurency=3)


def names() -> set[str]:
    return {name for name in counterpoint.__all__ if not name.startswith("_")}


def test_the_public_names_are_these():
    assert names() == {
        "Answer", "AssistantTurn", "CounterpointError", "FunctionTool", "Model", "Outcome", "ProviderError", "Recorded",
        "Request", "Result",
        "RunIsLiveError", "RunStatus", "RunView", "ScriptRefused", "StoreError", "ToolCall", "ToolTurn", "Usage",
        "UsageError", "UserTurn",
        "Workflow", "fork", "result", "resume", "run", "submit", "watch",
    }  # fmt: skip
    assert all(hasattr(counterpoint, name) for name in names())
    assert len(names()) <= 30


def test_importing_the_package_loads_nothing_else():
    code = "import counterpoint, sys; print(sorted(m for m in sys.modules if m.startswith('counterpoint')))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['counterpoint', 'counterpoint.version']"


def example(path: Path, folder: Path) -> Any:
    return subprocess.run(
        [sys.executable, str(path)], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COUNTERPOINT_STATE", str(tmp_path))
    ran = example(path, path.parents[1])
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
