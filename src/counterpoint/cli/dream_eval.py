"""``dream eval``: the notes of two versions, and none, on tasks that no dream has read."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.run import ready
from counterpoint.dream.canary import FEWEST, SEEDS, Outcomes, compare
from counterpoint.dreaming import run_bundled
from counterpoint.errors import UsageError
from counterpoint.memory.places import project_root, project_store
from counterpoint.models.registry import Models
from counterpoint.trials import FILE, project_tasks

ARMS = ("none", "old", "new")


@click.command("eval")
@click.option("--arms", default="none,old,new", metavar="none,old,new", help="Which notes the agents have.")
@click.option("--old", default="HEAD~1", metavar="VERSION", help="The version of the arm `old`.")
@click.option("--new", default="HEAD", metavar="VERSION", help="The version of the arm `new`.")
@click.option("--seeds", type=click.IntRange(1, 20), default=SEEDS, help="Agents for each task and arm.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of the agents.")
@click.option("--base-url", help="Address of the provider.")
@common
@asynchronous
async def evaluate(
    arms: str,
    old: str,
    new: str,
    seeds: int,
    model: str | None,
    base_url: str | None,
    output: Output,
    state: Path | None,
) -> int:
    """Measure notes on held-out tasks: success of each arm, and the difference of new and old with its lower bound.

    Exit codes: 0 measured; 7 new is worse than old by more than the tolerance, or a guard broke.
    """
    wanted = [arm.strip() for arm in arms.split(",") if arm.strip()]
    if not wanted or set(wanted) - set(ARMS):
        raise UsageError(f"--arms takes {', '.join(ARMS)}, and not {arms!r}.")
    folder = Path.cwd()
    root = await asyncio.to_thread(project_root, folder)
    memory = await asyncio.to_thread(project_store, folder)
    versions = {"old": old, "new": new}
    async with session(state, folder, model=model, base_url=base_url) as here, Models(here.settings) as models:
        tasks = await project_tasks(root, memory_tokens=here.settings.memory_tokens)
        if tasks is None:
            raise UsageError(f"There is no {FILE} in this folder.", hint="docs/dreaming.md says what stands in it.")
        await ready(models, models.default(here.settings.model), output)
        run = partial(run_bundled, here.store, models, here.settings, "dream-eval", folder=root)
        outcomes: dict[str, Outcomes] = {}
        for arm in wanted:
            version = None if arm == "none" else await asyncio.to_thread(memory.resolve, versions[arm])
            entries = await asyncio.to_thread(memory.entries, version)
            outcomes[arm] = await tasks.attempt(entries, tasks.names, range(seeds), run)
    rows: dict[str, Any] = {
        arm: {"pairs": len(found), "solved": sum(found.values())} for arm, found in outcomes.items()
    }
    trial = compare(outcomes["old"], outcomes["new"], tasks.guards) if {"old", "new"} <= outcomes.keys() else None
    if output.json:
        output.document({"arms": rows, "new_minus_old": trial.document() if trial else None})
    else:
        for arm, row in rows.items():
            click.echo(f"{arm:5} {row['solved']} of {row['pairs']} solved")
        if trial is not None:
            few = f" (fewer than {FEWEST} tasks)" if trial.verdict == "unproven" else ""
            click.echo(f"new - old: {trial.difference:+.2f}, lower 90 % bound {trial.lower:+.2f}: {trial.verdict}{few}")
    return 7 if trial is not None and trial.verdict == "negative" else 0
