"""``chat``: a conversation with the lead that stays free while runs go on in processes of their own.

Three things go on side by side: a thread reads what is typed, a task carries the conversation on, one turn after the
other, and a task looks after the runs. Slash commands are answered at once, whatever the lead is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from counterpoint.ceilings import read_budgets
from counterpoint.cli.background import Background
from counterpoint.cli.leading import Office, office
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.permissions import permission_options
from counterpoint.cli.run import ready
from counterpoint.client import load_script
from counterpoint.errors import CounterpointError
from counterpoint.lead.notice import footer
from counterpoint.lead.prompts import prompt
from counterpoint.lead.record import Record
from counterpoint.lead.session import Typed, hands, typed, whole
from counterpoint.lead.talk import Talk
from counterpoint.lead.triage import plans, shelf
from counterpoint.models.catalog import PROVIDERS
from counterpoint.script.find import find
from counterpoint.text import one_line, safe

LOOK_S = 0.5
"""How often runs are looked after."""
HELP = """\
/runs               the runs of this session
/status [RUN]       how a run stands
/result RUN         what it returned
/steer RUN TEXT     say something to its agents
/stop RUN           stop it
/plan TASK          write a workflow, run nothing
/NAME ARGS          start a saved workflow: /review src
/budget +500k +$5   ceilings for what is started from now on (also as first or last words of a message)
/quit               leave; runs go on
A line that ends with \\ goes on in the next; \"\"\" begins and ends a longer text."""


@click.command()
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of agents that name none.")
@click.option("--lead", metavar="PROVIDER:NAME", help="The model that you talk to; without it, that of the agents.")
@click.option("--base-url", help="Address of the provider.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="Ceiling of each run.")
@click.option("--max-agents", type=int, help="Cap on the agents of a run.")
@click.option("--cwd", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The folder to work in.")
@click.option("--reopen", metavar="SESSION", help="Go on with an earlier session: an id, a prefix, or @last.")
@click.option("--list", "list_", is_flag=True, help="List the sessions there are.")
@permission_options
@common
@asynchronous
async def chat(
    lead: str | None, budget: tuple[str, ...], cwd: Path | None, reopen: str | None, list_: bool, output: Output,
    state: Path | None, **flags: Any,
) -> int:  # fmt: skip
    """Talk with the lead. Work is done by runs in the background, and what they return comes as one message."""
    folder = (cwd or Path.cwd()).resolve()
    if list_:
        return await _list(state, output)
    flags |= read_budgets(budget)
    async with office(state, folder, output, lead=lead, reopen=reopen, about={"command": "chat"}, **flags) as here:
        await ready(here.models, here.line.model.spec, output)
        await Chat(here).run()
    return 0


async def _list(state: Path | None, output: Output) -> int:
    async with session(state) as here:
        rows = await asyncio.to_thread(Record.listing, here.settings.state)
    if output.json:
        output.document({"sessions": rows})
        return 0
    for row in rows:
        click.echo(f"{row['session']}  {row['command']:5}  {one_line(str(row['begins']), 80)}")
    return 0


@dataclass(slots=True)
class Chat:
    """One conversation."""

    here: Office
    turns: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue[str | None])
    """What the lead is to hear, in order; None: nothing more comes."""
    asking: asyncio.Future[str] | None = None
    """A question that the next typed line answers."""
    one_question: asyncio.Lock = field(default_factory=asyncio.Lock)
    """The lead and a slash command may both want a yes."""
    background: Background = field(init=False)
    talk: Talk = field(init=False)

    def __post_init__(self) -> None:
        here = self.here
        person = here.output.input and sys.stdin.isatty()
        self.background = Background.of(here, self._ask if person else None)
        own = hands(self.background)
        said = prompt("small").text
        if plans(here.line.model.spec):
            said = prompt("chat").fill(cwd=str(here.folder), workflows=shelf(here.saved))
        self.talk = Talk(here.line, said, here.folder, own, record=here.record.message, watch=here.watch)
        self.talk.messages = whole(here.record.messages())

    async def run(self) -> None:
        """Until the user leaves."""
        self._greet()
        lines = _lines()
        await asyncio.to_thread(_import_provider, self.here.line.model.spec)
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(self._converse())
            looking = group.create_task(self._look_after_runs())
            with contextlib.suppress(EOFError):
                while True:
                    await self._take(await lines(), group)
            looking.cancel()
            self._leave_questions()
            await self.turns.put(None)
            await talking
        if self.background.open:
            self.here.output.say(f"still under way: {', '.join(sorted(self.background.open))}")
        self.here.output.say(f"go on with: counterpoint chat --reopen {self.here.record.id}")

    def _greet(self) -> None:
        here = self.here
        spec = here.line.model.spec
        here.output.say(f"session {here.record.id}, {safe(spec)}; /help says what can be typed")
        if not plans(spec):
            here.output.say(f"{safe(spec)} is too small to plan: it talks, and /NAME starts a saved workflow.")
        if self.talk.messages:
            here.output.say(f"reopened with {len(self.talk.messages)} messages")

    # --- what is typed

    async def _take(self, line: str, group: asyncio.TaskGroup) -> None:
        if self.asking is not None and not self.asking.done():
            self.asking.set_result(line)
            return
        meant = typed(line)
        if meant.command in ("quit", "exit"):
            raise EOFError
        group.create_task(self._reported(self._obey(meant)))
        await asyncio.sleep(0)  # commands begin in the order in which they were typed

    async def _reported(self, work: Awaitable[str]) -> None:
        try:
            said = await work
        except CounterpointError as error:
            said = f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")
        if said:
            self.here.output.say(safe(said))

    async def _obey(self, meant: Typed) -> str:
        runs, text = self.background, meant.text
        if meant.budget:
            self._set_budget(meant.budget)
        match meant.command:
            case "":
                if text:
                    await self.turns.put(text)
                return ""
            case "help":
                return HELP
            case "budget":
                self._set_budget(tuple(text.split()))
                return ""
            case "runs" | "status":
                return await runs.status(text)
            case "result":
                return await runs.result(text or "@last", 0)
            case "steer":
                run, _, words = text.partition(" ")
                return await runs.steer(run, words, "")
            case "stop":
                return await runs.stop(text or "@last")
            case "plan":
                return await runs.plan(text)
            case name if name in runs.plans:
                return await runs.propose(runs.plans[name], _typed_args(text), f"you typed /{name}")
            case name:
                script = await load_script(find(name, self.here.folder, names_only=True))
                return await runs.propose(script, _typed_args(text), f"you typed /{name}")

    def _set_budget(self, words: tuple[str, ...]) -> None:
        self.here.set_bounds(read_budgets(words))
        self.here.record.add("budget", ceilings=list(words))
        self.here.output.say(f"each run from now on has at most: {', '.join(words)}")

    async def _ask(self, question: str) -> str:
        """Asks the user something in the midst of it all; the next line is the answer."""
        async with self.one_question:
            self.here.output.say(question)
            self.asking = asyncio.get_running_loop().create_future()
            return await self.asking

    def _leave_questions(self) -> None:
        """Nobody is there any more: what was asked is answered with no."""
        self.background.ask = None
        if self.asking is not None and not self.asking.done():
            self.asking.set_result("n")

    # --- the lead, and the runs

    async def _converse(self) -> None:
        while (text := await self.turns.get()) is not None:
            await self._reported(self._turn(text))

    async def _turn(self, text: str) -> str:
        click.echo(safe(await self.talk.say(text)))
        return ""

    async def _look_after_runs(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._tell_ends()

    async def _tell_ends(self) -> None:
        for view, said in await self.background.ended():
            self.here.output.say(f"\n{footer(view)}")
            await self.turns.put(said)


def _import_provider(spec: str) -> None:
    """Loads the provider's library while the user still types: the first answer would wait seconds for it.

    Nothing else goes on meanwhile: two threads that import one package at once may each see the other's half.
    """
    provider = PROVIDERS.get(spec.partition(":")[0])
    for module in provider.modules if provider else ():
        with contextlib.suppress(ImportError):  # the first request says what is missing
            importlib.import_module(module)


def _typed_args(text: str) -> bytes | None:
    """What is typed behind a workflow's name: JSON where it is some, else a text."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _lines() -> Callable[[], Awaitable[str]]:
    """Reads messages in a thread that does not keep the program from ending; EOFError where no more come."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def give(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        try:
            while True:
                give(_message())
        except EOFError:
            give(None)

    threading.Thread(target=read, daemon=True).start()

    async def line() -> str:
        found = await queue.get()
        if found is None:
            raise EOFError
        return found

    return line


def _message() -> str:
    """One message, which may have several lines. Raises EOFError."""
    line = _line("> ")
    if line.strip().startswith('"""'):
        parts = [line.strip()[3:]]
        while not parts[-1].rstrip().endswith('"""'):
            parts.append(_line("… "))
        return "\n".join(parts).rstrip().removesuffix('"""')
    while line.endswith("\\"):
        line = line[:-1] + "\n" + _line("… ")
    return line


def _line(sign: str) -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")
    with contextlib.suppress(ImportError):  # Windows has none
        importlib.import_module("readline")  # gives `input` its history and editing
    return input(sign)
