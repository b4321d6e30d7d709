"""Certificates that a test makes for itself, and TLS in front of a server that has none."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of a server on this machine, with the authority that has signed it, in files."""

    authority: Path
    chain: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    """One from an authority of its own, made with the program `openssl`, which PostgreSQL's package needs too."""
    folder.mkdir()
    made = Certificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    ca_key = folder / "ca.key"
    _openssl("req", "-x509", *new, "-keyout", ca_key, "-out", made.authority, "-subj", "/CN=a test's authority")
    signed = [
        "-CA",
        made.authority,
        "-CAkey",
        ca_key,
        "-addext",
        NAMES,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    _openssl("req", "-x509", *new, "-keyout", made.key, "-out", made.chain, "-subj", "/CN=a test's server", *signed)
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Relay:
    """Speaks TLS on a free port of the loopback, and hands on what it hears to a server in the clear."""

    def __init__(self, port: int, shown: Certificate) -> None:
        """`port`: of the server."""
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(shown.chain, shown.key)
        self._context.set_alpn_protocols(["h2"])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0, ssl=self._context)
        return self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes what was aborted
        await asyncio.sleep(0)

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            server, to_server = await asyncio.open_connection("127.0.0.1", self._behind)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(client, to_server))
                    group.create_task(_pass_on(server, to_client))
            finally:
                to_server.transport.abort()  # a farewell in TLS might not end before the loop does
                to_client.transport.abort()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
