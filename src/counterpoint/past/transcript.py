"""One conversation as Claude Code keeps it, line by line: what was said, used and consumed, in our words."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from msgspec import Raw, Struct

from counterpoint.events import NO_USAGE, Usage
from counterpoint.models.messages import AssistantTurn, Message, ToolCall, ToolResult, ToolTurn, UserTurn
from counterpoint.past.files import decoded, lines
from counterpoint.text import one_line

NOTHING = Raw(b"null")
TELLING = ("file_path", "path", "command", "pattern", "url", "query", "description", "prompt")
"""Members of a tool's input that say in a few words what it was called for."""


class _Line(Struct, rename="camel"):
    type: str = ""
    timestamp: datetime.datetime | None = None
    cwd: str | None = None
    session_id: str | None = None
    is_meta: bool | None = None
    message: Raw = NOTHING


class _Usage(Struct):
    input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    output_tokens: int | None = 0


class _Block(Struct):
    type: str = ""
    text: str | None = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: Any = None
    is_error: bool | None = False


class _Said(Struct):
    content: str | list[_Block] = ""
    id: str | None = ""
    model: str | None = ""
    usage: _Usage | None = None


@dataclass(slots=True)
class Used:
    """One tool call that ended."""

    at: float
    tool: str
    summary: str
    ok: bool
    seconds: float


@dataclass(slots=True)
class Spoken:
    """What one conversation holds. Times are in seconds since the epoch; None where no line had one."""

    messages: list[tuple[float, Message]] = field(default_factory=list[tuple[float, Message]])
    used: list[Used] = field(default_factory=list[Used])
    usage: Usage = NO_USAGE
    """Its price is unknown."""
    model: str = ""
    cwd: str = ""
    session: str = ""
    begin: float | None = None
    end: float = 0.0

    @property
    def prompt(self) -> str:
        """What was asked first."""
        return next((message.text for _, message in self.messages if isinstance(message, UserTurn)), "")

    @property
    def answer(self) -> str:
        """What was said last."""
        turns = (message.text for _, message in reversed(self.messages) if isinstance(message, AssistantTurn))
        return next((text for text in turns if text), "")


def read_transcript(path: Path) -> Spoken:
    """Reads a transcript. Blocking. Raises ImportRefusedError with file and line."""
    reader = _Reader()
    for number, line in lines(path, _Line):
        if line.type in ("user", "assistant") and not line.is_meta:
            reader.take(line, decoded(path, number, line.message, _Said))
    reader.spoken.usage = _total(reader.usages) if reader.usages else NO_USAGE
    return reader.spoken


class _Reader:
    """Puts lines together: an answer comes in several, one a block, each with the usage so far under one id."""

    def __init__(self) -> None:
        self.spoken = Spoken()
        self.usages: dict[str, _Usage] = {}
        self._last_id = ""
        self._open: dict[str, tuple[float, str, str]] = {}
        """Tool calls without a result: when, which, what for."""

    def take(self, line: _Line, said: _Said) -> None:
        spoken = self.spoken
        at = line.timestamp.timestamp() if line.timestamp is not None else spoken.end
        spoken.begin = at if spoken.begin is None else spoken.begin
        spoken.end = max(spoken.end, at)
        spoken.cwd, spoken.session = spoken.cwd or line.cwd or "", spoken.session or line.session_id or ""
        blocks = [_Block(type="text", text=said.content)] if isinstance(said.content, str) else said.content
        if line.type == "assistant":
            self._answered(spoken.end, said, blocks)
        else:
            self._heard(spoken.end, blocks)

    def _answered(self, at: float, said: _Said, blocks: list[_Block]) -> None:
        self.spoken.model = said.model or self.spoken.model
        message_id = said.id or f"line {len(self.usages)}"
        if said.usage is not None:
            self.usages[message_id] = said.usage
        text = "".join(block.text or "" for block in blocks if block.type == "text")
        calls = [ToolCall(block.id, block.name, _object(block.input)) for block in blocks if block.type == "tool_use"]
        for call in calls:
            self._open[call.id] = (at, call.name, _summary(call.input))
        last = self.spoken.messages[-1][1] if self.spoken.messages else None
        if isinstance(last, AssistantTurn) and message_id == self._last_id:
            together = AssistantTurn(last.text + text, [*last.calls, *calls])
            self.spoken.messages[-1] = (at, together)
        elif text or calls:
            self.spoken.messages.append((at, AssistantTurn(text, calls)))
        self._last_id = message_id

    def _heard(self, at: float, blocks: list[_Block]) -> None:
        results: list[ToolResult] = []
        for block in blocks:
            if block.type == "tool_result":
                since, tool, summary = self._open.pop(block.tool_use_id, (at, "", ""))
                failed = bool(block.is_error)
                results.append(ToolResult(block.tool_use_id, tool, _shown(block.content), failed))
                self.spoken.used.append(Used(at, tool or "(unknown)", summary, not failed, max(0.0, at - since)))
        text = "\n".join(block.text or "" for block in blocks if block.type == "text")
        last = self.spoken.messages[-1][1] if self.spoken.messages else None
        if results and isinstance(last, ToolTurn):
            self.spoken.messages[-1] = (
                at,
                ToolTurn([*last.results, *results], "\n".join(filter(None, (last.text, text)))),
            )
        elif results:
            self.spoken.messages.append((at, ToolTurn(results, text)))
        elif text:
            self.spoken.messages.append((at, UserTurn(text)))


def _total(usages: dict[str, _Usage]) -> Usage:
    fresh = sum((usage.input_tokens or 0) + (usage.cache_creation_input_tokens or 0) for usage in usages.values())
    cached = sum(usage.cache_read_input_tokens or 0 for usage in usages.values())
    wrote = sum(usage.output_tokens or 0 for usage in usages.values())
    return Usage(fresh + cached, cached, wrote, len(usages), None)


def _object(given: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else None


def _summary(given: dict[str, Any] | None) -> str:
    telling = (given.get(name) for name in TELLING) if given else ()
    return next((one_line(text, 100) for text in telling if isinstance(text, str) and text), "")


def _shown(content: Any) -> str:
    """A tool's answer as text; pictures and the like are only named."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for each in cast("list[Any]", content):
        part = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        text = part.get("text")
        parts.append(text if isinstance(text, str) else f"[{part.get('type', 'something')} that is not shown]")
    return "\n".join(parts)
