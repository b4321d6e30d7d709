"""What people may ask of a run that another process executes; each request leaves its receipts in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint import daemon
from counterpoint.ceilings import read_ceiling
from counterpoint.cli.arguments import read_args
from counterpoint.cli.options import Output, Session, asynchronous, common, session, session_of
from counterpoint.cli.receipts import ask, ask_each, me
from counterpoint.cli.resume import describe
from counterpoint.cli.run import attend, ready
from counterpoint.errors import UsageError
from counterpoint.events import RunStatus
from counterpoint.models.registry import Models
from counterpoint.runtime.job import Change
from counterpoint.view import RunView


async def _live_ones(here: Session, texts: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """The runs that are meant. Of those with a tag, only the ones that are executed are; the others are over."""
    found = await here.client.find_all(texts)
    if any(text.startswith("tag:") for text in texts):
        live = [run_id for run_id in found if await here.client.is_live(run_id)]
        found = live or found[:1]
    return [(run_id, None) for run_id in found]


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--drain", is_flag=True, help="Let the agents under way finish.")
@common
@asynchronous
async def stop(runs: tuple[str, ...], drain: bool, output: Output, state: Path | None) -> int:
    """Stop a run, or several: agents under way are cancelled at once, or finish with --drain.

    RUN may be tag:NAME, for all with that tag.
    """
    async with session(state) as here:
        return await ask_each(here, "stop", await _live_ones(here, runs), output, drain=drain)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--stay", is_flag=True, help="Keep the process, waiting for `resume`.")
@common
@asynchronous
async def pause(runs: tuple[str, ...], stay: bool, output: Output, state: Path | None) -> int:
    """Let a run, or several, start no more agents; those under way finish, then it ends as paused.

    RUN may be tag:NAME, for all with that tag.
    """
    async with session(state) as here:
        return await ask_each(here, "pause", await _live_ones(here, runs), output, stay=stay)


@click.command()
@click.argument("run")
@click.argument("agents", nargs=-1, required=True, metavar="AGENT…")
@common
@asynchronous
async def skip(run: str, agents: tuple[str, ...], output: Output, state: Path | None) -> int:
    """Skip agents that wait or are under way: the script gets null for each."""
    async with session(state) as here:
        run_id = await here.client.find(run)
        return await ask_each(here, "skip", [(run_id, agent) for agent in agents], output)


@click.command()
@click.argument("run")
@click.argument("agents", nargs=-1, metavar="[AGENT…]")
@click.option("--prompt", help="Ask it this instead.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="Ask this model.")
@common
@asynchronous
async def retry(
    run: str, agents: tuple[str, ...], prompt: str | None, model: str | None, output: Output, state: Path | None
) -> int:
    """Run agents again. In a run that is over: these alone; without any, all that did not end ok."""
    change = Change(prompt, model)
    if change and not agents:
        raise UsageError(
            "--prompt and --model change agents: name them.", hint="counterpoint retry RUN AGENT --model …"
        )
    if prompt is not None and len(agents) > 1:
        raise UsageError("--prompt changes one agent; these are several.", hint="Change them one by one.")
    async with session(state) as here:
        run_id = await here.client.find(run)
        if await here.client.is_live(run_id):
            if not agents:
                raise UsageError("The run goes on: name the agent.", hint=f"counterpoint show {run_id}")
            asked = [(run_id, agent) for agent in agents]
            return await ask_each(here, "retry", asked, output, prompt=prompt, model=model)
        view = await here.client.view(run_id)
        only = frozenset(_agent(view, agent) for agent in agents)
        changes = dict.fromkeys(only, change) if change else {}
        async with session_of(state, view) as there, Models(there.settings) as models:
            await ready(models, view.model, output)
            orders = daemon.Orders(only=only, changes=changes)
            output.say(describe(await daemon.rehearse_run(there.store, run_id, models, orders)))
            return await attend(there, run_id, models, output, orders=orders)


def _agent(view: RunView, text: str) -> str:
    found = view.find_agent(text)
    if found is None:
        raise UsageError(f"No agent of {view.run_id} has the id or label {text!r}.")
    return found.id


@click.command()
@click.argument("run")
@click.argument("words", nargs=-1, required=True, metavar="[AGENT] TEXT")
@common
@asynchronous
async def steer(run: str, words: tuple[str, ...], output: Output, state: Path | None) -> int:
    """Say something to one agent, or to all: each hears it at its next tool boundary."""
    match words:
        case (text,):
            agent = None
        case (agent, text):
            pass
        case _:
            raise UsageError(
                "steer takes a run, perhaps an agent, and one text.", hint='counterpoint steer @last a3 "text"'
            )
    async with session(state) as here:
        return await ask(here, await here.client.find(run), "steer", agent, output, text=text)


async def _decide(run: str, gate: str, verb: str, answer: Any, output: Output, state: Path | None) -> int:
    async with session(state) as here:
        run_id = await here.client.find(run)
        if await here.client.is_live(run_id):
            return await ask(here, run_id, verb, gate, output, answer=answer)
        view = await here.client.view(run_id)
        if gate not in {open_.id for open_ in view.open_gates()}:
            known = ", ".join(open_.id for open_ in view.open_gates()) or "none"
            raise UsageError(f"Run {run_id} has no open gate {gate!r}.", hint=f"Open: {known}")
        await here.client.answer(run_id, gate, answer, denied=verb == "deny", by=me())
        if view.status is RunStatus.WAITING:
            output.say(f"Recorded. Go on with: counterpoint resume {run_id}")
        if output.json:
            output.document({"gate": gate, "ok": True})
    return 0


@click.command()
@click.argument("run")
@click.argument("gate")
@click.option("--answer", metavar="JSON", help="The answer; true where none is given.")
@common
@asynchronous
async def approve(run: str, gate: str, answer: str | None, output: Output, state: Path | None) -> int:
    """Answer a question of a run."""
    given = read_args(answer, "--answer")
    return await _decide(run, gate, "approve", msgspec.json.decode(given) if given else True, output, state)


@click.command()
@click.argument("run")
@click.argument("gate")
@common
@asynchronous
async def deny(run: str, gate: str, output: Output, state: Path | None) -> int:
    """Answer a question of a run with no: the script's call rejects."""
    return await _decide(run, gate, "deny", None, output, state)


@click.command()
@click.argument("run")
@click.argument("limits", nargs=-1, required=True, metavar="600k|$9")
@common
@asynchronous
async def budget(run: str, limits: tuple[str, ...], output: Output, state: Path | None) -> int:
    """Change the ceilings of a run while it goes on."""
    async with session(state) as here:
        return await ask(
            here,
            await here.client.find(run),
            "bounds",
            None,
            output,
            budgets=[str(read_ceiling(text)) for text in limits],
        )
