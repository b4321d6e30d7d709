"""A search service on loopback, in the three forms that there are; it keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HITS: list[dict[str, Any]] = [
    {
        "url": "https://tea.example.org/brew",
        "title": "Brewing <strong>tea</strong>",
        "content": "Boil &amp; wait.\nThen pour.",
    },
    {"url": "https://coffee.example.com/", "title": "Coffee", "content": None},
    {"url": "javascript:alert(1)", "title": "no page", "content": "x"},
]


@dataclass
class Search:
    """What it answers and what it was asked. `body` takes the place of an answer; `status` of a 200."""

    url: str = ""
    body: bytes | None = None
    status: int = 200
    hits: list[dict[str, Any]] = field(default_factory=lambda: list(HITS))
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(
        default_factory=list[tuple[str, str, dict[str, str], bytes]]
    )
    """Method, path, headers and body of each request."""

    def answer(self, path: str) -> bytes:
        if self.body is not None:
            return self.body
        if path.startswith("/brave"):
            hits = [{"url": hit["url"], "title": hit["title"], "description": hit["content"]} for hit in self.hits]
            return json.dumps({"web": {"results": hits}}).encode()
        return json.dumps({"results": self.hits, "number_of_results": 0}).encode()

    def query(self) -> dict[str, list[str]]:
        """The query of the last request."""
        return parse_qs(urlsplit(self.asked[-1][1]).query)


@contextmanager
def searching() -> Generator[Search]:
    search = Search()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            search.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
            body = search.answer(self.path)
            self.send_response(search.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        search.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield search
        finally:
            http.shutdown()
            thread.join()
