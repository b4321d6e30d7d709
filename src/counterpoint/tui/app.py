"""The application: opens with a run, or with the list of runs."""

from __future__ import annotations

from textual.app import App

from counterpoint.tui.feed import Feed
from counterpoint.tui.screens.door import Door
from counterpoint.tui.screens.run import RunScreen
from counterpoint.tui.screens.runs import RunsScreen


class Top(App[None]):
    """`counterpoint top` and `replay`. Leaving it never stops a run."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    .plain Vertical { border: ascii $accent; }
    .plain Input, .plain TextArea { border: ascii $accent; }
    """

    def __init__(self, door: Door, feed: Feed | None = None) -> None:
        super().__init__(ansi_color=True)
        self._door = door
        self._feed = feed

    def on_mount(self) -> None:
        self.title = "counterpoint"
        self.set_class(self._door.signs.plain, "plain")
        self.push_screen(RunScreen(self._door, self._feed) if self._feed else RunsScreen(self._door))
