"""One session as Codex keeps it (``rollout-….jsonl``): what was said, used and consumed, in our words."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from counterpoint.events import Usage
from counterpoint.models.messages import AssistantTurn, ToolCall, ToolResult, ToolTurn, UserTurn
from counterpoint.past.files import decoded, lines
from counterpoint.past.transcript import NOTHING, Spoken, Used
from counterpoint.text import one_line

TOLD = ("<environment_context>", "<user_instructions>", "<permissions", "<INSTRUCTIONS>", "# AGENTS.md instructions")
"""How texts in the place of the user begin that Codex has put there itself."""


class _Line(Struct):
    timestamp: datetime.datetime | None = None
    type: str = ""
    payload: Raw = NOTHING


class _Meta(Struct):
    id: str = ""
    cwd: str = ""


class _Context(Struct):
    model: str = ""
    cwd: str = ""


class _Tokens(Struct):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


class _Info(Struct):
    total_token_usage: _Tokens | None = None


class _Notice(Struct):
    type: str = ""
    info: _Info | None = None


class _Item(Struct):
    type: str = ""
    role: str = ""
    content: Any = None
    name: str = ""
    arguments: Any = None
    input: Any = None
    """Of a custom tool, such as apply_patch: a text."""
    action: dict[str, Any] | None = None
    """Of a local shell call."""
    call_id: str | None = ""
    output: Any = None


def is_rollout(path: Path) -> bool:
    """Whether a file begins as such a session does. Blocking. Raises ImportRefusedError."""
    return next((line.type == "session_meta" for _, line in lines(path, _Line)), False)


def read_rollout(path: Path) -> Spoken:
    """Reads a session. Blocking. Raises ImportRefusedError with file and line."""
    reader = _Reader()
    for number, line in lines(path, _Line):
        at = line.timestamp.timestamp() if line.timestamp is not None else reader.spoken.end
        match line.type:
            case "session_meta":
                reader.began(decoded(path, number, line.payload, _Meta))
            case "turn_context":
                model = decoded(path, number, line.payload, _Context).model
                reader.spoken.model = f"openai:{model}" if model else reader.spoken.model
            case "response_item":
                reader.take(at, decoded(path, number, line.payload, _Item))
            case "event_msg":
                reader.notice(decoded(path, number, line.payload, _Notice))
            case _:
                continue
    return reader.spoken


class _Reader:
    def __init__(self) -> None:
        self.spoken = Spoken()
        self._requests = 0
        self._open: dict[str, tuple[float, str, str]] = {}
        """Tool calls without a result: when, which, what for."""

    def began(self, meta: _Meta) -> None:
        """The first one says whose session it is: a fork has those of its ancestors behind it."""
        self.spoken.session, self.spoken.cwd = self.spoken.session or meta.id, self.spoken.cwd or meta.cwd

    def notice(self, said: _Notice) -> None:
        """Each request is followed by what all of them have used so far."""
        used = said.info.total_token_usage if said.info is not None else None
        if used is not None:
            self._requests += 1
            self.spoken.usage = Usage(
                used.input_tokens, used.cached_input_tokens, used.output_tokens, self._requests, None
            )

    def take(self, at: float, item: _Item) -> None:
        spoken = self.spoken
        spoken.begin = at if spoken.begin is None else spoken.begin
        spoken.end = at = max(spoken.end, at)
        match item.type:
            case "message":
                self._said(at, item.role, _text(item.content))
            case "function_call" | "custom_tool_call" | "local_shell_call":
                self._called(at, item)
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                self._answered(at, item)
            case _:
                pass  # reasoning is encrypted, and a search by the provider has no text

    def _said(self, at: float, role: str, text: str) -> None:
        if role == "assistant" and text:
            self.spoken.messages.append((at, AssistantTurn(text)))
        elif role == "user" and text and not text.lstrip().startswith(TOLD):
            self.spoken.messages.append((at, UserTurn(text)))

    def _called(self, at: float, item: _Item) -> None:
        given = _object(item.action if item.arguments is None else item.arguments)
        given = {"input": item.input} if given is None and isinstance(item.input, str) else given
        name, call_id = item.name or "shell", item.call_id or f"call {len(self._open)}"
        self._open[call_id] = (at, name, _summary(given))
        call = ToolCall(call_id, name, given, "" if given is not None else str(item.arguments or ""))
        messages = self.spoken.messages
        last = messages[-1][1] if messages else None
        if isinstance(last, AssistantTurn):
            messages[-1] = (at, AssistantTurn(last.text, [*last.calls, call]))
        else:
            messages.append((at, AssistantTurn("", [call])))

    def _answered(self, at: float, item: _Item) -> None:
        call_id = item.call_id or ""
        since, tool, summary = self._open.pop(call_id, (at, "", ""))
        text, failed = _output(item.output)
        result = ToolResult(call_id, tool, text, failed)
        self.spoken.used.append(Used(at, tool or "(unknown)", summary, not failed, max(0.0, at - since)))
        messages = self.spoken.messages
        last = messages[-1][1] if messages else None
        if isinstance(last, ToolTurn):
            messages[-1] = (at, ToolTurn([*last.results, result], last.text))
        else:
            messages.append((at, ToolTurn([result])))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _object(given: Any) -> dict[str, Any] | None:
    """The arguments of a call: an object, or a text that holds one."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None
    return cast("dict[str, Any]", given) if isinstance(given, dict) else None


def _output(given: Any) -> tuple[str, bool]:
    """What a tool answered, and whether it failed: a text, or an object with the exit code of a command in it."""
    found = _object(given)
    if found is None:
        return (given if isinstance(given, str) else _text(given)), False
    meta = found.get("metadata")
    code = cast("dict[str, Any]", meta).get("exit_code") if isinstance(meta, dict) else None
    text = found.get("output", found.get("content"))
    shown = text if isinstance(text, str) else _text(text)
    failed = (isinstance(code, int) and code != 0) or found.get("success") is False
    return (f"{shown}\n[exit code {code}]" if isinstance(code, int) and code else shown), failed


def _summary(given: dict[str, Any] | None) -> str:
    """What a tool was called for, in a few words."""
    for name in ("command", "cmd", "path", "query", "input"):
        value = given.get(name) if given else None
        if isinstance(value, list):
            value = " ".join(str(part) for part in cast("list[Any]", value))
        if isinstance(value, str) and value:
            return one_line(value, 100)
    return ""
