"""WebFetch: only hosts that rules allow, never by a detour, and never more than can be read."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from counterpoint.errors import DeniedError, ToolError
from counterpoint.tools.base import Guard, ToolContext
from counterpoint.tools.policy import Permissions, Policy
from counterpoint.tools.registry import TOOLS, invoke
from counterpoint.tools.web import is_public

PAGES: dict[str, tuple[int, str, bytes]] = {
    "/": (200, "text/html; charset=utf-8",
    b"<html><head><style>x{}</style></head><body><h1>Tea</h1><script>bad()</script>"
                                           b"<p>Boil <b>water</b>.</p><ul><li>one</li><li>two</li></ul></body></html>"),
    "/plain": (200, "text/plain; charset=latin-1", "caf\xe9".encode("latin-1")),
    "/picture": (200, "image/png", b"\x89PNG"),
    "/long": (200, "text/plain", b"x" * 120_000),
    "/huge": (200, "text/plain", b"x" * 6_000_000),
    "/gone": (404, "text/plain", b"no"),
    "/again": (302, "/again", b""),
    "/moved": (301, "/plain", b""),
    "/inside": (302, "http://localhost:1/", b""),
    "/file": (302, "file:///etc/passwd", b""),
}  # fmt: skip


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, kind, body = PAGES[self.path]
        self.send_response(status)
        self.send_header("Location" if 300 <= status < 400 else "Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


async def fetch(url: str, *allow: str, offset: int = 0) -> str:
    policy = Policy.of(Permissions(allow=list(allow)))
    return await invoke(TOOLS["WebFetch"], {"url": url, "offset": offset}, ToolContext(Path(), guard=Guard(policy)))


NAMED = "WebFetch(domain:127.0.0.1)"


async def test_a_page_comes_as_markdown(server: str) -> None:
    text = await fetch(f"{server}/", NAMED)
    assert text == "# Tea\n\nBoil **water**.\n\n* one\n* two"
    assert await fetch(f"{server}/plain", NAMED) == "café"


async def test_a_long_page_comes_in_parts(server: str) -> None:
    assert "[Characters 0 to 50,000 of 120,000. Go on with offset=50000.]" in await fetch(f"{server}/long", NAMED)
    assert len(await fetch(f"{server}/long", NAMED, offset=100_000)) == 20_000
    assert "longer than 5,242,880 bytes" in await fetch(f"{server}/huge", NAMED)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [("/gone", "answered 404"), ("/picture", "no text but image/png"), ("/again", "more than 5 redirects")],
)
async def test_what_is_no_page_is_told(server: str, path: str, complaint: str) -> None:
    with pytest.raises(ToolError, match=complaint):
        await fetch(server + path, NAMED)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "http://", "http://a:b@c/", "gopher://x", "http://[::1", "x"]
)
async def test_only_plain_urls_are_fetched(url: str) -> None:
    with pytest.raises(ToolError):
        await fetch(url, "WebFetch")


async def test_without_a_rule_no_host_is_asked(server: str) -> None:
    for allow in ((), ("WebFetch(domain:example.com)",)):
        with pytest.raises(DeniedError):
            await fetch(server, *allow)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]"])
async def test_this_machine_and_private_networks_need_a_rule_that_names_them(server: str, host: str) -> None:
    with pytest.raises(ToolError, match=r"private network|not known"):
        await fetch(f"http://{host}:{server.rpartition(':')[2]}/", "WebFetch")


async def test_a_redirect_is_asked_about_anew(server: str) -> None:
    assert (await fetch(f"{server}/moved", NAMED)).startswith("café\n[From ")
    with pytest.raises(DeniedError, match=r"WebFetch\(localhost\)"):
        await fetch(f"{server}/inside", NAMED)
    with pytest.raises(DeniedError, match="private network"):
        await fetch(f"{server}/inside", NAMED, "WebFetch")
    with pytest.raises(ToolError, match="no URL of a page"):
        await fetch(f"{server}/file", NAMED, "WebFetch")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True), ("2606:4700::1111", True), ("10.0.0.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("::1", False), ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1",
        False),
        ("2002:a00:1::", False), ("0.0.0.0", False), ("224.0.0.1", False), ("64:ff9b::101:101", True),
    ],
)  # fmt: skip
def test_which_addresses_are_of_the_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_todos_come_back_as_they_stand() -> None:
    todos = [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress"}]
    assert await invoke(TOOLS["TodoWrite"], {"todos": todos}, ToolContext(Path())) == "1 of 2 done.\n[x] a\n[>] b"
