"""`top` as a terminal has it: a process on a pty that is resized, without colours, and left while the run goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Program

FLOW = """
phase('Work')
await parallel(Array.from({length: 4}, (_, n) => () => agent(`Task ${n}`, {label: `task ${n}`})))
"""
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10[0-7])(?:;\d+)*m")


class Pty:
    """A command on a terminal of its own."""

    def __init__(self, program: Program, *arguments: str, **environ: str) -> None:
        self._master, slave = pty.openpty()
        self._set_size(80, 24)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "counterpoint", *arguments],
            cwd=program.folder,
            env={**program.environment, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        self._set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)  # the kernel would, were it the terminal of the session

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def shows(self, text: str) -> None:
        """Waits until the text has been written since the last time."""
        deadline, seen = time.monotonic() + 60, ""
        while text not in seen:
            assert time.monotonic() < deadline, f"{text!r} was not written: {seen!r}"
            seen += self._read()
        self.seen += seen

    def end(self) -> int:
        """Reads to the end, and gives the exit code."""
        while self.process.poll() is None:
            self.seen += self._read()
        return self.process.returncode

    def _read(self) -> str:
        if not select.select([self._master], [], [], 0.2)[0]:
            return ""
        with contextlib.suppress(OSError):  # the other side is closed
            return os.read(self._master, 65536).decode("utf-8", "replace")
        return ""

    def vanish(self) -> None:
        os.close(self._master)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.vanish()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("pty"))


@pytest.fixture(scope="module")
def live(program: Program) -> Iterator[str]:
    """A run whose agents are under way until it is ended."""
    process = program.start("run", program.script(FLOW, "live"), "--model", "sim:latency=900s", "--jsonl")
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["run_id"]
    process.kill()
    process.communicate(timeout=20)


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("environ", "plain"), [({"NO_COLOR": "1"}, False), ({"TERM": "vt100"}, True), ({"LC_ALL": "C"}, True)], ids=str
)
def test_top_is_resized_and_left_and_the_run_goes_on(
    program: Program, live: str, opened: contextlib.ExitStack, environ: dict[str, str], plain: bool
) -> None:
    terminal = Pty(program, "top", live, **environ)
    opened.callback(terminal.close)
    terminal.shows("overview")
    terminal.resize(120, 40)
    terminal.shows("arrows move, Enter opens")
    terminal.type("\x1b[C")
    terminal.shows("task 0")
    terminal.type("q")

    assert terminal.end() == 0
    assert "nothing was stopped" in terminal.seen
    assert "\x1b[?1049l" in terminal.seen  # the screen that was there before is back
    if plain:
        assert "▶" not in terminal.seen
    if "LC_ALL" not in environ:
        assert COLOUR.search(terminal.seen) is None
    assert program("show", live, "--json").json["status"] == "running"


def test_top_leaves_when_its_terminal_is_gone_and_nothing_says_so(
    program: Program, live: str, opened: contextlib.ExitStack
) -> None:
    terminal = Pty(program, "top", live)
    opened.callback(terminal.process.kill)
    terminal.shows("overview")
    terminal.vanish()  # no SIGHUP: the process does not lead the session of this terminal

    assert terminal.process.wait(timeout=60) == 129
    assert program("show", live, "--json").json["status"] == "running"


def test_on_a_dumb_terminal_top_is_one_look(program: Program, live: str, opened: contextlib.ExitStack) -> None:
    terminal = Pty(program, "top", live, TERM="dumb")
    opened.callback(terminal.close)

    assert terminal.end() == 0
    assert "RUNNING" in terminal.seen
    assert "\x1b" not in terminal.seen


def test_the_screen_is_not_drawn_into_a_file(program: Program, live: str, tmp_path: Path) -> None:
    assert "\x1b" not in program("top", live).out
