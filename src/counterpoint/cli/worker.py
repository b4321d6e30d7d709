"""``worker``: carries out agents of runs that are executed elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
from pathlib import Path

import click

from counterpoint import settings
from counterpoint.cli.arguments import Duration
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.errors import UsageError
from counterpoint.models.registry import Models
from counterpoint.settings import Settings
from counterpoint.store.shares import Shares


@click.command()
@click.option("--cluster", metavar="HOST:PORT/NAMESPACE", help="Address of the Temporal server.")
@click.option("--pool", help="The pool that it belongs to; runs send their agents to one.")
@click.option("--slots", type=click.IntRange(1, 1000), default=16, show_default=True, help="Agents at work at once.")
@click.option(
    "--drain", type=Duration(), default="30m", show_default=True,
    help="How long agents under way may go on after SIGTERM or Ctrl-C.",
)  # fmt: skip
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model whose provider has the address below.")
@click.option("--base-url", help="Address of the provider.")
@common
@asynchronous
async def worker(
    cluster: str | None, pool: str | None, slots: int, drain: float, model: str | None, base_url: str | None,
    output: Output, state: Path | None,
) -> int:  # fmt: skip
    """Take agents from a cluster's queue and carry them out here, until SIGTERM or Ctrl-C.

    \b
    export COUNTERPOINT_DATABASE=postgresql://worker@db.internal/counterpoint
    counterpoint worker --cluster temporal.internal:7233/default --pool docker --slots 8

    Told to end, it takes no more, and lets agents under way finish; told once more, it hands them back at once.
    """
    flags = {"state": state, "cluster": cluster, "pool": pool, "model": model, "base_url": base_url}
    chosen = settings.load(cwd=Path.cwd(), flags=flags)
    if not chosen.cluster:
        raise UsageError("A worker needs the address of a Temporal server.", hint="--cluster host:7233/namespace")
    if not chosen.database:
        raise UsageError("A worker needs the database of the runs.", hint="Set COUNTERPOINT_DATABASE=postgresql://…")
    if importlib.util.find_spec("temporalio") is None:
        raise UsageError("A worker needs a library that is not installed.", hint="pip install 'counterpoint[cluster]'")
    await _work(chosen, chosen.cluster, chosen.database, slots, drain, output)
    return 0


async def _work(chosen: Settings, cluster: str, database: str, slots: int, drain_s: float, output: Output) -> None:
    from counterpoint.store.desk import Desk
    from counterpoint.workers.temporal import connect
    from counterpoint.workers.worker import Place, Worker

    name = f"{socket.gethostname()}-{os.getpid()}"
    place = Place(name=name, slots=slots, drain_s=drain_s, settings=chosen)
    client = await connect(cluster, os.environ)
    async with Desk(database) as desk, Models(chosen) as models:
        at_work = Worker(place, client, desk, models)

        def begun() -> None:
            if output.json:
                output.document({"worker": name, "pool": chosen.pool, "slots": slots})
            else:
                output.say(
                    f"Worker {name} takes agents of pool {chosen.pool}, {slots} at once; runs are in {desk.place}."
                )

        def told_to_end() -> None:
            output.say("Ending: agents under way finish; once more hands them back now.")
            at_work.drain()

        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows has no handlers on its loop
                asyncio.get_running_loop().add_signal_handler(number, told_to_end)
        async with asyncio.TaskGroup() as group:
            sharing = group.create_task(_keep_to_limits(desk.shares(name), models))
            await at_work.run(begun)
            sharing.cancel()


async def _keep_to_limits(shares: Shares, models: Models) -> None:
    """Has the agents' requests keep to the providers' limits together with those of other processes."""
    async with models.shared() as gates:
        await shares.keep(gates)
