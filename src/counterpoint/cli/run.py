"""``run``: a new run, executed here and now, or left to a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint import daemon
from counterpoint.background import Given, execute_apart
from counterpoint.ceilings import read_budgets
from counterpoint.cli.abilities import is_dumb
from counterpoint.cli.answering import Answering, Decision, answering
from counterpoint.cli.arguments import Duration, fitting, read_args
from counterpoint.cli.ending import print_result, print_summary
from counterpoint.cli.notices import channels, noticing
from counterpoint.cli.options import Output, Session, asynchronous, common, session, session_of
from counterpoint.cli.permissions import in_force, permission_options
from counterpoint.cli.progress import Lines, Live, Progress, Silent
from counterpoint.cli.receipts import me
from counterpoint.cli.streams import discard, unread
from counterpoint.cli.workflow_help import RunsWorkflow
from counterpoint.client import load_script
from counterpoint.events import Recorded, RunEnded, RunStatus
from counterpoint.models.registry import Models
from counterpoint.redaction import Redaction
from counterpoint.runtime.run import Run
from counterpoint.script.find import find
from counterpoint.text import safe
from counterpoint.version import VERSION
from counterpoint.view import RunView

DRAIN_S = 30.0
"""How long SIGTERM lets agents finish."""


@click.command(cls=RunsWorkflow)
@click.argument("script")
@click.option("--args", "args_", metavar="JSON|@FILE|-", help="What the script sees as `args`.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of agents that name none.")
@click.option("--base-url", help="Address of the provider.")
@click.option(
    "--budget",
    multiple=True,
    metavar="500k|$5|20k/agent|$20/day",
    help="Ceiling of output tokens or of money; repeatable.",
)
@click.option("--max-agents", type=int, help="Cap on agents.")
@click.option("--concurrency", "-c", type=int, help="Agents at work at once (1 to 1000).")
@click.option("--max-time", "run_timeout_s", type=Duration(), metavar="90m", help="End the run after that time.")
@click.option("--cwd", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The run's folder.")
@click.option("--tag", "tags", multiple=True, help="A word to find the run by; repeatable.")
@click.option("--detach", "-d", is_flag=True, help="Run in the background; print the run's id.")
@click.option("--allow-unknown-price", is_flag=True, help="Start under a budget in money without knowing the price.")
@permission_options
@click.option("--wait", is_flag=True, help="Stay through long waits for a quota instead of ending as paused.")
@click.option("--private", is_flag=True, default=None, help="Dreams do not read the run.")
@click.option("--strict", is_flag=True, help="An error of the script in a thunk ends the run.")
@click.option("--portable", is_flag=True, help="Refuse what Claude Code would refuse.")
@click.option("--unknown-agents", type=click.Choice(["reject", "general"]), help="What an unknown agentType does.")
@click.option("--jsonl", is_flag=True, help="Events on stdout as they happen, one JSON object a line.")
@common
@asynchronous
async def run(
    script: str, args_: str | None, budget: tuple[str, ...], cwd: Path | None, detach: bool, jsonl: bool,
    tags: tuple[str, ...], output: Output, state: Path | None, strict: bool, portable: bool,
    allow_unknown_price: bool, wait: bool,
    **flags: Any,
) -> int:  # fmt: skip
    """Run a workflow: a .js file, or the name of a saved one.

    \b
    counterpoint run survey --args '{"path": "docs", "limit": 6}'
    counterpoint run ./flow.js --model sim --json
    """
    folder = (cwd or Path.cwd()).resolve()
    flags |= {**read_budgets(budget), "strict": strict or None, "portable": portable or None,
              "allow_unknown_price": allow_unknown_price or None}  # fmt: skip
    args = read_args(args_)
    async with session(state, folder, **flags) as here, Models(here.settings) as models:
        channels(here.settings)  # a mistake in them is told before anything is recorded
        text = await load_script(find(script, script_folder(script, folder)), portable=here.settings.portable)
        fitting(text, args, output)
        await ready(models, models.default(here.settings.model), output)
        settings = in_force(here.settings, folder, output)
        run_id = await here.client.submit(
            text, settings=settings, models=models, cwd=folder, args=args, version=VERSION, tags=tags
        )
        if detach:
            await execute_apart(here.store, run_id)
            output.document({"run_id": run_id}) if output.json else click.echo(run_id)
            return 0
        return await attend(here, run_id, models, output, jsonl=jsonl, orders=daemon.Orders(waits_for_quota=wait))


@click.command(hidden=True)
@click.argument("run_id")
@click.option("--given", default="{}")
@click.option("--state", type=click.Path(path_type=Path))
@asynchronous
async def execute(run_id: str, given: str, state: Path | None) -> int:
    """Executes a recorded run without a terminal."""
    told = msgspec.json.decode(given, type=Given)
    async with session(state) as here:
        view = await here.client.view(run_id)
        async with session_of(state, view) as there, Models(there.settings) as models:
            script = await load_script(Path(told.script)) if told.script else None
            orders = daemon.Orders(script=script, reuse=told.reuse, bounds=told.bounds, waits_for_people=True,
                                   waits_for_quota=True, started=_obey_signals, late=click.echo)  # fmt: skip
            async with noticing(there.settings, view) as told:
                ended = await daemon.execute(there.store, run_id, models, dataclasses.replace(orders, listeners=told))
            return daemon.exit_code(ended.status)


async def attend(
    here: Session,
    run_id: str,
    models: Models,
    output: Output,
    *,
    jsonl: bool = False,
    orders: daemon.Orders | None = None,
) -> int:
    """Executes a run in this process, shows how it goes and what it returned, and gives the exit code."""
    ended = await carry_out(here, run_id, models, output, jsonl=jsonl, orders=orders)
    await _show_end(here, run_id, output, jsonl=jsonl)
    return daemon.exit_code(ended.status)


async def carry_out(
    here: Session,
    run_id: str,
    models: Models,
    output: Output,
    *,
    jsonl: bool = False,
    orders: daemon.Orders | None = None,
) -> RunEnded:
    """Executes a run in this process and shows how it goes."""
    people = output.input and sys.stdin.isatty() and sys.stderr.isatty()
    last = 0

    redaction = Redaction(os.environ)  # the lines are those of an export, to the letter

    def write(events: list[Recorded]) -> None:
        nonlocal last
        last = events[-1].seq
        lines = b"".join(recorded.line() + b"\n" for recorded in events)
        with unread(sys.stdout):
            sys.stdout.buffer.write(redaction.document(lines))
            sys.stdout.buffer.flush()

    if jsonl:
        write(await here.client.events(run_id))

    async def decide(decision: Decision) -> None:
        body = {} if decision.denied else {"answer": decision.answer}
        await here.client.ask(run_id, "deny" if decision.denied else "approve", decision.gate, by=me(), **body)

    async with answering(decide) as keyboard, noticing(here.settings, await here.client.view(run_id)) as told:
        progress = _progress(output, jsonl, await here.client.view(run_id), keyboard if people else None)
        late: list[str] = []
        ordered = dataclasses.replace(
            orders or daemon.Orders(),
            late=late.append,
            waits_for_people=people,
            listeners=(write if jsonl else progress.take, *told),
            started=_obey_signals,
        )
        with contextlib.closing(progress), _signals_given_back():
            ended = await daemon.execute(here.store, run_id, models, ordered)
        for warning in late:
            output.say(f"warning: {safe(warning)}")
        return ended


async def _show_end(here: Session, run_id: str, output: Output, *, jsonl: bool) -> None:
    view = await here.client.view(run_id)
    with unread(sys.stdout):
        if output.json:
            output.document(await here.client.document(view))
        elif not jsonl:
            print_result(await here.client.value(run_id, view.result))
    print_summary(output, view)


async def ready(models: Models, spec: str, output: Output) -> None:
    """Makes sure that the model can answer: a local one whose file is not here is fetched, after asking."""
    provider, _, name = models.get(spec).spec.partition(":")
    if provider == "local":
        from counterpoint.cli.models import fetch_for

        await fetch_for(name, output)


def _progress(output: Output, jsonl: bool, view: RunView, keyboard: Answering | None) -> Progress:
    if output.quiet or jsonl or output.json:
        return Silent()
    if not sys.stderr.isatty() or is_dumb():
        return Lines(view)
    return Live(view, color=output.color, keyboard=keyboard)


def script_folder(script: str, folder: Path) -> Path:
    """A path is meant from where the user is; a name is looked up from the run's folder."""
    return Path.cwd() if (Path.cwd() / script).exists() else folder


@contextlib.contextmanager
def _signals_given_back() -> Generator[None]:
    """Behind the body signals mean again what they meant: a run that has ended has no use for them."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):  # as below
            for number in (signal.SIGINT, signal.SIGTERM):
                if asyncio.get_running_loop().remove_signal_handler(number) and number == signal.SIGINT:
                    signal.signal(number, before)


def _obey_signals(run: Run) -> None:
    """First Ctrl-C: agents under way finish. Second: stop now. SIGTERM: the same, within a deadline. SIGHUP: go on."""
    loop = asyncio.get_running_loop()
    stopped = RunEnded(RunStatus.STOPPED, message="Stopped by a signal.")
    asked = False

    def interrupted() -> None:
        nonlocal asked
        if asked:
            run.end(stopped)
        else:
            asked = True
            click.echo("\nStopping: agents under way finish; once more stops them now.", err=True)
            run.drain(stopped)

    def terminated() -> None:
        click.echo(f"\nStopping: agents under way have {DRAIN_S:g} s to finish.", err=True)
        run.drain(stopped)
        loop.call_later(DRAIN_S, run.end, stopped)

    with contextlib.suppress(NotImplementedError, AttributeError):  # Windows has no handlers on its loop
        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, terminated)
        loop.add_signal_handler(signal.SIGHUP, _hang_up)


def _hang_up() -> None:
    """The terminal is gone: what is still written to it goes nowhere, and the run goes on."""
    for descriptor in (0, 1, 2):
        discard(descriptor)
