"""The end of a run as people read it: the result on stdout, everything else on stderr."""

from __future__ import annotations

from typing import Any

import click

from counterpoint.cli.options import Output
from counterpoint.events import RunStatus
from counterpoint.text import as_json, count, duration, money, one_line, safe
from counterpoint.tools.answers import command
from counterpoint.view import AgentView, RunView

SHOWN = 10
"""Causes that are told."""
NAMED = 3
"""Agents that are named for each."""
RESUMABLE = (RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.PAUSED, RunStatus.BUDGET_EXCEEDED)


def print_result(result: Any) -> None:
    """The returned value: its ``report``, its text, or its JSON."""
    match result:
        case {"report": str(text)} | str(text):
            click.echo(safe(text))
        case None:
            pass
        case _:
            click.echo(as_json(result, indent=2))


def print_summary(output: Output, view: RunView) -> None:
    """How it went, what did not end well and why, and what to do about it."""
    if output.quiet and view.error is not None:  # why there is no result is no chatter
        click.echo(f"error: {safe(view.error.name)}: {safe(view.error.message)}", err=True)
    good, of = view.coverage()
    usage = view.usage()
    parts = [f"{good} of {of} agents ok"]
    if view.reused:
        parts.append(f"{view.reused} reused")
    parts.append(f"{count(usage.input_tokens)} tokens in, {count(usage.output_tokens)} out")
    parts.append(money(usage.usd))
    parts.append(duration(view.duration_s()))
    parts.append(f"{view.model} (simulated: no language model answered)" if view.simulated else _answered_by(view))
    output.say("")
    output.say(f"{view.status.value}: {', '.join(parts)}")
    if view.message and view.status not in (RunStatus.COMPLETED, RunStatus.WAITING):  # waiting has its lines below
        output.say(safe(view.message))
    if view.error is not None and view.error.line is not None:
        output.say(f"at {safe(view.script)}:{view.error.line}:{view.error.column}")
    for fault in view.script_errors[:SHOWN]:
        output.say(f"  script error, line {fault.line}: {safe(fault.name)}: {one_line(fault.message)}")
    _print_bad(output, view)
    output.say(f"run {view.run_id}: counterpoint show {view.run_id}")


def _print_bad(output: Output, view: RunView) -> None:
    bad = view.not_ok()
    causes: dict[tuple[str, str], list[AgentView]] = {}
    for agent in bad:
        outcome = agent.outcome.value if agent.outcome else view.state(agent)
        causes.setdefault((outcome, agent.fault.message if agent.fault else ""), []).append(agent)
    for (outcome, cause), agents in list(causes.items())[:SHOWN]:
        who = ", ".join(f"{agent.id} {one_line(agent.label, 40)}" for agent in agents[:NAMED])
        more = f" and {len(agents) - NAMED} more" if len(agents) > NAMED else ""
        output.say(f"  {len(agents)} {outcome}: {who}{more}" + (f": {one_line(cause, 200)}" if cause else ""))
    if len(causes) > SHOWN:
        output.say(f"  and {len(causes) - SHOWN} other causes: counterpoint show {view.run_id}")
    if view.status is RunStatus.WAITING:
        for gate in view.open_gates():
            output.say(f"  {gate.id}: {safe(gate.question)}")
            output.say(f"  answer with: {command(view.run_id, gate)}")
        output.say(f"then: counterpoint resume {view.run_id}")
    elif view.imported:
        output.say(f"imported from {safe(view.imported)}: it cannot go on")
    elif view.status in RESUMABLE:
        what = "these alone run again" if bad else "what is recorded is not asked again"
        output.say(f"{what}: counterpoint resume {view.run_id}")


def _answered_by(view: RunView) -> str:
    answered = {agent.answered_by for agent in view.agents.values() if agent.answered_by}
    return ", ".join(sorted(answered)) or view.model
