"""One model of a provider through its library: a request out, an answer back, an error named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import msgspec
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from counterpoint.errors import CounterpointError, ProviderError
from counterpoint.models import searching, wire
from counterpoint.models.catalog import Provider
from counterpoint.models.faults import Faults, no_such_route
from counterpoint.models.messages import Answer, Effort, Request
from counterpoint.models.ollama import Loaded
from counterpoint.models.transport import STREAM_SILENCE_S, heard
from counterpoint.models.vendors import Wired

DIRECT_TOKENS = 16_384
"""Output tokens of an answer that comes in one piece. A longer one is streamed, so that it is seen to be coming."""
LONG_TOKENS = 64_000
"""Output tokens where much thought is asked for; it counts as output."""
MUCH_THOUGHT: frozenset[Effort] = frozenset({"high", "xhigh", "max"})
THINKING_TOKENS: dict[Effort, int] = {"low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 49_152}
"""For models that take a number of tokens to think with, in place of an effort."""
LEAST_THINKING = 1024
LONGEST_S = 3600.0
"""One request, come what may."""


class Exchange:
    """The way to one model. `wired`: by which protocols, the next where the server does not know the first one's."""

    def __init__(
        self, provider: Provider, name: str, wired: list[Wired], faults: Faults, loaded: Loaded | None = None
    ) -> None:
        """`loaded` knows with which context a server of one's own has loaded the model."""
        self._provider = provider
        self._name = name
        self._wired = wired
        self._faults = faults
        self._loaded = loaded

    @property
    def window(self) -> int | None:
        """Tokens of the model's context; None: unknown."""
        return (self._loaded and self._loaded.window) or self._wired[0].model.context_window

    @property
    def searches(self) -> bool:
        """Whether the provider searches the web for this model."""
        return searching.can_search(self._wired[0].model)

    async def ask(self, request: Request) -> Answer:
        """Makes one attempt. Raises ProviderError."""
        wired = self._wired[0]
        heard.set(request.heard)
        try:
            async with asyncio.timeout(LONGEST_S):
                answer = wire.answer(await self._response(wired, request), self._provider.name, self._name)
                return answer if self._loaded is None else await self._in_context(request, answer, self._loaded)
        except CounterpointError:
            raise
        except TimeoutError:
            raise ProviderError("timeout", f"There was no answer after {LONGEST_S:g} seconds.") from None
        except Exception as error:
            if not self._goes_on_after(wired, error):
                raise self._faults.of(error) from None
        return await self.ask(request)

    async def _in_context(self, request: Request, answer: Answer, loaded: Loaded) -> Answer:
        await loaded.check(request)
        return msgspec.structs.replace(answer, window=loaded.window)

    def _goes_on_after(self, wired: Wired, error: Exception) -> bool:
        """Whether another protocol is left to try."""
        if not no_such_route(error):
            return False
        if self._wired[0] is wired and len(self._wired) > 1:
            self._wired = self._wired[1:]
        return self._wired[0] is not wired

    async def _response(self, wired: Wired, request: Request) -> ModelResponse:
        profile = wired.model.profile
        native = self._provider.output != "tool" and bool(profile.get("supports_json_schema_output"))
        if wired.blunt and request.tools:
            native = False
        messages = wire.conversation(request, schema_in_prompt=wired.blunt or not native)
        parameters = wire.parameters(request, native=native)
        if request.search is not None:
            parameters = replace(parameters, native_tools=searching.offered(request.search, wired.model))
        settings = _claude_settings(profile, request) if wired.claude else _settings(request)
        settings |= searching.settings(request.search)
        if wired.claude and (request.told or settings.get("max_tokens", 0) > DIRECT_TOKENS):
            settings["timeout"] = STREAM_SILENCE_S
            return await _streamed(wired, messages, settings, parameters, request.told)
        if request.told:
            return await _streamed(wired, messages, settings, parameters, request.told)
        return await model_request(
            wired.model, messages, model_settings=settings, model_request_parameters=parameters, instrument=False
        )


async def _streamed(
    wired: Wired,
    messages: list[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
    told: Callable[[str], None] | None,
) -> ModelResponse:
    telling = wire.Telling(told or _nobody)
    async with model_request_stream(
        wired.model, messages, model_settings=settings, model_request_parameters=parameters, instrument=False
    ) as stream:
        async for event in stream:
            telling.hear(event)
        response = stream.get()
    # What the library itself says where the server gave no reason is "stop", as if the answer were whole.
    if not (response.provider_details or {}).get("finish_reason"):
        raise ProviderError("dropped", "The answer was cut off before its end.")
    return response


def _nobody(text: str) -> None:
    pass


def _settings(request: Request) -> ModelSettings:
    settings: ModelSettings = {}
    if request.max_tokens is not None:
        settings["max_tokens"] = request.max_tokens
    if request.effort is not None:
        settings["thinking"] = request.effort
    return settings


def _claude_settings(profile: Any, request: Request) -> ModelSettings:
    """Claude wants a limit, thinks by effort or by a number of tokens, and caches what it is told to."""
    effort = request.effort
    limit = request.max_tokens or (LONG_TOKENS if effort in MUCH_THOUGHT else DIRECT_TOKENS)
    goes_on = len(request.messages) > 1 or len(request.tools) > request.must_call
    settings: dict[str, Any] = {"max_tokens": limit, "cache": True if goes_on else {"messages": False}}
    if effort is not None and profile.get("anthropic_supports_adaptive_thinking"):
        settings["thinking"] = effort
    elif effort is not None and profile.get("supports_thinking") and limit >= 2 * LEAST_THINKING:
        budget = max(LEAST_THINKING, min(THINKING_TOKENS[effort], limit // 2))
        settings["anthropic_thinking"] = {"type": "enabled", "budget_tokens": budget}
    return cast("ModelSettings", settings)
