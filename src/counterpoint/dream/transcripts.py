"""The texts of a run that can be quoted, each with its place: what people asked and said, and what agents exchanged.

A place is an event's number, or an agent and the number of a message of its transcript. The text of a place is always
made in the same way, so that an anchor which was made years ago can be compared with it.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from counterpoint.events import GateAnswered, Recorded, RequestDelivered, RunCreated, Value
from counterpoint.memory.entries import Evidence
from counterpoint.models.messages import AssistantTurn, Message, ToolTurn, UserTurn
from counterpoint.store.reader import JournalReader

MAX_TEXT = 400_000
"""Characters of one message that are looked at; more is no conversation."""

_decoder = msgspec.json.Decoder(Message)


def decode_message(body: bytes) -> Message | None:
    """The message of a transcript row; None: of another release, or damaged."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def message_text(message: Message) -> str:
    """The text of a message, with the calls of an assistant and the results of tools in it."""
    match message:
        case UserTurn(text=text):
            parts = [text]
        case AssistantTurn(text=text, calls=calls):
            parts = [text, *(f"[{call.name}] {_arguments(call.input, call.raw)}" for call in calls)]
        case ToolTurn(results=results, text=text):
            parts = [*(f"[{result.name}]\n{result.content}" for result in results), text]
    return "\n".join(part for part in parts if part)[:MAX_TEXT]


def _arguments(value: dict[str, Any] | None, raw: str) -> str:
    return raw if value is None else msgspec.json.encode(value).decode("utf-8", "replace")


async def event_text(recorded: Recorded, reader: JournalReader) -> str:
    """What a person said by an event: the arguments of the run, a word in between, an answer. Empty for others."""
    match recorded.event:
        case RunCreated(args=Value() as args):
            return plain(msgspec.json.decode(await reader.value(args)))[:MAX_TEXT]
        case RequestDelivered(text=text, verb="steer"):
            return text[:MAX_TEXT]
        case GateAnswered(answer=Value() as answer, by=by) if by:
            return plain(msgspec.json.decode(await reader.value(answer)))[:MAX_TEXT]
        case _:
            return ""


def plain(value: Any, path: str = "") -> str:
    """The texts inside of a JSON value, a line each with where it stands; a bare text as it is."""
    match value:
        case str():
            return f"{path}: {value}" if path else value
        case dict():
            members = cast("dict[str, Any]", value).items()
            lines = [plain(each, f"{path}.{name}" if path else name) for name, each in members]
        case list():
            lines = [plain(each, f"{path}[{n}]") for n, each in enumerate(cast("list[Any]", value))]
        case _:
            return f"{path}: {value}" if path else str(value)
    return "\n".join(line for line in lines if line)


async def anchored_text(reader: JournalReader, anchor: Evidence) -> str | None:
    """The text that an anchor points into, as the journal has it now; None: there is no such place."""
    if not anchor.session_id:
        for recorded in await reader.read(anchor.seq - 1):
            return await event_text(recorded, reader) if recorded.seq == anchor.seq else None
        return None
    rows = await reader.transcript(anchor.session_id)
    if not 0 <= anchor.seq < len(rows):
        return None
    message = decode_message(rows[anchor.seq][2])
    return message_text(message) if message is not None else None
