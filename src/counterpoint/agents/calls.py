"""The tool calls of one turn, carried out: side by side, results in order, and never an exception for the loop."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from counterpoint.agents import prompts
from counterpoint.errors import nearest
from counterpoint.models.messages import ToolCall, ToolResult
from counterpoint.tools.base import Tool, ToolContext, ToolError
from counterpoint.tools.registry import ABSENT, invoke

AT_ONCE = 8
MAX_RESULT = 150_000
"""Characters of one result, whatever the tool's own limit."""
SUMMARY = 120
TELLING = ("command", "file_path", "pattern", "path", "query", "url", "skill", "name", "bash_id", "shell_id")
"""What of an input says what a call is about; a call without any of it is shown as it is."""

Ended = Callable[[str, str, bool, float], None]
"""Is told name, summary, whether it went well, and seconds."""


class Caller:
    """Carries out what one agent calls: its own tools and no others, whatever it asks for."""

    def __init__(self, tools: Sequence[Tool], context: ToolContext, salt: str, ended: Ended) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._context = context
        self._salt = salt
        self._ended = ended
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, calls: Sequence[ToolCall], *, interrupted: bool = False) -> list[ToolResult]:
        """The results, in the order of the calls.

        With `interrupted`, the calls were already under way when an earlier attempt ended: what only reads is done
        again, anything else is not.
        """
        if len(calls) == 1 or not self.only_read(calls):
            return [await self._one(call, interrupted) for call in calls]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(call, interrupted)) for call in calls]
        return [task.result() for task in tasks]

    def only_read(self, calls: Sequence[ToolCall]) -> bool:
        """Whether none of the calls changes anything."""
        return all(self._only_reads(call) for call in calls)

    def _only_reads(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.name)
        return tool is None or tool.read_only

    async def _one(self, call: ToolCall, interrupted: bool) -> ToolResult:
        started = time.monotonic()
        async with self._room:
            try:
                if interrupted and not self._only_reads(call):
                    raise ToolError(prompts.INTERRUPTED)
                content, error = self._fenced(call, await self._content(call)), False
            except ToolError as wrong:
                content, error = _capped(wrong.message), True
        self._ended(call.name, summary(call), not error, time.monotonic() - started)
        return ToolResult(call.id, call.name, content, error)

    async def _content(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            known = sorted(self._tools)
            there = f"Your tools are {', '.join(known)}." if known else "You have no tools."
            if call.name in ABSENT:
                raise ToolError(f"{ABSENT[call.name]} {there}")
            raise ToolError(f"You have no tool {call.name!r}{nearest(call.name, known)} {there}")
        if call.input is None:
            raise ToolError(f"The arguments are no JSON object: {call.raw[:200]}")
        try:
            return await invoke(tool, call.input, self._context)
        except ToolError:
            raise
        except Exception as error:
            # A tool's bug is the agent's to work around, and not the end of a run of hundreds of others.
            raise ToolError(f"{call.name} failed unexpectedly: {type(error).__name__}: {error}") from error

    def _fenced(self, call: ToolCall, content: str) -> str:
        """Between marks whose number nobody can foresee who wrote the content, so that it cannot end them itself."""
        seed = f"{self._salt}\0{call.id}\0{content}".encode("utf-8", "replace")
        mark = hashlib.blake2b(seed, digest_size=5).hexdigest()
        return f'<tool-output id="{mark}">\n{_capped(content)}\n</tool-output id="{mark}">'


def _capped(content: str) -> str:
    over = len(content) - MAX_RESULT
    return content if over <= 0 else f"{content[:MAX_RESULT]}\n[… {over:,} more characters are left out; ask for less.]"


def summary(call: ToolCall) -> str:
    """The call in a few words, for those who watch."""
    given = call.input or {}
    named = [given[name][:SUMMARY] for name in TELLING if isinstance(given.get(name), str)]
    words = " ".join(named or [f"{name}={_brief(value)}" for name, value in given.items()])
    return " ".join(words.split())[:SUMMARY]


def _brief(value: Any) -> str:
    return f"[{len(value)}]" if isinstance(value, list | dict) else str(value)[:SUMMARY]  # pyright: ignore[reportUnknownArgumentType]  (untyped JSON)
