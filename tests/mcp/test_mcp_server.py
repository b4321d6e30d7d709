"""The MCP server, asked by the official client: over stdio and HTTP, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import (
    create_mcp_http_client,  # pyright: ignore[reportPrivateImportUsage] # its own place is more private still
    streamable_http_client,
)
from mcp_types import ElicitRequestFormParams, ElicitResult
from tests.e2e.conftest import Program
from tests.fakes.replies import Says
from tests.fakes.server import Fake

from counterpoint.errors import UsageError
from counterpoint.mcp.questions import Answer, form
from counterpoint.view import GateView
from mcp import Client, StdioServerParameters

META = "export const meta = { name: 'flow', description: 'a test' }\n"


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)


@asynccontextmanager
async def stdio(cpt: Program, *arguments: str, **options: Any) -> AsyncGenerator[Client]:
    """A client whose server is a process of its own."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "counterpoint", "mcp", *arguments], env=cpt.environment, cwd=cpt.folder
    )
    with (cpt.folder / "mcp.log").open("w") as log:
        async with Client(stdio_client(server, errlog=log), **options) as client:
            yield client


@contextmanager
def serving(cpt: Program) -> Generator[dict[str, str]]:
    """The HTTP server; its address and token."""
    process = cpt.start("mcp", "--http", "--port", "0", "--json", "--no-color")
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=20)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    text = "".join(getattr(part, "text", "") for part in result.content)
    assert not result.is_error, text
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return "".join(getattr(part, "text", "") for part in result.content)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_run_is_started_watched_and_read_over_stdio(cpt: Program, mode: str):
    told: list[str | None] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with stdio(cpt, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"run", "status", "wait", "result", "control", "fork", "workflows", "runs", "dream"}
        started = await call(
            client, "run", script=META + "return [await agent('a'), args.x]", args={"x": 5}, model="sim"
        )
        over = await client.call_tool("wait", {"run": started["run_id"]}, progress_callback=heard)
        assert over.structured_content is not None
        assert (over.structured_content["status"], over.structured_content["coverage"]) == (
            "completed",
            {"ok": 1, "of": 1},
        )
        result = await call(client, "result", run="@last")
        assert result["result"][1] == 5
        assert [run["run_id"] for run in (await call(client, "runs"))["runs"]] == [started["run_id"]]
        assert "survey" in {each["name"] for each in (await call(client, "workflows"))["workflows"]}
    assert told[-1] == "1 of 1 agents ended"
    assert cpt("result", started["run_id"], "--json").json["status"] == "completed"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_question_is_put_to_the_person_at_the_client(cpt: Program, mode: str):
    asked: list[tuple[str, Any]] = []

    async def person(_: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        asked.append((params.message, params.requested_schema["properties"]["answer"]["enum"]))
        return ElicitResult(action="accept", content={"answer": "blue"})

    text = META + "return counterpoint.checkpoint('Which colour?', {options: ['red', 'blue']})"
    async with stdio(cpt, mode=mode, elicitation_callback=person) as client:
        started = await call(client, "run", script=text, model="sim")
        over = await call(client, "wait", run=started["run_id"])
        assert (over["status"], (await call(client, "result", run="@last"))["result"]) == ("completed", "blue")
    assert asked == [("Which colour?", ["red", "blue"])]


async def test_a_model_is_no_person(cpt: Program):
    text = META + "return counterpoint.checkpoint('Go on?')"
    async with stdio(cpt) as client:
        run = (await call(client, "run", script=text, model="sim"))["run_id"]
        waits = await call(client, "wait", run=run)
        assert (waits["status"], waits["gates"][0]["question"]) == ("waiting", "Go on?")
        gate = waits["gates"][0]["id"]
        assert "A person has to answer" in await refusal(client, "control", run=run, action="approve", gate=gate)
        assert "no open question 'g9'" in await refusal(client, "control", run=run, action="deny", gate="g9")
    async with stdio(cpt, "--trust-client") as client:
        await call(client, "control", run=run, action="approve", gate=gate, answer="surely")
        assert (await call(client, "wait", run=run))["status"] == "completed"
        assert (await call(client, "result", run=run))["result"] == "surely"


async def test_a_run_is_steered_stopped_and_resumed(cpt: Program):
    text = META + "return parallel([1, 2, 3, 4].map((n) => () => agent(`n ${n}`, {label: `l${n}`})))"
    async with stdio(cpt) as client:
        run = (await call(client, "run", script=text, model="sim:latency=60s"))["run_id"]
        async with asyncio.timeout(30):
            while (await call(client, "wait", run=run, seconds=0.1))["agents"]["total"] < 4:
                pass
        assert (await call(client, "control", run=run, action="skip", agent="l2"))["ok"] is True
        assert "needs an agent" in await refusal(client, "control", run=run, action="retry")
        seq = (await call(client, "status", run=run))["seq"]
        forked = await call(client, "fork", run=run, at=seq, script=META + "return args", args={"n": 7})
        assert (forked["parent"], forked["at"]) == (run, seq)
        assert (await call(client, "wait", run=forked["run_id"]))["status"] == "completed"
        assert (await call(client, "result", run=forked["run_id"]))["result"] == {"n": 7}
        assert "has no event 999" in await refusal(client, "fork", run=run, at=999)
        assert (await call(client, "control", run=run, action="budget", budget="90k"))["ok"] is True
        await call(client, "control", run=run, action="stop")
        stopped = await call(client, "wait", run=run)
        assert (stopped["status"], stopped["agents"]["skipped"]) == ("stopped", 1)
        assert "no process executes it" in await refusal(client, "control", run=run, action="pause")
        assert (await call(client, "control", run=run, action="resume"))["status"] == "started"
        async with asyncio.timeout(30):
            while (await call(client, "wait", run=run, seconds=0.1))["status"] != "running":
                pass
        await call(client, "control", run=run, action="stop")
        assert (await call(client, "wait", run=run))["status"] == "stopped"


async def test_what_cannot_be_is_told_in_sentences(cpt: Program):
    async with stdio(cpt) as client:
        assert "line 2:11" in await refusal(client, "run", script=META + "const x = : 5")
        assert "either a workflow" in await refusal(client, "run")
        assert "no-such" in await refusal(client, "run", workflow="no-such", model="sim")
        assert "There is no run" in await refusal(client, "status", run="@last")


async def test_a_long_result_comes_in_parts(cpt: Program):
    async with stdio(cpt) as client:
        run = (await call(client, "run", script=META + "return 'ab'.repeat(15000)", model="sim"))["run_id"]
        await call(client, "wait", run=run)
        first = await call(client, "result", run=run)
        second = await call(client, "result", run=run, offset=first["next_offset"])
    assert first["text"] + second["text"] == "ab" * 15000
    assert second["next_offset"] is None


async def test_http_serves_whoever_brings_the_token_and_nobody_else(cpt: Program):
    with serving(cpt) as at:
        for mode in ("auto", "legacy"):
            async with (
                create_mcp_http_client(headers={"Authorization": f"Bearer {at['token']}"}) as http,
                Client(streamable_http_client(at["url"], http_client=http), mode=mode) as client,
            ):
                run = (await call(client, "run", script=META + "return agent('a')", model="sim"))["run_id"]
                assert (await call(client, "wait", run=run))["status"] == "completed"
        body = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
        good = f"Authorization: Bearer {at['token']}"
        answers = {
            "no token": _curl(at["url"], body), "wrong token": _curl(at["url"], body, "Authorization: Bearer x"),
            "other host": _curl(at["url"], body, good, "Host: evil.example"),
            "other origin": _curl(at["url"], body, good, "Origin: https://evil.example"),
        }  # fmt: skip
    assert answers == {"no token": "401", "wrong token": "401", "other host": "421", "other origin": "403"}
    assert (cpt.state / "mcp.token").stat().st_mode & 0o777 == 0o600


def _curl(url: str, body: str, *headers: str) -> str:
    given = [part for header in (*headers, "content-type: application/json") for part in ("-H", header)]
    accept = ["-H", "accept: application/json, text/event-stream"]
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *given, *accept, "-d", body, url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_dream_is_priced_begun_under_a_ceiling_and_its_standing_told(cpt: Program):
    with Fake() as fake:
        fake.will(Says("The tests run with make test."))
        script = cpt.script("return agent('How are the tests run?')")
        lived = cpt(
            "run",
            script,
            "--model",
            "anthropic:m",
            "--base-url",
            fake.url,
            "--json",
            "--no-color",
            ANTHROPIC_API_KEY="k",
        )
    assert lived.code == 0, lived.err
    async with stdio(cpt) as client:
        priced = await call(client, "dream", model="sim")
        assert (priced["sessions"], priced["usd"]) == (1, 0.0)
        assert "needs a ceiling" in await refusal(client, "dream", step="run", model="sim")
        assert (await call(client, "dream", step="status"))["read_runs"] == 0
        assert (await call(client, "dream", step="run", budget="50k", model="sim"))["status"] == "started"
        async with asyncio.timeout(60):
            standing = await call(client, "dream", step="status")
            while standing["dreaming"] or not standing["dreams"]:
                await asyncio.sleep(0.1)
                standing = await call(client, "dream", step="status")
    (told,) = standing["dreams"]
    assert told["sessions"] == [lived.json["run_id"]]


def gate(options: list[Any] | None = None, schema: dict[str, Any] | None = None) -> GateView:
    return GateView("g1", "k", "Well?", options, schema, 0.0, None)


def test_every_kind_of_question_has_a_flat_form():
    flat = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    deep = {"type": "array", "items": {"type": "string"}}
    assert form(gate()).answer("accept", {"answer": True}) == Answer(True)
    assert form(gate()).answer("accept", {"answer": False}) == Answer(denied=True)
    assert form(gate()).answer("decline", None) == Answer(denied=True)
    assert form(gate()).answer("cancel", None) is None
    assert form(gate([1, {"a": 2}])).answer("accept", {"answer": '{"a":2}'}) == Answer({"a": 2})
    assert form(gate(schema=flat)).schema == {k: flat[k] for k in ("type", "properties", "required")}
    assert form(gate(schema=flat)).answer("accept", {"n": 4}) == Answer({"n": 4})
    assert form(gate(schema=deep)).answer("accept", {"answer": '["x"]'}) == Answer(["x"])
    with pytest.raises(UsageError, match="is no JSON"):
        form(gate(schema=deep)).answer("accept", {"answer": "x"})
    with pytest.raises(UsageError, match="none of the options"):
        form(gate(["a"])).answer("accept", {"answer": "b"})
