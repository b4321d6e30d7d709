"""``provider:name`` → a model. Providers' libraries are imported when the first model of theirs is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.errors import MissingKeyError, UnknownModelError, nearest
from counterpoint.models.limiter import Limiter, Watcher
from counterpoint.models.messages import Model
from counterpoint.models.sim import SimModel
from counterpoint.settings import Settings


@dataclass(frozen=True, slots=True)
class Provider:
    """One kind of place where models are."""

    name: str
    keys: tuple[str, ...]
    """Environment variables of which one must hold the key; none: it needs no key of ours."""
    extra: str
    """What to install for it."""
    example: str


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("sim", (), "", "sim"),
        Provider("local", (), "local", "local"),
        Provider("anthropic", ("ANTHROPIC_API_KEY",), "providers", "anthropic:claude-sonnet-5"),
        Provider("openai", ("OPENAI_API_KEY",), "providers", "openai:gpt-5"),
        Provider("openai-compatible", (), "providers", "openai-compatible:NAME --base-url URL"),
        Provider("google", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "google", "google:gemini-3-pro"),
        Provider("vertex", (), "google", "vertex:gemini-3-pro"),
        Provider("bedrock", (), "bedrock", "bedrock:anthropic.claude-sonnet-5"),
        Provider("foundry", ("AZURE_OPENAI_API_KEY",), "providers", "foundry:gpt-5 --base-url URL"),
        Provider("azure", ("AZURE_OPENAI_API_KEY",), "providers", "azure:gpt-5 --base-url URL"),
        Provider("ollama", (), "providers", "ollama:qwen3"),
        Provider("groq", ("GROQ_API_KEY",), "groq", "groq:llama-4"),
        Provider("mistral", ("MISTRAL_API_KEY",), "mistral", "mistral:large"),
        Provider("openrouter", ("OPENROUTER_API_KEY",), "providers", "openrouter:vendor/model"),
        Provider("deepseek", ("DEEPSEEK_API_KEY",), "providers", "deepseek:chat"),
    )
}


class Models:
    """The models of one process. Use it as an async context manager: it closes what it opened."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._environ = os.environ if environ is None else environ
        self._models: dict[str, Model] = {}
        self._limiters: dict[str, Limiter] = {}
        self._watchers: list[Watcher] = []

    async def __aenter__(self) -> Models:
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self._models.values():
            close = getattr(model, "close", None)
            if close is not None:
                await close()

    def default(self, asked: str | None = None) -> str:
        """The run's model: what was asked for, else the first provider with a key, else ``local``."""
        if asked:
            return self._settings.aliases.get(asked, asked)
        for provider in PROVIDERS.values():
            if any(self._environ.get(key) for key in provider.keys):
                return provider.example
        return "local"

    def get(self, spec: str) -> Model:
        """The model of this name. Raises UnknownModelError, MissingKeyError, or UsageError (not installed)."""
        spec = self._settings.aliases.get(spec, spec)
        model = self._models.get(spec)
        if model is None:
            model = self._models[spec] = self._make(spec)
        return model

    def resolve(self, asked: str, default: str) -> tuple[str, str | None]:
        """What a call's `model` option means: a name for `get`, and a warning where it is not what was asked for."""
        if asked in self._settings.aliases:
            return self._settings.aliases[asked], None
        if asked == default or asked == "inherit":
            return default, None
        name, colon, _ = asked.partition(":")
        if colon or name in ("sim", "local"):
            if name in PROVIDERS:
                return asked, None
            raise _unknown(name)
        if self._settings.model and asked in (self._settings.model, self._settings.model.partition(":")[2]):
            return default, None
        return default, (
            f"model {asked!r} is not mapped to a provider here; {default} is used. "
            f'Map it under [aliases] in config.toml: {asked} = "provider:name".'
        )

    def limiter_of(self, model: Model) -> Limiter:
        """The limiter that all models of this one's provider share."""
        provider = model.spec.partition(":")[0]
        limiter = self._limiters.get(provider)
        if limiter is None:
            limiter = self._limiters[provider] = Limiter(provider)
            limiter.watchers = self._watchers
        return limiter

    def watch(self, watcher: Watcher) -> None:
        """From now on `watcher` hears of every provider that says "not now"."""
        self._watchers.append(watcher)

    def _make(self, spec: str) -> Model:
        name, _, rest = spec.partition(":")
        provider = PROVIDERS.get(name)
        if provider is None:
            raise _unknown(name)
        match name:
            case "sim":
                return SimModel(rest)
            case "local":
                from counterpoint.models.local import LocalModel

                return LocalModel(rest or "0.5b")
            case _:
                self._require_name(spec, rest)
                self._require_key(provider)
                from counterpoint.models.providers import build

                return build(spec, base_url=self._settings.base_url, environ=self._environ)

    def _require_name(self, spec: str, rest: str) -> None:
        if not rest:
            raise UnknownModelError(f"{spec!r} names no model.", hint=f"For example: {PROVIDERS[spec].example}")

    def _require_key(self, provider: Provider) -> None:
        if provider.keys and not any(self._environ.get(key) for key in provider.keys):
            raise MissingKeyError(
                f"{provider.name} needs a key, and {' or '.join(provider.keys)} is not set.",
                hint=f"export {provider.keys[0]}=…  (or use --model local, which needs none)",
            )


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(
        f"There is no provider {name!r}{nearest(name, PROVIDERS)}.", hint=f"There are: {', '.join(PROVIDERS)}."
    )
