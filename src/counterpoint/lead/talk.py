"""A conversation of the lead with its model: questions, tools that only read, tools of its own, structured answers.

Unlike an agent's, it goes on: what was said stays, and each new word is added. What tools return is fenced data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from counterpoint.agents import output, prompts
from counterpoint.agents.calls import Caller
from counterpoint.errors import CounterpointError
from counterpoint.events import NO_USAGE, Fault, Usage
from counterpoint.models.limiter import Limiter
from counterpoint.models.messages import (
    Answer,
    AssistantTurn,
    Message,
    Model,
    Request,
    ToolCall,
    ToolResult,
    ToolSpec,
    ToolTurn,
    UserTurn,
)
from counterpoint.tools.base import ToolContext
from counterpoint.tools.registry import select
from counterpoint.tools.schema import problems

READING = ("Read", "Grep", "Glob", "LS")
NO_OBJECT = "$: the arguments are no JSON object"
MAX_REPAIRS = 2
MAX_TURNS = 24
LARGE = 400_000
"""Bytes of a conversation from which on old tool results are left out, but for those of the last RECENT messages."""
RECENT = 8
BROKEN = "broken off: this is no answer"
STRONGER = "Say more about the task, or give a stronger model with --lead."
MAX_HAND = 12_000
"""Characters of what one of the lead's own tools says."""


class LeadError(CounterpointError):
    """The lead's model could not do its part."""


class Voice(Protocol):
    """Who hears what the lead says while it says it."""

    def piece(self, text: str) -> None:
        """A piece of what it says; all of it at once, from a model that cannot stream."""
        ...

    def whole(self) -> None:
        """What was heard since the last time is all of it."""
        ...

    def void(self, why: str) -> None:
        """What was heard since the last time is not to be taken for an answer."""
        ...


@dataclass(slots=True)
class Line:
    """The way to the lead's model, and what was consumed on it."""

    model: Model
    limiter: Limiter
    retries: int = 4
    max_wait_s: float = 60.0
    on_retry: Callable[[Fault, float], None] = lambda fault, wait: None
    usage: Usage = NO_USAGE

    async def ask(self, request: Request) -> Answer:
        """One request. Raises ProviderError."""
        return await self._send(request, self.on_retry)

    async def ask_aloud(self, request: Request, voice: Voice) -> Answer:
        """The same, its text heard as it arrives. Whatever ends it before its end makes that void."""
        heard = False

        def told(text: str) -> None:
            nonlocal heard
            heard = True
            voice.piece(text)

        def again(fault: Fault, wait: float) -> None:
            nonlocal heard
            if heard:
                voice.void(BROKEN)
            heard = False
            self.on_retry(fault, wait)

        try:
            answer = await self._send(msgspec.structs.replace(request, told=told), again)
        except BaseException:
            if heard:
                voice.void(BROKEN)
            raise
        if answer.text and not heard:
            voice.piece(answer.text)
        return answer

    async def _send(self, request: Request, on_retry: Callable[[Fault, float], None]) -> Answer:
        answer = await self.limiter.send(
            self.model, request, retries=self.retries, max_wait_s=self.max_wait_s, on_retry=on_retry
        )
        self.usage = self.usage + answer.usage
        return answer


@dataclass(frozen=True, slots=True)
class Hand:
    """A tool of the lead's own. `use` gets input that fits the schema; a CounterpointError is told to the model."""

    spec: ToolSpec
    use: Callable[[dict[str, Any]], Awaitable[str]]


@dataclass(slots=True)
class Talk:
    """One conversation."""

    line: Line
    system: str
    cwd: Path
    hands: Mapping[str, Hand] = field(default_factory=dict[str, Hand])
    reads: bool = True
    """Whether the model has the tools that read files."""
    messages: list[Message] = field(default_factory=list[Message])
    record: Callable[[Message], None] = lambda message: None
    """Gets each message the moment it is said."""
    watch: Callable[[str], None] = lambda what: None
    """Is told, in a few words, what the lead does."""
    voice: Voice | None = None
    """Hears what the lead says outside of decisions."""

    async def say(self, text: str) -> str:
        """Says something and gives the answer. Raises ProviderError, LeadError."""
        self._shrink()
        self._add(UserTurn(text))
        for _ in range(MAX_TURNS):
            turn = await self._ask(None)
            if not turn.calls:
                return turn.text
            self._add(ToolTurn(await self._called(turn.calls)))
        raise LeadError(f"The lead did not come to an answer within {MAX_TURNS} requests.")

    async def decide(
        self, text: str, schema: dict[str, Any], wrong_with: Callable[[dict[str, Any]], Sequence[str]] = lambda _: ()
    ) -> dict[str, Any]:
        """Says something and gives an answer that fits the schema, and with which nothing else is wrong.

        Raises ProviderError, LeadError.
        """
        self._add(UserTurn(text))
        form = prompts.form(True, self.line.model.output, self.line.model.tools)
        repairs = 0
        for _ in range(MAX_TURNS):
            turn = await self._ask(schema)
            found = [call for call in turn.calls if call.name == prompts.OUTPUT_TOOL] if form == "tool" else []
            if turn.calls and not found:
                self._add(ToolTurn(await self._called(turn.calls)))
                continue
            value, wrong = _judge(schema, turn, found[0] if found else None)
            if value is not None and not wrong:
                wrong = wrong_with(value)
            if value is not None and not wrong:
                if turn.calls:
                    self._add(ToolTurn([ToolResult(call.id, call.name, "Received.") for call in turn.calls]))
                return value
            repairs += 1
            if repairs > MAX_REPAIRS:
                raise LeadError(
                    f"The lead's model ({self.line.model.spec}) gave no usable decision: {wrong[0].rstrip('.')}.",
                    hint=STRONGER,
                )
            self._mend(turn, wrong, form)
        raise LeadError(f"The lead did not come to a decision within {MAX_TURNS} requests.", hint=STRONGER)

    def _mend(self, turn: AssistantTurn, wrong: Sequence[str], form: prompts.Form) -> None:
        ask = prompts.mend(list(wrong), form) if form == "json" or turn.calls else prompts.NUDGE
        if turn.calls:
            self._add(ToolTurn([ToolResult(call.id, call.name, ask, True) for call in turn.calls]))
        else:
            self._add(UserTurn(ask))

    async def _ask(self, schema: dict[str, Any] | None) -> AssistantTurn:
        model = self.line.model
        form = prompts.form(schema is not None, model.output, model.tools)
        specs = [tool.spec for tool in self._tools()] + [hand.spec for hand in self.hands.values()]
        if schema is not None and form == "tool":
            specs.append(output.output_tool(schema))
        request = Request(
            system=self.system,
            messages=[*self.messages],
            tools=specs if model.tools else [],
            schema=schema if form == "json" else None,
            must_call=form == "tool" and len(specs) == 1,
            identity=f"lead\0{len(self.messages)}",
        )
        voice = self.voice if schema is None else None
        answer = await (self.line.ask(request) if voice is None else self.line.ask_aloud(request, voice))
        turn = AssistantTurn(answer.text, answer.calls, answer.opaque, answer.usage)
        if answer.stop != "refusal":
            self._add(turn)
        if voice is not None and answer.text:
            _end(voice, answer)
        if answer.stop == "refusal":
            raise LeadError(f"The lead's model declined: {answer.text[:300]}")
        return turn

    @property
    def context(self) -> int:
        """Tokens of the conversation, as its last request counted them."""
        turns = [message for message in self.messages if isinstance(message, AssistantTurn) and message.usage]
        return turns[-1].usage.input_tokens if turns and turns[-1].usage else 0

    def go_on(self) -> None:
        """Closes what was cut off (by an error, or by the user), so that more can be said."""
        for message in whole(self.messages)[len(self.messages) :]:
            self._add(message)

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.record(message)

    def _shrink(self) -> None:
        """Takes old tool results out of a conversation that has grown large; the record keeps them."""
        if size(self.messages) <= LARGE:
            return
        for n, message in enumerate(self.messages[:-RECENT]):
            if isinstance(message, ToolTurn):
                results = [msgspec.structs.replace(r, content=_head(r.content)) for r in message.results]
                self.messages[n] = msgspec.structs.replace(message, results=results)

    # --- tools -------------------------------------------------------------------------------------------------------

    def _tools(self) -> list[Any]:
        return select(READING) if self.reads and self.line.model.tools else []

    async def _called(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        context = ToolContext(self.cwd, "lead")
        caller = Caller(self._tools(), context, f"lead\0{len(self.messages)}", self._tool_ended)
        return [
            await self._own(self.hands[call.name], call) if call.name in self.hands else (await caller.run([call]))[0]
            for call in calls
        ]

    def _tool_ended(self, name: str, summary: str, ok: bool, seconds: float) -> None:
        self.watch(f"{name} {summary}".strip())

    async def _own(self, hand: Hand, call: ToolCall) -> ToolResult:
        wrong = (
            problems(hand.spec.schema, call.input) if call.input is not None else ["the arguments are no JSON object"]
        )
        if wrong:
            return ToolResult(call.id, call.name, f"The input is wrong: {'; '.join(wrong)}.", True)
        try:
            said = await hand.use(call.input or {})
        except CounterpointError as error:
            hint = f" ({error.hint})" if error.hint else ""
            return ToolResult(call.id, call.name, f"{error.message}{hint}"[:MAX_HAND], True)
        return ToolResult(call.id, call.name, said[:MAX_HAND])


def _end(voice: Voice, answer: Answer) -> None:
    match answer.stop:
        case "refusal":
            voice.void("the model declined")
        case "length":
            voice.void("cut at the model's limit: this is not the whole answer")
        case _:
            voice.whole()


def whole(messages: Sequence[Message]) -> list[Message]:
    """A conversation that a crash may have cut, so that it can go on: calls without results get some."""
    kept = list(messages)
    last = kept[-1] if kept else None
    if isinstance(last, AssistantTurn) and last.calls:
        lost = "This was cut off; whether it took effect is unknown."
        kept.append(ToolTurn([ToolResult(call.id, call.name, lost, True) for call in last.calls]))
        last = kept[-1]
    if isinstance(last, (UserTurn, ToolTurn)):
        kept.append(AssistantTurn("(I was cut off before I answered.)"))
    return kept


def _judge(
    schema: dict[str, Any], turn: AssistantTurn, call: ToolCall | None
) -> tuple[dict[str, Any] | None, Sequence[str]]:
    """The structured answer, and what is wrong with it."""
    if call is not None:
        value: Any = call.input
        return (
            (None, ["$: the arguments are no JSON object"]) if value is None else (value, output.misfits(schema, value))
        )
    try:
        value = output.parse(turn.text)
    except output.NoJsonError as error:
        return None, [f"$: {error}"]
    return value, output.misfits(schema, value)


def _head(content: str) -> str:
    return content if len(content) <= 400 else f"{content[:300]}\n[left out to keep the conversation small; ask again]"


def size(messages: Sequence[Message]) -> int:
    """Bytes of a conversation."""
    return len(msgspec.json.encode(list(messages)))
