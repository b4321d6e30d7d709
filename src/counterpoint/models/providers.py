"""Models of real providers.

Their libraries take a second or two to import. That happens beside the event loop, and only where a model is used; what
can be refused without them is refused when the model is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import threading
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from counterpoint.errors import MissingKeyError, UsageError
from counterpoint.events import Usage
from counterpoint.models.catalog import Provider
from counterpoint.models.messages import Answer, Output, Request

if TYPE_CHECKING:  # what these import takes too long to be imported here
    import httpx2

    from counterpoint.models.exchange import Exchange

_imports = threading.Lock()
"""Libraries are loaded by one thread at a time: two of them that import each other's halves find them unfinished."""


class Account:
    """One provider at one address with one key: the connections that its models share. To be closed."""

    def __init__(self, provider: Provider, base_url: str | None, environ: Mapping[str, str]) -> None:
        """Raises UsageError for what is missing: the library, the address, the key."""
        self.provider = provider
        self._environ = environ
        given = base_url or environ.get(provider.address_variable, "")
        self._given = bool(given)
        self._address = _checked(provider, given) if given else provider.address
        self._key = provider.key(environ)
        _require_library(provider)
        _require_address(provider, self._address)
        _require_key(provider, self._key)
        _require_settings(provider, environ)
        self._http: httpx2.AsyncClient | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a provider counts requests by."""
        return self.provider.name, self._address, self._key

    def open(self, name: str) -> Exchange:
        """The way to the model `name`. Slow, for it imports libraries. Raises UsageError."""
        with _imports, _importing():
            return self._open(name)

    def _open(self, name: str) -> Exchange:
        from counterpoint.models import transport, vendors
        from counterpoint.models.exchange import Exchange
        from counterpoint.models.faults import Faults
        from counterpoint.models.ollama import Loaded

        provider = self.provider
        faults = Faults(
            f"{provider.name} ({self._address})" if self._given else provider.name, self._key, provider.keys
        )
        if self._http is None:
            self._http = transport.client(secure=not self._address.startswith("http:"))
        access = vendors.Access(provider, self._address, self._given, self._key, self._environ, self._http)
        try:
            wired = vendors.wire(access, name)
        except Exception as error:
            # What a provider's library wants to be configured, it says in exceptions of many kinds.
            said = faults.clean(f"{type(error).__name__}: {error}")
            raise UsageError(f"{provider.name}:{name} cannot be used: {said}") from None
        loaded = Loaded(self._http, self._address, self._key, name) if provider.name == "ollama" else None
        return Exchange(provider, name, wired, faults, loaded)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


@contextlib.contextmanager
def _importing() -> Generator[None]:
    """Keeps the garbage collector from what is imported here, now and later.

    The libraries are some 200,000 objects that live as long as the process. Looking through them was a quarter of what
    a run of one agent costs, and it would be done again at each full collection of a run.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class ProviderModel:
    """One model of a provider."""

    tools = True
    simulated = False

    def __init__(self, account: Account, name: str) -> None:
        self.account = account
        self.spec = f"{account.provider.name}:{name}"
        self.output: Output = account.provider.output
        self._name = name
        self._opening = asyncio.Lock()
        self._exchange: Exchange | None = None
        self._cost: Callable[[Usage], float | None] | None = None

    def cost(self, usage: Usage) -> float | None:
        """What that usage costs in US dollars; None where the price is unknown."""
        if self._cost is None:
            with _imports:
                from counterpoint.models.prices import cost_of

            self._cost = cost_of(self.account.provider.prices, self._name)
        return self._cost(usage)

    @property
    def window(self) -> int | None:
        """Tokens of its context, by the list of models; None where that does not say, or it is not opened."""
        return self._exchange.window if self._exchange is not None else None

    @property
    def searches(self) -> bool:
        """Whether its provider searches the web for it; False before it is opened."""
        return self._exchange is not None and self._exchange.searches

    async def request(self, request: Request) -> Answer:
        """Makes one attempt. Raises ProviderError, or UsageError where something has to be configured first."""
        exchange = self._exchange or await self.open()
        return await exchange.ask(request)

    async def open(self) -> Exchange:
        """Loads what is needed to ask. Raises UsageError."""
        async with self._opening:
            if self._exchange is None:
                self._exchange = await asyncio.to_thread(self.account.open, self._name)
            return self._exchange


def _checked(provider: Provider, address: str) -> str:
    """The address as the provider's library wants it. Raises UsageError; what it says does not repeat the address."""
    try:
        parts = urlsplit(address.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable:
        raise UsageError(
            f"The address of {provider.name} is no http:// or https:// URL with a host.", hint="--base-url URL"
        )
    if parts.username or parts.password or parts.query:
        where = f", but in {provider.keys[0]}" if provider.keys else ""
        raise UsageError(f"The address of {provider.name} holds more than a place; a key does not belong there{where}.")
    path = parts.path.rstrip("/")
    if provider.name == "anthropic":
        path = path.removesuffix("/v1")  # the library adds it
    elif provider.name == "ollama":
        path = path or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _require_library(provider: Provider) -> None:
    missing = [module for module in provider.modules if not _installed(module)]
    if missing:
        raise UsageError(
            f"{provider.name} needs {', '.join(missing)}, not installed here.",
            hint=f"pip install 'counterpoint[{provider.extra}]'",
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it lies in
        return False


def _require_address(provider: Provider, address: str) -> None:
    if provider.must_say_where and not address:
        raise UsageError(f"{provider.name} needs an address.", hint=f"--model {provider.example}")


def _require_key(provider: Provider, key: str) -> None:
    if not key and not provider.keyless:
        raise MissingKeyError(
            f"{provider.name} needs a key, and {' or '.join(provider.keys)} is not set.",
            hint=f"export {provider.keys[0]}=…  (or use --model local, which needs none)",
        )
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"The key of {provider.name} holds characters that no key has; is it copied whole?")


def _require_settings(provider: Provider, environ: Mapping[str, str]) -> None:
    if provider.needs and not any(environ.get(name) for name in provider.needs):
        raise UsageError(f"{provider.name} needs {' or '.join(provider.needs)}.", hint=f"export {provider.needs[0]}=…")
