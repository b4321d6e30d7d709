"""Where models can be had: each provider's keys, address, library, and how it takes a schema. No library is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.models.messages import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One kind of place where models are."""

    name: str
    example: str
    """What `--model` takes for it."""
    default: str = ""
    """The model of a run that names none, where this provider's key is there; empty: it is never taken unasked."""
    keys: tuple[str, ...] = ()
    """Environment variables of which the first that is set holds the key."""
    keyless: bool = False
    """Whether it may do without a key of ours (a server of one's own; credentials that its library finds)."""
    needs: tuple[str, ...] = ()
    """Environment variables of which one must be set besides."""
    address: str = ""
    """Where it is, unless told otherwise; empty: its library knows, or it has to be said."""
    address_variable: str = ""
    """Environment variable that says where it is."""
    must_say_where: bool = False
    extra: str = "providers"
    """What to install for it."""
    modules: tuple[str, ...] = ()
    """What of that must be importable."""
    output: Output = "tool"
    """How it takes a schema: by a tool, where its own way does not work for every schema."""
    searches: bool = False
    """Whether it can search the web for (some of) its models."""
    prices: str | None = None
    """Its name in the list of prices; None: what it costs is unknown."""

    def key(self, environ: Mapping[str, str]) -> str:
        """The key, or empty."""
        return next((environ[name].strip() for name in self.keys if environ.get(name, "").strip()), "")


_CLAUDE = ("pydantic_ai", "anthropic", "aiohttp")
_OPENAI = ("pydantic_ai", "openai", "aiohttp")

PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(name="sim", example="sim", keyless=True, extra=""),
        Provider(name="local", example="local", keyless=True, extra="local", modules=("xllamacpp",), output="native"),
        Provider(
            name="anthropic",
            example="anthropic:claude-sonnet-5-5",
            default="anthropic:claude-sonnet-5-5",
            keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
            address="https://api.anthropic.com",
            address_variable="ANTHROPIC_BASE_URL",
            modules=_CLAUDE,
            prices="anthropic",
            searches=True,
        ),
        Provider(
            name="openai",
            example="openai:gpt-6.1-terra",
            default="openai:gpt-6.1-terra",
            keys=("OPENAI_API_KEY",),
            address="https://api.openai.com/v1",
            address_variable="OPENAI_BASE_URL",
            modules=_OPENAI,
            output="native",
            prices="openai",
            searches=True,
        ),
        Provider(
            name="google",
            example="google:gemini-3.8-flash",
            default="google:gemini-3.8-flash",
            keys=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            extra="google",
            modules=("pydantic_ai", "google.genai", "aiohttp"),
            prices="google",
            searches=True,
        ),
        Provider(
            name="openrouter",
            example="openrouter:anthropic/claude-sonnet-5.5",
            default="openrouter:anthropic/claude-sonnet-5.5",
            keys=("OPENROUTER_API_KEY",),
            address="https://openrouter.ai/api/v1",
            modules=_OPENAI,
            prices="openrouter",
            searches=True,
        ),
        Provider(
            name="mistral",
            example="mistral:mistral-medium-latest",
            default="mistral:mistral-medium-latest",
            keys=("MISTRAL_API_KEY",),
            address="https://api.mistral.ai",
            extra="mistral",
            modules=("pydantic_ai", "mistralai", "aiohttp"),
            prices="mistral",
        ),
        Provider(
            name="deepseek",
            example="deepseek:deepseek-flash",
            default="deepseek:deepseek-flash",
            keys=("DEEPSEEK_API_KEY",),
            address="https://api.deepseek.com",
            modules=_OPENAI,
            prices="deepseek",
        ),
        Provider(
            name="groq",
            example="groq:openai/gpt-oss-120b",
            default="groq:openai/gpt-oss-120b",
            keys=("GROQ_API_KEY",),
            address="https://api.groq.com/openai/v1",
            modules=_OPENAI,
            prices="groq",
        ),
        Provider(
            name="openai-compatible",
            example="openai-compatible:NAME --base-url URL",
            keys=("OPENAI_COMPATIBLE_API_KEY",),
            keyless=True,
            must_say_where=True,
            modules=_OPENAI,
            output="alone",
        ),
        Provider(
            name="ollama",
            example="ollama:gpt-oss:20b",
            keys=("OLLAMA_API_KEY",),
            keyless=True,
            address="http://127.0.0.1:11434/v1",
            address_variable="OLLAMA_BASE_URL",
            modules=_OPENAI,
            output="alone",
        ),
        Provider(
            name="bedrock",
            example="bedrock:global.anthropic.claude-sonnet-5-5",
            keys=("AWS_BEARER_TOKEN_BEDROCK",),
            keyless=True,
            extra="bedrock",
            modules=(*_CLAUDE, "boto3"),
            prices="aws",
        ),
        Provider(
            name="vertex",
            example="vertex:gemini-3.8-flash",
            keyless=True,
            needs=("GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID"),
            extra="google",
            modules=(*_CLAUDE, "google.genai", "google.auth"),
            prices="google",
            searches=True,
        ),
        Provider(
            name="foundry",
            example="foundry:claude-sonnet-5-5 --base-url https://RESOURCE.services.ai.azure.com/anthropic",
            keys=("ANTHROPIC_FOUNDRY_API_KEY", "AZURE_OPENAI_API_KEY"),
            address_variable="ANTHROPIC_FOUNDRY_BASE_URL",
            must_say_where=True,
            modules=(*_CLAUDE, "openai"),
            prices="azure",
        ),
        Provider(
            name="azure",
            example="azure:DEPLOYMENT --base-url https://RESOURCE.openai.azure.com/openai/v1",
            keys=("AZURE_OPENAI_API_KEY",),
            address_variable="AZURE_OPENAI_ENDPOINT",
            must_say_where=True,
            modules=_OPENAI,
            prices="azure",
        ),
    )
}
