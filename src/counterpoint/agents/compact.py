"""A conversation that has grown too long for its model: what of it is still sent, and what is not.

Pure. The transcript keeps every message; a `Compacted` row between them says from where on the model is sent less. What
it is sent follows from the rows alone (`sent`), so an agent that is taken up again goes on with just that. What holds:
the task stands at the beginning, what people said stays word for word, and no tool call is without its results.

First go old tool results, which costs nothing; where that is not enough, older messages make room for notes that the
model makes of them; and what a single turn brought too much of is cut.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from counterpoint.agents import prompts
from counterpoint.events import Usage
from counterpoint.models.messages import AssistantTurn, Message, ToolResult, ToolTurn, UserTurn

FULL = 0.75
"""Part of the window at which room is made: the rest is for the answer, and for what a count of ours misses."""
ROOM = 0.5
"""Part of the window that a conversation may fill after that, so that it is not at its end again at once."""
BYTES_PER_TOKEN = 3
"""Of text, at least: an estimate must not be smaller than what the provider will count."""
RECENT = 3
"""Turns of tools whose results stay whole where old results are left out."""
SMALL = 600
"""Characters of a result that is not worth leaving out."""
LEAST = 400
"""Characters of a result that say something: fewer are not sent."""
NOTES_TOKENS = 8192
"""Output tokens of the notes, the model's thinking included."""
LEAST_NOTES_TOKENS = 512
_CUTS = (6000, 1500, 300)
"""Characters of one part of what notes are made of, tried in turn until all of it fits."""
_STATED = re.compile(
    r"> ([\d,]+)(?: maximum|, decrease)|maximum (?:context|prompt) length (?:is|of) ([\d,]+)|context size \(([\d,]+)"
    r"|number of tokens allowed \(([\d,]+)|([\d,]+) maximum context",
    re.IGNORECASE,
)
MOST_STATED = 100_000_000


class Compacted(Struct, frozen=True, omit_defaults=True, tag="compacted"):
    """The conversation up to this row was shortened, for the model alone. Token counts of ours are estimates."""

    note: str = ""
    """What happened here, for people."""
    text: str = ""
    """The notes that stand for the messages that are left out."""
    since: int = 0
    """Row from which on messages are sent; of those before it only the first is. 0: all are."""
    cleared: int = 0
    """Results before that row are left out, but for small ones."""
    most: int = 0
    """Characters to which the results after that are cut; 0: they are whole."""
    dropped: int = 0
    """Messages that are left out now and were not before."""
    lessened: int = 0
    """Results that are left out or cut now and were not before."""
    before: int = 0
    """Tokens of the conversation before."""
    after: int = 0
    """And after."""
    cause: Literal["window", "provider"] = "window"
    """It came near the model's window; or the provider refused it for its length."""
    usage: Usage | None = None
    """What the notes cost; None: none were needed."""


Row = Message | Compacted


# --- what is sent ----------------------------------------------------------------------------------------------------


def sent(rows: Sequence[Row]) -> list[Message]:
    """The conversation as the model gets it."""
    messages, last = [message for _, message in _kept(rows)], _last(rows)
    if last.since and isinstance(messages[0], UserTurn):
        messages[0] = UserTurn(f"{messages[0].text}\n\n{_carried(last, rows[1 : last.since])}")
    return messages


def _kept(rows: Sequence[Row]) -> list[tuple[int, Message]]:
    """The messages that are not left out, each with its row and as far as it is sent."""
    kept: list[tuple[int, Message]] = []
    for n, row in enumerate(rows):
        if isinstance(row, Compacted):
            kept = [(k, _lessened(message, k, row)) for k, message in kept if k == 0 or k >= row.since]
        else:
            kept.append((n, row))
    return kept


def _lessened(message: Message, n: int, mark: Compacted) -> Message:
    if not isinstance(message, ToolTurn):
        return message
    results = [_lessened_result(result, n < mark.cleared, mark.most) for result in message.results]
    return msgspec.structs.replace(message, results=results)


def _lessened_result(result: ToolResult, cleared: bool, most: int) -> ToolResult:
    size = len(result.content)
    if cleared and size > SMALL:
        content = f"[A result of {size:,} characters, left out to make room. Call {result.name} again if you need it.]"
    elif most and size > most:
        head, tail = result.content[: most * 3 // 4], result.content[size - most // 4 :]
        gone = f"[… {size - most:,} characters do not fit into your context: ask for less at once. …]"
        content = f"{head}\n{gone}\n{tail}"
    else:
        return result
    return msgspec.structs.replace(result, content=content)


def _carried(mark: Compacted, dropped: Sequence[Row]) -> str:
    """What stands for the messages that are left out."""
    count = sum(not isinstance(row, Compacted) for row in dropped)
    parts = [prompts.COMPACTED.format(count=count), _fenced("notes", mark.text)]
    said = _steering(dropped)
    if said:
        parts.append("\n\n".join([prompts.STILL_HOLDS, *said]))
    todo = _todo(dropped)
    return "\n\n".join([*parts, f"{prompts.TODO}\n{todo}"] if todo else parts)


def _fenced(name: str, text: str) -> str:
    """Between marks that the text cannot end by itself."""
    mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=5).hexdigest()
    return f'<{name} id="{mark}">\n{text}\n</{name} id="{mark}">'


def _steering(rows: Iterable[Row]) -> list[str]:
    """What people said in these messages: it is the end of a turn's text, but for the words at the last turn."""
    found: list[str] = []
    for row in rows:
        text = row.text if isinstance(row, UserTurn | ToolTurn) else ""
        _, mark, said = f"\n\n{text}".partition(f"\n\n{prompts.STEERED}")  # a paragraph: nothing that is quoted is one
        if mark:
            found.append(f"{prompts.STEERED}{said}".removesuffix(prompts.LAST_TURN).rstrip())
    return found


def _todo(rows: Sequence[Row]) -> str:
    """The agent's list of what is to be done, as it stood at the end of these messages."""
    results = (result for row in reversed(rows) if isinstance(row, ToolTurn) for result in reversed(row.results))
    return next((result.content for result in results if result.name == "TodoWrite" and not result.error), "")


# --- how much that is ------------------------------------------------------------------------------------------------


def tokens(rows: Sequence[Row], fixed: int) -> int:
    """Tokens of the next request: by the provider's last count where it has counted, and an estimate of the rest.

    `fixed` are those of the system prompt and the tools.
    """
    for n in range(len(rows) - 1, -1, -1):
        row = rows[n]
        if isinstance(row, Compacted):
            return row.after + estimated(rows[n + 1 :])
        if isinstance(row, AssistantTurn) and row.usage is not None and row.usage.input_tokens:
            return row.usage.input_tokens + row.usage.output_tokens + estimated(rows[n + 1 :])
    return fixed + estimated(rows)


def accepted(rows: Sequence[Row]) -> int:
    """Tokens of the last request that the provider has taken; 0: it has not counted."""
    usages = (row.usage for row in reversed(rows) if isinstance(row, AssistantTurn))
    return next((usage.input_tokens for usage in usages if usage is not None), 0)


def estimated(rows: Iterable[Row]) -> int:
    """Tokens of these messages, from above."""
    return sum(map(_weight, rows))


def _weight(row: Row) -> int:
    match row:
        case UserTurn(text=text):
            size = _bytes(text)
        case AssistantTurn():
            calls = sum(len(msgspec.json.encode(call)) for call in row.calls)
            size = max(len(bytes(row.opaque)), _bytes(row.text) + calls)
        case ToolTurn():
            size = _bytes(row.text) + sum(_bytes(result.content) + 40 for result in row.results)
        case Compacted():
            size = 0
    return size // BYTES_PER_TOKEN + 8


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def window_in(message: str) -> int | None:
    """The window that a provider names where it refuses a conversation for its length."""
    found = _STATED.search(message)
    if found is None:
        return None
    size = int(next(filter(None, found.groups())).replace(",", "") or 0)
    return size if 0 < size <= MOST_STATED else None


# --- what is left out ------------------------------------------------------------------------------------------------


def cleared(rows: Sequence[Row], room: int, fixed: int) -> Compacted | None:
    """Leaves out old results; None where that does not bring the conversation down to `room` tokens."""
    turns = [n for n, row in enumerate(rows) if isinstance(row, ToolTurn)]
    mark = _last(rows)
    before = max(mark.cleared, turns[-RECENT] if len(turns) >= RECENT else 0)
    gone = _large(rows, max(mark.since, mark.cleared), before, SMALL)
    mark = msgspec.structs.replace(mark, cleared=before, most=0, dropped=0, lessened=gone, usage=None)
    after = fixed + estimated(sent([*rows, mark]))
    return msgspec.structs.replace(mark, after=after) if gone and after <= room else None


def shortened(rows: Sequence[Row], room: int, fixed: int) -> Compacted | None:
    """Leaves out older messages, for which notes are still to be made, so that `room` tokens are enough.

    Where the last turn alone is too much its results are cut. None where nothing helps: the task, or what the model
    said last, is too long by itself.
    """
    old = _last(rows)
    answers = [n for n, row in enumerate(rows) if isinstance(row, AssistantTurn) and n > max(0, old.since)]
    notes = notes_tokens(room)

    def fits(since: int) -> bool:
        return fixed + notes + estimated(sent([*rows, _leaving_out(rows, old, since, 0)])) <= room

    least = bisect_left(answers, True, key=fits)
    if least < len(answers):
        return _leaving_out(rows, old, answers[least], 0)
    last = answers[-1] if answers else old.since
    most = _longest_results(rows, old, last, room - fixed - notes)
    return None if not last or most is None else _leaving_out(rows, old, last, most)


def _leaving_out(rows: Sequence[Row], old: Compacted, since: int, most: int) -> Compacted:
    dropped = [row for row in rows[max(1, old.since) : since] if not isinstance(row, Compacted)]
    return Compacted(
        text=old.text,
        since=since if dropped else old.since,
        cleared=old.cleared,
        most=most,
        dropped=len(dropped),
        lessened=_large(rows, since, len(rows), most) if most else 0,
    )


def _longest_results(rows: Sequence[Row], old: Compacted, last: int, room: int) -> int | None:
    """Characters that each result of the last turn may have; None where that is too little to say something."""
    count = sum(len(row.results) for row in rows[last:] if isinstance(row, ToolTurn))
    bare = [msgspec.structs.replace(row, results=[]) if isinstance(row, ToolTurn) else row for row in rows]
    left = room - estimated(sent([*bare, _leaving_out(rows, old, last, 0)]))
    most = left * BYTES_PER_TOKEN // count - 200 if count else 0
    return most if most >= LEAST else None


def _large(rows: Sequence[Row], start: int, end: int, most: int) -> int:
    turns = (row for row in rows[start:end] if isinstance(row, ToolTurn))
    return sum(len(result.content) > most for turn in turns for result in turn.results)


def _last(rows: Sequence[Row]) -> Compacted:
    return next((row for row in reversed(rows) if isinstance(row, Compacted)), Compacted())


def described(mark: Compacted) -> Compacted:
    """The mark with the sentence for people."""
    why = {"window": "came near the model's context", "provider": "was refused for its length"}[mark.cause]
    what = [
        f"{_counted(mark.dropped, 'older message')} replaced by the notes below" if mark.dropped else "",
        f"{_counted(mark.lessened, 'tool result')} {'cut' if mark.most else 'left out'}" if mark.lessened else "",
    ]
    note = (
        f"The conversation {why}: {mark.before:,} tokens. For the model {' and '.join(filter(None, what))} "
        f"from here on: about {mark.after:,} tokens."
    )
    return msgspec.structs.replace(mark, note=note)


def _counted(count: int, name: str) -> str:
    return f"{count} {name} is" if count == 1 else f"{count} {name}s are"


# --- what notes are made of ------------------------------------------------------------------------------------------


def notes_tokens(room: int) -> int:
    """Output tokens that the notes may take where `room` tokens are all there is."""
    return max(LEAST_NOTES_TOKENS, min(NOTES_TOKENS, room // 4))


def material(rows: Sequence[Row], mark: Compacted, room: int) -> str:
    """What the model makes notes of, in at most `room` tokens: the messages that `mark` leaves out, and older notes."""
    old, first = _last(rows), rows[0]
    dropped = [message for n, message in _kept(rows) if 0 < n < mark.since]
    most = room * BYTES_PER_TOKEN
    text = ""
    for cut in _CUTS:
        task = _cut(first.text if isinstance(first, UserTurn) else "", cut * 2)
        parts = [f"The task:\n{_fenced('task', task)}"]
        if old.text:
            parts.append(f"Your notes so far:\n{_fenced('notes', old.text)}")
        said = "\n".join(line for message in dropped for line in _told(message, cut))
        parts.append(f"The conversation since:\n{_fenced('conversation', said)}\n\n{prompts.MAKE_NOTES}")
        text = "\n\n".join(parts)
        if len(text) <= most:
            return text
    return f"{_cut(text, max(0, most - len(prompts.MAKE_NOTES)))}\n\n{prompts.MAKE_NOTES}"


def _told(message: Message, cut: int) -> Iterable[str]:
    match message:
        case UserTurn(text=text):
            yield f"[host] {_cut(text, cut)}"
        case AssistantTurn():
            if message.text:
                yield f"[you] {_cut(message.text, cut)}"
            for call in message.calls:
                given = msgspec.json.encode(call.input).decode() if call.input is not None else call.raw
                yield f"[you call {call.name}] {_cut(given, cut)}"
        case ToolTurn():
            for result in message.results:
                yield f"[{result.name} {'failed' if result.error else 'gave'}] {_cut(result.content, cut)}"
            if message.text:
                yield f"[host] {_cut(message.text, cut)}"


def _cut(text: str, most: int) -> str:
    over = len(text) - most
    return text if over <= 0 else f"{text[: most * 2 // 3]}\n[… {over:,} characters …]\n{text[len(text) - most // 3 :]}"
