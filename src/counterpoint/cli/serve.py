"""``serve``: the web page and the HTTP API, on this machine's own interface."""

from __future__ import annotations

import asyncio
import importlib.util
import webbrowser
from pathlib import Path

import click

from counterpoint.background import starter
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import UsageError


@click.command()
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="Port (7717, or a free one where that is taken).")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@common
@asynchronous
async def serve(port: int | None, open_: bool, output: Output, state: Path | None) -> int:
    """Serve the web page and the JSON API on 127.0.0.1 until Ctrl-C.

    The address that is shown holds a token that works once; the browser keeps a cookie from then on.
    """
    await serve_page(output, state, port=port, open_=open_)
    return 0


async def serve_page(output: Output, state: Path | None, *, port: int | None, open_: bool, place: str = "") -> None:
    """Serves until a signal ends it. `place` is where in the page to begin: ``#/run/wf_…``."""
    for library in ("starlette", "uvicorn"):
        if not _installed(library):
            raise UsageError(f"The web page needs {library}.", hint="pip install 'counterpoint[web]'")
    from counterpoint.web.app import build
    from counterpoint.web.dreams import Inbox
    from counterpoint.web.serve import listen, serve
    from counterpoint.web.sessions import Sessions, read_key

    try:
        bound = listen(port)
    except OSError as error:
        raise UsageError(f"Port {port} cannot be used: {error.strerror}.", hint="Leave --port out.") from error
    number = int(bound.getsockname()[1])

    def address(token: str) -> str:
        return f"http://127.0.0.1:{number}/login?token={token}{place}"

    def show(token: str) -> None:
        if output.json:
            output.document({"url": address(token), "port": number})
        else:
            click.echo(address(token))

    def show_next(token: str) -> None:
        output.say("For another browser:")
        show(token)

    async with session(state) as here:
        folder = here.settings.state
        sessions = Sessions(await asyncio.to_thread(read_key, folder / "web.key"), show_next)
        output.say("The page is at this address, which works once (Ctrl-C ends the server, never a run):")
        show(sessions.token)
        if open_:
            await asyncio.to_thread(webbrowser.open, address(sessions.token))
        more = Inbox(here.store).routes()
        await serve(build(here.client, sessions, port=number, start=starter(here.store), more=more), bound)


def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ValueError:  # it is there in name only
        return False
