"""The routes: the page, and the JSON API that it is made of."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from counterpoint.client import Client
from counterpoint.errors import CounterpointError, ScriptRefused, UnknownMemoryError, UnknownRunError, UsageError
from counterpoint.events import RunStatus
from counterpoint.redaction import Redaction
from counterpoint.tracing.spans import spans
from counterpoint.version import VERSION
from counterpoint.view import AgentView, RunView
from counterpoint.web import memory, openapi, perfetto, report, slim, verbs
from counterpoint.web.guard import Guard
from counterpoint.web.sessions import LASTS_S, Sessions
from counterpoint.web.watched import Watched, stream

TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg+xml"}

Start = Callable[[list[str]], Awaitable[None]]
"""Starts `counterpoint` with these arguments as a process that outlives us."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the routes need."""

    client: Client
    watched: Watched
    sessions: Sessions
    cookie: str
    start: Start
    page: dict[str, bytes]
    """The files of the page, by name."""

    # --- the page ------------------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        return _file("index.html", self.page["index.html"])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.page:
            return PlainTextResponse("There is no such file.", 404)
        return _file(name, self.page[name])

    async def login(self, request: Request) -> Response:
        """Exchanges the token of the address for a cookie."""
        cookie = self.sessions.redeem(request.query_params.get("token", ""))
        if cookie is None:
            return PlainTextResponse(
                "This address has been used, or is from an earlier start.\n"
                "`counterpoint serve` shows a new one in its terminal each time.\n",
                403,
            )
        response = RedirectResponse("/", 303)
        response.set_cookie(self.cookie, cookie, max_age=int(LASTS_S), httponly=True, samesite="strict", path="/")
        return response

    # --- looking -------------------------------------------------------------------------------------------------

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.DOCUMENT)

    async def runs(self, request: Request) -> Response:
        runs = await self.client.runs()
        waiting = await self._waiting([run.run_id for run in runs if run.status is RunStatus.RUNNING])
        rows = [
            {"run_id": run.run_id, "name": run.name, "status": "waiting" if run.run_id in waiting else run.status.value,
             "created_at": run.created_at, "cwd": run.cwd, "tags": list(run.tags),
             "parent": run.parent.run_id if run.parent else None}
            for run in runs
        ]  # fmt: skip
        return JSONResponse({"runs": rows})

    async def _waiting(self, running: list[str]) -> set[str]:
        """Those of the newest running runs whose every open end is a question: only the whole fold tells it."""
        views = [await self.watched.view(run_id) for run_id in running[: self.watched.kept]]
        return {view.run_id for view in views if view.shown_status() is RunStatus.WAITING}

    async def run(self, request: Request) -> Response:
        view = await self._view(request)
        live = await self.client.is_live(view.run_id)
        document = await self.client.run_document(view)
        return _json({**document, "seq": view.last_seq, "live": live})

    async def script(self, request: Request) -> Response:
        view = await self._view(request)
        return _json({"path": view.script, "source": await self.client.value(view.run_id, view.source)})

    async def agents(self, request: Request) -> Response:
        document = await self.client.run_document(await self._view(request))
        return _json({"agents": document["agent_list"]})

    async def agent(self, request: Request) -> Response:
        view, agent = await self._agent(request)
        return _json(await self.client.agent_document(view, agent))

    async def transcript(self, request: Request) -> Response:
        view, agent = await self._agent(request)
        after = _number(request.query_params.get("after", "0"))
        messages = await self.client.transcript(view.run_id, agent.id)
        return _json({"messages": messages[after:], "next": len(messages)})

    async def events(self, request: Request) -> Response:
        run_id = await self._run_id(request)
        after = _number(request.headers.get("last-event-id") or request.query_params.get("after", "0"))
        return StreamingResponse(stream(self.client, run_id, after), media_type="text/event-stream")

    async def event(self, request: Request) -> Response:
        """One event, whole."""
        number = _number(request.path_params["seq"])
        found = (await self.client.events(await self._run_id(request), number - 1))[:1]
        if not found or found[0].seq != number:
            raise UnknownRunError(f"There is no event {number}.")
        return Response(found[0].line(), media_type="application/json")

    async def memory(self, request: Request) -> Response:
        return _json(await memory.overview(self.client))

    async def note(self, request: Request) -> Response:
        return _json(await memory.note(self.client, request.path_params["note"]))

    async def receipt(self, request: Request) -> Response:
        view = await self._view(request)
        found = view.requests.get(_number(request.path_params["request"]))
        if found is None:
            return JSONResponse({"delivered": False, "done": False, "ok": None, "message": None})
        done = found.done_at is not None
        return JSONResponse(
            {"delivered": True, "done": done, "ok": found.ok if done else None, "message": found.message}
        )

    async def export(self, request: Request) -> Response:
        """The run as a file."""
        run_id, form = await self._run_id(request), request.path_params["form"]
        match form:
            case "jsonl":
                data = b"".join(recorded.line() + b"\n" for recorded in await self.client.events(run_id))
                kind, name = "application/jsonl", f"{run_id}.jsonl"
            case "html":
                data = await report.report(self.client, run_id)
                kind, name = "text/html", f"{run_id}.html"
            case "perfetto":
                data = perfetto.trace(await self.client.events(run_id))
                kind, name = "application/json", f"{run_id}.perfetto.json"
            case "otlp":
                data = spans(await self.client.events(run_id))
                kind, name = "application/json", f"{run_id}.otlp.json"
            case _:
                raise UsageError(f"A run has no form {form!r}.", hint="html, jsonl, perfetto, otlp")
        clean = await asyncio.to_thread(Redaction(os.environ).document, data)
        return Response(clean, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})

    # --- asking --------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        verb = verbs.read(await request.body(), verbs.Verb)
        view = await self._view(request)
        if verb.verb == "retry" and verb.addressed() and not await self.client.is_live(view.run_id):
            agents = [_found(view, text).id for text in verb.addressed()]
            changes = [f"--{name}={value}" for name, value in (("prompt", verb.prompt), ("model", verb.model)) if value]
            await self.start(["retry", view.run_id, *agents, "--quiet", "--no-input", *changes])
            return JSONResponse({"request": None, "started": True}, 202)
        return JSONResponse(await verbs.ask(self.client, view, verb), 202)

    async def fork(self, request: Request) -> Response:
        """Starts a new run from a point of this one, in a process of its own."""
        asked = verbs.read(await request.body(), verbs.Forking)
        view = await self._view(request)
        otherwise = await asked.otherwise(view)
        run_id = await self.client.fork(view.run_id, asked.seq, otherwise=otherwise, by=verbs.asker(), version=VERSION)
        await self.start(["execute", run_id])
        return JSONResponse({"run_id": run_id, "started": True}, 202)

    async def tag(self, request: Request) -> Response:
        """Gives a run tags, and takes others away."""
        asked = verbs.read(await request.body(), verbs.Tagging)
        number = await self.client.tag(
            await self._run_id(request), add=asked.add, remove=asked.remove, by=verbs.asker()
        )
        return JSONResponse({"request": number}, 202)

    async def resume(self, request: Request) -> Response:
        """Goes on with a run that nobody executes, in a process of its own."""
        run_id = await self._run_id(request)
        await self.client.refuse_resume(run_id)
        await self.start(["execute", run_id])
        return JSONResponse({"run_id": run_id, "started": True}, 202)

    # --- what a path names ---------------------------------------------------------------------------------------

    async def _run_id(self, request: Request) -> str:
        return await self.client.find(request.path_params["run"])

    async def _view(self, request: Request) -> RunView:
        return await self.watched.view(await self._run_id(request))

    async def _agent(self, request: Request) -> tuple[RunView, AgentView]:
        view = await self._view(request)
        return view, _found(view, request.path_params["agent"])


def _found(view: RunView, text: str) -> AgentView:
    agent = view.find_agent(text)
    if agent is None:
        raise UnknownRunError(f"No agent of {view.run_id} has the id or label {text!r}.")
    return agent


def read_page() -> dict[str, bytes]:
    """The files of the page."""
    folder = files("counterpoint.web") / "page"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in TYPES}


def build(client: Client, sessions: Sessions, *, port: int, start: Start, more: Sequence[Route] = ()) -> Starlette:
    """The application for one store, at this port of the loopback interface. `more` are routes of further screens."""
    cookie = f"counterpoint_{port}"
    site = Site(client, Watched(client), sessions, cookie, start, read_page())
    hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
    run = "/api/runs/{run}"
    routes = [
        Route("/", site.index),
        Route("/login", site.login),
        Route("/static/{name}", site.static),
        Route("/api/openapi.json", site.openapi),
        Route("/api/memory", site.memory),
        Route("/api/memory/{note}", site.note),
        Route("/api/runs", site.runs),
        Route(run, site.run),
        Route(f"{run}/script", site.script),
        Route(f"{run}/agents", site.agents),
        Route(f"{run}/agents/{{agent}}", site.agent),
        Route(f"{run}/agents/{{agent}}/transcript", site.transcript),
        Route(f"{run}/events", site.events),
        Route(f"{run}/events/{{seq}}", site.event),
        Route(f"{run}/export/{{form}}", site.export),
        Route(f"{run}/requests", site.ask, methods=["POST"]),
        Route(f"{run}/requests/{{request}}", site.receipt),
        Route(f"{run}/resume", site.resume, methods=["POST"]),
        Route(f"{run}/fork", site.fork, methods=["POST"]),
        Route(f"{run}/tags", site.tag, methods=["POST"]),
        *more,
    ]
    guard = Middleware(Guard, sessions=sessions, hosts=hosts, cookie=cookie)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={CounterpointError: _refused})


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, CounterpointError):
        raise error
    code = (
        404
        if isinstance(error, UnknownRunError | UnknownMemoryError)
        else 409
        if isinstance(error, UsageError | ScriptRefused)
        else 500
    )
    return JSONResponse({"error": {"message": error.message, "hint": error.hint}}, code)


def _file(name: str, data: bytes) -> Response:
    return Response(data, media_type=TYPES[name.rpartition(".")[2]])


def _json(value: Any) -> Response:
    body = json.dumps(slim.cut_all(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, media_type="application/json")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UsageError(f"{text[:40]!r} is no number of an event.")
    return int(text)
