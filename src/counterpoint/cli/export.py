"""``export``: a run in another form."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import UsageError


@click.command()
@click.argument("run")
@click.option("--jsonl", is_flag=True, help="The run's events, one JSON object a line.")
@click.option(
    "--output", "-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of stdout."
)
@common
@asynchronous
async def export(run: str, jsonl: bool, file: Path | None, output: Output, state: Path | None) -> int:
    """Write a run's events as JSON Lines."""
    if not jsonl:
        raise UsageError("export needs a form.", hint="counterpoint export RUN --jsonl")
    async with session(state) as here:
        events = await here.client.events(await here.client.find(run))
    data = b"".join(recorded.line() + b"\n" for recorded in events)
    if file is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        file.write_bytes(data)
        output.say(f"{len(events)} events written to {file}")
    return 0
