"""Standard output and error where whoever read them may be gone: ``| head`` ends no run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from typing import IO, Any


@contextlib.contextmanager
def unread(stream: IO[Any]) -> Generator[None]:
    """Where nobody reads the stream any more, what the body writes to it, and all that follows, goes nowhere."""
    try:
        yield
    except BrokenPipeError:
        discard(stream.fileno())


def discard(descriptor: int) -> None:
    """From now on the stream of this number leads nowhere, what lies in its buffer included."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
