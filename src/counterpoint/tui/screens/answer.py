"""The form of a question: a field for each thing that its schema asks for, with what is wrong beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.events import Click, Key
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from counterpoint.text import one_line, safe
from counterpoint.tui.dialogs import BOX, Dialog
from counterpoint.tui.fields import Field, fields, filled

KEYS = "Tab next  Shift+Tab back  left right choose  Ctrl+S answers  Esc not now"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person answered: any JSON, null too."""

    value: Any


class Pick(Widget, can_focus=True):
    """One of several in a line: the arrows go through them, a letter goes to the next that begins with it."""

    DEFAULT_CSS = "Pick { height: 1; } Pick:focus { text-style: reverse; }"

    def __init__(self, names: list[str], chosen: int) -> None:
        super().__init__()
        self._names, self.chosen = names, chosen

    def render(self) -> Text:
        return Text(f"< {one_line(safe(self._names[self.chosen]), max(8, self.size.width - 4))} >")

    def on_key(self, event: Key) -> None:
        step = {"left": -1, "right": 1, "space": 1}.get(event.key, 0)
        if step:
            event.stop()
            self._go(self.chosen + step)
        elif event.character and event.character.isalnum():
            rest = [*range(self.chosen + 1, len(self._names)), *range(self.chosen + 1)]
            letter = event.character.lower()
            self._go(next((n for n in rest if self._names[n].lower().startswith(letter)), self.chosen))

    def on_click(self, event: Click) -> None:
        self._go(self.chosen + 1)

    def _go(self, to: int) -> None:
        self.chosen = to % len(self._names)
        self.refresh()


class Send(Static, can_focus=True):
    """Enter on it answers."""

    DEFAULT_CSS = "Send { width: auto; margin-top: 1; text-style: bold; } Send:focus { text-style: bold reverse; }"


class Form(Dialog[Answered | None]):
    """Asks for an answer that fits a schema; Escape gives None."""

    DEFAULT_CSS = f"""
    Form {{ {BOX} }}
    Form VerticalScroll {{ height: auto; max-height: 100%; scrollbar-size-vertical: 1; }}
    Form Input, Form Input:focus, Form TextArea, Form TextArea:focus {{
        height: 1; border: none; border-left: outer ansi_bright_black; padding: 0 1; background: ansi_default;
    }}
    Form TextArea, Form TextArea:focus {{ height: 3; }}
    Form Input:focus, Form TextArea:focus {{ border-left: outer ansi_bright_blue; }}
    .plain Form Input, .plain Form TextArea {{ border: none; border-left: ascii ansi_bright_black; }}
    Form .wrong {{ color: ansi_bright_red; }}
    """

    def __init__(self, question: str, schema: dict[str, Any]) -> None:
        super().__init__()
        self._question, self._schema = question, schema
        self._fields = fields(schema)
        self._inputs = [_input(field) for field in self._fields]
        self._wrong = [Static("", classes="wrong") for _ in self._fields]
        self._all_wrong = Static("", classes="wrong")
        self._send = Send(Text("[ Answer ]"))

    def compose(self) -> ComposeResult:
        with Vertical(), VerticalScroll(can_focus=False):
            yield Static(Text(safe(self._question), "bold"))
            yield Static(Text(KEYS, "dim"))
            for field, widget, wrong in zip(self._fields, self._inputs, self._wrong, strict=True):
                yield Static(_label(field))
                yield widget
                yield wrong
            yield self._send
            yield self._all_wrong

    def on_mount(self) -> None:
        self._inputs[0].focus(scroll_visible=False)  # the question stays in sight
        self._say({})

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wrong[self._inputs.index(event.input)].display = False

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self._wrong[self._inputs.index(event.text_area)].display = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.focus_next()

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            event.stop()
            self.leave(None)
        elif event.key == "ctrl+s" or (event.key == "enter" and self._send.has_focus):
            event.stop()
            self._answer()
        elif event.key == "enter" and isinstance(self.focused, Pick):
            event.stop()
            self.focus_next()

    def on_click(self, event: Click) -> None:
        if event.widget is self._send:
            self._answer()

    def _answer(self) -> None:
        result = filled(self._schema, self._fields, [_typed(widget) for widget in self._inputs])
        self._say(result.wrong)
        if not result.wrong:
            self.leave(Answered(result.value))
            return
        first = min(result.wrong)
        if first >= 0:
            self._inputs[first].focus()

    def _say(self, wrong: dict[int, str]) -> None:
        for n, line in [*enumerate(self._wrong), (-1, self._all_wrong)]:
            line.update(Text(one_line(wrong.get(n, ""), 300)))
            line.display = n in wrong


def _label(field: Field) -> Text:
    text = Text(safe(field.label), "bold")
    notes = [
        *([] if field.required or field.kind == "check" else ["optional"]),
        *([f"where {'.'.join(field.within)} is given"] if field.required and field.within else []),
        *([field.hint] if field.hint else []),
        *{"lines": ["one a line"], "json": ["JSON"], "integer": ["a whole number"]}.get(field.kind, []),
    ]
    return text.append(f"{'  ' if field.label else ''}{'; '.join(map(safe, notes))}", "dim")


def _input(field: Field) -> Input | TextArea | Pick:
    match field.kind:
        case "choice" | "check":
            return Pick(field.names(), int(field.at_first))
        case "lines" | "json":
            return TextArea(field.at_first, show_line_numbers=False, highlight_cursor_line=False)
        case _:
            return Input(field.at_first)


def _typed(widget: Input | TextArea | Pick) -> str:
    match widget:
        case Pick():
            return str(widget.chosen)
        case TextArea():
            return widget.text
        case Input():
            return widget.value
