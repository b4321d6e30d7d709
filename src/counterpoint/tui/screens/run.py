"""One run: everything of it at a glance."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import work
from textual.events import Click, Key, Resize

from counterpoint.errors import CounterpointError
from counterpoint.outline import units
from counterpoint.tui.dialogs import Help, Line
from counterpoint.tui.feed import Feed
from counterpoint.tui.filter import matcher
from counterpoint.tui.panes.cost import cost_lines
from counterpoint.tui.panes.run import Pane, full_screen, run_screen
from counterpoint.tui.panes.script import script_lines
from counterpoint.tui.panes.timeline import timeline_lines
from counterpoint.tui.panes.tree import tree_lines
from counterpoint.tui.panes.verdicts import verdict_lines
from counterpoint.tui.scene import PANES, Scene, agents_in_order, grid
from counterpoint.tui.screens.agent import AgentScreen
from counterpoint.tui.screens.asking import Asking
from counterpoint.tui.screens.door import Door
from counterpoint.version import VERSION

PAINT_S = 0.15
"""At most seven repaints a second."""

KEYS = (
    ("arrows hjkl", "choose an agent"),
    ("Enter", "open it"),
    ("Esc", "back"),
    ("g G", "first, last agent"),
    ("/", "filter: state:failed phase:find cost>0.2"),
    ("Tab", "next pane"),
    ("w v $ c t T", "timeline, verdicts, cost, script, log, tree"),
    ("s S", "steer the agent, all agents"),
    ("r R", "run the agent again (twice); with another prompt or model"),
    ("x X", "skip the agent, stop the run (twice)"),
    ("Space *", "mark the agent, all that the filter keeps: s r R x are for all that are marked"),
    ("F", "fork: a new run from the point that is shown (twice)"),
    ("p", "pause, continue; resume a run that no process executes (twice)"),
    ("b", "change the ceilings"),
    ("A D", "answer, deny the question"),
    ("Space", "in a replay: hold, go on"),
    ("y", "copy the id"),
    ("q", "leave; the run goes on"),
)

WHOLE: dict[str, tuple[Pane, str]] = {
    "timeline": (timeline_lines, "Timeline (█ model ▓ tool ░ quota · queued)"),
    "cost": (cost_lines, "Cost"),
    "tree": (tree_lines, "Tree (up and down: agents; left and right: fan-outs)"),
    "verdicts": (verdict_lines, "Verdicts (✗ refutes, ✓ could not, · no vote)"),
    "script": (script_lines, "Script"),
}
"""Panes that can have the whole screen, with their titles."""


class RunScreen(Asking):
    """One run: everything of it at a glance, and what a person may ask of it."""

    def __init__(self, door: Door, feed: Feed) -> None:
        super().__init__(door, feed)
        self._mode = "run"
        self._pane = 0
        self._bottom = "log"
        self._filter = ""
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
        if not self.feed.replays or self._note[0] or self._armed[0]:
            self._dirty |= second != self._second
        self._second = second
        if self._dirty and self.is_current:
            self.repaint()

    def repaint(self) -> None:
        self._dirty = False
        scene = self.scene()
        whole = WHOLE.get(self._mode)
        self.board.show(full_screen(scene, *whole) if whole else run_screen(scene))

    def scene(self) -> Scene:
        feed = self.feed
        width, height = self.size
        return Scene(
            feed.view, feed.timeline, feed.now(), feed.live, width, height, clock=None if feed.replays else time.time(),
            signs=self._door.signs, chosen=self._chosen,
            match=matcher(self._filter, feed.view, feed.timeline), filter=self._filter, note=self.shown_note(),
            marked=self._marked, source=self._source,
            pane=PANES[self._pane], bottom=self._bottom, offset=self._offset,
            replay=f"  replay ×{feed.speed:g}{'' if feed.playing else ' held'}" if feed.replays else "",
        )  # fmt: skip

    def on_resize(self, event: Resize) -> None:
        self.repaint()

    def on_screen_resume(self) -> None:
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
            self._step(steps[key]) if self._mode != "tree" else self._step_tree(steps[key], fans=True)
        elif key in rows:
            event.stop()
            self._step_rows(rows[key]) if self._mode != "tree" else self._step_tree(rows[key], fans=False)
        elif (act := self._acts().get(key)) is not None:
            event.stop()
            act()
        self._dirty = True

    def _acts(self) -> dict[str, Callable[[], object]]:
        return {
            "enter": self._open, "escape": self._back, "tab": self._next_pane, "/": self._ask_filter,
            "w": lambda: self._to("timeline"), "$": lambda: self._to("cost"),
            "T": lambda: self._to("tree"), "v": lambda: self._to("verdicts"), "c": self._script, "t": self._log,
            "s": lambda: self.steer(self.addressed()), "S": lambda: self.steer(None), "r": self.retry,
            "R": self.retry_changed, "x": self.skip, "X": self.stop, "p": self.pause, "b": self.budget,
            "A": self.answer, "D": self.deny, " ": self._hold_or_mark, "*": self._mark_all, "y": self._copy,
            "e": self._export, "F": self._fork,
            "?": lambda: self.enter(Help(KEYS)), "q": self._leave,
        }  # fmt: skip

    def _step(self, by: int) -> None:
        if self._mode in ("script", "cost", "verdicts"):
            self._offset += by
            return
        agents = agents_in_order(self.scene())
        if not agents:
            return
        at = next((n for n, agent in enumerate(agents) if agent.id == self._chosen), None)
        self._chosen = agents[0 if at is None else max(0, min(len(agents) - 1, at + by))].id

    def _step_rows(self, by: int) -> None:
        """To the same column of another row of the matrix; elsewhere a row is one agent, or one line."""
        rows = [[agent.id for agent in agents] for _, agents in grid(self.scene(), self.size.width)]
        at = next((n for n, row in enumerate(rows) if self._chosen in row), None)
        if self._mode != "run" or self._filter or at is None:
            self._step(by)
            return
        row = rows[max(0, min(len(rows) - 1, at + by))]
        self._chosen = row[min(rows[at].index(self._chosen or ""), len(row) - 1)]

    def _step_tree(self, by: int, *, fans: bool) -> None:
        """To another agent, which opens its fan-out; or to the first of another fan-out."""
        places = [[agent.id for agent in unit] for unit in units(self.scene().view)]
        if not fans:
            places = [[agent] for unit in places for agent in unit]
        at = next((n for n, unit in enumerate(places) if self._chosen in unit), None)
        if places:
            self._chosen = places[0 if at is None else max(0, min(len(places) - 1, at + by))][0]

    def _to(self, mode: str) -> None:
        self._mode = "run" if self._mode == mode else mode
        self._offset = 0

    def _script(self) -> None:
        if self.size.width >= 100 and self._bottom != "script":
            self._bottom = "script"
        else:
            self._to("script")

    def _log(self) -> None:
        self._mode, self._bottom, self._pane = "run", "log", PANES.index("log")

    def _next_pane(self) -> None:
        self._pane = (self._pane + 1) % len(PANES)
        if self.size.width >= 100:
            self._bottom = "log" if self._bottom == "script" else "script"

    def _back(self) -> None:
        if self._mode != "run":
            self._mode, self._offset = "run", 0
        elif self._marked:
            self._marked.clear()
        elif self._filter:
            self._filter = ""
        elif len(self.top.screen_stack) > 2:
            self.top.pop_screen()

    def _open(self) -> None:
        agent = self.agent()
        if agent is None:
            self._step(0)
        else:
            self.enter(AgentScreen(self._door, self, agent.id))

    @work
    async def _ask_filter(self) -> None:
        hint = 'state:failed phase:find cost>0.2 time>30 "some text"'
        text = await self.asked(Line("Filter", hint, self._filter))
        if text is not None:
            self._filter = text.strip()
        self._dirty = True

    def _hold_or_mark(self) -> None:
        if self.feed.replays:
            self.feed.playing = not self.feed.playing
        else:
            self.mark()
            self._step(1)

    def _mark_all(self) -> None:
        """Marks all that the filter keeps, or, where they are marked, none."""
        kept = dict.fromkeys(agent.id for agent in agents_in_order(self.scene()))
        self._marked = {} if kept.keys() <= self._marked.keys() else kept

    def _copy(self) -> None:
        text = self._chosen or self.feed.run_id
        self.top.copy_to_clipboard(text)
        self.say(f"{text} is on the clipboard, where the terminal allows it")

    def _export(self) -> None:
        self.say(f"counterpoint export {self.feed.run_id} --html -o run.html")

    def _fork(self) -> None:
        seq = self.feed.view.last_seq
        if self.twice("F", f"Forks: a new run that reuses everything up to event {seq}."):
            self._fork_at(seq)

    @work
    async def _fork_at(self, seq: int) -> None:
        try:
            run_id = await self._door.client.fork(self.feed.run_id, seq, by=self._door.by, version=VERSION)
            await self._door.start(["execute", run_id])
        except CounterpointError as error:
            return self.say(error.message)
        self.top.push_screen(RunScreen(self._door, Feed(self._door.client, run_id)))
        return None

    def _leave(self) -> None:
        self.top.exit(message=f"Left; nothing was stopped. Back with: counterpoint top {self.feed.run_id}")
