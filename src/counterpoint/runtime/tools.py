"""``counterpoint.tool``: one tool call of the script, without a model, journaled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from counterpoint.errors import DeniedError, HookError
from counterpoint.events import Fault, ToolCalled
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.denials import report_denial
from counterpoint.sandbox.frames import Call
from counterpoint.tools.base import Tool, ToolContext, ToolError
from counterpoint.tools.guard import Denied
from counterpoint.tools.registry import ABSENT, invoke, select


class _Ask(Struct, frozen=True):
    name: str
    input: dict[str, Any] = {}


UseTool = Callable[[str, dict[str, Any], Path], Awaitable[str]]
"""Carries out one tool call in a folder. Raises ToolError."""
Counter = Callable[[Denied], AbstractAsyncContextManager[ToolContext]]
"""Opens the place where one tool call of the script is made."""


FindTool = Callable[[str], Awaitable[Tool | None]]
"""Finds a tool that is not built in."""


async def use_tool(name: str, input: dict[str, Any], folder: Path) -> str:
    """Calls the tool of this name; it can only read."""
    return await invoke(tool_named(name), input, ToolContext(root=folder))


def tool_named(name: str) -> Tool:
    """Raises HookError("UnknownToolError"), ToolError where it is a tool that is not to be had here."""
    found = select([name])
    if not found:
        raise ToolError(ABSENT.get(name, f"The tool {name!r} is not to be had here."))
    return found[0]


class ScriptTools:
    """The tool calls of one attempt's script."""

    def __init__(
        self, attempt: Attempt, group: asyncio.TaskGroup, use: UseTool | None, counter: Counter, find: FindTool
    ) -> None:
        self._attempt = attempt
        self._find = find
        self._counter = counter
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._use = use

    def call(self, call: Call) -> None:
        """Answers ``counterpoint.tool(name, input)``: from the record, or by calling the tool now."""
        asked = msgspec.json.decode(call.arg, type=_Ask)
        key = self._attempt.identities.call("tool", asked.name, asked.input)
        answered = self._attempt.replay.effect(key)
        if answered is not None:
            self._attempt.answer_recorded(call.id, key, answered)
        else:
            task = self._group.create_task(self._run(call, key, asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cancel_all(self) -> None:
        """Ends the calls that are under way, without an answer."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, asked: _Ask) -> str:
        if self._use is not None:
            return await self._use(asked.name, asked.input, self._attempt.cwd)
        tool = await self._find(asked.name) or tool_named(asked.name)
        async with self._counter(lambda access, reason: report_denial(self._attempt, "", access, reason)) as context:
            return await invoke(tool, asked.input, context)

    async def _run(self, call: Call, key: str, asked: _Ask) -> None:
        started = time.monotonic()
        journal = self._attempt.journal
        try:
            text = await self._answer(asked)
        except (ToolError, HookError) as error:
            name = "DeniedError" if isinstance(error, DeniedError) else "ToolError"
            fault = Fault(name, str(error), call.line, call.column)
            recorded = self._attempt.emit(ToolCalled(key, asked.name, None, fault, time.monotonic() - started))
            self._attempt.answer(call.id, recorded, error=HookError(name, str(error)))
        else:
            value = journal.value(msgspec.json.encode(text))
            recorded = self._attempt.emit(ToolCalled(key, asked.name, value, None, time.monotonic() - started))
            self._attempt.answer(call.id, recorded, value)
