"""``counterpoint.tool``: one tool call of the script, without a model, journaled."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from msgspec import Struct

from counterpoint.errors import HookError
from counterpoint.events import Fault, ToolCalled
from counterpoint.runtime.attempt import Attempt
from counterpoint.sandbox.frames import Call
from counterpoint.tools.base import ToolContext, ToolError
from counterpoint.tools.registry import select


class _Ask(Struct, frozen=True):
    name: str
    input: dict[str, Any] = {}


class ScriptTools:
    """The tool calls of one attempt's script."""

    def __init__(self, attempt: Attempt, group: asyncio.TaskGroup) -> None:
        self._attempt = attempt
        self._group = group

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
            text = await self._use(asked)
        except (ToolError, HookError) as error:
            fault = Fault("ToolError", str(error), call.line, call.column)
            recorded = self._attempt.emit(ToolCalled(key, asked.name, None, fault, time.monotonic() - started))
            self._attempt.answer(call.id, key, recorded, error=HookError("ToolError", str(error)))
        else:
            value = journal.value(msgspec.json.encode(text))
            recorded = self._attempt.emit(ToolCalled(key, asked.name, value, None, time.monotonic() - started))
            self._attempt.answer(call.id, key, recorded, value)

    async def _use(self, asked: _Ask) -> str:
        (tool,) = select([asked.name], [])
        return await tool.call(asked.input, ToolContext(root=self._attempt.cwd))
