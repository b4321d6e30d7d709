"""Runs as tasks: the official client with the extension polls, answers and cancels; without it nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import (
    create_mcp_http_client,  # pyright: ignore[reportPrivateImportUsage] # its own place is more private still
    streamable_http_client,
)
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitResult, Request, RequestParams, Result
from tests.e2e.conftest import Program
from tests.mcp.test_mcp_server import META, serving, stdio

from counterpoint.mcp.tasks import TASKS
from mcp import Client

COLOUR = META + "return [await agent('a'), await counterpoint.checkpoint('Which colour?', {options: ['red', 'blue']})]"


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)


class Task(Result):
    """What `run` answers with; and, with more members, what ``tasks/get`` does."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str = ""
    created_at: str = ""
    last_updated_at: str = ""
    ttl_ms: int | None = None
    poll_interval_ms: int = 0


class Got(Result):
    task_id: str = ""
    status: str = ""
    status_message: str = ""
    result: dict[str, Any] | None = None
    asked: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


class Params(RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class Ask(Request[Params, str]):
    name_param = "taskId"


class Tasks(ClientExtension):
    """A client's side of the extension: asks again until the task is over."""

    identifier = TASKS

    def __init__(self, says: str = "blue") -> None:
        self.says = says
        self.seen: list[str] = []
        self.questions: list[str] = []
        self.task: Task | None = None
        self.cancels = False

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

    async def resolve(self, task: Task, ctx: ClaimContext) -> CallToolResult:
        self.task = task
        if self.cancels:
            await ask(ctx.session, "tasks/cancel", task.task_id)
        async with asyncio.timeout(60):
            while True:
                got = await ask(ctx.session, "tasks/get", task.task_id)
                if not self.seen or self.seen[-1] != got.status:
                    self.seen.append(got.status)
                for key, request in (got.input_requests or {}).items():
                    if key not in self.questions:
                        self.questions.append(key)
                        assert request["params"]["message"] == "Which colour?"
                        said = ElicitResult(action="accept", content={"answer": self.says})
                        answers = {key: said.model_dump(by_alias=True, mode="json", exclude_none=True)}
                        await ask(ctx.session, "tasks/update", task.task_id, answers)
                if got.status in ("completed", "failed", "cancelled"):
                    return CallToolResult.model_validate(got.result or {"content": [], "isError": True})
                await asyncio.sleep(0.05)


async def ask(session: Any, method: str, task_id: str, answers: dict[str, Any] | None = None) -> Got:
    request = Ask(method=method, params=Params(task_id=task_id, input_responses=answers))
    return await session.send_request(request, Got)


async def person(*_: Any) -> ElicitResult:
    raise AssertionError("the task's question comes with the task")


async def test_a_run_is_a_task_whose_question_is_answered_and_whose_result_comes(cpt: Program):
    tasks = Tasks()
    async with stdio(cpt, extensions=[tasks], elicitation_callback=person) as client:
        over = await client.call_tool("run", {"script": COLOUR, "model": "sim"})
        assert over.structured_content is not None
        assert (over.structured_content["status"], over.structured_content["result"][1]) == ("completed", "blue")
        assert not over.is_error
        assert tasks.task is not None
        assert tasks.seen[-2:] == ["working", "completed"] or tasks.seen[-2:] == ["input_required", "completed"]
        assert "input_required" in tasks.seen
        assert tasks.task.created_at.endswith("Z")
        assert tasks.task.task_id == over.structured_content["run_id"]
    assert cpt("result", tasks.task.task_id, "--json").json["status"] == "completed"


async def test_a_task_is_cancelled_outlives_its_server_and_unknown_ones_are_errors(cpt: Program):
    tasks = Tasks()
    tasks.cancels = True
    slow = META + "return agent('a')"
    async with stdio(cpt, extensions=[tasks]) as client:
        over = await client.call_tool("run", {"script": slow, "model": "sim:latency=60s"})
        assert over.is_error
        assert tasks.seen[-1] == "cancelled"
        refused = await client.call_tool("run", {"script": META + "const x = : 5", "model": "sim"})
        assert refused.is_error, "a script that is refused is no task"
    assert tasks.task is not None
    with serving(cpt) as at:
        headers = {"Authorization": f"Bearer {at['token']}"}
        async with (
            create_mcp_http_client(headers=headers) as http,
            Client(streamable_http_client(at["url"], http_client=http), extensions=[Tasks()]) as client,
        ):
            assert (await ask(client.session, "tasks/get", tasks.task.task_id)).status == "cancelled"
            for unknown in ("wf_ffffffff-fff", "@last", tasks.task.task_id[:6]):
                with pytest.raises(MCPError, match="no such task"):
                    await ask(client.session, "tasks/get", unknown)
        async with (
            create_mcp_http_client(headers=headers) as http,
            Client(streamable_http_client(at["url"], http_client=http)) as plain,
        ):
            with pytest.raises(MCPError) as missing:
                await ask(plain.session, "tasks/get", tasks.task.task_id)
    assert missing.value.error.code == -32021


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_without_the_extension_a_run_is_a_tool_call(cpt: Program, mode: str):
    extensions = [] if mode == "auto" else [Tasks()]  # an older wire cannot carry tasks
    async with stdio(cpt, mode=mode, extensions=extensions) as client:
        started = await client.call_tool("run", {"script": META + "return 1", "model": "sim"})
        assert started.structured_content is not None
        assert started.structured_content["status"] == "started"
