"""``chat``: a conversation with the lead that stays free while runs go on in processes of their own.

Three things go on side by side: what is typed is read (`terminal`), a task carries the conversation on, one turn after
the other, and a task looks after the runs. Slash commands are answered at once, whatever the lead is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import json
import sys
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from counterpoint.ceilings import ceilings_of, read_budgets
from counterpoint.cli.background import Background
from counterpoint.cli.leading import Office, office
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.permissions import permission_options
from counterpoint.cli.run import ready
from counterpoint.cli.terminal import Console, Typing, console, history_of
from counterpoint.client import load_script
from counterpoint.errors import CounterpointError, WorkflowNotFoundError, nearest
from counterpoint.events import Fault
from counterpoint.lead.notice import footer
from counterpoint.lead.prompts import prompt
from counterpoint.lead.record import Record
from counterpoint.lead.session import Typed, hands, typed
from counterpoint.lead.talk import Talk, whole
from counterpoint.lead.triage import plans, shelf
from counterpoint.models.catalog import PROVIDERS
from counterpoint.script.find import find, listing
from counterpoint.text import duration, one_line, safe

LOOK_S = 0.5
"""How often runs are looked after."""
COMMANDS = {
    "runs": ("", "the runs of this session"),
    "status": ("[RUN]", "how a run stands"),
    "result": ("[RUN] [FROM]", "what it returned, from that character on"),
    "steer": ("RUN TEXT", "say something to its agents"),
    "stop": ("[RUN]", "stop it"),
    "plan": ("TASK", "write a workflow, run nothing"),
    "workflows": ("", "the saved ones: /NAME ARGS starts one, as in /review src"),
    "budget": ("[+500k] [+$5]", "for what is started from now on; a message may end so too"),
    "help": ("", "this"),
    "quit": ("", "leave; runs go on"),
}
"""The words behind a slash, with what each takes and does."""
KEYS = """\
A message goes on in the next line after a \\ at its end, or between \"\"\" and \"\"\".
Alt-Enter, Control-J   a new line
Up, Down               what was typed in this folder before
Tab                    completes a command
Control-C              stops the lead; runs go on
Control-D              leaves"""


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
    turn: asyncio.Task[None] | None = None
    """The lead at work."""
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
        here.line.on_retry = self._asked_again
        here.set_bounds(read_budgets(_ceilings(here.record)))

    async def run(self) -> None:
        """Until the user leaves."""
        self._greet()
        here = self.here
        typing = Typing(self._words, self._waits_for_answer, self._interrupt, self._status)
        with console(typing, history_of(here.here.settings.state, here.folder)) as screen:
            self.talk.voice, here.apart = screen, screen.apart
            await asyncio.to_thread(_import_provider, here.line.model.spec)
            await self._go_on(screen)
        if self.background.open:
            self.here.output.say(f"still under way: {', '.join(sorted(self.background.open))}")
        self.here.output.say(f"go on with: counterpoint chat --reopen {self.here.record.id}")

    async def _go_on(self, screen: Console) -> None:
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(self._converse(group))
            looking = group.create_task(self._look_after_runs())
            with contextlib.suppress(EOFError):
                while True:
                    await self._take(await screen.message(), group)
            looking.cancel()
            self._leave_questions()
            await self.turns.put(None)
            await talking

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
            await asyncio.sleep(0)  # the answer is heard before the next line is read
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
                return "\n".join(
                    [*(f"/{f'{word} {takes}':21} {does}" for word, (takes, does) in COMMANDS.items()), KEYS]
                )
            case "budget":
                if text:
                    self._set_budget(tuple(text.split()))
                return "" if text or meant.budget else self._bounds()
            case "workflows":
                return shelf(listing(self.here.folder))
            case "runs" | "status":
                return await runs.status(text)
            case "result":
                run, _, start = text.partition(" ")
                return await runs.result(run or "@last", int(start) if start.strip().isdecimal() else 0)
            case "steer":
                run, _, words = text.partition(" ")
                return await runs.steer(run, words, "")
            case "stop":
                return await runs.stop(text or "@last")
            case "plan":
                return await runs.plan(text)
            case name:
                script = await load_script(self._script_of(name))
                return await runs.propose(script, _typed_args(text), f"you typed /{name}")

    def _script_of(self, name: str) -> Path:
        """The script that is started by ``/name``. Raises WorkflowNotFoundError with the nearest of all words."""
        if name in self.background.plans:
            return self.background.plans[name]
        try:
            return find(name, self.here.folder, names_only=True)
        except WorkflowNotFoundError as error:
            words = self._words()
            raise WorkflowNotFoundError(
                f"There is no command and no workflow {name!r}{nearest(name, words)}", hint=error.hint
            ) from None

    def _set_budget(self, words: tuple[str, ...]) -> None:
        self.here.set_bounds(read_budgets(words))
        self.here.record.add("budget", ceilings=list(words))
        self.here.output.say(f"each run from now on has at most: {', '.join(words)}")

    def _bounds(self) -> str:
        bounds = dataclasses.asdict(self.here.here.settings)
        held = ", ".join(map(str, ceilings_of(bounds)))
        return f"each run has at most: {held}" if held else "No ceiling is set. For example: /budget +500k +$5"

    # --- what the input line shows

    def _words(self) -> dict[str, str]:
        """What can be typed behind a slash."""
        saved = {saved.name: saved.description for saved in self.here.saved}
        plans = dict.fromkeys(self.background.plans, "the plan that was written in this session")
        return saved | plans | {word: does for word, (_, does) in COMMANDS.items()}

    def _waits_for_answer(self) -> bool:
        return self.asking is not None and not self.asking.done()

    def _interrupt(self) -> bool:
        """Stops the lead in the midst of what it does. Runs go on."""
        if self.turn is None or self.turn.done():
            return False
        if self._waits_for_answer():
            self._answer_no()
        self.turn.cancel()
        return True

    def _status(self) -> str:
        waits = "waits for your answer" if self._waits_for_answer() else "is at work"
        at_work = [f"the lead {waits} (Control-C stops it)"] if self.turn is not None else []
        runs = len(self.background.open)
        return "; ".join(at_work + [f"{runs} {'run' if runs == 1 else 'runs'} under way"] * bool(runs))

    def _asked_again(self, fault: Fault, wait_s: float) -> None:
        self.here.watch(f"asks again in {duration(wait_s)}: {fault.message}")

    async def _ask(self, question: str) -> str:
        """Asks the user something in the midst of it all; the next line is the answer."""
        async with self.one_question:
            self.here.output.say(question)
            self.asking = asyncio.get_running_loop().create_future()
            return await self.asking

    def _leave_questions(self) -> None:
        """Nobody is there any more: what was asked is answered with no."""
        self.background.ask = None
        self._answer_no()

    def _answer_no(self) -> None:
        if self.asking is not None and not self.asking.done():
            self.asking.set_result("n")

    # --- the lead, and the runs

    async def _converse(self, group: asyncio.TaskGroup) -> None:
        while (text := await self.turns.get()) is not None:
            self.turn = group.create_task(self._reported(self._turn(text)))
            await asyncio.wait([self.turn])
            self.turn = None

    async def _turn(self, text: str) -> str:
        try:
            await self.talk.say(text)
        except BaseException:
            self.talk.go_on()
            raise
        return ""

    async def _look_after_runs(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._tell_ends()

    async def _tell_ends(self) -> None:
        for view, said in await self.background.ended():
            self.here.output.say(f"\n{footer(view)}")
            await self.turns.put(said)


def _ceilings(record: Record) -> list[str]:
    """The ceilings that were set in the session so far; of each kind the last one counts."""
    return [str(word) for entry in record.entries() if entry.kind == "budget" for word in entry.body["ceilings"]]


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
