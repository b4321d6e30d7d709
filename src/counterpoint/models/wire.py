"""Between our words and those of pydantic-ai, whose model layer speaks each provider's protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_ai.messages import (
    CachePoint,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from counterpoint.events import Usage
from counterpoint.models import searching
from counterpoint.models.messages import (
    NOTHING,
    Answer,
    AssistantTurn,
    Message,
    Request,
    ToolCall,
    ToolSpec,
    ToolTurn,
    UserTurn,
)

CHARS_PER_TOKEN = 4
MOST_UNLISTED = 1000
_unlisted: set[tuple[str | None, str | None, str | None]] = set()
"""Models, by name, provider and address, that are not in the list of prices: looking through all of it takes long."""
_responses = TypeAdapter(ModelResponse)
MOST_FORMS = 128
_form = msgspec.json.Encoder()
_form_of = msgspec.json.Decoder(tuple[list[ToolSpec], bool, dict[str, Any] | None])
"""What `parameters` follow from."""
_object_of = msgspec.json.Decoder(dict[str, Any])

STOPS: dict[str, Literal["end", "length", "refusal"]] = {"length": "length", "content_filter": "refusal"}


# --- what is asked ---------------------------------------------------------------------------------------------------


def conversation(request: Request, schema_in_prompt: bool = False) -> list[ModelMessage]:
    """The messages of a request. `schema_in_prompt` is for servers that may not show their model the schema."""
    system = request.system
    if schema_in_prompt and request.schema is not None:
        system += f"\n\nThe schema:\n{msgspec.json.encode(request.schema).decode()}"
    messages = [_message(message) for message in request.messages]
    first = messages[0] if messages else None
    if isinstance(first, ModelRequest):
        first.parts = [SystemPromptPart(system), *_cached(first.parts, request.shared_chars)]
    else:
        messages.insert(0, ModelRequest([SystemPromptPart(system)]))
    return messages


def _cached(parts: Sequence[ModelRequestPart], shared: int) -> list[ModelRequestPart]:
    """The first turn with a breakpoint behind what other agents' prompts begin with too, for caches that want one."""
    match list(parts):
        case [UserPromptPart(content=str(text)), *rest] if 0 < shared < len(text):
            return [UserPromptPart([text[:shared], CachePoint(), text[shared:]]), *rest]
        case others:
            return others


def _message(message: Message) -> ModelMessage:
    match message:
        case UserTurn():
            return ModelRequest([UserPromptPart(message.text)])
        case ToolTurn():
            return ModelRequest(list(_results(message)))
        case AssistantTurn():
            return _own_form(message) or ModelResponse(list(_said(message)))


def _results(turn: ToolTurn) -> Iterable[ModelRequestPart]:
    for result in turn.results:
        yield ToolReturnPart(
            result.name, result.content, result.id, outcome="failed" if result.error else "success"
        )  # fmt: skip
    if turn.text:
        yield UserPromptPart(turn.text)


def _own_form(turn: AssistantTurn) -> ModelResponse | None:
    """The answer as the provider gave it; None where it is not kept, or in a form of another release."""
    try:
        return _responses.validate_json(bytes(turn.opaque)) if bytes(turn.opaque) else None
    except ValidationError:
        return None


def _said(turn: AssistantTurn) -> Iterable[ModelResponsePart]:
    if turn.text:
        yield TextPart(turn.text)
    for call in turn.calls:
        yield ToolCallPart(call.name, call.raw if call.input is None else call.input, call.id)


def parameters(request: Request, *, native: bool) -> ModelRequestParameters:
    """The tools and the form of the answer. `native`: the provider is to enforce the schema.

    For equal requests it is the same object, not to be changed: what a model makes of it needs be made only once.
    """
    return _parameters(_form.encode((request.tools, request.must_call, request.schema if native else None)))


@lru_cache(maxsize=MOST_FORMS)
def _parameters(form: bytes) -> ModelRequestParameters:
    specs, must_call, schema = _form_of.decode(form)
    tools = [_tool(spec) for spec in specs]
    if must_call:
        # As output tools: where forcing a call would keep the model from thinking, the library leaves it free.
        return ModelRequestParameters(output_tools=tools, output_mode="tool", allow_text_output=False)
    if schema is not None:
        answer = OutputObjectDefinition(json_schema=schema, name="answer")
        return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=answer)
    return ModelRequestParameters(function_tools=tools)


def _tool(spec: ToolSpec) -> ToolDefinition:
    return ToolDefinition(name=spec.name, description=spec.description, parameters_json_schema=spec.schema)


# --- what came back --------------------------------------------------------------------------------------------------


def answer(response: ModelResponse, provider: str, asked: str) -> Answer:
    """An answer in our words; of the model `asked`, where it does not say of which."""
    calls = [_call(part) for part in response.parts if isinstance(part, ToolCallPart)]
    text = _text(response.parts)
    stop = STOPS.get(response.finish_reason or "")
    if stop == "refusal":
        text = text or str((response.provider_details or {}).get("refusal", ""))
    return Answer(
        text=text,
        calls=calls,
        usage=_usage(response, text, calls),
        model=f"{provider}:{response.model_name or asked}",
        stop=stop or ("tools" if calls else "end"),
        opaque=_opaque(response),
        searches=searching.made(response),
        sources=searching.sources(response),
    )


def _text(parts: Iterable[ModelResponsePart]) -> str:
    """The text parts; those that something stands between are paragraphs of their own."""
    paragraphs: list[str] = []
    joined = False
    for part in parts:
        if isinstance(part, TextPart) and joined:
            paragraphs[-1] += part.content
        elif isinstance(part, TextPart):
            paragraphs.append(part.content)
        joined = isinstance(part, TextPart)
    return "\n\n".join(filter(None, paragraphs))


class Telling:
    """Tells the text of an answer as it arrives. Put together, what it tells is the answer's text (`_text`)."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._begun = self._apart = False
        """Whether there was text, and whether something else came after it."""

    def hear(self, event: ModelResponseStreamEvent) -> None:
        """Takes one event of the stream."""
        match event:
            case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                self._say(text)
            case PartStartEvent():
                self._apart = self._begun
            case _:
                pass

    def _say(self, text: str) -> None:
        if text:
            self._tell(f"\n\n{text}" if self._apart else text)
            self._begun, self._apart = True, False


def _call(part: ToolCallPart) -> ToolCall:
    """The call; arguments that are no JSON object are kept as they came."""
    given = part.args
    if given is None or given == "":
        return ToolCall(part.tool_call_id, part.tool_name, {})
    if isinstance(given, dict):
        return ToolCall(part.tool_call_id, part.tool_name, given)
    try:
        return ToolCall(part.tool_call_id, part.tool_name, _object_of.decode(given))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ToolCall(part.tool_call_id, part.tool_name, None, given)


def _opaque(response: ModelResponse) -> msgspec.Raw:
    """The provider's own form, where ours does not hold all of it: reasoning, signatures, ids of items."""
    plain = all(
        isinstance(part, TextPart | ToolCallPart) and not part.provider_details for part in response.parts
    )  # fmt: skip
    return NOTHING if plain else msgspec.Raw(_responses.dump_json(response))


def _usage(response: ModelResponse, text: str, calls: list[ToolCall]) -> Usage:
    """What the request consumed. A server that does not count is estimated: a ceiling must not see nothing."""
    used = response.usage
    if not (used.input_tokens or used.output_tokens):
        wrote = len(text) + sum(len(msgspec.json.encode(call)) for call in calls)
        return Usage(0, 0, wrote // CHARS_PER_TOKEN + 1, 1, None)
    return Usage(
        max(0, used.input_tokens),
        max(0, used.cache_read_tokens),
        max(0, used.output_tokens),
        1,
        _money(response, used),
    )


def _money(response: ModelResponse, used: RequestUsage) -> float | None:
    """What it cost in US dollars; None where the price is unknown."""
    if used.cost is not None:
        return float(used.cost)
    asked = (response.model_name, response.provider_name, response.provider_url)
    if asked in _unlisted:
        return None
    try:
        return float(response.cost().total_price)
    except LookupError:
        if len(_unlisted) < MOST_UNLISTED:
            _unlisted.add(asked)
        return None
    except (ValueError, AssertionError):
        return None
