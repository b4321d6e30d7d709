"""Tools of one's own: functions that a program gives to the agents of its run, under the same rules as any tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import counterpoint
from counterpoint import FunctionTool, Result, UsageError, Workflow
from counterpoint.testing import ScriptedModel, Step, Uses

ASKS = Workflow("""
export const meta = { name: 'asks', description: 'one agent, and one call of the script itself' }
return await agent('What is in stock?', { label: 'asks', ...args })
""")
CLERK = """---
name: clerk
description: looks only
permissionMode: plan
---
You look, and change nothing.
"""


@dataclass
class Shelf:
    row: int
    side: Literal["left", "right"] = "left"


async def stock(article: str, shelf: Shelf | None = None) -> dict[str, Any]:
    """How much of an article is in stock."""
    return {"article": article, "pieces": 7, "row": shelf.row if shelf else None}


def reads_a_gauge(name: str) -> str:
    """Reads a gauge."""
    raise LookupError(f"no gauge {name}")


async def ask(
    tmp_path: Path, *turns: Any, tools: Any = (stock,), args: dict[str, Any] | None = None, **more: Any
) -> tuple[ScriptedModel, Result]:
    agents = ScriptedModel(Step(*turns))
    result = await counterpoint.run(ASKS, args=args or {}, model=agents, tools=tools, state=tmp_path, **more)
    return agents, result


async def events(result: Result, tmp_path: Path, kind: str) -> list[Any]:
    found = [recorded.event async for recorded in counterpoint.watch(result.run_id, state=tmp_path)]
    return [event for event in found if type(event).__name__ == kind]


async def test_a_function_is_a_tool_with_typed_input_and_its_calls_are_journaled(tmp_path: Path):
    uses = Uses("stock", article="bolts", shelf={"row": 3})
    agents, result = await ask(tmp_path, uses, "seven")
    assert (result.value, result.ok) == ("seven", True)
    assert '\n{"article":"bolts","pieces":7,"row":3}\n' in agents.asked[1].results[0]
    offered = {tool.name: tool for tool in agents.asked[0].request.tools}
    assert offered["stock"].description == "How much of an article is in stock."
    assert offered["stock"].schema["properties"]["article"] == {"type": "string"}
    assert offered["stock"].schema["required"] == ["article"]
    assert "Read" in offered
    (used,) = await events(result, tmp_path, "ToolUsed")
    assert (used.tool, used.ok) == ("stock", True)
    (created,) = await events(result, tmp_path, "RunCreated")
    assert created.tools == ("stock",)
    assert "stock" in created.bounds["allow"]


async def test_input_that_does_not_fit_and_a_function_that_fails_are_told_to_the_agent(tmp_path: Path):
    turns = Uses("stock", article=7), Uses("reads_a_gauge", name="oil"), "done"
    agents, result = await ask(tmp_path, *turns, tools=[stock, reads_a_gauge])
    assert "must be string, not number" in agents.asked[1].results[0]
    assert "reads_a_gauge failed: LookupError: no gauge oil" in agents.asked[2].results[0]
    assert result.ok


async def test_a_rule_against_a_tool_goes_before_its_being_given(tmp_path: Path):
    agents, result = await ask(tmp_path, Uses("stock", article="bolts"), "so be it", deny=["stock"])
    assert "stock" not in {tool.name for tool in agents.asked[0].request.tools}
    assert result.value == "so be it"
    assert "no tool" in agents.asked[1].results[0].lower()


async def test_a_call_can_name_a_tool_of_the_programs_own_or_do_without(tmp_path: Path):
    agents, _ = await ask(tmp_path / "a", "ok", args={"tools": ["stock"]})
    assert [tool.name for tool in agents.asked[0].request.tools] == ["stock"]
    agents, _ = await ask(tmp_path / "b", "ok", args={"tools": ["Read"]})
    assert [tool.name for tool in agents.asked[0].request.tools] == ["Read"]
    agents, _ = await ask(tmp_path / "c", "ok", args={"disallowedTools": ["stock"]})
    assert "stock" not in {tool.name for tool in agents.asked[0].request.tools}


async def test_an_agent_that_may_only_read_gets_what_only_reads(tmp_path: Path):
    (tmp_path / ".claude" / "agents").mkdir(parents=True)
    (tmp_path / ".claude" / "agents" / "clerk.md").write_text(CLERK)
    tools = [FunctionTool(stock, reads=True), FunctionTool(stock, name="order")]
    agents, _ = await ask(tmp_path, "ok", tools=tools, args={"agentType": "clerk"}, cwd=tmp_path)
    offered = {tool.name for tool in agents.asked[0].request.tools}
    assert "stock" in offered
    assert "order" not in offered


async def test_a_call_cannot_reach_beyond_the_tools_of_its_agent_type(tmp_path: Path):
    (tmp_path / ".claude" / "agents").mkdir(parents=True)
    (tmp_path / ".claude" / "agents" / "clerk.md").write_text(
        CLERK.replace("permissionMode: plan", "tools: Read, stock")
    )
    tools = [stock, FunctionTool(stock, name="order")]
    args = {"agentType": "clerk", "tools": ["stock", "order", "mcp__shop__order"]}
    agents, _ = await ask(tmp_path, "ok", tools=tools, args=args, cwd=tmp_path)
    assert [tool.name for tool in agents.asked[0].request.tools] == ["stock"]


async def test_the_script_calls_it_too_and_a_resume_without_it_says_what_is_missing(tmp_path: Path):
    calls = Workflow("""
export const meta = { name: 'calls', description: 'a test' }
const counted = await counterpoint.tool('stock', { article: 'nuts' })
return [counted, await agent('Go on', { tools: ['stock'] })]
""")
    model = ScriptedModel(Step("gone", times=None))
    first = await counterpoint.run(calls, model=model, tools=[stock], state=tmp_path)
    assert first.value == ['{"article":"nuts","pieces":7,"row":null}', "gone"]
    again = await counterpoint.resume(first.run_id, model=model, state=tmp_path, reuse="none")
    assert "Tools of the program that began this run are not here: stock." in again.document["log"]
    assert again.error is not None
    assert again.error["name"] == "ToolError"
    with_it = await counterpoint.resume(first.run_id, model=model, tools=[stock], state=tmp_path, reuse="none")
    assert with_it.ok


TAKEN: list[tuple[list[FunctionTool | Callable[..., Any]], str]] = [
    ([FunctionTool(stock, name="bash")], "'bash' is the name of another tool"),
    ([FunctionTool(stock, name="mcp__a__b")], "'mcp__a__b' is the name of another tool"),
    ([FunctionTool(stock, name="WebSearch")], "'WebSearch' is the name of another tool"),
    ([stock, FunctionTool(stock, name="Stock")], "Two tools have the name 'Stock'"),
    ([lambda: 1], "'<lambda>' cannot be a tool's name"),
]


@pytest.mark.parametrize(("tools", "message"), TAKEN)
async def test_a_name_that_is_taken_or_none_is_refused_before_anything_starts(
    tmp_path: Path, tools: list[Any], message: str
):
    with pytest.raises(UsageError, match=message):
        await counterpoint.run(ASKS, args={}, model="sim", tools=tools, state=tmp_path)
    with pytest.raises(counterpoint.CounterpointError):
        await counterpoint.result("@last", state=tmp_path)


def untyped(article) -> str:  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]  (the test)
    """Says something."""
    return ""


def silent(article: str) -> str:
    return article


def several(*articles: str) -> str:
    """Says something."""
    return "".join(articles)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("untyped", "the parameter article has no annotation"),
        ("silent", "says nothing about itself"),
        ("several", "takes its input by names"),
    ],
)
def test_what_cannot_be_described_is_refused_with_the_reason(name: str, why: str):
    with pytest.raises(UsageError, match=why):
        FunctionTool(globals()[name])
