"""What a shell command runs, as far as that can be told without running it.

A command is taken apart into the simple commands that it consists of: at ``;``, ``&&``, ``||``, ``|``, ``&`` and line
ends, quotes and escapes read as bash reads them. Whatever could run something that is not written there in plain words
(substitutions, subshells, here-documents, loops, functions, names that expand) makes the command *opaque*: no rule for
particular commands allows it, and every rule against particular commands holds it up. So a mistake here denies; it
never lets through.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

MAX_COMMAND = 100_000
MAX_WRAPPED = 200
MAX_DEPTH = 4
RESERVED = frozenset({
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select",
    "function",
    "time", "coproc", "{", "}", "[[", "]]", "!",
})  # fmt: skip
NESTED = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "eval", "source", "."})
"""Commands that run text as commands."""
WRAPPERS = frozenset({
    "env", "command", "exec", "builtin", "sudo", "doas", "nohup", "nice", "ionice", "time", "timeout", "stdbuf",
    "setsid",
    "xargs", "find", "parallel", "watch", "strace", "ltrace", "chroot", "unshare", "nsenter", "busybox", "script",
    "flock",
    "taskset", "chrt", "trap", "entr",
})  # fmt: skip
"""Commands whose arguments are a command, somewhere."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_DESCRIPTOR = re.compile(r"[0-9]+-?|-")
_EXPANDS = frozenset("*?[]{}~")
_ENDS = ("&&", "||", ";;", "|&", ";", "|", "&")
_REDIRECTIONS = ("&>>", "&>", ">>", ">|", ">&", "<<<", "<&", "<>", ">", "<")


class _OpaqueError(Exception):
    """The command cannot be taken apart; the message says at what."""


@dataclass(slots=True)
class Word:
    """One word. `text` is what bash makes of it; where it expands (`plain` is false), as it is written."""

    text: str = ""
    raw: str = ""
    plain: bool = True
    quoted: bool = False

    @property
    def shown(self) -> str:
        """The word as rules see it: quoted where it has to be, so that one word never looks like two."""
        return shlex.quote(self.text) if self.plain else self.raw


@dataclass(slots=True)
class Simple:
    """A command and its arguments, assignments before it included."""

    words: list[Word] = field(default_factory=list[Word])
    writes: list[str] = field(default_factory=list[str])
    """Files that its output goes to."""

    @property
    def text(self) -> str:
        return " ".join(word.shown for word in self.words)

    @property
    def bare(self) -> list[Word]:
        """Without the assignments."""
        count = 0
        while count < len(self.words) and _ASSIGNMENT.match(self.words[count].raw):
            count += 1
        return self.words[count:]


@dataclass(frozen=True, slots=True)
class Analysis:
    """The simple commands; `opaque` says why there may be more than these."""

    parts: tuple[Simple, ...]
    opaque: str | None = None


@lru_cache(maxsize=1024)
def analyse(command: str) -> Analysis:
    """Takes a command apart."""
    if len(command) > MAX_COMMAND:
        return Analysis((), f"it is longer than {MAX_COMMAND:,} characters")
    reader = _Reader(command)
    try:
        reader.read()
    except _OpaqueError as error:
        return Analysis(tuple(part for part in reader.parts if part.words), str(error))
    return Analysis(tuple(part for part in reader.parts if part.words or part.writes))


class _Reader:
    """Reads a command from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.parts = [Simple()]

    def read(self) -> None:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t":
                self.at += 1
            elif char == "\n":
                self._end(1)
            elif char == "#":
                found = self.text.find("\n", self.at)
                self.at = len(self.text) if found < 0 else found
            elif not self._operator():
                self._take(self._word())
        self._close()

    def _operator(self) -> bool:
        rest = self.text[self.at : self.at + 3]
        if rest.startswith("<<") and not rest.startswith("<<<"):
            raise _OpaqueError("it has a here-document")
        if rest.startswith(("<(", ">(")):
            raise _OpaqueError("it has a process substitution")
        if rest[0] in "()":
            raise _OpaqueError("it has parentheses (a subshell or function)")
        redirection = next((sign for sign in _REDIRECTIONS if rest.startswith(sign)), None)
        if redirection is not None:
            self.at += len(redirection)
            self._redirect(redirection)
            return True
        ending = next((sign for sign in _ENDS if rest.startswith(sign)), None)
        if ending is not None:
            self._end(len(ending))
        return ending is not None

    def _redirect(self, sign: str) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        word = self._word()
        if not word.raw:
            raise _OpaqueError("it has a redirection that leads nowhere")
        if sign in ("<", "<<<", "<&") or (sign == ">&" and _DESCRIPTOR.fullmatch(word.raw)):
            return
        if word.plain and word.text == "/dev/null":
            return
        if not word.plain or self._moved:
            raise _OpaqueError("where its output goes cannot be told")
        self.parts[-1].writes.append(word.text)

    @property
    def _moved(self) -> bool:
        """Whether a `cd` came before: relative paths then start elsewhere."""
        return any(part.words and part.words[0].text in ("cd", "pushd", "popd") for part in self.parts)

    def _end(self, length: int) -> None:
        self.at += length
        self._close()
        self.parts.append(Simple())

    def _close(self) -> None:
        """The simple command is whole: is it one?"""
        bare = self.parts[-1].bare
        if not bare:
            return
        name = bare[0]
        if not name.plain:
            raise _OpaqueError("the name of a command in it is not written out")
        if name.text in RESERVED and not name.quoted:
            raise _OpaqueError(f"it has {name.text!r}, a word of the shell's language")

    def _take(self, word: Word) -> None:
        nothing_between = self.text[self.at : self.at + 1] in ("<", ">")
        if nothing_between and _DESCRIPTOR.fullmatch(word.raw):
            return  # 2>file
        self.parts[-1].words.append(word)

    # --- words -------------------------------------------------------------------------------------------------------

    def _word(self) -> Word:
        word, start = Word(), self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t\n;&|<>()":
                break
            if char == "'":
                self._single(word)
            elif char == '"':
                self._double(word)
            elif char == "\\":
                self._escape(word)
            elif char in "$`":
                self._expansion(word)
            elif not char.isprintable():
                raise _OpaqueError("it has control characters")
            else:
                word.plain = word.plain and char not in _EXPANDS
                word.text += char
                self.at += 1
        word.raw = self.text[start : self.at]
        return word

    def _single(self, word: Word) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _OpaqueError("a quote in it is not closed")
        word.text += self.text[self.at + 1 : end]
        word.quoted = True
        self.at = end + 1

    def _double(self, word: Word) -> None:
        self.at += 1
        word.quoted = True
        while self.at < len(self.text) and self.text[self.at] != '"':
            char = self.text[self.at]
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                self._escape(word)
            elif char in "$`":
                self._expansion(word)
            else:
                word.text += char
                self.at += 1
        if self.at >= len(self.text):
            raise _OpaqueError("a quote in it is not closed")
        self.at += 1

    def _escape(self, word: Word) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if not following:
            raise _OpaqueError("it ends in a backslash")
        self.at += 2
        if following != "\n":
            word.text += following
            word.quoted = True

    def _expansion(self, word: Word) -> None:
        """``$name`` and ``${name}`` only; whatever else expands can run commands."""
        if self.text[self.at] == "`":
            raise _OpaqueError("it has a command substitution")
        rest = self.text[self.at + 1 : self.at + 200]
        name = _NAME.match(rest)
        braces = re.match(r"\{[A-Za-z_]\w*\}", rest)
        if rest.startswith("("):
            raise _OpaqueError("it has a command substitution")
        if rest[:1] in ("{", "'", '"') and not braces:
            raise _OpaqueError("it has an expansion that can run commands")
        found = braces or name
        word.plain = word.plain and found is None
        word.text += "$" + (found[0] if found else "")
        self.at += 1 + (len(found[0]) if found else 0)


# --- what rules against commands must see -------------------------------------------------------------------------


def readings(part: Simple) -> Iterator[str | None]:
    """Every command that a simple command may amount to, for rules *against* commands; None: any command at all.

    As written; without assignments; by the bare name of the program; what ``env``, ``xargs``, ``find -exec`` and the
    like start; what ``sh -c`` runs.
    """
    yield part.text
    bare = part.bare
    if bare:
        yield from _readings(bare, depth=0)


def _readings(words: list[Word], depth: int) -> Iterator[str | None]:
    if _program(words[0]) not in WRAPPERS:
        yield from _one_reading(words, depth)
    elif len(words) > MAX_WRAPPED:
        yield None
    else:  # options of wrappers take values of every kind: any word may be the command
        for start in range(len(words)):
            yield from _one_reading(words[start:], depth)


def _one_reading(words: list[Word], depth: int) -> Iterator[str | None]:
    rest = [word.shown for word in words[1:]]
    yield " ".join([words[0].shown, *rest])
    yield " ".join([shlex.quote(_program(words[0])), *rest])
    if not words[0].plain:
        yield None
    if _program(words[0]) in NESTED:
        yield from _nested(words[1:], depth)


def _program(word: Word) -> str:
    return word.text.rpartition("/")[2]


def _nested(words: list[Word], depth: int) -> Iterator[str | None]:
    for word in words:
        inner = analyse(word.text) if word.plain and depth < MAX_DEPTH else None
        if inner is None or inner.opaque:
            yield None
            continue
        for part in inner.parts:
            if part.bare:
                yield from _readings(part.bare, depth + 1)
