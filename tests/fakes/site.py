"""A small web site on loopback, of pages as people write them; it keeps what it was asked for."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>nav{{display:flex}}</style><script>window.tracker = "{title}"</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<main><h1>{title}</h1>{body}</main>
<footer><p>Cookies are <a href="/cookies">explained here</a>.</p></footer></body></html>"""


@dataclass
class Site:
    """Title and body of each page, by its path; what is not there is a 404."""

    pages: Mapping[str, tuple[str, str]]
    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    """The path of each request."""


@contextmanager
def serving(pages: Mapping[str, tuple[str, str]]) -> Generator[Site]:
    """The site, while it is up."""
    site = Site(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            page = site.pages.get(self.path)
            body = FRAME.format(title=page[0], body=page[1]) if page else "<h1>Not found</h1>"
            data = body.encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        site.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield site
        finally:
            http.shutdown()
            thread.join()
