"""``logs``: what a run narrated."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.events import LogWritten, Recorded, RunStarted
from counterpoint.redaction import Redaction
from counterpoint.text import safe


@click.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--jsonl", is_flag=True, help="The events themselves, one JSON object a line.")
@common
@asynchronous
async def logs(run: str, follow: bool, jsonl: bool, output: Output, state: Path | None) -> int:
    """Show a run's narration, or, with --jsonl, all of its events."""
    async with session(state) as here:
        run_id = await here.client.find(run)
        if output.json:
            told = [(recorded.at, recorded.event) for recorded in await here.client.events(run_id)]
            output.document([{"at": at, "level": line.level, "text": line.text}
                             for at, line in told if isinstance(line, LogWritten)])  # fmt: skip
            return 0
        last, started = 0, False
        for recorded in await here.client.events(run_id):
            last = recorded.seq
            started = started or isinstance(recorded.event, RunStarted)
            _print(recorded, jsonl)
        if follow and (not started or await here.store.is_live(run_id)):  # its process may have yet to come so far
            async for recorded in here.client.watch(run_id, last):
                _print(recorded, jsonl)
    return 0


def _print(recorded: Recorded, jsonl: bool) -> None:
    if jsonl:
        click.echo(Redaction(os.environ).document(recorded.line()).decode())
    elif isinstance(recorded.event, LogWritten):
        event = recorded.event
        level = "" if event.level == "info" else f"{event.level}: "
        click.echo(f"{time.strftime('%H:%M:%S', time.localtime(recorded.at))} {level}{safe(event.text)}")
