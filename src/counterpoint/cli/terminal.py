"""Where a conversation is typed and read: a terminal with an input line that stays below what is said, or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import shutil
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from counterpoint.text import one_line, safe

if TYPE_CHECKING:  # it takes a tenth of a second to import, and only a terminal needs it
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings

QUOTES = '"""'
MOST_STREAMED = 400
"""Characters of the line that is still being said: the screen shows its end."""


class Console(Protocol):
    """Where the user types and reads (a `lead.talk.Voice` too)."""

    async def message(self) -> str:
        """The next message, of one line or more. Raises EOFError where no more comes."""
        ...

    def apart(self) -> AbstractAsyncContextManager[None]:
        """While the body goes on, another program has the terminal."""
        ...

    def piece(self, text: str) -> None: ...
    def whole(self) -> None: ...
    def void(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Typing:
    """What an input line has to know of the conversation."""

    words: Callable[[], Mapping[str, str]]
    """The words that may follow a slash, each with what it does."""
    asked: Callable[[], bool]
    """Whether a question waits for its answer."""
    interrupt: Callable[[], bool]
    """Stops what the lead is doing; whether there was anything."""
    status: Callable[[], str]
    """What goes on, in a few words."""


class Spoken:
    """What the lead says, by lines: those that are whole are printed, and the rest waits for its end."""

    def __init__(self) -> None:
        self.rest = ""

    def piece(self, text: str) -> None:
        """Prints what has become whole."""
        lines, newline, rest = (self.rest + text).rpartition("\n")
        self.rest = rest
        if newline:
            click.echo(safe(lines))

    def whole(self) -> None:
        """Prints the rest."""
        if self.rest:
            click.echo(safe(self.rest))
        self.rest = ""

    def void(self, why: str) -> None:
        """Prints the rest, and why it is no answer."""
        self.whole()
        click.echo(f"[{why}]")


class Pipe(Spoken):
    """Messages come by standard input, as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._next = _reader()

    async def message(self) -> str:
        """The next message."""
        return await self._next()

    def apart(self) -> AbstractAsyncContextManager[None]:
        """A pipe is nothing that another program could have."""
        return contextlib.nullcontext()


class Screen(Spoken):
    """A terminal. What is printed appears above the input line; the line that is being said stands between.

    The terminal stays in its raw mode between two messages and while something is printed: in the other one, Enter,
    Control-C and Control-D mean something else, and keys that are typed at that moment would be altered.
    """

    def __init__(self, typing: Typing, history: Path) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.filters import Condition

        super().__init__()
        self._typing = typing
        self._away = False
        """Another program has the terminal."""
        self._unprinted: list[str] = []
        self._session: PromptSession[str] = PromptSession(
            self._sign,
            history=_history(history, typing.asked),
            multiline=True,
            key_bindings=self._keys(),
            completer=_completer(typing.words),
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            prompt_continuation="… ",
            bottom_toolbar=self._toolbar,
            reserve_space_for_menu=4,
        )

    async def message(self) -> str:
        """The next message. Control-D on an empty line ends."""
        return plain(await self._session.prompt_async())

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncGenerator[None]:
        """Takes the input line away."""
        from prompt_toolkit.application import in_terminal

        async with in_terminal():
            self._away = True
            try:
                yield
            finally:
                self._away = False
                self.print("")

    def raw(self) -> AbstractContextManager[None]:
        """While the body goes on, keys come as they are typed."""
        return self._session.app.input.raw_mode()

    def print(self, text: str) -> None:
        """Prints whole lines above the input line; once it is back, where another program has the terminal."""
        self._unprinted.append(text)
        if self._away:
            return
        text, app = "".join(self._unprinted), self._session.app
        self._unprinted.clear()
        if app.is_running:
            app.renderer.erase()
        app.output.write(text)
        app.output.flush()
        if app.is_running:
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def piece(self, text: str) -> None:
        """Prints what has become whole; a line that is longer than the screen is wide is broken at a space."""
        super().piece(text)
        width = shutil.get_terminal_size().columns - 1
        while len(self.rest) > width:
            end = self.rest.rfind(" ", 1, width + 1)
            line, self.rest = (self.rest[:end], self.rest[end + 1 :]) if end > 0 else (
                self.rest[:width], self.rest[width:])  # fmt: skip
            click.echo(safe(line))
        self._session.app.invalidate()

    def whole(self) -> None:
        """Prints the rest."""
        super().whole()
        self._session.app.invalidate()

    def _sign(self) -> str:
        sign = "? " if self._typing.asked() else "> "
        if not self.rest or self._session.app.is_done:
            return sign
        return f"{safe(self.rest[-MOST_STREAMED:])}\n{sign}"

    def _toolbar(self) -> str | None:
        return safe(self._typing.status()) or None

    def _keys(self) -> KeyBindings:
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()

        @keys.add("enter")
        def _(event: Any) -> None:
            buffer = event.current_buffer
            if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
                buffer.complete_state = None
            elif goes_on(buffer.text):
                buffer.insert_text("\n")
            else:
                buffer.validate_and_handle()

        @keys.add("tab")
        def _(event: Any) -> None:
            buffer = event.current_buffer
            word = _word(buffer.document.text_before_cursor)
            found = [] if word is None else [each for each in self._typing.words() if each.startswith(word)]
            if len(found) == 1:
                buffer.insert_text(f"{found[0][len(word or '') :]} ")
            elif buffer.complete_state is not None:
                buffer.complete_next()
            else:
                buffer.start_completion(insert_common_part=True)

        @keys.add("escape", "enter")
        @keys.add("c-j")
        def _(event: Any) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        def _(event: Any) -> None:
            if self._typing.interrupt():
                return
            if not event.current_buffer.text:
                click.echo("/quit or Control-D leaves; runs go on.", err=True)
            event.current_buffer.reset()

        return keys


class Above(io.TextIOBase):
    """What takes the place of standard output: gives on whole lines, in the thread of the loop."""

    def __init__(self, give: Callable[[str], None]) -> None:
        self._give = give
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes a text from any thread."""
        if threading.get_ident() == self._thread:
            self._take(text)
        else:
            self._loop.call_soon_threadsafe(self._take, text)
        return len(text)

    def isatty(self) -> bool:
        """It is one, below."""
        return True

    def _take(self, text: str) -> None:
        lines, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._give(lines + newline)


@contextlib.contextmanager
def console(typing: Typing, history: Path) -> Generator[Console]:
    """The terminal, where there is one. Meanwhile all that is printed goes above its input line."""
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        yield Pipe()
        return
    screen = Screen(typing, history)
    above = Above(screen.print)
    with screen.raw(), contextlib.redirect_stdout(above), contextlib.redirect_stderr(above):
        yield screen


def history_of(state: Path, folder: Path) -> Path:
    """Where the lines that were typed in this folder's conversations are kept."""
    return state / "history" / hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def goes_on(text: str) -> bool:
    r"""Whether a message is not complete: it ends with a backslash, or an opening ``\"\"\"`` has no closing one."""
    stripped = text.strip()
    opened = stripped.startswith(QUOTES) and (len(stripped) < 2 * len(QUOTES) or not stripped.endswith(QUOTES))
    return opened or text.endswith("\\")


def plain(text: str) -> str:
    """A complete message without the signs by which it went on; bytes that are no UTF-8 become question marks."""
    text = text.encode("utf-8", "replace").decode()
    stripped = text.strip()
    if stripped.startswith(QUOTES) and stripped.endswith(QUOTES) and len(stripped) >= 2 * len(QUOTES):
        return stripped[len(QUOTES) : -len(QUOTES)]
    return text.replace("\\\n", "\n")


# --- a terminal ------------------------------------------------------------------------------------------------------


def _history(path: Path, asked: Callable[[], bool]) -> FileHistory:
    """What was typed before, oldest first; answers to questions are not kept."""
    from prompt_toolkit.history import FileHistory

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)

    class Kept(FileHistory):
        def append_string(self, string: str) -> None:
            if not asked():
                super().append_string(string)

    return Kept(str(path))


def _completer(words: Callable[[], Mapping[str, str]]) -> Completer:
    """Completes the word behind a slash."""
    from prompt_toolkit.completion import Completer, Completion

    class Words(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterable[Completion]:
            typed = _word(document.text_before_cursor)
            for word, meaning in sorted(words().items()) if typed is not None else ():
                if word.startswith(typed or ""):
                    yield Completion(word, start_position=-len(typed or ""), display_meta=one_line(meaning, 60))

    return Words()


def _word(text: str) -> str | None:
    """What is typed of a command; None where it is no command, or complete."""
    return text[1:] if text.startswith("/") and not any(map(str.isspace, text)) else None


# --- a pipe ----------------------------------------------------------------------------------------------------------


def _reader() -> Callable[[], Awaitable[str]]:
    """Reads messages in a thread that does not keep the program from ending; EOFError where no more come."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def give(message: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(queue.put_nowait, message)

    def read() -> None:
        message = ""
        for line in sys.stdin.buffer:  # as text it would be read in the way of the locale, whose errors end the thread
            message += line.decode("utf-8", "replace").removesuffix("\n")
            if goes_on(message):
                message += "\n"
            else:
                give(plain(message))
                message = ""
        if message:
            give(plain(message))
        give(None)

    threading.Thread(target=read, daemon=True).start()

    async def message() -> str:
        found = await queue.get()
        if found is None:
            raise EOFError
        return found

    return message
