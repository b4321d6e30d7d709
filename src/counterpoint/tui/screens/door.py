"""What every screen has: a board to paint on, and the door to the runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.screen import ModalScreen, Screen, ScreenResultType

from counterpoint.client import Client
from counterpoint.tui.board import Board
from counterpoint.tui.scene import Signs


@dataclass(frozen=True, slots=True)
class Door:
    """What screens reach runs through."""

    client: Client
    by: str
    """Who asks, as the journal keeps it."""
    signs: Signs
    start: Callable[[list[str]], Awaitable[None]]
    """Starts `counterpoint` with these arguments as a process that outlives us."""


class BoardScreen(Screen[None]):
    """One board."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()

    @property
    def top(self) -> App[None]:
        return self.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  (any App, says Textual)

    def enter(self, screen: Screen[None]) -> None:
        """Opens a screen over this one; once: a key that is held comes again before the screen is there."""
        if self.is_active:
            self.top.push_screen(screen)

    async def asked(self, dialog: ModalScreen[ScreenResultType]) -> ScreenResultType | None:
        """What the dialog answers; None also where one is open already, for a key that is held comes again."""
        if isinstance(self.top.screen, ModalScreen):
            return None
        return await self.top.push_screen_wait(dialog)

    def compose(self) -> ComposeResult:
        yield self.board
