"""``serve``: the web page and the HTTP API, on this machine's own interface."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import UsageError


@click.command()
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="Port (7717, or a free one where that is taken).")
@click.option("--open/--no-open", "open_", default=False, help="Open the page in the browser.")
@common
@asynchronous
async def serve(port: int | None, open_: bool, output: Output, state: Path | None) -> int:
    """Serve the web page and the JSON API on 127.0.0.1 until Ctrl-C.

    The address that is shown holds a token that works once; the browser keeps a cookie from then on.
    """
    for library in ("starlette", "uvicorn"):
        if importlib.util.find_spec(library) is None:
            raise UsageError(f"serve needs {library}.", hint="pip install 'counterpoint[web]'")
    from counterpoint.web.app import build
    from counterpoint.web.serve import listen
    from counterpoint.web.serve import serve as serve_app
    from counterpoint.web.sessions import Sessions, read_key

    try:
        bound = listen(port)
    except OSError as error:
        raise UsageError(f"Port {port} cannot be used: {error.strerror}.", hint="Leave --port out.") from error
    number = int(bound.getsockname()[1])
    async with session(state) as here:
        folder = here.settings.state

        def show(token: str) -> None:
            address = f"http://127.0.0.1:{number}/login?token={token}"
            if output.json:
                output.document({"url": address, "port": number})
            else:
                click.echo(address)

        async def start(arguments: list[str]) -> None:
            await asyncio.to_thread(start_process, arguments, folder)

        key = await asyncio.to_thread(read_key, folder / "web.key")
        sessions = Sessions(key, renewed=lambda token: (output.say("For another browser:"), show(token))[1])
        output.say("The page is at this address, which works once (Ctrl-C ends the server, never a run):")
        show(sessions.token)
        if open_:
            await asyncio.to_thread(webbrowser.open, f"http://127.0.0.1:{number}/login?token={sessions.token}")
        await serve_app(build(here.client, sessions, port=number, start=start), bound)
    return 0


def start_process(arguments: list[str], state: Path) -> None:
    """Starts `counterpoint` so that it outlives us; what it says goes into the run's folder."""
    log = (state / "runs" / arguments[1] / "process.log").open("ab")
    with log:
        subprocess.Popen(  # noqa: S603 - our own program; the arguments are a list, no shell reads them
            [sys.executable, "-m", "counterpoint", *arguments, "--state", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "COUNTERPOINT_STATE": str(state)},
        )
