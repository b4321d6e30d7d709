"""Starts the program as a process of its own, without the seconds that its imports take anew each time.

A parent that has made the imports (`warm_parent`) forks; from there on it is a process like any other: its own
arguments, environment, folder and streams, its signals and its exit code. What the imports themselves do is not tried
this way: `tests/test_house.py` and all that starts ``python -m counterpoint`` do that.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PARENT = Path(__file__).with_name("warm_parent.py")


class Started:
    """A process that `start` has started: what tests use of a `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], pid: int, code: int, stdout: IO[str], stderr: IO[str]) -> None:
        self.args = list(arguments)
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._code = code

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None: it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it still says on its streams until its end. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        said: dict[int, str] = {}

        def read(number: int, stream: IO[str]) -> None:
            with contextlib.suppress(ValueError):  # it was closed meanwhile
                said[number] = stream.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True) for each in enumerate([self.stdout, self.stderr])
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self.stdout.close()
        self.stderr.close()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._code], [], [], timeout)[0]:
            said = os.read(self._code, 64)
            os.close(self._code)
            self.returncode = int(said) if said else -signal.SIGKILL
        return self.returncode


class Parent:
    """The process that has made the imports, and forks."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        self._socket = ours
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(PARENT), str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        atexit.register(self.close)

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[int, int, int]
    ) -> tuple[int, int]:
        """Gives the id of the new process, and a descriptor on which its exit code will come."""
        order = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        code, code_end = os.pipe()
        with tempfile.TemporaryFile() as told:
            told.write(json.dumps(order).encode())
            told.flush()
            with self._lock:
                socket.send_fds(self._socket, [b"start"], [told.fileno(), *streams, code_end])
                os.close(code_end)
                return int(self._socket.recv(64)), code

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@functools.cache
def parent() -> Parent:
    """The one of this test process, made when it is first wanted."""
    return Parent()


def start(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Started:
    """Starts ``counterpoint`` with these arguments, its output in pipes, and nothing to read."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    with Path(os.devnull).open("rb") as nothing:
        pid, code = parent().start(arguments, folder, environment, (nothing.fileno(), out_end, err_end))
    os.close(out_end)
    os.close(err_end)
    return Started(arguments, pid, code, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))


def start_on(
    streams: tuple[int, int, int], arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Started:
    """Starts it on streams of the caller's: a terminal's, say. What the process itself has of them is empty."""
    pid, code = parent().start(arguments, folder, environment, streams)
    return Started(arguments, pid, code, io.StringIO(), io.StringIO())
