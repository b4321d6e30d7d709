"""All runs."""

from __future__ import annotations

import time

from textual import work
from textual.events import Click, Key, Resize

from counterpoint.client import Summary
from counterpoint.timeline import Timeline
from counterpoint.tui.feed import Feed
from counterpoint.tui.panes.runs import runs_screen
from counterpoint.tui.scene import Scene
from counterpoint.tui.screens.door import BoardScreen, Door
from counterpoint.tui.screens.run import RunScreen
from counterpoint.view import RunView

RUNS_S = 2.0


class RunsScreen(BoardScreen):
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
        elif key == "enter":
            self._open()
        elif event.character == "q":
            self.top.exit()

    def _open(self) -> None:
        if self._runs:
            self.top.push_screen(RunScreen(self._door, Feed(self._door.client, self._runs[self._chosen].run_id)))
