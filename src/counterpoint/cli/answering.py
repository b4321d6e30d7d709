"""A run's questions, answered at the terminal that the run goes on in.

While a question is open the keyboard gives one character at a time and the live tree shows what was typed: nothing is
echoed into the tree, and the agents go on meanwhile. Where a terminal cannot do that (Windows), questions are answered
from a second one, as the tree says.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.errors import first_error
from counterpoint.text import one_line, safe
from counterpoint.view import GateView

STDIN = 0
AT_ONCE = 4096
LONGEST = 20_000
"""Characters of an answer."""
ENTER, ERASE, LINE_ERASE = "\r\n", "\x7f\b", "\x15"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person typed for a gate."""

    gate: str
    answer: Any = None
    denied: bool = False


class NotAnAnswer(Exception):
    """What was typed is none of what the question takes; the text says what it takes."""


def takes(gate: GateView) -> list[str]:
    """What may be typed, a line each."""
    if gate.options:
        return [f"{n}  {one_line(_shown(option))}" for n, option in enumerate(gate.options, 1)]
    return ["JSON, or deny"] if gate.schema else ["y(es), or n(o)"]


def read(gate: GateView, typed: str) -> Decision:
    """What a line means for a gate. Raises NotAnAnswer."""
    word = typed.strip()
    if word.lower() == "deny":
        return Decision(gate.id, denied=True)
    if gate.options:
        return Decision(gate.id, _chosen(gate.options, word))
    if gate.schema:
        try:
            return Decision(gate.id, json.loads(word))
        except ValueError as error:
            raise NotAnAnswer(f"That is no JSON: {error}.") from None
    if word.lower() in ("y", "yes", "n", "no"):
        return Decision(gate.id, True) if word[0] in "yY" else Decision(gate.id, denied=True)
    raise NotAnAnswer("Type yes or no.")


def _chosen(options: Sequence[Any], word: str) -> Any:
    shown = [_shown(option) for option in options]
    if word in shown:
        return options[shown.index(word)]
    if word.isdecimal() and 1 <= int(word) <= len(options):
        return options[int(word) - 1]
    raise NotAnAnswer(f"Type a number from 1 to {len(options)}, or deny.")


def _shown(option: Any) -> str:
    return option if isinstance(option, str) else json.dumps(option)


class Answering:
    """The keyboard for the questions of one run. `send` is given each decision."""

    def __init__(self, send: Callable[[Decision], Awaitable[None]]) -> None:
        self._send = send
        self._typed = ""
        self._note = ""
        self._gates: Sequence[GateView] = ()
        self._decided: set[str] = set()
        self._queue: asyncio.Queue[Decision] = asyncio.Queue()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._terminal: list[Any] | None = None

    def ask(self, gates: Sequence[GateView]) -> None:
        """These questions are open now."""
        self._gates = [gate for gate in gates if gate.id not in self._decided]
        if self._gates and self._terminal is None:
            self._listen()
        elif not self._gates:
            self._hang_up()

    def ask_again(self, message: str) -> None:
        """The run would not have an answer: its question is still open."""
        self._note = one_line(message, 300)
        self._decided.clear()

    def lines(self) -> list[str]:
        """The first open question as it stands on the terminal."""
        if not self._gates or self._terminal is None:
            return []
        gate, more = self._gates[0], len(self._gates) - 1
        head = f"? {safe(gate.question)}" + (f"   (and {more} more after it)" if more else "")
        tail = self._typed[-200:].replace("\n", " ")
        note = [f"  {self._note}"] if self._note else []
        return [head, *(f"  {line}" for line in takes(gate)), *note, f"> {safe(tail)}▏"]

    async def serve(self) -> None:
        """Hands decisions on, until it is cancelled."""
        while True:
            await self._send(await self._queue.get())

    def close(self) -> None:
        """Gives the terminal back as it was."""
        self._gates = ()
        self._hang_up()

    def _listen(self) -> None:
        if sys.platform == "win32" or _in_the_background():
            return
        import termios
        import tty

        self._terminal = termios.tcgetattr(STDIN)
        tty.setcbreak(STDIN, termios.TCSANOW)  # what was typed ahead stays
        asyncio.get_running_loop().add_reader(STDIN, self._heard)

    def _hang_up(self) -> None:
        if self._terminal is None or sys.platform == "win32":
            return
        import termios

        asyncio.get_running_loop().remove_reader(STDIN)
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(STDIN, termios.TCSADRAIN, self._terminal)
        self._terminal, self._typed, self._note = None, "", ""

    def _heard(self) -> None:
        try:
            data = os.read(STDIN, AT_ONCE)
        except OSError:
            data = b""
        if not data:  # nobody is there any more
            self._hang_up()
            return
        for char in self._decoder.decode(data):
            self._take(char)

    def _take(self, char: str) -> None:
        if char in ENTER:
            self._enter()
        elif char in ERASE:
            self._typed = self._typed[:-1]
        elif char == LINE_ERASE:
            self._typed = ""
        elif char.isprintable() and len(self._typed) < LONGEST:
            self._typed += char

    def _enter(self) -> None:
        if not self._gates or not self._typed.strip():
            return
        try:
            decision = read(self._gates[0], self._typed)
        except NotAnAnswer as error:
            self._note = str(error)
        else:
            self._note = ""
            self._decided.add(decision.gate)
            self._queue.put_nowait(decision)
            self.ask(self._gates)
        self._typed = ""


def _in_the_background() -> bool:
    """Whether the terminal is another process's now: whoever touched it would be stopped."""
    try:
        return os.tcgetpgrp(STDIN) != os.getpgrp()
    except OSError:  # it controls nobody
        return False


@contextlib.asynccontextmanager
async def answering(send: Callable[[Decision], Awaitable[None]]) -> AsyncGenerator[Answering]:
    """The keyboard, for the length of a run."""
    keyboard = Answering(send)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(keyboard.serve())
            try:
                yield keyboard
            finally:
                keyboard.close()
                serving.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
