"""``do``: a task in a sentence; the lead finds the cheapest way, asks, runs, and answers."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint import daemon
from counterpoint.ceilings import read_budgets
from counterpoint.cli.approval import Approved, Proposal, approve
from counterpoint.cli.leading import Office, office, read_decided_args, some_task
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.cli.permissions import permission_options
from counterpoint.cli.plan import authored
from counterpoint.cli.run import carry_out, ready
from counterpoint.cli.workflow_help import command
from counterpoint.client import load_script
from counterpoint.errors import CounterpointError
from counterpoint.events import RunStatus
from counterpoint.lead.author import AuthorError
from counterpoint.lead.notice import footer, notice
from counterpoint.lead.prompts import prompt
from counterpoint.lead.talk import Talk
from counterpoint.lead.triage import Decision, offers, plans, system, triage
from counterpoint.script import Script
from counterpoint.script.find import BUNDLED, find, load
from counterpoint.text import one_line, safe
from counterpoint.tools.arguments import check_args
from counterpoint.version import VERSION

ONE_AGENT = BUNDLED / "one-agent.js"
UNASKED = 3
"""The exit code where a person would have to say yes."""
MOST_OFFERS = 4
SHORT = 200
"""Characters of a task that is repeated in a command line."""


@click.command()
@click.argument("task", callback=some_task)
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of agents that name none.")
@click.option("--lead", metavar="PROVIDER:NAME", help="The model that plans; without it, that of the agents.")
@click.option("--base-url", help="Address of the provider.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="Ceiling of output tokens, or of money.")
@click.option("--max-agents", type=int, help="Cap on agents.")
@click.option("--concurrency", "-c", type=int, help="Agents at work at once (1 to 1000).")
@click.option("--cwd", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The folder to work in.")
@permission_options
@common
@asynchronous
async def do(
    task: str, lead: str | None, budget: tuple[str, ...], cwd: Path | None, output: Output, state: Path | None,
    **flags: Any,
) -> int:  # fmt: skip
    """Do TASK the cheapest way that will really do it: answer, one agent, a saved workflow, or a new one.

    A workflow is shown with its estimate before it starts; --yes says yes, and a budget always holds.

    \b
    counterpoint do "Which settings does no code read?"
    """
    folder = (cwd or Path.cwd()).resolve()
    about = {"command": "do", "task": task}
    async with office(state, folder, output, lead=lead, about=about, **flags, **read_budgets(budget)) as here:
        if not plans(here.line.model.spec):
            return await _without_plan(here, task)
        await ready(here.models, here.model, output)
        talk = Talk(here.line, system(folder, here.saved), folder, record=here.record.message, watch=here.watch)
        decision = await triage(task, talk, lambda decided: _unusable(here, decided))
        here.record.add("decided", **msgspec.to_builtins(decision))
        here.watch(f"{decision.way}: {decision.reason}")
        return await _carry_out(here, task, decision, talk)


def _unusable(here: Office, decision: Decision) -> str | None:
    """Why a saved workflow that the lead has chosen cannot be run as it says."""
    if decision.way != "saved":
        return None
    try:
        script = load(find(decision.name, here.folder, names_only=True))
        check_args(script, read_decided_args(decision.args))
    except CounterpointError as error:
        return f"{error.message} {error.hint or ''}".strip()
    return None


async def _carry_out(here: Office, task: str, decision: Decision, talk: Talk) -> int:
    match decision.way:
        case "answer":
            return _answered(here, decision)
        case "agent":
            script, args = await asyncio.to_thread(load, ONE_AGENT), msgspec.json.encode({"task": decision.prompt})
            return await _run(here, script, args, "the task itself", decision, talk)
        case "saved":
            script = await load_script(find(decision.name, here.folder, names_only=True))
            approved = await _approved(here, script, read_decided_args(decision.args), decision)
        case "workflow":
            attempt = await authored(here, task, scouted=decision.pieces)
            if attempt.script is None:
                raise AuthorError([attempt])
            approved = await _approved(here, attempt.script, None, decision)
    if not isinstance(approved, Approved):
        return _not_approved(here, approved, decision)
    proposal = approved.proposal
    return await _run(here, proposal.script, proposal.args, approved.by, decision, talk)


async def _approved(here: Office, script: Script, args: bytes | None, decision: Decision) -> Approved | str:
    check_args(script, args)
    why = " ".join(filter(None, (decision.reason, decision.gain, decision.cost)))
    return await approve(here, Proposal(script, args, await here.estimate(script, args), why))


def _not_approved(here: Office, refusal: str, decision: Decision) -> int:
    if here.output.json:
        here.output.document({"session": here.record.id, "way": decision.way, "run_id": None, "approved": False})
    if refusal == "no":
        here.output.say("Not run.")
        return 0
    here.output.say("Nobody is here to say yes, so nothing was run.")
    here.output.say('Say yes with --yes, or set `approve` to what may run unasked, as approve = "$2".')
    return UNASKED


def _answered(here: Office, decision: Decision) -> int:
    if here.output.json:
        here.output.document({
            "session": here.record.id, "way": "answer", "reason": decision.reason, "answer": decision.answer,
            "run_id": None,
        })  # fmt: skip
    else:
        click.echo(safe(decision.answer))
        here.output.say(f"the lead itself: {here.own_cost()}")
    return 0


async def _run(
    here: Office, script: Script, args: bytes | None, approved_by: str, decision: Decision, talk: Talk
) -> int:
    """Runs what was approved, and lets the lead answer from what came back."""
    client = here.here.client
    run_id = await client.submit(
        script, settings=here.here.settings, models=here.models, cwd=here.folder, args=args,
        version=VERSION,
    )  # fmt: skip
    here.record.add("run", run_id=run_id, approved_by=approved_by)
    ended = await carry_out(here.here, run_id, here.models, here.output)
    view = await client.view(run_id)
    result = await client.value(run_id, view.result)
    before = talk.context
    answer = _whole(result) if decision.way == "agent" else ""
    if not answer and view.status in (RunStatus.COMPLETED, RunStatus.PARTIAL):
        answer = await talk.say(f"{prompt('answer').text}\n\n{notice(view, result)}")
    here.record.add("answered", run_id=run_id, answer=answer)
    if here.output.json:
        here.output.document({
            "session": here.record.id, "way": decision.way, "reason": decision.reason, "approved_by": approved_by,
            "run_id": run_id, "answer": answer or None, "run": await client.document(view),
            "lead": {**msgspec.to_builtins(here.line.usage), "context_before": before,
                     "context_after": talk.context},
        })  # fmt: skip
    else:
        if answer:
            click.echo(safe(answer))
        here.output.say(f"\n{footer(view)}\nthe lead itself: {here.own_cost()}")
    return daemon.exit_code(ended.status)


def _whole(result: Any) -> str:
    return result if isinstance(result, str) else ""


# --- a model that plans nothing --------------------------------------------------------------------------------------


async def _without_plan(here: Office, task: str) -> int:
    """What a small model can do: one agent, or a workflow that somebody else has written."""
    spec = here.line.model.spec
    metas = {one.name: load(one.path).meta for one in here.saved if one.error is None}
    said = {name: meta.when_to_use or "" for name, meta in metas.items()}
    fitting = offers(task, here.saved, said)[:MOST_OFFERS]
    here.record.add("decided", way="offer", reason="the model plans nothing", offers=[o.saved.name for o in fitting])
    here.output.say(
        f"{spec} is too small to plan: it decides nothing and writes no workflow (--lead names a model that can). "
        f"It can be the agent of a workflow that is there."
    )
    commands = {o.saved.name: f"{command(metas[o.saved.name], o.saved.name)} --model {spec}" for o in fitting}
    if here.output.json:
        rows = [
            {"name": o.saved.name, "description": o.saved.description, "words": list(o.words),
             "command": commands[o.saved.name]}
            for o in fitting
        ]  # fmt: skip
        here.output.document({"session": here.record.id, "way": "offer", "model": spec, "offers": rows, "run_id": None})
    else:
        for offer in fitting:
            name, description = one_line(offer.saved.name, 40), one_line(offer.saved.description, 120)
            click.echo(safe(f"{name}: {description}\n  {commands[offer.saved.name]}"))
    if not fitting:
        here.output.say("No saved workflow fits these words; see them all with: counterpoint workflows list")
    own = shlex.quote(json.dumps(task)) if len(task) <= SHORT else "'\"TASK\"'"
    here.output.say(f"As one agent it does what it can: counterpoint run one-agent --args {own} --model {spec}")
    return UNASKED
