"""All runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual import work
from textual.events import Click, Key, Resize

from counterpoint.client import Summary
from counterpoint.errors import CounterpointError
from counterpoint.tags import matches
from counterpoint.timeline import Timeline
from counterpoint.tui.dialogs import Help, Line
from counterpoint.tui.feed import Feed
from counterpoint.tui.panes.runs import runs_screen
from counterpoint.tui.scene import Scene
from counterpoint.tui.screens.door import BoardScreen, Door
from counterpoint.tui.screens.run import RunScreen
from counterpoint.view import RunView

RUNS_S = 2.0
AGAIN_S = 5.0
"""In this time a key is pressed again that destroys something."""
KEYS = (
    ("j k g G", "choose a run"),
    ("Enter", "open it"),
    ("/", "filter: tag:nightly status:failed text"),
    ("Space *", "mark the run, all that the filter keeps: p X T are for all that are marked"),
    ("T", "tag"),
    ("p", "pause"),
    ("X", "stop (twice)"),
    ("Esc", "no marks; no filter"),
    ("q", "leave; runs go on"),
)


class RunsScreen(BoardScreen):
    """All runs; Enter opens one, and several can be asked at once."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door
        self._all: list[Summary] | None = None
        """None: nobody has looked yet."""
        self._runs: list[Summary] = []
        """Those that the filter keeps."""
        self._chosen = 0
        self._filter = ""
        self._marked: dict[str, None] = {}
        self._note = ""
        self._armed = ("", 0.0)

    def on_mount(self) -> None:
        self.set_interval(RUNS_S, self._load)
        self._load()

    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        self._all = await self._door.client.runs()
        self._paint()

    def _paint(self) -> None:
        if self._all is None:
            return
        self._runs = [run for run in self._all if _fits(run, self._filter)]
        self._chosen = max(0, min(self._chosen, len(self._runs) - 1))
        width, height = self.size
        scene = Scene(
            RunView(), Timeline(), time.time(), False, width, height, signs=self._door.signs, marked=self._marked,
            filter=self._filter, note=self._note,
        )  # fmt: skip
        self.board.show(runs_screen(self._runs, self._chosen, scene))

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
        elif (act := self._acts().get(event.character or "") or self._acts().get(event.key)) is not None:
            event.stop()
            self._note = ""
            act()
            self._paint()

    def _acts(self) -> dict[str, Callable[[], object]]:
        return {
            "enter": self._open, "q": self.top.exit, "/": self._ask_filter, " ": self._mark, "*": self._mark_all,
            "T": self._tag, "p": lambda: self._ask("pause", stay=True), "X": self._stop, "escape": self._back,
            "?": lambda: self.enter(Help(KEYS)),
        }  # fmt: skip

    def _back(self) -> None:
        if self._marked:
            self._marked.clear()
        else:
            self._filter = ""

    def _mark(self) -> None:
        if self._runs:
            run_id = self._runs[self._chosen].run_id
            if self._marked.pop(run_id, self) is self:
                self._marked[run_id] = None
            self._chosen += 1

    def _mark_all(self) -> None:
        kept = dict.fromkeys(run.run_id for run in self._runs)
        self._marked = {} if kept.keys() <= self._marked.keys() else kept

    def _addressed(self) -> list[str]:
        """The runs that are marked, else the one under the cursor."""
        return list(self._marked) or [run.run_id for run in self._runs[self._chosen : self._chosen + 1]]

    @work
    async def _ask_filter(self) -> None:
        text = await self.asked(Line("Filter", "tag:nightly status:failed text", self._filter))
        if text is not None:
            self._filter = text.strip()
        self._paint()

    @work
    async def _tag(self) -> None:
        runs = self._addressed()
        text = await self.asked(Line(f"Tags for {_runs(runs)}", "nightly baseline; -baseline takes away"))
        words = (text or "").split()
        add = [word for word in words if not word.startswith("-")]
        remove = [word[1:] for word in words if word.startswith("-")]
        try:
            for run_id in runs if words else ():
                await self._door.client.tag(run_id, add=add, remove=remove, by=self._door.by)
        except CounterpointError as error:
            self._note = error.message
        self._load()

    def _stop(self) -> None:
        runs, now = self._addressed(), time.monotonic()
        meant, until = self._armed
        if meant == " ".join(runs) and now < until:
            self._armed = ("", 0.0)
            self._ask("stop", drain=False)
        elif runs:
            self._armed = (" ".join(runs), now + AGAIN_S)
            self._note = f"Stops {_runs(runs)}; what was answered stays. Press X again."

    @work
    async def _ask(self, verb: str, **body: Any) -> None:
        """Asks the same of each run that a process executes; the others are counted."""
        client, runs = self._door.client, self._addressed()
        live = [run_id for run_id in runs if await client.is_live(run_id)]
        for run_id in live:
            await client.ask(run_id, verb, by=self._door.by, **body)
        idle = f"; {len(runs) - len(live)} are executed by no process" if len(live) < len(runs) else ""
        self._note = f"{verb}: asked of {_runs(live)}{idle}"
        self._load()

    def _open(self) -> None:
        if self._runs:
            self.enter(RunScreen(self._door, Feed(self._door.client, self._runs[self._chosen].run_id)))


def _fits(run: Summary, text: str) -> bool:
    return matches(text, run_id=run.run_id, name=run.name, status=run.status.value, tags=run.tags)


def _runs(runs: list[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{len(runs)} runs"
