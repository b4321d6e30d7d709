"""``tag``: words that runs are found by, and asked together by."""

from __future__ import annotations

from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.receipts import me
from counterpoint.text import safe


@click.command()
@click.argument("run")
@click.argument("tags", nargs=-1, metavar="[TAG…]")
@click.option("--remove", "-r", multiple=True, metavar="TAG", help="Take this tag away.")
@common
@asynchronous
async def tag(run: str, tags: tuple[str, ...], remove: tuple[str, ...], output: Output, state: Path | None) -> int:
    """Give a run tags; without any, show those that it has.

    \b
    counterpoint tag @last nightly baseline
    counterpoint ps --all --tag nightly
    counterpoint stop tag:nightly

    RUN may be tag:NAME, for all with that tag.
    """
    async with session(state) as here:
        runs = await here.client.find_all([run])
        for run_id in runs if tags or remove else ():
            await here.client.tag(run_id, add=tags, remove=remove, by=me())
        views = [await here.client.view(run_id) for run_id in runs]
        if output.json:
            output.document({"runs": [{"run_id": view.run_id, "tags": view.tags} for view in views]})
            return 0
        for view in views if not tags and not remove else ():
            click.echo(f"{view.run_id}  {safe(' '.join(view.tags))}")
    return 0
