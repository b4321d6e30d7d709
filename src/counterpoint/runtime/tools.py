"""``counterpoint.tool``: one tool call of the script, without a model, journaled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from counterpoint.errors import HookError
from counterpoint.events import Fault, ToolCalled
from counterpoint.runtime.attempt import Attempt
from counterpoint.sandbox.frames import Call
from counterpoint.tools.base import ToolContext, ToolError
from counterpoint.tools.registry import invoke, select


class _Ask(Struct, frozen=True):
    name: str
    input: dict[str, Any] = {}


UseTool = Callable[[str, dict[str, Any], Path], Awaitable[str]]
"""Carries out one tool call in a folder. Raises ToolError."""


async def use_tool(name: str, input: dict[str, Any], folder: Path) -> str:
    """Calls the tool of this name."""
    (tool,) = select([name])
    return await invoke(tool, input, ToolContext(root=folder))


class ScriptTools:
    """The tool calls of one attempt's script."""

    def __init__(self, attempt: Attempt, group: asyncio.TaskGroup, use: UseTool) -> None:
        self._attempt = attempt
        self._group = group
        self._use = use

    def call(self, call: Call) -> None:
        """Answers ``counterpoint.tool(name, input)``: from the record, or by calling the tool now."""
        asked = msgspec.json.decode(call.arg, type=_Ask)
        key = self._attempt.identities.call("tool", asked.name, asked.input)
        answered = self._attempt.replay.effect(key)
        if answered is not None:
            self._attempt.answer_recorded(call.id, key, answered)
        else:
            self._group.create_task(self._run(call, key, asked))

    async def _run(self, call: Call, key: str, asked: _Ask) -> None:
        started = time.monotonic()
        journal = self._attempt.journal
        try:
            text = await self._use(asked.name, asked.input, self._attempt.cwd)
        except (ToolError, HookError) as error:
            fault = Fault("ToolError", str(error), call.line, call.column)
            recorded = self._attempt.emit(ToolCalled(key, asked.name, None, fault, time.monotonic() - started))
            self._attempt.answer(call.id, key, recorded, error=HookError("ToolError", str(error)))
        else:
            value = journal.value(msgspec.json.encode(text))
            recorded = self._attempt.emit(ToolCalled(key, asked.name, value, None, time.monotonic() - started))
            self._attempt.answer(call.id, key, recorded, value)
