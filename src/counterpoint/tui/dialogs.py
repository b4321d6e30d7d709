"""Small screens above the others: a line of text, a choice, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen, ScreenResultType
from textual.widgets import Input, OptionList, Static, TextArea

from counterpoint.text import one_line, safe

BOX = """
align: center middle;
Vertical { width: 76; max-width: 94%; height: auto; max-height: 90%; border: round $accent; padding: 0 1; }
Static { height: auto; }
OptionList { height: auto; max-height: 35vh; }
OptionList, OptionList:focus { border: none; padding: 0; scrollbar-size-vertical: 1; }
VerticalScroll { height: auto; max-height: 35vh; scrollbar-size-vertical: 1; }
"""
"""A long question scrolls (Tab leads to it): what can be answered is always in sight."""


MOST_OPTION = 300
"""Characters of a choice that are shown, so that the others are in sight."""


class Dialog(ModalScreen[ScreenResultType]):
    """A screen that is asked something, and gives an answer."""

    def leave(self, answer: ScreenResultType) -> None:
        """Gives the answer; once: a key that is held comes again before the screen has gone."""
        if self.is_active:
            self.dismiss(answer)


class Line(Dialog[str | None]):
    """Asks for a line of text; Escape gives None."""

    DEFAULT_CSS = f"Line {{ {BOX} }}"
    AUTO_FOCUS = "Input"

    def __init__(self, question: str, hint: str = "", value: str = "") -> None:
        super().__init__()
        self._question, self._hint, self._value = question, hint, value

    def compose(self) -> ComposeResult:
        with Vertical():
            with VerticalScroll():
                yield Static(Text(safe(self._question), "bold"))
                yield Static(Text(safe(self._hint), "dim"))
            yield Input(value=self._value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.leave(event.value)

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            event.stop()
            self.leave(None)


@dataclass(frozen=True, slots=True)
class Rerunning:
    """With what agents are to run again. `prompt` is None where they have several; an empty `model` is theirs."""

    prompt: str | None
    model: str


class Rerun(Dialog[Rerunning | None]):
    """Asks for a prompt and a model; Enter in the line of the model sends both, Escape gives None."""

    DEFAULT_CSS = f"Rerun {{ {BOX} }} Rerun TextArea {{ height: 8; max-height: 35vh; }}"
    AUTO_FOCUS = "TextArea, Input"

    def __init__(self, question: str, prompt: str | None, model: str) -> None:
        super().__init__()
        self._question, self._prompt, self._model = question, prompt, model

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Text(safe(self._question), "bold"))
            if self._prompt is not None:
                yield Static(Text("Prompt (Tab goes on to the model)", "dim"))
                yield TextArea(self._prompt, show_line_numbers=False)
            yield Static(Text(f"Model, where another is to answer than {safe(self._model)}; Enter runs", "dim"))
            yield Input()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        prompt = self.query_one(TextArea).text if self._prompt is not None else None
        self.leave(Rerunning(prompt, event.value.strip()))

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            event.stop()
            self.leave(None)


class Choice(Dialog[int | None]):
    """Asks for one of several; gives its number, or None."""

    DEFAULT_CSS = f"Choice {{ {BOX} }}"
    AUTO_FOCUS = "OptionList"

    def __init__(self, question: str, options: Sequence[str]) -> None:
        super().__init__()
        self._question, self._options = question, options

    def compose(self) -> ComposeResult:
        with Vertical():
            with VerticalScroll():
                yield Static(Text(safe(self._question), "bold"))
            yield OptionList(*(Text(one_line(option, MOST_OPTION)) for option in self._options))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.leave(event.option_index)

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            event.stop()
            self.leave(None)


class Help(Dialog[None]):
    """The keys."""

    DEFAULT_CSS = f"Help {{ {BOX} }} Help VerticalScroll {{ max-height: 100%; }}"

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        text = Text()
        for key, what in self._keys:
            text.append(f"{key:>12}  ", "bold").append(f"{what}\n")
        with Vertical(), VerticalScroll():
            yield Static(text)

    def on_key(self, event: Key) -> None:
        if event.key not in ("down", "up", "pagedown", "pageup"):
            event.stop()
            self.leave(None)
