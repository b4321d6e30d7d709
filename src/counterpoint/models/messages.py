"""The words between an agent and a model, free of any vendor's. Transcripts are made of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from msgspec import Raw, Struct, field

from counterpoint.events import Usage

NOTHING = Raw(b"")
"""Where a provider has no form of its own. (Raw cannot be decoded beside None.)"""


class ToolSpec(Struct, frozen=True):
    """A tool as the model sees it. `schema` is the JSON Schema of its input, an object."""

    name: str
    description: str
    schema: dict[str, Any]


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """The model asks for a tool. `input` is None where its arguments were no JSON object; `raw` then has them."""

    id: str
    name: str
    input: dict[str, Any] | None = None
    raw: str = ""


class ToolResult(Struct, frozen=True, omit_defaults=True):
    """What a tool answered. `error` marks an answer that tells of a failure."""

    id: str
    name: str
    content: str
    error: bool = False


class UserTurn(Struct, frozen=True, tag="user"):
    """What the host says: the task, or a word in between."""

    text: str


class AssistantTurn(Struct, frozen=True, omit_defaults=True, tag="assistant"):
    """What the model said. `opaque` is the provider's own form of it (signed reasoning …), sent back as it came."""

    text: str
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    opaque: Raw = NOTHING
    usage: Usage | None = None
    """What the request cost, for an agent that is cut off before the journal has it."""


class ToolTurn(Struct, frozen=True, omit_defaults=True, tag="tools"):
    """The results of the last turn's tool calls, and what the host adds (steering, a request to mend)."""

    results: list[ToolResult]
    text: str = ""


Message = UserTurn | AssistantTurn | ToolTurn

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Search(Struct, frozen=True):
    """The provider's own web search, as a model may use it in one request; both lists name hosts, with those below."""

    allowed: list[str] = field(default_factory=list[str])
    """No others, where there are any."""
    blocked: list[str] = field(default_factory=list[str])
    most: int = 5
    """Searches, where the provider lets that be said."""


class Source(Struct, frozen=True, omit_defaults=True):
    """A page that a provider's search has found."""

    url: str
    title: str = ""


class Request(Struct, frozen=True):
    """One request to a model."""

    system: str
    messages: list[Message]
    tools: list[ToolSpec] = field(default_factory=list[ToolSpec])
    schema: dict[str, Any] | None = None
    """JSON Schema of the answer, for models whose `output` is ``native``: the answer's text is then JSON."""
    must_call: bool = False
    """Ask the provider to enforce that some tool is called, where it can."""
    effort: Effort | None = None
    max_tokens: int | None = None
    shared_chars: int = 0
    """So much of the first user turn's text begins the prompts of other agents too: worth a prefix cache."""
    search: Search | None = None
    """The model may search the web at its provider, if the provider can."""
    identity: str = ""
    """Key of the agent, for models that answer by it (``sim``) and for the provider's own logs."""
    label: str = ""
    """The agent's label, for models that a test has scripted."""
    heard: Callable[[], None] | None = None
    """To be called while the request waits for its turn, or its answer arrives: that is no stall."""
    told: Callable[[str], None] | None = None
    """Gets the answer's text piece by piece as it arrives, from models that can; put together, the pieces are the
    answer's text. Those of an attempt that fails are void."""


class Answer(Struct, frozen=True):
    """What came back. `model` is ``provider:name`` as the provider names it."""

    text: str
    calls: list[ToolCall]
    usage: Usage
    model: str
    stop: Literal["end", "tools", "length", "refusal"] = "end"
    opaque: Raw = NOTHING
    window: int = 0
    """Tokens of the context that the model was loaded with, where its server says so."""
    searches: int = 0
    """Of the web, by the provider."""
    sources: list[Source] = field(default_factory=list[Source])
    """What they found, and what the text refers to."""


Output = Literal["native", "tool", "alone"]
"""How a schema is taken: enforced by the provider (`Request.schema`), by a synthesized tool, or by the first only where
the agent has no tools of its own."""


class Model(Protocol):
    """A language model. `request` makes one attempt and raises ProviderError; retries are the limiter's."""

    @property
    def spec(self) -> str:
        """``provider:name``, as it was asked for."""
        ...

    @property
    def output(self) -> Output:
        """How it takes a schema."""
        ...

    @property
    def tools(self) -> bool:
        """Whether it can call tools."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether its answers are made up without a language model."""
        ...

    def cost(self, usage: Usage) -> float | None:
        """What that usage costs in US dollars; None where the price is unknown."""
        ...

    async def request(self, request: Request) -> Answer: ...
