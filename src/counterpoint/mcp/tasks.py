"""Runs as tasks, for clients that declare the extension ``io.modelcontextprotocol/tasks`` (2026-07-28).

For them `run` answers with a task instead of a run's id; they ask for it with ``tasks/get``, answer its questions with
``tasks/update``, and stop it with ``tasks/cancel``. The journal is the task store: a task outlives this server, and its
id is the run's, so that every other tool, and the terminal, can speak of it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputResponses,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from counterpoint.errors import CounterpointError, UsageError
from counterpoint.events import RunStatus
from counterpoint.mcp.desk import STEP_S, Desk
from counterpoint.mcp.questions import form
from counterpoint.tools.answers import command
from counterpoint.view import RunView

TASKS = "io.modelcontextprotocol/tasks"
POLL_MS = 1000
GOOD = frozenset({RunStatus.COMPLETED, RunStatus.PARTIAL})
MODERN = frozenset(MODERN_PROTOCOL_VERSIONS)

Context = ServerRequestContext[Any, Any]


class TaskParams(RequestParams):
    """Of ``tasks/get`` and ``tasks/cancel``."""

    task_id: str


class UpdateParams(TaskParams):
    """Of ``tasks/update``."""

    input_responses: InputResponses


class RunTasks(Extension):
    """The extension, over the runs of a desk."""

    identifier = TASKS

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/update", UpdateParams, self._update, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Context, call_next: CallNext
    ) -> HandlerResult:
        """A run that was started is a task, where the client has said in this request that it knows tasks."""
        result = await call_next(ctx)
        if params.name != "run" or ctx.protocol_version not in MODERN or not _declares(ctx):
            return result
        if not isinstance(result, CallToolResult) or result.is_error or result.structured_content is None:
            return result
        view = await self._desk.view(str(result.structured_content["run_id"]))
        return {"resultType": "task", **_task(view, "working", "The run begins.")}

    async def _get(self, ctx: Context, params: TaskParams) -> HandlerResult:
        view = await self._view(ctx, params)
        gates, live = view.open_gates(), await self._goes_on(view)
        if gates and _can_ask(ctx):
            forms = {gate.id: form(gate) for gate in gates}
            requests = {
                gate: ElicitRequest(
                    params=ElicitRequestFormParams(message=each.message, requested_schema=each.schema)
                ).model_dump(by_alias=True, mode="json", exclude_none=True)
                for gate, each in forms.items()
            }
            return {**_task(view, "input_required", "A person is asked."), "inputRequests": requests}
        if gates:
            return _task(view, "working", f"It waits for a person: {command(view.run_id, gates[0])}")
        if live:
            ok, of = view.coverage()
            return _task(view, "working", view.message or f"{ok} of {of} agents ended well so far.")
        if view.status is RunStatus.STOPPED:
            return _task(view, "cancelled", view.message or "The run was stopped.")
        result = await self._result(view)
        return {**_task(view, "completed", f"The run is {view.shown_status().value}."), "result": result}

    async def _update(self, ctx: Context, params: UpdateParams) -> HandlerResult:
        """Answers that belong to no open question are passed over, as the extension has it."""
        view = await self._view(ctx, params)
        for gate in view.open_gates():
            said = params.input_responses.get(gate.id)
            if not isinstance(said, ElicitResult):
                continue
            try:
                answer = form(gate).answer(said.action, said.content)
                if answer is not None:
                    await self._desk.answer(view, gate.id, answer)
            except UsageError as error:
                raise MCPError(INVALID_PARAMS, f"{gate.id}: {error.message}") from error
        now = await self._desk.view(view.run_id)
        if now.ended and not now.open_gates() and now.status is RunStatus.WAITING:
            await self._desk.control(now, "resume", "", "", "", "", "")
        return {}

    async def _cancel(self, ctx: Context, params: TaskParams) -> HandlerResult:
        """Stops the run. One that was only just started is waited for: what is asked before it comes would lapse."""
        view = await self._view(ctx, params)
        while await self._goes_on(view):
            if view.attempt and (await self._desk.ask(view.run_id, "stop", None, drain=False)).get("ok") is not False:
                break
            await asyncio.sleep(STEP_S)
            view = await self._desk.view(view.run_id)
        return {}

    async def _view(self, ctx: Context, params: TaskParams) -> RunView:
        require_client_extension(ctx, TASKS)
        try:
            view = await self._desk.view(params.task_id)
        except CounterpointError as error:
            raise MCPError(INVALID_PARAMS, f"There is no such task: {error.message}") from error
        if view.run_id != params.task_id:  # no prefix, and not @last: an id stands for one task for ever
            raise MCPError(INVALID_PARAMS, "There is no such task.")
        return view

    async def _goes_on(self, view: RunView) -> bool:
        return await self._desk.begins(view) or (not view.ended and await self._desk.client.is_live(view.run_id))

    async def _result(self, view: RunView) -> dict[str, Any]:
        """What `run` would have answered, had it waited: what the run returned, or why there is nothing."""
        document = await self._desk.result(view.run_id, 0)
        if view.status not in GOOD:
            document |= {"not_ok": (await self._desk.status(view))["not_ok"], "message": view.message}
        text = msgspec.json.encode(document).decode()
        result = CallToolResult(
            content=[{"type": "text", "text": text}],  # pyright: ignore[reportArgumentType]  (pydantic makes it)
            structured_content=document,
            is_error=view.status not in GOOD,
        )
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def _task(view: RunView, status: str, message: str) -> dict[str, Any]:
    return {
        "taskId": view.run_id,
        "status": status,
        "statusMessage": message,
        "createdAt": _stamp(view.begun_at),
        "lastUpdatedAt": _stamp(view.last_at),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _declares(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and TASKS in (capabilities.extensions or {})


def _can_ask(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None
