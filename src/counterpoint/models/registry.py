"""``provider:name`` → a model. Providers' libraries are imported when the first model of theirs is used."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Hashable, Mapping

from counterpoint.ceilings import read_places
from counterpoint.errors import UnknownModelError, UsageError, nearest
from counterpoint.models.catalog import PROVIDERS, Provider
from counterpoint.models.limiter import Limiter, Watcher
from counterpoint.models.messages import Model
from counterpoint.models.providers import Account, ProviderModel
from counterpoint.models.sim import SimModel
from counterpoint.settings import Settings

__all__ = ["PROVIDERS", "Models", "Provider"]


class Gates:
    """The limiters of a process, for who shares their places out."""

    def __init__(self, limiters: Mapping[Hashable, Limiter], hungry: asyncio.Event) -> None:
        self._limiters = limiters
        self._hungry = hungry

    async def hungry(self) -> None:
        """Returns when a request waits at a gate without any place."""
        await self._hungry.wait()
        self._hungry.clear()

    def shared(self) -> list[Limiter]:
        """Those with a limit."""
        return [limiter for limiter in self._limiters.values() if limiter.account]


class Models:
    """The models of one process. Use it as an async context manager: it closes what it opened."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] | None = None,
        *,
        own: Mapping[str, Model] | None = None,
    ) -> None:
        """`own` are models by their names that exist already; whoever made them closes them."""
        self._settings = settings
        self._environ = os.environ if environ is None else environ
        self._own = dict(own or {})
        self._models: dict[str, Model] = {}
        self._accounts: dict[str, Account] = {}
        self._limiters: dict[Hashable, Limiter] = {}
        self._watchers: list[Watcher] = []
        self._limits = read_places(settings.provider_limits)
        self._sharing = asyncio.Lock()
        self._sharers = 0
        self._hungry = asyncio.Event()

    async def __aenter__(self) -> Models:
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self._models.values():
            close = getattr(model, "close", None)
            if close is not None:
                await close()
        for account in self._accounts.values():
            await account.close()

    def default(self, asked: str | None = None) -> str:
        """The run's model: what was asked for, else that of the first provider with a key, else ``local``."""
        if asked:
            return self._settings.aliases.get(asked, asked)
        ready = (provider.default for provider in PROVIDERS.values() if provider.key(self._environ))
        return next(filter(None, ready), "local")

    def is_own(self, spec: str) -> bool:
        """Whether it is a model of the program's own, which is to be had in this process alone."""
        return self._settings.aliases.get(spec, spec) in self._own

    def get(self, spec: str) -> Model:
        """The model of this name. Raises UnknownModelError, MissingKeyError, or UsageError (not installed …)."""
        spec = self._settings.aliases.get(spec, spec)
        model = self._own.get(spec) or self._models.get(spec)
        if model is None:
            model = self._models[spec] = self._make(spec)
        return model

    async def ready(self, spec: str) -> Model:
        """The same, its library loaded: that takes a second or two, which are no part of an agent's time."""
        model = self.get(spec)
        if isinstance(model, ProviderModel):
            await model.open()
        return model

    def resolve(self, asked: str, default: str) -> tuple[str, str | None]:
        """What a call's `model` option means: a name for `get`, and a warning where it is not what was asked for.

        A script does not know where it runs: a model that cannot be had here is replaced by the run's own.
        """
        if asked in (default, "inherit") or default.partition(":")[2] == asked:
            return default, None
        meant = self._settings.aliases.get(asked, asked)
        if ":" not in meant and meant not in ("sim", "local", *self._own):
            return default, (
                f"model {asked!r} is not mapped to a provider here; {default} is used. "
                f'Map it under [aliases] in config.toml: {asked} = "provider:name".'
            )
        try:
            self.get(meant)
        except UsageError as error:
            return default, f"model {asked!r} cannot be had: {error.message} {default} is used."
        return meant, None

    def limiter_of(self, model: Model) -> Limiter:
        """The limiter that all models of this one's provider, address and key share."""
        provider = model.spec.partition(":")[0]
        counted_by = model.account.identity if isinstance(model, ProviderModel) else provider
        limiter = self._limiters.get(counted_by)
        if limiter is None:
            limiter = self._limiters[counted_by] = self._limiter(provider, counted_by)
        return limiter

    def _limiter(self, provider: str, counted_by: Hashable) -> Limiter:
        most = self._limits.get(provider)
        if most is None:
            limiter = Limiter(provider)
        else:
            account = f"{provider} {hashlib.sha256(repr(counted_by).encode()).hexdigest()[:32]}"
            limiter = Limiter(provider, account=account, most=most, allotted=0 if self._sharers else None)
            limiter.hungry = self._hungry.set
        limiter.watchers = self._watchers
        return limiter

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncGenerator[Gates]:
        """Within the body, limits are other processes' too: who has the gates allots their places.

        One at a time: of several runs in this process the first does it for all, and the next takes over from it.
        """
        self._sharers += 1
        try:
            async with self._sharing:
                yield Gates(self._limiters, self._hungry)
        finally:
            self._sharers -= 1
            for limiter in self._limiters.values():
                limiter.allot(0 if self._sharers and limiter.account else None)

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
                from counterpoint.models.weights import DEFAULT

                return LocalModel(rest) if rest else self.get(f"local:{DEFAULT}")
            case _ if not rest:
                raise UnknownModelError(f"{spec!r} names no model.", hint=f"For example: --model {provider.example}")
            case _:
                return ProviderModel(self._account(provider), rest)

    def _account(self, provider: Provider) -> Account:
        account = self._accounts.get(provider.name)
        if account is None:
            account = Account(provider, self._base_url(provider), self._environ)
            self._accounts[provider.name] = account
        return account

    def _base_url(self, provider: Provider) -> str | None:
        """The address that was given belongs to the provider of the run's model: no other's key may go there."""
        of_run = self.default(self._settings.model).partition(":")[0]
        return self._settings.base_url if provider.name == of_run else None


def _unknown(name: str) -> UnknownModelError:
    meant = nearest(name, PROVIDERS)
    likely = [f"{family}:{name}" for family, start in FAMILIES.items() if name.startswith(start)]
    if likely and meant == ".":
        meant = f"; did you mean {likely[0]!r}?"
    return UnknownModelError(
        f"There is no provider {name!r}{meant}",
        hint=f"A model is provider:name. Providers: {', '.join(PROVIDERS)}.",
    )


FAMILIES = {"anthropic": ("claude",), "openai": ("gpt", "o1", "o3", "o4"), "google": ("gemini",)}
"""By whom a model is that was named without its provider."""
