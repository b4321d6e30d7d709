"""``resume``: what was paid for is not paid again, and it is said before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from counterpoint import daemon
from counterpoint.background import Given, execute_apart
from counterpoint.ceilings import read_budgets
from counterpoint.cli.arguments import Duration
from counterpoint.cli.options import Output, asynchronous, common, session, session_of
from counterpoint.cli.permissions import added, permission_options
from counterpoint.cli.receipts import ask
from counterpoint.cli.run import attend, ready
from counterpoint.client import load_script
from counterpoint.events import RunStatus
from counterpoint.models.registry import Models
from counterpoint.runtime.effects import warning
from counterpoint.runtime.rehearsal import Rehearsal
from counterpoint.settings import SCRIPT_LIMITS, Settings
from counterpoint.text import count, money, safe
from counterpoint.view import RunView


@click.command()
@click.argument("run")
@click.option("--script", type=click.Path(path_type=Path), help="Another text of the script.")
@click.option("--reuse", type=click.Choice(["calls", "prefix", "none"]), default="calls", help="What is reused.")
@click.option("--dry-run", is_flag=True, help="Only say what would be reused and run.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="A new ceiling for the run.")
@click.option("--max-agents", type=int, help="A new cap on agents.")
@click.option("--concurrency", "-c", type=int, help="Agents at work at once.")
@click.option("--max-time", type=Duration(), metavar="90m", help="A new cap on the run's time, over all attempts.")
@click.option("--detach", "-d", is_flag=True, help="Go on in the background.")
@click.option("--wait", is_flag=True, help="Stay through long waits for a quota instead of ending as paused.")
@permission_options
@click.option("--jsonl", is_flag=True, help="Events on stdout as they happen.")
@common
@asynchronous
async def resume(
    run: str, script: Path | None, reuse: Literal["calls", "prefix", "none"], dry_run: bool, budget: tuple[str, ...],
    max_agents: int | None, concurrency: int | None, max_time: float | None, detach: bool, wait: bool, jsonl: bool,
    output: Output, state: Path | None, **rules: Any,
) -> int:  # fmt: skip
    """Go on with a run: its recorded results are reused, everything else runs.

    It keeps its rules; those that are given here add to them.

    RUN is an id, a unique prefix of one, or @last.
    """
    async with session(state) as here:
        run_id = await here.client.find(run)
        view = await here.client.view(run_id)
        if view.status is RunStatus.PAUSED and not view.ended and await here.client.is_live(run_id):
            return await ask(here, run_id, "continue", None, output)
        await here.client.refuse_resume(run_id)
        edited = await load_script(script, portable=bool(view.bounds.get("portable"))) if script else None
        bounds = _bounds(budget, max_agents=max_agents, concurrency=concurrency, run_timeout_s=max_time)
        async with session_of(state, view, **rules) as there, Models(there.settings) as models:
            bounds |= _limits_set(there.settings, view)
            bounds |= added(rules, there.settings, view.bounds, Path(view.cwd), output)
            orders = daemon.Orders(script=edited, reuse=reuse, bounds=bounds, waits_for_quota=wait)
            plan = await daemon.rehearse_run(there.store, run_id, models, orders)
            if dry_run:
                _tell(output, plan)
                return 0
            output.say(describe(plan))
            if plan.differing:
                output.say(safe(warning(plan.differing)))
            await ready(models, view.model, output)
            if detach:
                given = Given(str(Path.cwd() / script) if script else None, reuse, bounds)
                await execute_apart(there.store, run_id, given)
                output.document({"run_id": run_id}) if output.json else click.echo(run_id)
                return 0
            return await attend(there, run_id, models, output, jsonl=jsonl, orders=orders)


def describe(plan: Rehearsal, *, inherited: bool = False) -> str:
    """The plan of a resume in one line; `inherited`: what is reused, another run has paid."""
    runs = f"runs {plan.run}" if plan.ends else f"runs {plan.run} and what follows from them"
    saved = f"saves {count(plan.saves.input_tokens + plan.saves.output_tokens)} tokens, {money(plan.saves.usd)}"
    kept = f"leaves {plan.keep} as they ended, " if plan.keep else ""
    return f"reuses {plan.reuse}, {kept}{runs}" + ("" if inherited else f", {saved}")


def _tell(output: Output, plan: Rehearsal) -> None:
    if output.json:
        saves = {"tokens": plan.saves.input_tokens + plan.saves.output_tokens, "usd": plan.saves.usd}
        differing = [{"agent": agent, "file": path} for agent, path in plan.differing]
        output.document(
            {"reuse": plan.reuse, "run": plan.run, "more_may_follow": not plan.ends, "saves": saves,
             "differing": differing}
        )  # fmt: skip
        return
    click.echo(describe(plan))
    if plan.differing:
        click.echo(safe(warning(plan.differing)))


def _limits_set(settings: Settings, view: RunView) -> dict[str, Any]:
    """The limits of scripts that somebody has set since: what a run failed by can be raised before it goes on."""
    set_ = {name: getattr(settings, name) for name in SCRIPT_LIMITS if name in settings.origins}
    return {name: value for name, value in set_.items() if view.bounds.get(name) != value}


def _bounds(budget: tuple[str, ...], **given: float | None) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None} | read_budgets(budget)
