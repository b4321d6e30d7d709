"""What ends a screen whose terminal is gone, where nobody sends the signal that says so."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Generator

LOOK_MS = 1000
HUNG_UP = 129
"""The exit code of a program that SIGHUP ended."""


@contextlib.contextmanager
def left_with_its_terminal() -> Generator[None]:
    """Ends the process once its terminal is gone, as SIGHUP would have: not every session leader passes that on.

    Whoever draws on a terminal that is gone reads its end again and again, at the cost of a whole core, and what it
    still writes may block for ever; so there is no orderly way out. Runs are executed by other processes and go on.
    """
    if not hasattr(select, "poll"):  # Windows
        yield
        return
    over = threading.Event()
    threading.Thread(target=_watch, args=(sys.stdin.fileno(), over), daemon=True, name="hangup").start()
    try:
        yield
    finally:
        over.set()


def _watch(terminal: int, over: threading.Event) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # the end of it is told without being asked for
    while not over.is_set():
        for _, told in poll.poll(LOOK_MS):
            if told & select.POLLNVAL:  # a system that cannot tell
                return
            if not over.is_set():
                os._exit(HUNG_UP)
