"""HTTP under the providers' clients: aiohttp, one pool of connections per provider and address.

What goes wrong with a connection is named here, where it is known, as the ProviderError that it means; `Broken` carries
it through the provider's library. Answers are bounded in size and in silence, redirects are not followed (a key must
not travel to another host), compressed answers are refused (a small one could unfold to a huge one).
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import ContextVar

import aiohttp
import httpx2
from yarl import URL

from counterpoint.errors import ProviderError

CONNECT_S = 15.0
"""For finding, reaching and greeting a server."""
SILENCE_S = 600.0
"""Without a byte of the answer: an answer that is not streamed comes in one piece, at its end."""
STREAM_SILENCE_S = 120.0
"""Without a byte of a streamed answer: providers send signs of life."""
MAX_ANSWER = 32 * 2**20
"""Bytes of one answer."""
KEEP_ALIVE_S = 30.0

heard: ContextVar[Callable[[], None] | None] = ContextVar("heard", default=None)
"""Is called for each piece of an answer that arrives in this context."""


class Broken(httpx2.TransportError):
    """The connection failed; `fault` says what that means for the request."""

    def __init__(self, fault: ProviderError) -> None:
        super().__init__(fault.message)
        self.fault = fault


def client(*, secure: bool) -> httpx2.AsyncClient:
    """A client for a provider's library, over aiohttp; `secure`: it will speak TLS. To be closed."""
    return httpx2.AsyncClient(
        transport=Transport(httpx2.create_ssl_context() if secure else None),
        timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity"},
    )


class Transport(httpx2.AsyncBaseTransport):
    """Requests to one provider."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request. Raises Broken."""
        url, place = _located(str(request.url))
        timeout = request.extensions.get("timeout", {})
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw]
        with _naming(place):
            response = await self._open().request(
                request.method,
                url,
                headers=headers,
                data=await request.aread(),
                allow_redirects=False,
                proxy=_proxy(url.scheme, url.host or ""),
                timeout=aiohttp.ClientTimeout(connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=timeout.get("read")),
            )
        unwanted = _unwanted(response, place)
        if unwanted is not None:
            response.close()
            raise Broken(unwanted)
        return httpx2.Response(
            response.status, headers=response.raw_headers, stream=_Body(response, place), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls or True, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


class _Body(httpx2.AsyncByteStream):
    """The answer's bytes as they come."""

    def __init__(self, response: aiohttp.ClientResponse, place: str) -> None:
        self._response = response
        self._place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived, tell = 0, heard.get()
        with _naming(self._place):
            async for chunk in self._response.content.iter_any():
                arrived += len(chunk)
                if arrived > MAX_ANSWER:
                    message = f"{self._place} sent an answer of more than {MAX_ANSWER // 2**20} MB."
                    raise Broken(ProviderError("malformed", message))
                if tell is not None:
                    tell()
                yield chunk

    async def aclose(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _unwanted(response: aiohttp.ClientResponse, place: str) -> ProviderError | None:
    """Why an answer is not even read."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        return ProviderError("malformed", f"{place} sent a compressed answer ({encoding[:20]}), unasked.")
    if 300 <= response.status < 400:
        hint = "Give the final address as --base-url; redirects are not followed, so that no key goes elsewhere."
        return ProviderError("rejected", f"{place} redirects ({response.status}).", status=response.status, hint=hint)
    return None


@contextlib.contextmanager
def _naming(place: str) -> Generator[None]:
    """Raises what goes wrong with the connection as Broken."""
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Broken(_fault(error, place)) from error


def _fault(error: Exception, place: str) -> ProviderError:
    reason = _unreachable(error)
    if reason:
        hint = "Check --base-url, the network and the proxy."
        return ProviderError("unreachable", f"{place} cannot be reached: {reason}.", hint=hint)
    match error:
        case TimeoutError():
            return ProviderError("timeout", f"{place} sent nothing for too long.")
        case aiohttp.ClientResponseError():
            return ProviderError("malformed", f"{place} did not answer in HTTP.")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return ProviderError("dropped", f"{place} broke the connection off before the answer was there.")
        case _:
            return ProviderError("rejected", f"The request cannot be sent to {place}: {type(error).__name__}.")


def _unreachable(error: Exception) -> str:
    """Why no connection came about; empty where one did."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "there is no such host"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy does not let it through"
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "")
            return f"its certificate is not trusted{f' ({reason})' if reason else ''}"
        case aiohttp.ClientConnectorSSLError():
            return "no safe connection (TLS) comes about"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_S:g} seconds"
        case aiohttp.ClientConnectorError():
            return (error.os_error.strerror or "the connection failed").lower()
        case _:
            return ""


@functools.lru_cache(maxsize=64)
def _located(url: str) -> tuple[URL, str]:
    """The address as aiohttp has it, and the server in it."""
    located = URL(url, encoded=True)
    return located, f"{located.scheme}://{located.host_port_subcomponent}"


@functools.lru_cache(maxsize=64)
def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for this host."""
    return None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme)
