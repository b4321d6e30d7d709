"""What every screen has: a board to paint on, and the door to the runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.screen import Screen

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

    def compose(self) -> ComposeResult:
        yield self.board
