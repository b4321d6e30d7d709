"""``ps``: the runs of this store."""

from __future__ import annotations

import time
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.events import RunStatus
from counterpoint.text import duration, one_line, safe


@click.command()
@click.option("--all", "-a", "all_", is_flag=True, help="Also those that completed, and imported ones.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag.")
@common
@asynchronous
async def ps(all_: bool, tags: tuple[str, ...], output: Output, state: Path | None) -> int:
    """List runs, the newest first: those that go on or can go on; with --all every one."""
    async with session(state) as here:
        runs = [run for run in await here.client.runs() if set(tags) <= set(run.tags)]
    shown = [run for run in runs if all_ or not (run.status is RunStatus.COMPLETED or run.imported)]
    if output.json:
        output.document({"runs": [
            {"run_id": run.run_id, "name": run.name, "status": run.status.value, "created_at": run.created_at,
             "cwd": run.cwd, "tags": list(run.tags), "parent": run.parent.run_id if run.parent else None,
             **({"problem": run.problem} if run.problem else {})}
            for run in shown
        ]})  # fmt: skip
        return 0
    for run in shown:
        age = duration(max(0.0, time.time() - run.created_at))
        name = one_line(run.problem or run.name, 120 if run.problem else 40)
        tagged = "".join(f"  #{safe(tag)}" for tag in run.tags)
        forked = f"  (fork of {safe(run.parent.run_id)})" if run.parent else ""
        click.echo(f"{run.run_id}  {run.status.value:15}  {age:>7} ago  {name}{tagged}{forked}")
    if len(runs) > len(shown):
        more = len(runs) - len(shown)
        output.say(f"{more} more {'is' if more == 1 else 'are'} over: counterpoint ps --all")
    return 0
