"""OpenAI's client, its two calls that ask a model made without the client's own passes over request and answer.

Before it sends, the client walks through each message and tool for members that its types rename or reformat, and
afterwards through the answer to build it; it makes address, headers and options anew each time. In these calls nothing
is renamed, and all that together cost several times what the request itself costs. So the request is encoded as it is,
and the answer is built by validation in one go; one that does not fit its type is built as the client would, for
servers that leave things out. Streams go the client's way.
"""

from __future__ import annotations

from typing import Any, cast

import httpx2
import msgspec
from openai import APIStatusError, AsyncOpenAI, BaseModel, NotGiven, Omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import ValidationError

PATHS = ("chat/completions", "responses")


class Client(AsyncOpenAI):
    """To be used as the client is, with a fixed key. `http` repeats nothing, and neither does this."""

    def __init__(self, *, http_client: httpx2.AsyncClient, **options: Any) -> None:
        super().__init__(http_client=http_client, **options)
        self.http = http_client
        place = str(self.base_url).rstrip("/")
        self.addresses = {path: httpx2.URL(f"{place}/{path}") for path in PATHS}
        own = {**self.default_headers, **self.auth_headers}
        self.headers = httpx2.Headers(http_client.headers)
        self.headers.update({name: value for name, value in own.items() if isinstance(value, str)})

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
        if params.get("stream") is True:
            return await super().create(**params)  # pyright: ignore[reportUnknownVariableType]  (which of its overloads)
        return await _asked(cast("Client", self._client), "chat/completions", ChatCompletion, **params)


class _Responses(AsyncResponses):
    async def create(self, **params: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (all are passed on)
        if params.get("stream") is True:
            return await super().create(**params)  # pyright: ignore[reportUnknownVariableType]  (which of its overloads)
        return await _asked(cast("Client", self._client), "responses", Response, **params)


async def _asked(
    client: Client,
    path: str,
    kind: type[BaseModel],
    *,
    extra_headers: Any = None,
    extra_body: Any = None,
    **members: Any,
) -> Any:
    """The answer, of that kind. Raises APIStatusError for a status that is none, and what the transport raises."""
    limits = members.pop("timeout", None)
    limits = httpx2.Timeout(limits) if isinstance(limits, int | float) else client.http.timeout
    body = {name: value for name, value in members.items() if not isinstance(value, Omit | NotGiven)}
    headers = client.headers.copy()
    headers.update(extra_headers or {})
    request = httpx2.Request(
        "POST",
        client.addresses[path],
        headers=headers,
        content=msgspec.json.encode({**body, **(extra_body or {})}),
        extensions={"timeout": limits.as_dict()},
    )
    response = await client.http.send(request)
    if response.status_code >= 400:
        raise _refusal(response)
    return _built(response, kind)


def _refusal(response: httpx2.Response) -> APIStatusError:
    """What the client raises for such an answer."""
    members = _members(response)
    said: Any = response.text if members is None else members.get("error", members)
    words: Any = cast("dict[str, Any]", said).get("message") if isinstance(said, dict) else None
    message = f"Error code: {response.status_code}" + (f" - {words}" if isinstance(words, str) else "")
    return APIStatusError(message, response=response, body=cast("object", said))


def _built(response: httpx2.Response, kind: type[BaseModel]) -> Any:
    """The answer as an object; its text where it is none, which the caller finds wrong."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        members = _members(response)
        return response.text if members is None else kind.construct(_fields_set=None, **members)


def _members(response: httpx2.Response) -> dict[str, Any] | None:
    """Those of the body; None where it is no JSON object."""
    try:
        body = response.json()
    except ValueError:
        return None
    return cast("dict[str, Any]", body) if isinstance(body, dict) else None
