"""What people may ask of a run that another process executes; each request leaves its receipts in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint import daemon
from counterpoint.ceilings import read_ceiling
from counterpoint.cli.arguments import read_args
from counterpoint.cli.options import Output, asynchronous, common, session, session_of
from counterpoint.cli.receipts import ask, me
from counterpoint.cli.run import attend, ready
from counterpoint.errors import UsageError
from counterpoint.events import RunStatus
from counterpoint.models.registry import Models
from counterpoint.runtime.job import Change


@click.command()
@click.argument("run")
@click.option("--drain", is_flag=True, help="Let the agents under way finish.")
@common
@asynchronous
async def stop(run: str, drain: bool, output: Output, state: Path | None) -> int:
    """Stop a run: agents under way are cancelled at once, or finish with --drain."""
    async with session(state) as here:
        return await ask(here, await here.client.find(run), "stop", None, output, drain=drain)


@click.command()
@click.argument("run")
@click.option("--stay", is_flag=True, help="Keep the process, waiting for `resume`.")
@common
@asynchronous
async def pause(run: str, stay: bool, output: Output, state: Path | None) -> int:
    """Let a run start no more agents; those under way finish, then it ends as paused."""
    async with session(state) as here:
        return await ask(here, await here.client.find(run), "pause", None, output, stay=stay)


@click.command()
@click.argument("run")
@click.argument("agent")
@common
@asynchronous
async def skip(run: str, agent: str, output: Output, state: Path | None) -> int:
    """Skip one agent that waits or is under way: the script gets null for it."""
    async with session(state) as here:
        return await ask(here, await here.client.find(run), "skip", agent, output)


@click.command()
@click.argument("run")
@click.argument("agent", required=False)
@click.option("--prompt", help="Ask it this instead.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="Ask this model.")
@common
@asynchronous
async def retry(
    run: str, agent: str | None, prompt: str | None, model: str | None, output: Output, state: Path | None
) -> int:
    """Run one agent again. In a run that is over: that one (or, without AGENT, all that did not end ok)."""
    change = Change(prompt, model)
    if change and agent is None:
        raise UsageError(
            "--prompt and --model change one agent: name it.", hint="counterpoint retry RUN AGENT --model …"
        )
    async with session(state) as here:
        run_id = await here.client.find(run)
        if await here.store.is_live(run_id):
            if agent is None:
                raise UsageError("The run goes on: name the agent.", hint=f"counterpoint show {run_id}")
            return await ask(here, run_id, "retry", agent, output, prompt=prompt, model=model)
        view = await here.client.view(run_id)
        forget: frozenset[str] = frozenset()
        changes: dict[str, Change] = {}
        if agent is not None:
            found = view.find_agent(agent)
            if found is None:
                raise UsageError(f"No agent of {run_id} has the id or label {agent!r}.")
            forget, changes = frozenset({found.id}), {found.id: change} if change else {}
        async with session_of(state, view) as there, Models(there.settings) as models:
            await ready(models, view.model, output)
            return await attend(there, run_id, models, output, orders=daemon.Orders(forget=forget, changes=changes))


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
        if await here.store.is_live(run_id):
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
    given = read_args(answer)
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
