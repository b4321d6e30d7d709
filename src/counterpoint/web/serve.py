"""The server process: a socket on the loopback interface, and nowhere else."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette

PORT = 7717
GRACE_S = 1
"""How long open streams may take to end when the server is stopped."""


def listen(port: int | None) -> socket.socket:
    """A socket that listens on the port; without one, on ours, or, where that is taken, on any. Raises OSError."""
    try:
        return _bind(PORT if port is None else port)
    except OSError:
        if port is not None:
            raise
        return _bind(0)


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


async def serve(app: Starlette, bound: socket.socket) -> None:
    """Serves until a signal ends it."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    await uvicorn.Server(config).serve(sockets=[bound])
