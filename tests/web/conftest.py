"""The server as a user has it, and a browser to look at it with."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.e2e.conftest import Process, Program
from tests.web.browser import CHROMIUM, DRIVER, Browser


@dataclass(slots=True)
class Served:
    """A `counterpoint serve` process and the session of whoever opened its address first."""

    program: Program
    process: Process
    url: str
    cookie: str = ""
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = int(self.url.split(":")[2].partition("/")[0])

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One request, as a browser of this page would send it, with other headers where they are given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()

    def login(self) -> None:
        """Uses the address up, for requests without a browser."""
        _, headers, _ = self.request("GET", self.url.removeprefix(self.base))
        self.cookie = headers["set-cookie"].partition(";")[0]

    def get(self, path: str) -> Any:
        status, _, body = self.request("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, body: Any) -> Any:
        status, _, answer = self.request("POST", path, body)
        assert status == 202, answer
        return json.loads(answer)

    def next_address(self) -> str:
        """The address that is shown once the last one has been used."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=20)
        finally:
            self.process.kill()


def start(program: Program, port: int = 0) -> Served:
    process = program.start("serve", "--port", str(port), "--quiet")
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        raise AssertionError(process.communicate(timeout=10))
    return Served(program, process, address)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One state for the tests of a file."""
    made = Program(tmp_path_factory.mktemp("faces"))
    yield made
    end_runs(made)


def end_runs(program: Program) -> None:
    """Stops what a test that failed has left behind in the background."""
    for run in program("ps", "--json").json["runs"]:
        if run["status"] in ("running", "waiting"):
            program("stop", run["run_id"])


@pytest.fixture(scope="module")
def server(program: Program) -> Iterator[Served]:
    served = start(program)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if (CHROMIUM is None or DRIVER is None) and os.environ.get("COUNTERPOINT_BROWSER") != "must":
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    window = Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()
