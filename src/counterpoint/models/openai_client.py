"""OpenAI's client, its two calls that ask a model made without the client's own passes over request and answer.

Before it sends, the client walks through each message and tool for members that its types rename or reformat, and
afterwards through the answer to build it. In these calls nothing is renamed, and both walks together cost more than
everything else that a request costs here. So the request is encoded as it is, and the answer is built by validation
in one go; one that does not fit its type is built as the client would, for servers that leave things out.
"""

from __future__ import annotations

from typing import Any, cast

import httpx2
import msgspec
from openai import AsyncOpenAI, AsyncStream, BaseModel, NotGiven, Omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import ValidationError

SECURITY = {"bearer_auth": True}


class Client(AsyncOpenAI):
    """To be used as the client is; for what is asked once an agent."""

    @property
    def chat(self) -> AsyncChat:
        return _Chat(self)

    @property
    def responses(self) -> AsyncResponses:
        return _Responses(self)


class _Chat(AsyncChat):
    @property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(self, **params: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (all are passed on)
        chunks = AsyncStream[ChatCompletionChunk]
        return await _asked(self._client, "/chat/completions", ChatCompletion, chunks, **params)


class _Responses(AsyncResponses):
    async def create(self, **params: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (all are passed on)
        return await _asked(self._client, "/responses", Response, AsyncStream[ResponseStreamEvent], **params)


async def _asked(
    client: AsyncOpenAI,
    path: str,
    kind: type[BaseModel],
    pieces: type[AsyncStream[Any]],
    *,
    stream: bool | Omit | None = None,
    extra_headers: Any = None,
    extra_body: Any = None,
    **members: Any,
) -> Any:
    """The answer, of that kind; with `stream`, in those pieces. Raises what the client raises."""
    timeout = members.pop("timeout", None)
    body = {name: value for name, value in members.items() if not isinstance(value, Omit | NotGiven)}
    options: Any = {"headers": extra_headers or {}, "security": SECURITY}
    if not isinstance(timeout, NotGiven | None):
        options["timeout"] = timeout
    if stream is True:
        body["stream"] = True
    content = msgspec.json.encode({**body, **(extra_body or {})})
    if stream is True:
        return await client.post(path, content=content, cast_to=kind, options=options, stream=True, stream_cls=pieces)
    return _built(await client.post(path, content=content, cast_to=httpx2.Response, options=options), kind)


def _built(response: httpx2.Response, kind: type[BaseModel]) -> Any:
    """The answer as an object; where it is no object, as it is."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        pass
    try:
        data = response.json()
    except ValueError:
        return response.text
    return kind.construct(**cast("dict[str, Any]", data)) if isinstance(data, dict) else data
