"""Tools of MCP servers: one client a server for all agents, started when the first agent comes that may use it.

Servers are programs of the user's choice and run as such, with the harmless part of the environment and what their
entry (`mcp_servers`) gives them; or they are reached by their address. What they say (names, descriptions, schemas,
answers) is hostile: bounded, checked, and shown to agents as data.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from counterpoint.errors import ToolError, first_error
from counterpoint.models.messages import ToolSpec
from counterpoint.tools import jail
from counterpoint.tools.base import Access, Action, ToolContext
from counterpoint.tools.mcp_servers import Server
from counterpoint.tools.policy import Policy
from counterpoint.tools.schema import well_formed

if TYPE_CHECKING:
    from mcp import Client

START_S = 30.0
CALL_S = 300.0
MAX_TOOLS = 1000
"""Of one server."""
MAX_PAGES = 50
"""In which it lists them."""
MAX_DESCRIPTION = 2000
MAX_SCHEMA = 20_000
MAX_ANSWER = 100_000
_ODD = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True, eq=False)
class _Connection:
    """A server under way."""

    ready: asyncio.Future[Client]
    tools: list[McpTool] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Hub:
    """All servers of a run; made by `opened`."""

    def __init__(
        self, group: asyncio.TaskGroup, servers: Mapping[str, Server], warn: Callable[[str], None], cwd: Path
    ) -> None:
        self._group = group
        self._servers = servers
        self._warn = warn
        self._cwd = cwd
        self._connections: dict[str, _Connection] = {}
        self._stop = asyncio.Event()

    async def tools(self, policy: Policy, servers: Iterable[str] | None = None) -> list[McpTool]:
        """The tools that rules could allow, of these servers or all; only such servers are started."""
        wanted = set(self._servers) if servers is None else set(servers)
        found: list[McpTool] = []
        for name in sorted(wanted & set(self._servers)):
            if _could(policy, name):
                found += [tool for tool in await self._tools_of(name) if policy.may(tool.access)]
        return found

    def offers(self, policy: Policy, servers: Iterable[str] | None = None) -> bool:
        """Whether rules could allow a tool of these servers or of all. None is started for that."""
        wanted = set(self._servers) if servers is None else set(servers)
        return any(_could(policy, name) for name in wanted & set(self._servers))

    async def find(self, name: str) -> McpTool | None:
        """The tool of this full name."""
        for server in self._servers:
            if name.startswith(f"mcp__{server}__"):
                return next((tool for tool in await self._tools_of(server) if tool.spec.name == name), None)
        return None

    def close(self) -> None:
        self._stop.set()

    async def _tools_of(self, name: str) -> list[McpTool]:
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = _Connection(asyncio.get_running_loop().create_future())
            self._group.create_task(self._serve(name, connection.ready))
        async with connection.lock:
            if connection.tools is None:
                connection.tools = await self._listed(name, connection)
        return connection.tools

    async def _serve(self, name: str, ready: asyncio.Future[Client]) -> None:
        """Holds the client: it has to be left by the task that entered it."""
        try:
            async with _client(self._servers[name], self._cwd) as client:
                if not ready.done():
                    ready.set_result(client)
                await self._stop.wait()
        except Exception as error:  # a server that fails costs its tools, and not the run
            if ready.done():
                said = self._servers[name].hushed(str(first_error(error)))[:2000]
                self._warn(f"The MCP server {name} has ended: {said}")
            else:
                ready.set_exception(ToolError(str(first_error(error))))
        finally:
            if not ready.done():
                ready.cancel()

    async def _listed(self, name: str, connection: _Connection) -> list[McpTool]:
        try:
            async with asyncio.timeout(START_S):
                client = await asyncio.shield(connection.ready)
                listed = await _all_tools(client)
        except Exception as error:  # as above
            said = self._servers[name].hushed(str(first_error(error)) or f"nothing came within {START_S:g} seconds")
            self._warn(f"The MCP server {name} could not be started; its tools are missing: {said[:2000]}")
            return []
        made = [self._made(name, client, each) for each in listed[:MAX_TOOLS]]
        tools: dict[str, McpTool] = {}
        for tool in filter(None, made):
            tools.setdefault(tool.spec.name, tool)
        if len(listed) > MAX_TOOLS:
            self._warn(f"The MCP server {name} has more than {MAX_TOOLS} tools; the first {MAX_TOOLS} are used.")
        if len(tools) < sum(tool is not None for tool in made):
            self._warn(f"The MCP server {name} has several tools whose names are the same here; the first is used.")
        return [*tools.values()]

    def _made(self, server: str, client: Client, tool: Any) -> McpTool | None:
        name = f"mcp__{server}__{_ODD.sub('_', tool.name)}"[:64]
        given: dict[str, Any] = tool.input_schema
        schema: dict[str, Any] = {"type": "object", "properties": {}, **given}
        try:
            if len(msgspec.json.encode(schema)) > MAX_SCHEMA:
                raise ValueError(f"its schema is longer than {MAX_SCHEMA} bytes")
            well_formed(schema)
        except Exception as error:  # whatever is wrong with a stranger's schema
            self._warn(f"The tool {name} is left out: {error}")
            return None
        reads = bool(tool.annotations and tool.annotations.read_only_hint)
        description = self._servers[server].hushed(tool.description or "")[:MAX_DESCRIPTION]
        return McpTool(ToolSpec(name, description, schema), client, tool.name, reads, self._servers[server].hushed)


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool of a server."""

    spec: ToolSpec
    client: Client
    name: str
    """As the server calls it."""
    reads: bool
    """The server says that it changes nothing. It may lie: what is at stake is what a rule has allowed."""
    hushed: Callable[[str], str]
    """Takes the server's secrets out of what it says."""
    on_demand: bool = False
    """Models get its schema when they look for it (`ToolSearch`)."""
    read_only: bool = False

    @property
    def access(self) -> Access:
        return Access(self.spec.name, "query" if self.reads else "call")

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        return Action((self.access,), lambda: self._call(input))

    async def _call(self, input: dict[str, Any]) -> str:
        try:
            answer = await self.client.call_tool(self.name, input, read_timeout_seconds=CALL_S)
        except Exception as error:  # a server can fail in every way
            raise ToolError(f"{self.spec.name} failed: {self._fault(error)}") from error
        text = self.hushed("\n".join(_shown(part) for part in answer.content))
        over = len(text) - MAX_ANSWER
        if over > 0:
            text = f"{text[:MAX_ANSWER]}\n[… {over:,} more characters are left out; ask for less.]"
        return f"[The server says that this is an error.]\n{text}" if answer.is_error else text

    def _fault(self, error: Exception) -> str:
        said = self.hushed(str(first_error(error)))[:2000] or type(first_error(error)).__name__
        if "Connection closed" in said:
            return f"its server has ended ({said}). What was under way may or may not have been done. Go on without it."
        return said


async def _all_tools(client: Client) -> list[Any]:
    """The server's tools, and no more than one more than are used."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > MAX_TOOLS:
            break
    return found[: MAX_TOOLS + 1]


def _shown(part: Any) -> str:
    text = getattr(part, "text", None)
    return text if isinstance(text, str) else f"[{getattr(part, 'type', 'something')} that cannot be shown as text]"


def _could(policy: Policy, server: str) -> bool:
    """Whether a rule speaks of a server, or of a tool of it."""
    any_tool = Access(f"mcp__{server}__*", "query")
    return any(
        rule.speaks_of(any_tool) or rule.tool.startswith(f"mcp__{server}__") for rule in (*policy.allow, *policy.ask)
    )


@asynccontextmanager
async def opened(servers: Mapping[str, Server], warn: Callable[[str], None], cwd: Path) -> AsyncGenerator[Hub]:
    """The servers' hub; what it has started has ended when the block is left."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        hub = Hub(group, servers, warn, cwd)
        try:
            yield hub
        except Exception as error:  # a task group would wrap it
            failure = error
        finally:
            hub.close()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _client(server: Server, cwd: Path) -> AsyncGenerator[Client]:
    try:
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import (
            create_mcp_http_client,  # pyright: ignore[reportPrivateImportUsage] # its own place is more private still
            streamable_http_client,
        )

        from mcp import Client, StdioServerParameters
    except ImportError:
        raise ToolError("MCP servers need the library mcp: pip install 'counterpoint[mcp]'") from None
    if server.type == "sse":
        raise ToolError("it speaks SSE, which is no longer part of MCP: use its address for streamable HTTP")
    if server.url:
        async with (
            create_mcp_http_client(headers=server.headers) as http,
            Client(streamable_http_client(server.url, http_client=http)) as client,
        ):
            yield client
        return
    environment = {**jail.environment(os.environ), **server.env}
    parameters = StdioServerParameters(command=server.command, args=server.args, env=environment, cwd=cwd)
    with Path(os.devnull).open("w") as nowhere:  # noqa: ASYNC230 (it never waits)
        async with Client(stdio_client(parameters, errlog=nowhere)) as client:
            yield client
