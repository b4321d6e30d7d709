"""``cost``: what runs consumed, by phase, model and agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.events import NO_USAGE, Usage
from counterpoint.text import count, money, one_line
from counterpoint.view import AgentView, RunView

DEAREST = 10
"""Agents that are shown as text."""


@click.command()
@click.argument("run", required=False)
@common
@asynchronous
async def cost(run: str | None, output: Output, state: Path | None) -> int:
    """Show what a run consumed, or, without RUN, each run of the store."""
    async with session(state) as here:
        ids = [await here.client.find(run)] if run else [row.run_id for row in await here.client.runs()]
        views = [await here.client.view(run_id) for run_id in ids]
    if run:
        _one(views[0], output)
    elif output.json:
        output.document(
            {"runs": [{"run_id": view.run_id, "name": view.name, **_usage(view.usage())} for view in views]}
        )
    else:
        for view in views:
            click.echo(f"{view.run_id}  {_text(view.usage())}  {one_line(view.name, 40)}")
    return 0


def _one(view: RunView, output: Output) -> None:
    agents = list(view.own())
    phases = _grouped(agents, lambda agent: agent.phase or "(no phase)")
    by_model = _grouped(agents, lambda agent: agent.answered_by or agent.model)
    agents.sort(key=lambda agent: (agent.usage.usd or 0.0, agent.usage.output_tokens), reverse=True)
    if output.json:
        output.document({
            "run_id": view.run_id,
            "total": _usage(view.usage()),
            "phases": [{"title": title, **_usage(usage)} for title, usage in phases.items()],
            "models": [{"model": model, **_usage(usage)} for model, usage in by_model.items()],
            "agents": [{"id": agent.id, "label": agent.label, **_usage(agent.usage)} for agent in agents],
        })  # fmt: skip
        return
    click.echo(f"total  {_text(view.usage())}")
    for head, rows in (("phase", phases), ("model", by_model)):
        for name, usage in rows.items():
            click.echo(f"{head}  {one_line(name, 40):40}  {_text(usage)}")
    for agent in agents[:DEAREST]:
        click.echo(f"agent  {agent.id} {one_line(agent.label, 34):36}  {_text(agent.usage)}")
    if len(agents) > DEAREST:
        output.say(f"and {len(agents) - DEAREST} agents that cost less: counterpoint cost {view.run_id} --json")


def _grouped(agents: list[AgentView], key: Callable[[AgentView], str]) -> dict[str, Usage]:
    groups: dict[str, Usage] = {}
    for agent in agents:
        groups[key(agent)] = groups.get(key(agent), NO_USAGE) + agent.usage
    return groups


def _usage(usage: Usage) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in usage.__struct_fields__}


def _text(usage: Usage) -> str:
    cached = f" ({count(usage.cached_input_tokens)} cached)" if usage.cached_input_tokens else ""
    return f"{count(usage.input_tokens):>7} in{cached} {count(usage.output_tokens):>7} out  {money(usage.usd)}"
