"""``demo``: a large run with simulated agents, to see the faces at work."""

from __future__ import annotations

import json
from pathlib import Path

import click

from counterpoint.background import execute_apart
from counterpoint.cli.abilities import takes_screens
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.cli.serve import serve_page
from counterpoint.cli.top import watch
from counterpoint.client import load_script
from counterpoint.models.registry import Models
from counterpoint.script.find import find
from counterpoint.version import VERSION


@click.command()
@click.option("--agents", "-n", type=click.IntRange(5, 1000), default=300, help="How many agents (300).")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=1.0, help="So many times as fast.")
@click.option("--ask", is_flag=True, help="Let the run ask you something.")
@click.option("--web", is_flag=True, help="In the web page instead of the terminal.")
@common
@asynchronous
async def demo(agents: int, speed: float, ask: bool, web: bool, output: Output, state: Path | None) -> int:
    """Start a run of many simulated agents and watch it. No model is called, nothing is paid."""
    slow, quick = 6000 / speed, 1500 / speed
    model = f"sim:latency={quick:.0f}ms..{slow:.0f}ms,fail=0.02,invalid=0.02,price=3/15"
    async with session(state, model=model, concurrency=min(40, agents)) as here:
        run_id = await _submit(here, agents, ask)
        await execute_apart(here.store, run_id)
        if output.json:
            output.document({"run_id": run_id})
            return 0
        if not web and takes_screens():
            await watch(here, run_id, output, plain=False)
            return 0
        if not web:
            click.echo(run_id)
            return 0
    await serve_page(output, state, port=None, open_=False, place=f"#/run/{run_id}")
    return 0


async def _submit(here: Session, agents: int, ask: bool) -> str:
    folder = Path.cwd()
    args = json.dumps({"agents": agents, "ask": ask}).encode()
    async with Models(here.settings) as models:
        script = await load_script(find("demo", folder, names_only=True))
        return await here.client.submit(
            script, settings=here.settings, models=models, cwd=folder, args=args, version=VERSION
        )
