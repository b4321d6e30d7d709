"""``mcp``: the MCP server, for editors and other agents."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import UsageError


@click.command()
@click.option("--http", is_flag=True, help="Serve streamable HTTP on 127.0.0.1 instead of the standard streams.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=7718, show_default=True, help="With --http.")
@click.option("--cwd", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where runs work.")
@click.option("--trust-client", is_flag=True, help="What the client answers to a run's question is a person's word.")
@common
@asynchronous
async def mcp(http: bool, port: int, cwd: Path | None, trust_client: bool, output: Output, state: Path | None) -> int:
    """Serve MCP: run, wait, status, result, control, workflows, runs, dream.

    \b
    {"mcpServers": {"counterpoint": {"command": "counterpoint", "args": ["mcp"]}}}
    """
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("The MCP server needs the library mcp.", hint="pip install 'counterpoint[mcp]'")
    from counterpoint.mcp.desk import Desk
    from counterpoint.mcp.serve import PATH, listen, read_token, serve_http
    from counterpoint.mcp.server import build

    folder = (cwd or Path.cwd()).absolute()
    async with session(state, folder) as here:
        kept = here.settings.state.absolute()
        server = build(Desk(here.store, folder, kept), trusted=trust_client)
        if not http:
            await server.run_stdio_async()
            return 0
        try:
            bound = listen(port)
        except OSError as error:
            raise UsageError(f"Port {port} cannot be used: {error.strerror}.", hint="Give another --port.") from error
        token = await asyncio.to_thread(read_token, kept / "mcp.token")
        url = f"http://127.0.0.1:{bound.getsockname()[1]}{PATH}"
        if output.json:
            output.document({"url": url, "token": token})
        else:
            click.echo(url)
            output.say(f"Clients bring the header Authorization: Bearer {token}")
        await serve_http(server, bound, token)
        return 0
