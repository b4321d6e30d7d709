"""What people may ask of a run that another process executes; each request leaves its receipts in the journal."""

from __future__ import annotations

import asyncio
import getpass
import socket
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint import daemon
from counterpoint.ceilings import read_ceiling
from counterpoint.cli.arguments import read_args
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.cli.run import attend, ready
from counterpoint.cli.text import safe
from counterpoint.errors import UsageError
from counterpoint.events import RunStatus
from counterpoint.models.registry import Models
from counterpoint.view import RequestView

RECEIPT_S = 5.0
"""How long we wait for the run to say that it has done what was asked."""
STEP_S = 0.05


def _me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


async def ask(here: Session, run_id: str, verb: str, target: str | None, output: Output, **body: Any) -> int:
    """Leaves a request and waits for its receipt. Exits with 1 when it was refused."""
    if not await here.store.is_live(run_id):
        view = await here.client.view(run_id)
        raise UsageError(
            f"Run {run_id} is {view.shown_status().value}: no process executes it.",
            hint=f"Go on with: counterpoint resume {run_id}",
        )
    number = await here.client.ask(run_id, verb, target, by=_me(), **body)
    receipt = await _receipt(here, run_id, number)
    if output.json:
        output.document(
            {"request": number, "delivered": receipt is not None, "done": bool(receipt and receipt.done_at),
             "ok": receipt.ok if receipt else None, "message": receipt.message if receipt else None}
        )  # fmt: skip
    elif receipt is None:
        output.say(f"Asked (request {number}); the run has not read it within {RECEIPT_S:g} s.")
    elif receipt.done_at is None:
        output.say(
            f"Delivered (request {number}); it is done when an agent has heard it: counterpoint show {run_id} --json"
        )
    else:
        output.say(safe(receipt.message))
    return 1 if receipt is not None and not receipt.ok else 0


async def _receipt(here: Session, run_id: str, number: int) -> RequestView | None:
    found: RequestView | None = None
    for _ in range(int(RECEIPT_S / STEP_S)):
        view = await here.client.view(run_id)
        found = view.requests.get(number)
        if found is not None and found.done_at is not None:
            return found
        if view.ended:
            return found
        await asyncio.sleep(STEP_S)
    return found


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
@common
@asynchronous
async def retry(run: str, agent: str | None, output: Output, state: Path | None) -> int:
    """Run one agent again. In a run that is over: that one (or, without AGENT, all that did not end ok)."""
    async with session(state) as here:
        run_id = await here.client.find(run)
        if await here.store.is_live(run_id):
            if agent is None:
                raise UsageError("The run goes on: name the agent.", hint=f"counterpoint show {run_id}")
            return await ask(here, run_id, "retry", agent, output)
        view = await here.client.view(run_id)
        forget: frozenset[str] = frozenset()
        if agent is not None:
            found = view.find_agent(agent)
            if found is None:
                raise UsageError(f"No agent of {run_id} has the id or label {agent!r}.")
            forget = frozenset({found.id})
        async with session(state, Path(view.cwd), base_url=view.base_url) as there, Models(there.settings) as models:
            await ready(models, view.model, output)
            return await attend(there, run_id, models, output, orders=daemon.Orders(forget=forget))


@click.command()
@click.argument("run")
@click.argument("words", nargs=-1, required=True, metavar="[AGENT] TEXT")
@common
@asynchronous
async def steer(run: str, words: tuple[str, ...], output: Output, state: Path | None) -> int:
    """Say something to one agent, or to all: each hears it at its next tool boundary."""
    if len(words) > 2:
        raise UsageError(
            "steer takes a run, perhaps an agent, and one text.", hint='counterpoint steer @last a3 "text"'
        )
    *agents, text = words
    agent = agents[0] if agents else None
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
        await here.client.answer(run_id, gate, answer, denied=verb == "deny", by=_me())
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
