"""Stands before every route: only this machine's own browser, from our own page, with a session, in small requests."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from counterpoint.web.sessions import Sessions

OPEN = frozenset({"/login"})
"""What needs no session."""
MAX_BODY = 1_000_000
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware. `hosts` are the values of the Host header that are us: ``127.0.0.1:7717`` and the like."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions, hosts: frozenset[str], cookie: str) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal
        return await app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self._hosts:
            return PlainTextResponse("This address is not served here.", 421)
        if not self._is_ours(headers, scope["path"]):
            return _no(403, "The request comes from another page.")
        if scope["method"] not in ("GET", "HEAD"):
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return _no(415, "Send JSON, as application/json.")
            length = headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY:
                return _no(413, f"Send at most {MAX_BODY:,} bytes, with their number in Content-Length.")
        if scope["path"] not in OPEN and not self._sessions.holds(self._cookie_of(headers)):
            return _no(401, "No session: open the address that `counterpoint serve` shows.")
        return None

    def _is_ours(self, headers: Headers, path: str) -> bool:
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return False
        site = headers.get("sec-fetch-site", "same-origin")
        if headers.get("sec-fetch-mode") == "navigate" and not path.startswith("/api/"):
            return True  # a link to the page itself; the cookie does not go with it from another site
        return site in ("same-origin", "none")

    def _cookie_of(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""


def _no(code: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "hint": None}}, code)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
