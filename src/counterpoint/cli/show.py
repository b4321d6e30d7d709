"""``show``: a run, or everything that is known of one agent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.ending import print_summary
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.cli.progress import phase_lines
from counterpoint.client import Summary
from counterpoint.errors import UsageError
from counterpoint.limits import Limit, limits
from counterpoint.text import count, duration, money, one_line, safe
from counterpoint.view import RunView

SHOWN = 40


@click.command()
@click.argument("run")
@click.argument("agent", required=False)
@common
@asynchronous
async def show(run: str, agent: str | None, output: Output, state: Path | None) -> int:
    """Show a run (an id, a prefix, or @last), or one AGENT of it by id or label."""
    async with session(state) as here:
        run_id = await here.client.find(run)
        view = await here.client.view(run_id)
        if agent is not None:
            await _show_agent(here, view, agent, output)
        elif output.json:
            output.document(await here.client.run_document(view))
        else:
            _print_run(view, await here.client.forks(run_id), output)
    return 0


def _print_run(view: RunView, forks: list[Summary], output: Output) -> None:
    now = time.time()
    click.echo(f"{one_line(view.name)}: {one_line(view.description)}")
    click.echo(f"script {safe(view.script)}, in {safe(view.cwd)}, attempt {view.attempt}")
    if view.parent is not None:
        click.echo(f"forked from {safe(view.parent.run_id)} at event {view.parent.seq}")
    for fork in forks:
        click.echo(f"fork {fork.run_id} goes on from event {fork.parent.seq if fork.parent else 0}")
    if view.tags:
        click.echo(f"tags {safe(' '.join(view.tags))}")
    for title, counts, states in phase_lines(view):
        click.echo(f"  {title:30} {counts:12} {states}")
    shown = sorted(view.counted(), key=lambda agent: (agent.good, int(agent.id[1:])))[:SHOWN]
    for agent in shown:
        state = agent.outcome.value if agent.outcome else view.state(agent)
        figures = f"{duration(view.seconds(agent, now)):>7} {count(agent.usage.output_tokens):>6}"
        doing = f": {one_line(agent.doing, 60)}" if state == "running" and agent.doing else ""
        click.echo(f"  {agent.id:6} {state:11} {figures}  {one_line(agent.label, 60)}{doing}")
    if len(view.counted()) > len(shown):
        click.echo(f"  and {len(view.counted()) - len(shown)} more agents: counterpoint show {view.run_id} --json")
    for limit in limits(view, now):
        click.echo(f"  {limit_line(limit)}")
    print_summary(output, view)


def limit_line(limit: Limit) -> str:
    """A bound as people read it: what it is, what is gone, what is left."""
    write = {"usd": money, "seconds": duration}.get(limit.unit, count)
    unit = "" if limit.unit in ("usd", "seconds") else f" {limit.unit}"
    if limit.used is None or limit.left is None:
        return f"{limit.name:22} {write(limit.total)}{unit}"
    return f"{limit.name:22} {write(limit.used)} of {write(limit.total)}{unit}, {write(limit.left)} left"


async def _show_agent(here: Session, view: RunView, text: str, output: Output) -> None:
    agent = view.find_agent(text)
    if agent is None:
        known = ", ".join(list(view.agents)[:10])
        raise UsageError(f"No agent of {view.run_id} has the id or label {text!r}.", hint=f"It has: {known} …")
    document = await here.client.agent_document(view, agent)
    if output.json:
        output.document(document)
        return
    click.echo(f"{agent.id}  {safe(agent.label)}  {document['outcome'] or view.state(agent)}  {document['model']}")
    for name in ("options", "fault", "usage", "notes", "cited", "contradicted"):
        if document[name]:
            click.echo(f"{name}: {safe(json.dumps(document[name], ensure_ascii=False))}")
    if document["system"] is not None:
        click.echo(f"\n--- system\n{safe(document['system'])}")
        click.echo(f"\n--- tools\n{safe(', '.join(tool['name'] for tool in document['tools']) or 'none')}")
    click.echo(f"\n--- prompt\n{safe(str(document['prompt']))}")
    for message in document["transcript"]:
        click.echo(f"\n--- {message.get('type')}\n{safe(_message(message))}")
    click.echo(f"\n--- value\n{safe(json.dumps(document['value'], ensure_ascii=False, indent=2))}")


def _message(message: dict[str, Any]) -> str:
    parts = [str(message.get("note", "")), str(message.get("text", ""))]
    parts += [
        f"{call['name']}({json.dumps(call.get('input'), ensure_ascii=False)})" for call in message.get("calls", [])
    ]
    parts += [f"{result['name']}: {result['content']}" for result in message.get("results", [])]
    return "\n".join(part for part in parts if part)
