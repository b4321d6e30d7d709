"""``fork``: a new run that goes its own way from a point of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from counterpoint import daemon
from counterpoint.background import execute_apart
from counterpoint.ceilings import read_budgets
from counterpoint.cli.arguments import fitting, read_args
from counterpoint.cli.options import Output, asynchronous, common, session, session_of
from counterpoint.cli.receipts import me
from counterpoint.cli.resume import describe
from counterpoint.cli.run import attend, ready
from counterpoint.client import Otherwise, load_script
from counterpoint.models.registry import Models
from counterpoint.version import VERSION


@click.command()
@click.argument("run")
@click.option("--at", "seq", type=click.IntRange(1), metavar="EVENT", help="Number of the last event that is kept.")
@click.option("--script", type=click.Path(path_type=Path), help="Another text of the script.")
@click.option("--args", "args_", metavar="JSON|@FILE|-", help="Other arguments.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="Another model for what runs anew.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="A ceiling for the fork.")
@click.option("--concurrency", "-c", type=int, help="Agents at work at once.")
@click.option("--detach", "-d", is_flag=True, help="Print the fork's id and return; it goes on by itself.")
@click.option("--jsonl", is_flag=True, help="Events on stdout as they happen.")
@common
@asynchronous
async def fork(
    run: str, seq: int | None, script: Path | None, args_: str | None, model: str | None, budget: tuple[str, ...],
    concurrency: int | None, detach: bool, jsonl: bool, output: Output, state: Path | None,
) -> int:  # fmt: skip
    """Start a new run that reuses what RUN had recorded up to an event, and runs the rest anew.

    \b
    counterpoint fork @last --at 120
    counterpoint fork @last --at 120 --args '{"path": "src"}' --script edited.js

    RUN stays as it is, whether it goes on or is over. Events have their numbers in the page, and in `export --jsonl`.
    """
    bounds: dict[str, Any] = dict(read_budgets(budget))
    if concurrency is not None:
        bounds["concurrency"] = concurrency
    args = read_args(args_)
    async with session(state) as here:
        parent = await here.client.find(run)
        view = await here.client.view(parent)
        edited = await load_script(script, portable=bool(view.bounds.get("portable"))) if script else None
        if edited is not None and args is not None:
            fitting(edited, args, output)
        otherwise = Otherwise(script=edited, args=args, model=model, bounds=bounds)
        run_id = await here.client.fork(parent, seq, otherwise=otherwise, by=me(), version=VERSION)
        forked = await here.client.view(run_id)
        async with session_of(state, forked) as there, Models(there.settings) as models:
            await ready(models, forked.model, output)
            plan = await daemon.rehearse_run(there.store, run_id, models, daemon.Orders())
            at = forked.parent.seq if forked.parent else 0
            output.say(f"{run_id}: forked from {parent} at event {at}; {describe(plan, inherited=True)}")
            if detach:
                await execute_apart(there.store, run_id)
                output.document({"run_id": run_id}) if output.json else click.echo(run_id)
                return 0
            return await attend(there, run_id, models, output, jsonl=jsonl)
