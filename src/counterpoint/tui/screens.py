"""The screens: all runs, one run, one agent."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from textual import work
from textual.app import App, ComposeResult
from textual.events import Click, Key, Resize
from textual.screen import Screen

from counterpoint.client import Client, Summary
from counterpoint.errors import CounterpointError
from counterpoint.text import one_line
from counterpoint.timeline import Timeline
from counterpoint.tui import detail, paint
from counterpoint.tui.board import Board
from counterpoint.tui.detail import AgentText, agent_screen
from counterpoint.tui.dialogs import Choice, Help, Line
from counterpoint.tui.feed import Feed
from counterpoint.tui.filter import matcher
from counterpoint.tui.paint import Scene, Signs
from counterpoint.view import AgentView, GateView, RunView

PAINT_S = 0.15
"""At most seven repaints a second."""
AGAIN_S = 5.0
"""In this time a key is pressed again that destroys something."""
NOTE_S = 6.0
RUNS_S = 2.0

KEYS = (
    ("arrows hjkl", "choose an agent"),
    ("Enter", "open it"),
    ("Esc", "back"),
    ("g G", "first, last agent"),
    ("/", "filter: state:failed phase:find cost>0.2"),
    ("Tab", "next pane"),
    ("w v $ c t", "timeline, verdicts, cost, script, log"),
    ("s S", "steer the agent, all agents"),
    ("r R", "run the agent again (twice); with another model"),
    ("x X", "skip the agent, stop the run (twice)"),
    ("p", "pause, continue"),
    ("b", "change the ceilings"),
    ("A D", "answer, deny the question"),
    ("Space", "replay: hold, go on"),
    ("y", "copy the id"),
    ("q", "leave; the run goes on"),
)


class _Screen(Screen[None]):
    """One board."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()

    @property
    def top(self) -> App[None]:
        return self.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  (any App, says Textual)

    def compose(self) -> ComposeResult:
        yield self.board


@dataclass(frozen=True, slots=True)
class Door:
    """What screens reach runs through."""

    client: Client
    by: str
    """Who asks, as the journal keeps it."""
    signs: Signs
    start: Callable[[list[str]], Awaitable[None]]
    """Starts `counterpoint` with these arguments as a process that outlives us."""


class RunsScreen(_Screen):
    """All runs; Enter opens one."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door
        self._runs: list[Summary] = []
        self._chosen = 0

    def on_mount(self) -> None:
        self.set_interval(RUNS_S, self._load)
        self._load()

    @work(exclusive=True)
    async def _load(self) -> None:
        self._runs = await self._door.client.runs()
        self._paint()

    def _paint(self) -> None:
        self._chosen = max(0, min(self._chosen, len(self._runs) - 1))
        width, height = self.size
        scene = Scene(RunView(), Timeline(), time.time(), False, width, height, signs=self._door.signs)
        self.board.show(paint.runs_screen(self._runs, self._chosen, scene))

    def on_resize(self, event: Resize) -> None:
        self._paint()

    def on_click(self, event: Click) -> None:
        row = event.style.meta.get("row")
        if row is not None:
            self._chosen = row
            self._open()

    def on_key(self, event: Key) -> None:
        step = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 10, "pageup": -10, "g": -(10**9), "G": 10**9}
        key = event.character if event.character in step else event.key
        if key in step:
            self._chosen += step[key]
            self._paint()
        elif key == "enter":
            self._open()
        elif event.character == "q":
            self.top.exit()

    def _open(self) -> None:
        if self._runs:
            self.top.push_screen(RunScreen(self._door, Feed(self._door.client, self._runs[self._chosen].run_id)))


class RunScreen(_Screen):
    """One run: everything of it at a glance, and what a person may ask of it."""

    def __init__(self, door: Door, feed: Feed) -> None:
        super().__init__()
        self._door, self.feed = door, feed
        self._dirty = True
        self._mode = "run"
        self._pane = 0
        self._bottom = "log"
        self._chosen: str | None = None
        self._filter = ""
        self._note = ("", 0.0)
        self._armed = ("", "", 0.0)
        self._source: list[str] = []
        self._offset = 0
        self._second = 0

    def on_mount(self) -> None:
        self.set_interval(PAINT_S, self._tick)
        self._feed()
        self._read_source()

    @work
    async def _feed(self) -> None:
        await self.feed.run(self._changed)

    def _changed(self) -> None:
        self._dirty = True

    @work
    async def _read_source(self) -> None:
        view = await self._door.client.view(self.feed.run_id)
        self._source = str(await self._door.client.value(self.feed.run_id, view.source)).split("\n")
        self._dirty = True

    def _tick(self) -> None:
        second = int(time.monotonic())
        if self.feed.moves or self._note[0] or self._armed[0]:
            self._dirty |= second != self._second
        self._second = second
        if self._dirty and self.is_current:
            self.repaint()

    def repaint(self) -> None:
        self._dirty = False
        scene = self.scene()
        match self._mode:
            case "timeline":
                lines = paint.full_screen(scene, paint.timeline_lines, "Timeline (█ model ▓ tool ░ quota · queued)")
            case "cost":
                lines = paint.full_screen(scene, paint.cost_lines, "Cost")
            case "verdicts":
                lines = paint.full_screen(scene, paint.verdict_lines, "Verdicts (✗ refutes, ✓ could not, · no vote)")
            case "script":
                lines = paint.full_screen(scene, paint.script_lines, f"Script {one_line(scene.view.script, 60)}")
            case _:
                lines = paint.run_screen(scene)
        self.board.show(lines)

    def scene(self) -> Scene:
        feed = self.feed
        width, height = self.size
        note = self._shown_note()
        return Scene(
            feed.view, feed.timeline, feed.now(), feed.live, width, height, signs=self._door.signs, chosen=self._chosen,
            match=matcher(self._filter, feed.timeline), filter=self._filter, note=note, source=self._source,
            pane=paint.PANES[self._pane], bottom=self._bottom, offset=self._offset,
            replay=f"  replay ×{feed.speed:g}{'' if feed.playing else ' held'}" if feed.replays else "",
        )  # fmt: skip

    def on_resize(self, event: Resize) -> None:
        self.repaint()

    def on_screen_resume(self) -> None:
        self._dirty = True

    def _shown_note(self) -> str:
        """A key that waits to be pressed again, else what was said last; both for a while."""
        now = time.monotonic()
        _, armed, until = self._armed
        if now < until:
            return armed
        note, until = self._note
        if now >= until:
            self._note = ("", 0.0)
            return ""
        return note

    def say(self, text: str) -> None:
        """A word to the person, in the last line for some seconds."""
        self._note = (text, time.monotonic() + NOTE_S)
        self._dirty = True

    # --- moving about ------------------------------------------------------------------------------------------------

    def on_click(self, event: Click) -> None:
        agent = event.style.meta.get("agent")
        if agent is not None:
            if agent == self._chosen:
                self._open()
            self._chosen = agent
            self._dirty = True

    def on_key(self, event: Key) -> None:
        steps = {"left": -1, "h": -1, "right": 1, "l": 1, "g": -(10**9), "G": 10**9}
        rows = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10}
        key = event.character if event.character and event.character.isprintable() else event.key
        if key in steps:
            event.stop()
            self._step(steps[key])
        elif key in rows:
            event.stop()
            self._step_rows(rows[key])
        elif (act := self._acts().get(key)) is not None:
            event.stop()
            act()
        self._dirty = True

    def _acts(self) -> dict[str, Callable[[], object]]:
        return {
            "enter": self._open, "escape": self._back, "tab": self._next_pane, "/": self._ask_filter,
            "w": lambda: self._to("timeline"), "$": lambda: self._to("cost"),
            "v": lambda: self._to("verdicts"), "c": self._script, "t": self._log,
            "s": lambda: self._steer(self._agent()), "S": lambda: self._steer(None), "r": self._retry,
            "R": self._retry_with, "x": self._skip, "X": self._stop, "p": self._pause, "b": self._budget,
            "A": self._answer, "D": self._deny, " ": self._hold, "y": self._copy, "e": self._export,
            "?": lambda: self.top.push_screen(Help(KEYS)), "q": self._leave,
        }  # fmt: skip

    def _step(self, by: int) -> None:
        if self._mode in ("script", "cost", "verdicts"):
            self._offset += by
            return
        agents = paint.agents_in_order(self.scene())
        if not agents:
            return
        at = next((n for n, agent in enumerate(agents) if agent.id == self._chosen), None)
        self._chosen = agents[0 if at is None else max(0, min(len(agents) - 1, at + by))].id

    def _step_rows(self, by: int) -> None:
        """To the same column of another row of the matrix; elsewhere a row is one agent, or one line."""
        rows = [[agent.id for agent in agents] for _, agents in paint.grid(self.scene(), self.size.width)]
        at = next((n for n, row in enumerate(rows) if self._chosen in row), None)
        if self._mode != "run" or self._filter or at is None:
            self._step(by)
            return
        row = rows[max(0, min(len(rows) - 1, at + by))]
        self._chosen = row[min(rows[at].index(self._chosen or ""), len(row) - 1)]

    def _to(self, mode: str) -> None:
        self._mode = "run" if self._mode == mode else mode
        self._offset = 0

    def _script(self) -> None:
        if self.size.width >= 100 and self._bottom != "script":
            self._bottom = "script"
        else:
            self._to("script")

    def _log(self) -> None:
        self._mode, self._bottom, self._pane = "run", "log", paint.PANES.index("log")

    def _next_pane(self) -> None:
        self._pane = (self._pane + 1) % len(paint.PANES)
        if self.size.width >= 100:
            self._bottom = "log" if self._bottom == "script" else "script"

    def _back(self) -> None:
        if self._mode != "run":
            self._mode, self._offset = "run", 0
        elif self._filter:
            self._filter = ""
        elif len(self.top.screen_stack) > 2:
            self.top.pop_screen()

    def _agent(self) -> AgentView | None:
        return self.feed.view.agents.get(self._chosen or "")

    def _open(self) -> None:
        agent = self._agent()
        if agent is None:
            self._step(0)
        else:
            self.top.push_screen(AgentScreen(self._door, self, agent.id))

    @work
    async def _ask_filter(self) -> None:
        hint = 'state:failed phase:find cost>0.2 time>30 "some text"'
        text = await self.top.push_screen_wait(Line("Filter", hint, self._filter))
        if text is not None:
            self._filter = text.strip()
        self._dirty = True

    def _hold(self) -> None:
        self.feed.playing = not self.feed.playing

    def _copy(self) -> None:
        text = self._chosen or self.feed.run_id
        self.top.copy_to_clipboard(text)
        self.say(f"{text} is on the clipboard, where the terminal allows it")

    def _export(self) -> None:
        self.say(f"counterpoint export {self.feed.run_id} --html -o run.html")

    def _leave(self) -> None:
        self.top.exit(message=f"Left; nothing was stopped. Back with: counterpoint top {self.feed.run_id}")

    # --- asking ------------------------------------------------------------------------------------------------------

    def twice(self, key: str, effect: str) -> bool:
        """Whether the key was pressed a second time; the first time says what it will do."""
        now = time.monotonic()
        armed, _, until = self._armed
        if armed == key and now < until:
            self._armed = ("", "", 0.0)
            return True
        self._armed = (key, f"{effect}  Press {key} again.", now + AGAIN_S)
        return False

    @work
    async def ask(self, verb: str, target: str | None = None, **body: Any) -> None:
        """Leaves a request; its receipt is said when it comes."""
        client, run_id = self._door.client, self.feed.run_id
        if self.feed.replays:
            return self.say("This is a replay: nothing can be asked of it.")
        if not await client.is_live(run_id):
            return self.say(f"No process executes the run: counterpoint resume {run_id}")
        number = await client.ask(run_id, verb, target, by=self._door.by, **body)
        self.say(f"{verb}: asked (request {number})")
        self._watch_receipt(number)
        return None

    def _watch_receipt(self, number: int) -> None:
        told = ""

        def look() -> None:
            nonlocal told
            request = self.feed.view.requests.get(number)
            if request is None:
                return
            state = "delivered" if request.done_at is None else "done" if request.ok else "refused"
            if state != told:
                told = state
                self.say(f"{request.verb}: {state} {request.message}")
            if request.done_at is not None or self.feed.view.ended:
                timer.stop()

        timer = self.set_interval(0.2, look)

    @work
    async def _steer(self, agent: AgentView | None) -> None:
        who = one_line(agent.label or agent.id, 50) if agent else "every agent"
        text = await self.top.push_screen_wait(
            Line(f"Say something to {who}", "It is heard at the next tool boundary.")
        )
        if text and text.strip():
            self.ask("steer", agent.id if agent else None, text=text)

    def _retry(self) -> None:
        agent = self._agent()
        if agent is None:
            self.say("Choose an agent first.")
        elif self.twice("r", f"Runs {one_line(agent.label or agent.id, 40)} again."):
            self._run_again(agent, None)

    @work
    async def _retry_with(self) -> None:
        agent = self._agent()
        if agent is not None:
            model = await self.top.push_screen_wait(Line("Run it again with which model?", f"now {agent.model}"))
            if model and model.strip():
                self._run_again(agent, model.strip())

    @work
    async def _run_again(self, agent: AgentView, model: str | None) -> None:
        if await self._door.client.is_live(self.feed.run_id):
            self.ask("retry", agent.id, prompt=None, model=model)
            return
        extra = [f"--model={model}"] if model else []
        await self._door.start(["retry", self.feed.run_id, agent.id, "--quiet", "--no-input", *extra])
        self.say("retry: a process goes on with the run")

    def _skip(self) -> None:
        agent = self._agent()
        if agent is None:
            self.say("Choose an agent first.")
        elif self.twice("x", f"Skips {one_line(agent.label or agent.id, 40)}: the script gets null."):
            self.ask("skip", agent.id)

    def _stop(self) -> None:
        agents = self.feed.view.agents.values()
        running = sum(agent.state == "running" for agent in agents)
        kept = sum(agent.good for agent in agents)
        if self.twice("X", f"Stops the run: {running} agents are cancelled, {kept} results are kept."):
            self.ask("stop", drain=False)

    def _pause(self) -> None:
        if self.feed.view.status.value == "paused":
            self.ask("continue")
        else:
            self.ask("pause", stay=True)

    @work
    async def _budget(self) -> None:
        text = await self.top.push_screen_wait(Line("New ceilings", "600k  $9  20k/agent  100k/phase:Find"))
        if text and text.strip():
            self.ask("bounds", budgets=text.split())

    def _gate(self) -> GateView | None:
        gates = self.feed.view.open_gates()
        if not gates:
            self.say("Nobody is asked anything.")
        return gates[0] if gates else None

    @work
    async def _answer(self) -> None:
        gate = self._gate()
        if gate is None:
            return
        if gate.options:
            names = [option if isinstance(option, str) else json.dumps(option) for option in gate.options]
            chosen = await self.top.push_screen_wait(Choice(gate.question, names))
            if chosen is not None:
                self._decide(gate, gate.options[chosen])
        elif gate.schema:
            await self._answer_json(gate)
        elif await self.top.push_screen_wait(Choice(gate.question, ["Approve", "Not now"])) == 0:
            self._decide(gate, True)

    async def _answer_json(self, gate: GateView) -> None:
        hint = f"JSON that fits {json.dumps(gate.schema)[:300]}"
        text = await self.top.push_screen_wait(Line(gate.question, hint))
        if text is None:
            return
        try:
            self._decide(gate, json.loads(text))
        except ValueError as error:
            self.say(f"That is no JSON: {error}")

    def _deny(self) -> None:
        gate = self._gate()
        if gate is not None and self.twice("D", f"Denies: {one_line(gate.question, 50)}."):
            self._decide(gate, None, denied=True)

    @work
    async def _decide(self, gate: GateView, answer: Any, *, denied: bool = False) -> None:
        client, run_id = self._door.client, self.feed.run_id
        if await client.is_live(run_id):
            self.ask("deny" if denied else "approve", gate.id, **({} if denied else {"answer": answer}))
            return
        try:
            await client.answer(run_id, gate.id, answer, denied=denied, by=self._door.by)
        except CounterpointError as error:
            self.say(error.message)
        else:
            self.say(f"Recorded. Go on with: counterpoint resume {run_id}")


class AgentScreen(_Screen):
    """One agent: exact prompt, what was said, result, usage."""

    def __init__(self, door: Door, run: RunScreen, agent: str) -> None:
        super().__init__()
        self._door, self._run, self._id = door, run, agent
        self._tab = 0
        self._offset = 0
        self._text: AgentText | None = None
        self._loaded_at = -1.0

    def on_mount(self) -> None:
        self.set_interval(0.25, self._tick)
        self._load()

    def _tick(self) -> None:
        if self._run.feed.view.agents[self._id].last_at != self._loaded_at:
            self._load()
        self._paint()

    @work(exclusive=True)
    async def _load(self) -> None:
        view = self._run.feed.view
        agent = view.agents[self._id]
        self._loaded_at = agent.last_at
        self._text = AgentText(await self._door.client.agent_document(view, agent))
        self._paint()

    def _paint(self) -> None:
        if self._text is None or not self.is_current:
            return
        scene = self._run.scene()
        scene.width, scene.height = self.size
        scene.chosen = self._id
        tab = detail.TABS[self._tab]
        last = len(self._text.lines(tab, scene.width - 2)) - 1
        scene.offset = self._offset = max(0, min(self._offset, last))
        self.board.show(agent_screen(scene, self._text, tab))

    def on_resize(self, event: Resize) -> None:
        self._paint()

    def on_key(self, event: Key) -> None:
        page = max(1, self.size.height - 8)
        steps = {
            "j": 1, "down": 1, "k": -1, "up": -1, "pagedown": page, "pageup": -page, " ": page,
            "g": -(10**9), "G": 10**9,
        }  # fmt: skip
        key = event.character if event.character and event.character.isprintable() else event.key
        if key in steps:
            self._offset += steps[key]
        elif key == "tab":
            self._tab, self._offset = (self._tab + 1) % len(detail.TABS), 0
        elif key in ("escape", "q"):
            self.top.pop_screen()
            return
        elif key in ("s", "r", "R", "x", "y"):
            self._run.on_key(event)
        else:
            return
        event.stop()
        self._paint()
