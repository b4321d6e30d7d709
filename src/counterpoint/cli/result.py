"""``result``: what a run returned."""

from __future__ import annotations

from pathlib import Path

import click

from counterpoint import daemon
from counterpoint.cli.ending import print_result
from counterpoint.cli.options import Output, asynchronous, common, session


@click.command()
@click.argument("run")
@common
@asynchronous
async def result(run: str, output: Output, state: Path | None) -> int:
    """Print what a run returned; with --json the whole document. Exits as `run` did."""
    async with session(state) as here:
        view = await here.client.view(await here.client.find(run))
        if output.json:
            output.document(await here.client.document(view))
        else:
            print_result(await here.client.value(view.run_id, view.result))
            if view.result is None:
                output.say(f"Run {view.run_id} is {view.shown_status().value} and has returned nothing.")
        return daemon.exit_code(view.status)
