"""What a person says in either face reaches an agent that is at work, and what they change of it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.web.conftest import Served

import counterpoint
from counterpoint import Answer, Recorded, Request, RunStatus, Usage, Workflow
from counterpoint.client import Client
from counterpoint.events import AgentSteered
from counterpoint.models.messages import ToolCall, ToolTurn
from counterpoint.store.runs import Store
from counterpoint.tui.app import Top
from counterpoint.tui.board import Board
from counterpoint.tui.feed import Feed
from counterpoint.tui.scene import Signs
from counterpoint.tui.screens.door import Door

FLOW = "export const meta = { name: 'steered', description: 'a test' }\nreturn await agent('Look around')"


class Listening:
    """A model that calls a tool when it is let go on, and then answers with all that it has been told."""

    spec = "listening:1"
    output: Literal["native", "tool"] = "native"
    tools = True
    simulated = False

    def __init__(self) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.requests: list[Request] = []

    def cost(self, usage: Usage) -> float | None:
        return 0.0

    async def request(self, request: Request) -> Answer:
        self.requests.append(request)
        usage = Usage(input_tokens=3, output_tokens=2, requests=1)
        if any(isinstance(message, ToolTurn) for message in request.messages):
            return Answer("Looked.", [], usage, self.spec)
        self.asked.set()
        await self.go_on.wait()
        return Answer("", [ToolCall("call-1", "LS", {"path": "."})], usage, self.spec)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (of a screen, which tells nobody)
            await asyncio.sleep(0.02)


async def test_an_agent_with_tools_hears_both_faces_at_its_next_tool_boundary(server: Served, tmp_path: Path) -> None:
    state, model, told = server.program.state, Listening(), list[Recorded]()
    (tmp_path / "a.txt").write_text("a")
    server.login()
    async with asyncio.TaskGroup() as group, Store(state) as store:
        running = group.create_task(
            counterpoint.run(Workflow(FLOW), model=model, state=state, cwd=tmp_path, on_event=told.append)
        )
        await model.asked.wait()
        client = Client(store)
        run_id = (await client.runs())[0].run_id

        async def start(arguments: list[str]) -> None:
            raise AssertionError(arguments)

        app = Top(Door(client, "me@terminal", Signs(), start), Feed(client, run_id))
        async with app.run_test(size=(120, 40)) as pilot:
            board = app.screen.query_one(Board)
            await until(lambda: "1 at work" in board.plain)
            await pilot.press("right", "s", *"by keys", "enter")
            await until(lambda: "steer: delivered" in board.plain)
        said = {"verb": "steer", "target": "a1", "text": "by the page"}
        answer = await asyncio.to_thread(server.post, f"/api/runs/{run_id}/requests", said)
        receipt = f"/api/runs/{run_id}/requests/{answer['request']}"
        await until(lambda: any(getattr(each.event, "request", 0) == answer["request"] for each in told))
        assert not (await asyncio.to_thread(server.get, receipt))["done"]  # delivered; it has not been heard yet
        model.go_on.set()
        result = await running

    assert (result.status, len(model.requests)) == (RunStatus.COMPLETED, 2)
    heard = model.requests[1].messages[-1]
    assert isinstance(heard, ToolTurn)
    assert "a.txt" in heard.results[0].content
    assert "by keys" in heard.text
    assert "by the page" in heard.text
    assert "by keys" not in str(model.requests[0])
    assert sum(isinstance(each.event, AgentSteered) for each in told) == 2
    done = await asyncio.to_thread(server.get, receipt)
    assert (done["ok"], done["message"]) == (True, "Heard by a1.")
