"""``replay``: a finished run once more, in either face, as fast as wanted."""

from __future__ import annotations

from pathlib import Path

import click

from counterpoint.cli.abilities import takes_screens
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.serve import serve_page
from counterpoint.cli.top import watch
from counterpoint.errors import UsageError


@click.command()
@click.argument("run")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=20.0, help="So many times as fast (20).")
@click.option("--web", is_flag=True, help="In the web page instead of the terminal.")
@click.option("--ascii", "plain", is_flag=True, help="Only ASCII signs.")
@common
@asynchronous
async def replay(run: str, speed: float, web: bool, plain: bool, output: Output, state: Path | None) -> int:
    """Show a run again from its journal; nothing runs. Silence longer than 5 s is passed over."""
    async with session(state) as here:
        run_id = await here.client.find(run)
        if not web:
            if not takes_screens():
                raise UsageError("replay needs a terminal.", hint=f"counterpoint replay {run_id} --web")
            await watch(here, run_id, output, plain=plain, speed=speed)
            return 0
    await serve_page(output, state, port=None, open_=False, place=f"#/run/{run_id}?play={speed:g}")
    return 0
