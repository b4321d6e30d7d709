"""One agent."""

from __future__ import annotations

from typing import Protocol

from textual import work
from textual.events import Key, Resize

from counterpoint.tui.feed import Feed
from counterpoint.tui.panes.detail import TABS, AgentText, agent_screen
from counterpoint.tui.scene import Scene
from counterpoint.tui.screens.door import BoardScreen, Door


class Behind(Protocol):
    """The screen of the run, to which the keys go that ask something."""

    feed: Feed

    def scene(self) -> Scene: ...
    def on_key(self, event: Key) -> None: ...


class AgentScreen(BoardScreen):
    """One agent: exact prompt, what was said, result, usage."""

    def __init__(self, door: Door, run: Behind, agent: str) -> None:
        super().__init__()
        self._door, self._run, self._agent = door, run, agent
        self._tab = 0
        self._offset = 0
        self._text: AgentText | None = None
        self._loaded_at = -1.0

    def on_mount(self) -> None:
        self.set_interval(0.25, self._tick)
        self._load()

    def _tick(self) -> None:
        if self._run.feed.view.agents[self._agent].last_at != self._loaded_at:
            self._load()
        self._paint()

    @work(exclusive=True)
    async def _load(self) -> None:
        view = self._run.feed.view
        agent = view.agents[self._agent]
        self._loaded_at = agent.last_at
        self._text = AgentText(await self._door.client.agent_document(view, agent))
        self._paint()

    def _paint(self) -> None:
        if self._text is None or not self.is_current:
            return
        scene = self._run.scene()
        scene.width, scene.height = self.size
        scene.chosen = self._agent
        tab = TABS[self._tab]
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
            self._tab, self._offset = (self._tab + 1) % len(TABS), 0
        elif key in ("escape", "q"):
            if self.is_active:  # a key that is held comes again before the screen has gone
                self.top.pop_screen()
            return
        elif key in ("s", "r", "R", "x", "y"):
            self._run.on_key(event)
        else:
            return
        event.stop()
        self._paint()
