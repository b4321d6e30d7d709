"""One function a provider: a model's name → pydantic-ai's model for it, over our transport.

Each imports its libraries when it is called, so that no more than what is used is loaded. None lets a library repeat a
request: that is the limiter's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from pydantic_ai.models import Model, ModelRequestParameters

from counterpoint.models.catalog import Provider
from counterpoint.models.transport import SILENCE_S
from counterpoint.models.wire import MOST_FORMS

NO_KEY = "none"
"""Goes out where a library insists on a key and the server needs none."""


@dataclass(frozen=True, slots=True)
class Access:
    """What is needed to reach a provider."""

    provider: Provider
    address: str
    """Empty: the provider's library knows it."""
    given: bool
    """Whether the address is not the vendor's own."""
    key: str
    environ: Mapping[str, str]
    http: httpx2.AsyncClient


@dataclass(frozen=True, slots=True)
class Wired:
    """A model by one protocol."""

    model: Model[Any]
    claude: bool = False
    """It is one of Anthropic's, by their own protocol."""
    blunt: bool = False
    """The server may enforce a schema without showing it to the model, even where the model should call a tool."""


class _Customized:
    """What a model makes of a request's tools and schemas for its provider, made once for equal ones."""

    def __init__(self, model: Model[Any]) -> None:
        self._make = model.customize_request_parameters
        self._made: dict[int, tuple[ModelRequestParameters, ModelRequestParameters]] = {}
        """By the identity of what it was made of, which is kept beside it so that it stays the only one with that."""

    def __call__(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        known = self._made.get(id(model_request_parameters))
        if known is not None:
            return known[1]
        made = self._make(model_request_parameters)
        if len(self._made) >= MOST_FORMS:
            self._made.pop(next(iter(self._made)))
        self._made[id(model_request_parameters)] = model_request_parameters, made
        return made


def wire(access: Access, name: str) -> list[Wired]:
    """The ways to the model `name`, the best first. Raises what the provider's library does."""
    ways = _ways(access, name)
    for way in ways:
        way.model.customize_request_parameters = _Customized(way.model)
    return ways


def _ways(access: Access, name: str) -> list[Wired]:
    match access.provider.name:
        case "anthropic":
            return _anthropic(access, name)
        case "openai":
            return _openai(access, name)
        case "google":
            return _google(access, name)
        case "mistral":
            return _mistral(access, name)
        case "bedrock":
            return _bedrock(access, name)
        case "vertex":
            return _vertex(access, name)
        case "foundry" if "claude" in name:
            return _foundry(access, name)
        case "foundry" | "azure":
            return _azure(access, name)
        case _:
            return _openai_protocol(access, name)


# --- Anthropic's protocol --------------------------------------------------------------------------------------------


def _claude(client: Any, name: str) -> list[Wired]:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return [Wired(AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client)), claude=True)]


def _common(access: Access) -> dict[str, Any]:
    return {"http_client": access.http, "max_retries": 0, "timeout": SILENCE_S}


def _anthropic(access: Access, name: str) -> list[Wired]:
    from anthropic import AsyncAnthropic

    token = not access.environ.get("ANTHROPIC_API_KEY")
    credential = {"auth_token": access.key} if token else {"api_key": access.key}
    # Servers that speak this protocol know the key by the header that it had from the start.
    headers = {"x-api-key": access.key} if access.given and not token else None
    client = AsyncAnthropic(
        **credential,  # pyright: ignore[reportArgumentType]  (one of two parameters of type str)
        base_url=access.address,
        default_headers=headers,
        open_telemetry=False,
        **_common(access),
    )
    return _claude(client, name)


def _foundry(access: Access, name: str) -> list[Wired]:
    from anthropic import AsyncAnthropicFoundry

    client = AsyncAnthropicFoundry(base_url=access.address, api_key=access.key, open_telemetry=False, **_common(access))
    return _claude(client, name)


def _bedrock(access: Access, name: str) -> list[Wired]:
    if "anthropic." not in name:
        return _bedrock_converse(access, name)
    from anthropic.lib.bedrock import AsyncAnthropicBedrock

    client = AsyncAnthropicBedrock(
        api_key=access.key or None,
        base_url=access.address or None,
        aws_access_key=access.environ.get("AWS_ACCESS_KEY_ID") if not access.key else None,
        aws_secret_key=access.environ.get("AWS_SECRET_ACCESS_KEY") if not access.key else None,
        aws_session_token=access.environ.get("AWS_SESSION_TOKEN") if not access.key else None,
        open_telemetry=False,
        **_common(access),
    )
    return _claude(client, name)


def _bedrock_converse(access: Access, name: str) -> list[Wired]:
    """Through boto3, in threads: it is the only one that signs for these models."""
    import boto3  # pyright: ignore[reportMissingTypeStubs]  (it has none)
    from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]  (nor has this)
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    config = Config(retries={"total_max_attempts": 1}, read_timeout=SILENCE_S, max_pool_connections=64)
    client = cast("Any", boto3).client("bedrock-runtime", endpoint_url=access.address or None, config=config)
    return [Wired(BedrockConverseModel(name, provider=BedrockProvider(bedrock_client=client)))]


def _vertex(access: Access, name: str) -> list[Wired]:
    project = next(filter(None, (access.environ.get(name) for name in access.provider.needs)), "")
    region = access.environ.get("GOOGLE_CLOUD_LOCATION") or access.environ.get("CLOUD_ML_REGION") or "global"
    if "claude" not in name:
        return _vertex_gemini(access, name, project, region)
    from anthropic.lib.vertex import AsyncAnthropicVertex

    client = AsyncAnthropicVertex(
        project_id=project, region=region, base_url=access.address or None, open_telemetry=False, **_common(access)
    )
    return _claude(client, name)


# --- Google's protocol -----------------------------------------------------------------------------------------------


def _vertex_gemini(access: Access, name: str, project: str, region: str) -> list[Wired]:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google_cloud import GoogleCloudProvider

    provider = GoogleCloudProvider(
        project=project, location=region, base_url=access.address or None, http_client=access.http
    )
    return [Wired(GoogleModel(name, provider=provider))]


def _google(access: Access, name: str) -> list[Wired]:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(api_key=access.key, base_url=access.address or None, http_client=access.http)
    return [Wired(GoogleModel(name, provider=provider))]


# --- OpenAI's protocol, and those near it ----------------------------------------------------------------------------


def _openai_client(access: Access, headers: dict[str, str] | None = None) -> Any:
    from counterpoint.models.openai_client import Client

    return Client(api_key=access.key or NO_KEY, base_url=access.address, default_headers=headers, **_common(access))


def _openai(access: Access, name: str) -> list[Wired]:
    """Responses, which keeps reasoning between turns; at an address of one's own, else, Chat Completions."""
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=_openai_client(access))
    # Nothing has to be kept at the vendor: the conversation is in our journal.
    responses = OpenAIResponsesModel(name, provider=provider, settings=OpenAIResponsesModelSettings(openai_store=False))
    chat = [OpenAIChatModel(name, provider=provider)] if access.given else []
    return [Wired(responses), *map(Wired, chat)]


def _openai_protocol(access: Access, name: str) -> list[Wired]:
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.models.openrouter import OpenRouterModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.deepseek import DeepSeekProvider
    from pydantic_ai.providers.ollama import OllamaProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
    from pydantic_ai.providers.openrouter import OpenRouterProvider

    client = _openai_client(access)
    match access.provider.name:
        case "openrouter":
            return [Wired(OpenRouterModel(name, provider=OpenRouterProvider(openai_client=client)))]
        case "deepseek":
            return [Wired(OpenAIChatModel(name, provider=DeepSeekProvider(openai_client=client)))]
        case "ollama":
            return [Wired(OllamaModel(name, provider=OllamaProvider(openai_client=client)), blunt=True)]
        case other:
            # The older name of the limit is the one that every such server knows.
            profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
            provider = OpenAICompatibleProvider(other, openai_client=client, profile=profile)
            return [Wired(OpenAIChatModel(name, provider=provider), blunt=other == "openai-compatible")]


def _azure(access: Access, name: str) -> list[Wired]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.azure import AzureProvider

    provider = AzureProvider(
        azure_endpoint=access.address,
        api_version=access.environ.get("OPENAI_API_VERSION"),
        api_key=access.key,
        http_client=access.http,
    )
    provider.client.max_retries = 0
    return [Wired(OpenAIChatModel(name, provider=provider))]


def _mistral(access: Access, name: str) -> list[Wired]:
    from pydantic_ai.models.mistral import MistralModel
    from pydantic_ai.providers.mistral import MistralProvider

    provider = MistralProvider(api_key=access.key, base_url=access.address, http_client=access.http)
    return [Wired(MistralModel(name, provider=provider))]
