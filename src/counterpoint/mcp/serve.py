"""The two ways in: the standard streams of a client that has started us, and HTTP on the loopback interface."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/mcp"
GRACE_S = 1


def read_token(path: Path) -> str:
    """The word that HTTP clients have to bring; made once, so that their configuration stays right."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        made = secrets.token_urlsafe(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(made)
        return made


def listen(port: int) -> socket.socket:
    """A socket on the loopback interface; port 0: any that is free. Raises OSError."""
    return socket.create_server(("127.0.0.1", port))


async def serve_http(server: MCPServer, bound: socket.socket, token: str) -> None:
    """Serves until a signal ends it. Other host names and origins are refused, and whoever brings no token."""
    port = bound.getsockname()[1]
    names = [f"127.0.0.1:{port}", f"localhost:{port}"]
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    app = server.streamable_http_app(streamable_http_path=PATH, transport_security=security)
    config = uvicorn.Config(
        _Door(app, token), log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    await uvicorn.Server(config).serve(sockets=[bound])


class _Door:
    """Lets in who brings the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            brought = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(brought, self._expected):
                refusal = PlainTextResponse("Authorization: Bearer TOKEN is missing or wrong.\n", status_code=401)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
