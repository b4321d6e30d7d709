"""``plan``: the lead writes a script for a task, mends it until it is clean, and nothing runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click

from counterpoint.ceilings import read_budgets
from counterpoint.cli.leading import Office, office, some_task
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.cli.simulate import document, rendered
from counterpoint.errors import UsageError
from counterpoint.lead.author import Attempt, AuthorError, write_script
from counterpoint.lead.triage import plans
from counterpoint.script.shape import shape_of


@click.command()
@click.argument("task", callback=some_task)
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the script here.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of the workflow's agents.")
@click.option("--lead", metavar="PROVIDER:NAME", help="The model that plans; without it, that of the agents.")
@click.option("--base-url", help="Address of the provider.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="Ceiling to plan for.")
@click.option("--max-agents", type=int, help="Cap on agents.")
@click.option("--cwd", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The run's folder.")
@common
@asynchronous
async def plan(
    task: str, out: Path | None, lead: str | None, budget: tuple[str, ...], cwd: Path | None, output: Output,
    state: Path | None, **flags: Any,
) -> int:  # fmt: skip
    """Write a workflow script for TASK and check it: lint, then simulated runs. Nothing is run.

    \b
    counterpoint plan "Find settings that no code reads" -o unused.js
    """
    folder = (cwd or Path.cwd()).resolve()
    about = {"command": "plan", "task": task}
    async with office(state, folder, output, lead=lead, about=about, **flags, **read_budgets(budget)) as here:
        refuse_small(here.line.model.spec)
        with telling_rejection(here):
            attempt = await authored(here, task)
        await _deliver(here, attempt, out)
    return 0


def refuse_small(spec: str) -> None:
    """Raises UsageError for a model that plans nothing."""
    if not plans(spec):
        raise UsageError(
            f"The model {spec} cannot write a workflow: it is too small for that.",
            hint="Name one that can with --lead; `counterpoint workflows list` shows what can run without a plan.",
        )


async def authored(here: Office, task: str, *, scouted: str = "") -> Attempt:
    """A script that can be run. Raises AuthorError, which says where the attempts are."""
    try:
        attempt, attempts = await write_script(task, here.desk(), scouted=scouted)
    except AuthorError as error:
        error.hint = f"All attempts are in {here.record.folder}. {error.hint}"
        raise
    here.watch(f"the script is {'clean' if attempt.clean else 'ready, with doubts'} after {len(attempts)} attempts")
    return attempt


@contextlib.contextmanager
def telling_rejection(here: Office) -> Generator[None]:
    """With --json, gives the document where no attempt is clean; a problem's text says its line, if it has one."""
    try:
        yield
    except AuthorError as error:
        last = error.attempts[-1]
        if here.output.json:
            here.output.document({
                "session": here.record.id, "status": "rejected", "run_id": None, "attempts": len(error.attempts),
                "errors": [{"file": last.path, "message": problem} for problem in last.problems],
            })  # fmt: skip
        raise


async def _deliver(here: Office, attempt: Attempt, out: Path | None) -> None:
    script, estimate = attempt.script, attempt.estimate
    if script is None or estimate is None:
        raise AuthorError([attempt])
    if out is not None:
        await asyncio.to_thread(out.write_text, script.source, encoding="utf-8")
    shape = shape_of(script.source, script.meta)
    if here.output.json:
        here.output.document({
            "session": here.record.id, "attempts": attempt.number, "clean": attempt.clean,
            "script": str(out or script.path), "source": script.source,
            "estimate": document(script, here.model, shape, estimate),
        })  # fmt: skip
        return
    here.output.say(rendered(script, here.model, shape, estimate))
    here.output.say(f"the lead itself: {here.own_cost()}")
    if out is None:
        click.echo(script.source)
    else:
        here.output.say(f"written to {out}; run it with: counterpoint run {out}")
