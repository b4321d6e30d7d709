"""``show``: a run, or everything that is known of one agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.cli.ending import print_summary
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.cli.progress import phase_lines
from counterpoint.cli.text import count, duration, one_line, safe
from counterpoint.errors import UsageError
from counterpoint.view import AgentView, RunView

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
            output.document(await run_document(here, view))
        else:
            _print_run(view, output)
    return 0


async def run_document(here: Session, view: RunView) -> dict[str, Any]:
    """The document of a run, with a line for each agent and what is left of its bounds."""
    document = await here.client.document(view)
    document["agent_list"] = [agent_row(agent) for agent in view.counted()]
    document["limits"] = _limits(view)
    document["requests"] = [
        {"id": r.id, "verb": r.verb, "target": r.target, "by": r.by, "asked_at": r.asked_at,
         "delivered_at": r.delivered_at, "done_at": r.done_at, "ok": r.ok, "message": r.message}
        for r in view.requests.values()
    ]  # fmt: skip
    return document


def agent_row(agent: AgentView) -> dict[str, Any]:
    """One agent in `agent_list`."""
    return {
        "id": agent.id,
        "label": agent.label,
        "phase": agent.phase,
        "outcome": agent.outcome.value if agent.outcome else None,
        "state": agent.state,
        "attempt": agent.attempt,
        "model": agent.answered_by or agent.model,
        "seconds": agent.seconds,
        "turns": agent.turns,
        "usage": msgspec.to_builtins(agent.usage),
        "fault": msgspec.to_builtins(agent.fault) if agent.fault else None,
        "line": agent.line,
        "workflow": agent.workflow,
        "doing": agent.doing,
    }


def _limits(view: RunView) -> dict[str, Any]:
    usage, bounds = view.usage(), view.bounds
    tokens, usd = bounds.get("budget_tokens"), bounds.get("budget_usd")
    return {
        "agents": {"cap": bounds.get("max_agents"), "used": len(view.agents)},
        "tokens": {"total": tokens, "spent": usage.output_tokens, "left": _left(tokens, usage.output_tokens)},
        "usd": {"total": usd, "spent": usage.usd, "left": None if usage.usd is None else _left(usd, usage.usd)},
        "concurrency": bounds.get("concurrency"),
        "agent_timeout_s": bounds.get("agent_timeout_s"),
        "stall_s": bounds.get("stall_s"),
        "max_turns": bounds.get("max_turns"),
    }


def _left(total: float | None, used: float) -> float | None:
    return None if total is None else max(0, total - used)


def _print_run(view: RunView, output: Output) -> None:
    click.echo(f"{one_line(view.name)}: {one_line(view.description)}")
    click.echo(f"script {safe(view.script)}, in {safe(view.cwd)}, attempt {view.attempt}")
    for title, counts, states in phase_lines(view):
        click.echo(f"  {title:30} {counts:12} {states}")
    shown = sorted(view.counted(), key=lambda agent: (agent.good, agent.id))[:SHOWN]
    for agent in shown:
        state = agent.outcome.value if agent.outcome else agent.state
        click.echo(
            f"  {agent.id:6} {state:9} {duration(agent.seconds):>7} {count(agent.usage.output_tokens):>6}  {one_line(agent.label, 60)}"
        )
    if len(view.counted()) > len(shown):
        click.echo(f"  and {len(view.counted()) - len(shown)} more agents: counterpoint show {view.run_id} --json")
    print_summary(output, view)


async def _show_agent(here: Session, view: RunView, text: str, output: Output) -> None:
    agent = view.find_agent(text)
    if agent is None:
        known = ", ".join(list(view.agents)[:10])
        raise UsageError(f"No agent of {view.run_id} has the id or label {text!r}.", hint=f"It has: {known} …")
    client = here.client
    document = {
        **agent_row(agent),
        "prompt": await client.value(view.run_id, agent.prompt),
        "options": agent.options,
        "value": await client.value(view.run_id, agent.value),
        "raw": await client.value(view.run_id, agent.raw),
        "transcript": await client.transcript(view.run_id, agent.id),
    }
    if output.json:
        output.document(document)
        return
    click.echo(f"{agent.id}  {safe(agent.label)}  {document['outcome'] or agent.state}  {document['model']}")
    for name in ("options", "fault", "usage"):
        if document[name]:
            click.echo(f"{name}: {safe(json.dumps(document[name], ensure_ascii=False))}")
    click.echo(f"\n--- prompt\n{safe(str(document['prompt']))}")
    for message in document["transcript"]:
        click.echo(f"\n--- {message.get('type')}\n{safe(_message(message))}")
    click.echo(f"\n--- value\n{safe(json.dumps(document['value'], ensure_ascii=False, indent=2))}")


def _message(message: dict[str, Any]) -> str:
    parts = [str(message.get("text", ""))]
    parts += [
        f"{call['name']}({json.dumps(call.get('input'), ensure_ascii=False)})" for call in message.get("calls", [])
    ]
    parts += [f"{result['name']}: {result['content']}" for result in message.get("results", [])]
    return "\n".join(part for part in parts if part)
