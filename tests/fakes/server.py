"""A provider on loopback, over real HTTP: does what it is told, and remembers what it was asked.

It knows the protocols by their paths, and runs in a thread of its own, so that a test may wait for a process meanwhile.

    with Fake() as fake:
        fake.will(Fails(529), Says("there"))     # the first two requests; then `otherwise`
        run("--model", "anthropic:m", "--base-url", fake.url)
        assert len(fake.asked) == 2
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from tests.fakes import protocols
from tests.fakes.replies import Asked, Breaks, Fails, Gives, Reply, Says, Sends, Stops, Waits

Encode = Callable[[Says, Asked], dict[str, Any]]
EncodeError = Callable[[Fails], dict[str, Any]]
PATHS: list[tuple[str, Encode, EncodeError]] = [
    ("/v1/messages", protocols.anthropic, protocols.anthropic_error),
    ("/invoke", protocols.anthropic, protocols.anthropic_error),
    (":rawPredict", protocols.anthropic, protocols.anthropic_error),
    ("/chat/completions", protocols.chat, protocols.openai_error),
    ("/responses", protocols.responses, protocols.openai_error),
    (":generateContent", protocols.google, protocols.google_error),
    (":streamGenerateContent", protocols.google, protocols.google_error),
    ("/converse", protocols.converse, protocols.converse_error),
]


class Fake:
    """Use it as a context manager."""

    def __init__(self, *unknown: str) -> None:
        """`unknown`: ends of paths that this server does not know."""
        self.asked: list[Asked] = []
        self.otherwise: Callable[[Asked], Reply] = lambda _: Says("Fine.")
        self.loaded: list[dict[str, Any]] = []
        """Models that Ollama says it has loaded."""
        self.arrived = threading.Semaphore(0)
        """Released for each request."""
        self.abandoned = threading.Semaphore(0)
        """Released for each request whose client went away before it was answered."""
        self._unknown = unknown
        self._replies: deque[Reply] = deque()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._port = 0

    def __enter__(self) -> Fake:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def will(self, *replies: Reply) -> None:
        """What it does with the next requests, in their order of arrival."""
        self._replies.extend(replies)

    def release(self, event: asyncio.Event) -> None:
        """Sets what a `Waits` waits for."""
        self._loop.call_soon_threadsafe(event.set)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path == "/token":  # where Google's clients get theirs
            return web.json_response({"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"})
        if request.path == "/api/ps":  # what Ollama has loaded
            return web.json_response({"models": self.loaded})
        asked = Asked(request.path, headers, json.loads(raw) if raw else None, time.monotonic())
        spoken = next((entry for entry in PATHS if request.path.endswith(entry[0])), None)
        if spoken is None or request.path.endswith(self._unknown):
            return web.json_response({"detail": "Not Found"}, status=404)
        self.asked.append(asked)
        self.arrived.release()
        reply = self._replies.popleft() if self._replies else self.otherwise(asked)
        try:
            return await self._reply(request, asked, reply, spoken[1], spoken[2])
        except (asyncio.CancelledError, ConnectionResetError):  # gone while it waited, or while it was written to
            self.abandoned.release()
            raise

    async def _reply(
        self, request: web.Request, asked: Asked, reply: Reply, encode: Encode, encode_error: EncodeError
    ) -> web.StreamResponse:
        match reply:
            case Waits(until, then):
                await until.wait()
                return await self._reply(request, asked, then, encode, encode_error)
            case Gives():
                return await self._reply(request, asked, protocols.in_form(reply, asked), encode, encode_error)
            case Says() if protocols.streams(asked):
                return await self._stream(request, asked, Stops(reply, sys.maxsize))
            case Stops():
                return await self._stream(request, asked, reply)
            case Says():
                return web.json_response(encode(reply, asked))
            case Fails():
                return web.json_response(encode_error(reply), status=reply.status, headers=reply.headers)
            case Sends():
                return web.Response(
                    body=reply.body, status=reply.status, content_type=reply.content_type, headers=reply.headers
                )
            case Breaks():
                return await self._break(request, asked, reply, encode)

    async def _stream(self, request: web.Request, asked: Asked, stops: Stops) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in protocols.events(stops.says, asked)[: stops.events]:
            await response.write(event)
        if stops.until is not None:
            await stops.until.wait()
        await response.write(stops.tail)
        if stops.breaks and request.transport is not None:
            request.transport.abort()
        return response

    async def _break(self, request: web.Request, asked: Asked, breaks: Breaks, encode: Encode) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        if breaks.midway and protocols.streams(asked):
            return await self._stream(request, asked, Stops(Says("It breaks off here."), 4, breaks=True))
        if breaks.midway:
            await response.prepare(request)
            await response.write(json.dumps(encode(Says("It breaks off here."), asked)).encode()[:40])
        if request.transport is not None:
            request.transport.abort()
        return response
