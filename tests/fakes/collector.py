"""An OpenTelemetry collector on the loopback: keeps the spans that it is sent, and what they weigh on the wire."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collected:
    """What came. `wait` returns when a span of that name is there."""

    url: str = ""
    spans: list[Any] = field(default_factory=list[Any])
    raw: bytes = b""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, name: str, seconds: float = 60) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: any(span.name == name for span in self.spans), seconds)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.changed:
            self.raw += body
            self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
            self.changed.notify_all()


@contextmanager
def collector(status: int = 200) -> Generator[Collected]:
    """A collector that answers everything with this status."""
    got = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    got.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
