"""The conversation as rows that outlive the process, and back again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from counterpoint.agents.compact import Compacted, Row
from counterpoint.agents.prompts import CONTINUE
from counterpoint.models.messages import NOTHING, AssistantTurn, ToolCall, ToolTurn, UserTurn

M = TypeVar("M", UserTurn, AssistantTurn, ToolTurn, Compacted)

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Row)


def row(message: M) -> tuple[M, bytes]:
    """The message as it is kept, and its row.

    Halves of surrogate pairs, which no encoding takes, become ``?``; arguments nested beyond measure count as no JSON.
    """
    try:
        return message, _encode(message)
    except RecursionError:
        kept = _without_inputs(message)
    except UnicodeEncodeError:
        kept = _encodable(message)
    return kept, _encode(kept)


def _without_inputs(message: M) -> M:
    if not isinstance(message, AssistantTurn):
        raise TypeError("Only the arguments of tool calls can be nested.")
    calls = [ToolCall(call.id, call.name, None, "(nested too deeply)") for call in message.calls]
    return msgspec.structs.replace(message, calls=calls)


def _encodable(message: M) -> M:
    opaque = message.opaque if isinstance(message, AssistantTurn) else NOTHING
    plain = msgspec.structs.replace(message, opaque=NOTHING) if opaque is not NOTHING else message
    text = json.dumps(msgspec.to_builtins(plain), ensure_ascii=False).encode("utf-8", "replace")
    kept = msgspec.json.decode(text, type=type(message))
    return msgspec.structs.replace(kept, opaque=opaque) if opaque is not NOTHING else kept


def resume_point(rows: Iterable[bytes]) -> list[Row]:
    """The conversation that transcript rows hold, as far as it is whole: the `history` for `run_agent`."""
    messages: list[Row] = []
    for body in rows:
        try:
            message = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        if isinstance(message, ToolTurn) != pending(messages):
            break  # a row is missing, or rows of two attempts are mixed
        messages.append(message)
    return messages


def latest(rows: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """The newest conversation in an agent's rows, which hold those of all its attempts in the order of writing.

    A message whose number is there already begins that part anew.
    """
    newest: list[bytes] = []
    for n, body in rows:
        del newest[n:]
        newest.append(body)
    return newest


def pending(messages: Sequence[Row]) -> bool:
    """Whether the conversation ends with tool calls that have no results yet."""
    last = messages[-1] if messages else None
    return isinstance(last, AssistantTurn) and bool(last.calls)


def unfinished(messages: Sequence[Row]) -> str:
    """The first part of an answer that was cut and is being continued."""
    asked = [n for n, message in enumerate(messages) if isinstance(message, UserTurn)]
    before = messages[asked[-1] - 1] if asked and messages[asked[-1]] == UserTurn(CONTINUE) else None
    return before.text if isinstance(before, AssistantTurn) else ""
