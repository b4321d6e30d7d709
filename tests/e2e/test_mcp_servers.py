"""Servers of `.mcp.json`, real ones of the official SDK: as a program, and over HTTP on loopback."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from tests.e2e.conftest import Program
from tests.e2e.test_tools import Scripted, events
from tests.fakes.server import Fake


@pytest.fixture
def fake() -> Generator[Fake]:
    with Fake() as server:
        yield server


@pytest.fixture
def scripted(cpt: Program, fake: Fake) -> Scripted:
    return Scripted(cpt, fake)


SERVER = """
import os, sys
from pathlib import Path
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

Path("starts").open("a").write("x")
server = MCPServer("shelf")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def count(word: str) -> str:
    return f"{len(word)} letters; {os.environ.get('GIVEN')}; {os.environ.get('MY_TOKEN')}"

@server.tool()
def put(word: str) -> str:
    Path("put").write_text(word)
    return "put"

@server.tool()
def fail() -> str:
    raise ValueError("no luck")

server.run()
"""


@pytest.fixture
def shelf(scripted: Scripted) -> Path:
    """A folder with a server of three tools, and one that cannot be started."""
    folder = scripted.cpt.folder
    (folder / "shelf.py").write_text(SERVER)
    servers = {
        "shelf": {"command": sys.executable, "args": ["shelf.py"], "env": {"GIVEN": "${MY_WORD:-nothing}"}},
        "broken": {"command": "/nowhere"},
    }
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    return folder


def test_agents_share_one_server_and_use_the_tools_that_rules_allow(scripted: Scripted, shelf: Path) -> None:
    calls = json.dumps([("mcp__shelf__count", {"word": "tea"}), ("mcp__shelf__put", {"word": "x"})])
    body = f"return await parallel([1, 2, 3].map((n) => () => agent({json.dumps(calls)}, {{label: `n${{n}}`}})))"
    ended = scripted.run(body, "--allow", "mcp__shelf__count", "--trust-project", MY_WORD="word", MY_TOKEN="hush")
    assert ended.code == 0, ended.err + ended.out
    assert (shelf / "starts").read_text() == "x"
    shown = json.dumps(scripted.cpt("show", "@last", "a1", "--json").json["transcript"])
    assert "3 letters; word; None" in shown
    assert "You have no tool 'mcp__shelf__put'" in shown
    assert not (shelf / "put").exists()


def test_a_server_that_nobody_may_use_or_that_is_not_trusted_is_not_started(scripted: Scripted, shelf: Path) -> None:
    scripted.agent([], "--trust-project")
    ended = scripted.agent([], "--allow", "mcp__shelf")
    assert any("not started: --trust-project" in line for line in ended.json["log"])
    assert not (shelf / "starts").exists()


def test_a_server_that_fails_costs_its_tools_only_and_readers_get_only_what_reads(
    scripted: Scripted, shelf: Path
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("mcp__shelf__fail", {}),
        ("mcp__shelf__put", {"word": "x"}),
        ("mcp__shelf__put", {"wrong": 1}),
    ]
    ended = scripted.agent(calls, "--allow", "mcp__*", "--trust-project")
    assert any("MCP server broken could not be started" in line for line in ended.json["log"])
    shown = json.dumps(scripted.cpt("show", "@last", "a1", "--json").json["transcript"])
    assert "The server says that this is an error." in shown
    assert "word: is required" in shown
    assert (shelf / "put").exists()
    (shelf / "put").unlink()
    options = "{agentType: 'reviewer', tools: ['*', 'mcp__shelf']}"
    scripted.agent(calls[1:2], "--allow", "mcp__*", "--trust-project", options=options)
    assert not (shelf / "put").exists()


def test_the_script_calls_a_server_under_the_same_rules(cpt: Program, fake: Fake, shelf: Path) -> None:
    body = """
    const told = await counterpoint.tool('mcp__shelf__count', {word: 'tea'})
    return [told, await counterpoint.tool('mcp__shelf__put', {word: 'x'}).catch((e) => e.name)]
    """
    ended = cpt.run(body, "--allow", "mcp__shelf__count", "--trust-project")
    assert ended.json["result"] == ["3 letters; nothing; None", "DeniedError"], ended.err


# --- very many tools -------------------------------------------------------------------------------------------------

MANY = """
import os
from pathlib import Path
from mcp.server.mcpserver import MCPServer

Path("starts").open("a").write("x")
server = MCPServer("many")

def made(n):
    def tool(word: str, times: int = 1, flavour: str = "plain", note: str = "") -> str:
        return f"{n}: {word * times}"
    tool.__doc__ = f"Says a word {n} ways. " + "It has much to say about that. " * 20
    return tool

for n in range(200):
    server.add_tool(made(n), name=f"say_{n}")

server.add_tool(made(-1), name="say.7")

@server.tool()
def die() -> str:
    "Ends its server."
    os._exit(3)

server.run()
"""


def test_of_very_many_tools_an_agent_is_told_names_and_gets_a_schema_when_it_asks(scripted: Scripted) -> None:
    folder, fake = scripted.cpt.folder, scripted.fake
    (folder / "many.py").write_text(MANY)
    servers = {"many": {"command": sys.executable, "args": ["many.py"]}}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    say = ("mcp__many__say_150", {"word": "tea", "times": 2})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ToolSearch", {"query": "say 150"}), say, ("ToolSearch", {"query": "select:mcp__many__die,mcp__many__say_7"}),
        ("mcp__many__say_7", {"times": "x"}), ("mcp__many__die", {}), say, ("ToolSearch", {"query": "teapot"}),
    ]  # fmt: skip
    given = json.dumps([("mcp__many__say_3", {"word": "x"})])
    body = f"""
    const one = agent({json.dumps(given)}, {{label: 'given', tools: ['mcp__many__say_3']}})
    return [await one, await agent({json.dumps(json.dumps(calls))}, {{label: 'searches'}})]
    """
    ended = scripted.run(body, "--allow", "mcp__many", "--trust-project")
    assert ended.code == 0, ended.err + ended.out
    assert (folder / "starts").read_text() == "x"
    assert any("several tools whose names are the same here" in line for line in ended.json["log"])
    assert [asked.tools for asked in fake.asked[:2]] == [["mcp__many__say_3"]] * 2

    of_servers = [[name for name in asked.tools if name.startswith("mcp__")] for asked in fake.asked[2:]]
    assert of_servers[0] == []
    assert of_servers[1] == ["mcp__many__say_150"]
    assert of_servers[3] == ["mcp__many__say_7", "mcp__many__say_150", "mcp__many__die"]
    assert of_servers[-1] == of_servers[3]
    (search,) = [tool for tool in fake.asked[2].body["tools"] if tool["name"] == "ToolSearch"]
    assert "- mcp__many__say_0: Says a word 0 ways." in search["description"]
    assert "more, which can be searched" in search["description"]
    assert len(json.dumps(fake.asked[2].body["tools"])) < 30_000

    shown = json.dumps(scripted.cpt("show", "@last", "searches", "--json").json["transcript"])
    assert "150: teatea" in shown
    assert "word: is required" in shown
    assert shown.count("its server has ended") == 2
    assert "No tool fits 'teapot'" in shown


# --- over HTTP -------------------------------------------------------------------------------------------------------

SECRET = "opensesame-1234567"


class Library:
    """A server over streamable HTTP that wants a key, and gives back what it was sent."""

    def __init__(self) -> None:
        self.keys: set[str | None] = set()
        server = MCPServer("library")

        @server.tool()
        def headers(context: Context[Any, Any]) -> str:
            sent = context.headers or {}
            return json.dumps({name: sent.get(name) for name in ("authorization", "x-tenant")})

        @server.tool()
        def complain() -> str:
            return f"the key {SECRET} is not liked"

        self._app = server.streamable_http_app()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(
            uvicorn.Config(self._guarded, log_level="critical", interface="asgi3", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        key = Request(scope).headers.get("authorization")
        self.keys.add(key)
        answer = self._app if key == f"Bearer {SECRET}" else PlainTextResponse(f"not {key}", 401)
        return await answer(scope, receive, send)

    def __enter__(self) -> Library:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


def test_a_server_is_reached_by_its_address_and_its_key_stays_out_of_everything(scripted: Scripted) -> None:
    cpt = scripted.cpt
    with Library() as library:
        headers = {"Authorization": "Bearer ${SHELF_TOKEN}", "X-Tenant": "${TENANT:-nobody}"}
        servers = {
            "library": {"type": "http", "url": library.url, "headers": headers},
            "closed": {"type": "http", "url": library.url, "headers": {"Authorization": "Bearer ${WRONG}"}},
            "unset": {"type": "http", "url": "http://127.0.0.1:9", "headers": {"Authorization": "${NOT_THERE}"}},
        }
        (cpt.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
        calls = json.dumps([("mcp__library__headers", {}), ("mcp__library__complain", {})])
        body = f"""
        const own = await counterpoint.tool('mcp__library__headers', {{}})
        return [own, await parallel([1, 2].map((n) => () => agent({json.dumps(calls)}, {{label: `n${{n}}`}})))]
        """
        ended = scripted.run(body, "--allow", "mcp__*", "--trust-project", SHELF_TOKEN=SECRET, WRONG="wrong-7654321")
        assert ended.code == 0, ended.err + ended.out
        own = json.loads(ended.json["result"][0])
        assert own == {"authorization": "[Authorization]", "x-tenant": "nobody"}
        log = "\n".join(ended.json["log"])
        assert "unset needs the environment variable NOT_THERE, which is not set" in log
        assert "MCP server closed could not be started" in log
        assert {f"Bearer {SECRET}", "Bearer wrong-7654321"} <= library.keys
    shown = json.dumps(cpt("show", "@last", "n1", "--json").json["transcript"])
    assert "the key ${SHELF_TOKEN} is not liked" in shown
    stored = b"".join(path.read_bytes() for path in cpt.state.rglob("*") if path.is_file())
    asked = json.dumps([asked.body for asked in scripted.fake.asked]).encode()
    for text in (stored, asked, ended.out.encode(), ended.err.encode()):
        assert SECRET.encode() not in text
        assert b"7654321" not in text
    assert [event["tool"] for event in events(cpt, "tool_called")] == ["mcp__library__headers"]


def test_a_server_over_http_that_is_gone_in_the_middle_is_told_to_the_agent(scripted: Scripted) -> None:
    with Library() as library:
        headers = {"Authorization": f"Bearer {SECRET}"}
        servers = {"library": {"type": "http", "url": library.url, "headers": headers}}
        (scripted.cpt.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
        calls = json.dumps([("mcp__library__headers", {})])
        body = f"""
        const first = await agent({json.dumps(calls)}, {{label: 'first'}})
        await counterpoint.tool('Bash', {{command: 'touch ready; until test -e gone; do sleep 0.05; done'}})
        return [first, await agent({json.dumps(calls)}, {{label: 'second'}})]
        """
        path = scripted.cpt.script(body)
        run = scripted.cpt.start("run", path, "--model", "anthropic:m", "--base-url", scripted.fake.url, "--json",
                                 "--allow", "mcp__*", "--allow", "Bash", "--no-sandbox", "--trust-project",
                                 ANTHROPIC_API_KEY="k")  # fmt: skip
        while not (scripted.cpt.folder / "ready").exists():
            assert run.poll() is None
    (scripted.cpt.folder / "gone").touch()
    out, err = run.communicate(timeout=60)
    assert run.poll() == 0, err
    first, second = json.loads(out)["result"]
    assert "[Authorization]" in first
    assert "mcp__library__headers failed:" in second
    assert SECRET not in out + err
