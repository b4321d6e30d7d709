"""What a plain terminal shows while a run goes on, and who is told when it needs somebody."""

from __future__ import annotations

import errno
import http.server
import json
import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.warm import start_on

ASKS = "await counterpoint.checkpoint('Shall we?', {default: true}); await agent('x', {label: 'the one'}); return 1"


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook, and what was posted to it."""
    posted: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
        server.shutdown()
        thread.join()


def on_a_terminal(cpt: Program, *arguments: str, **environment: str) -> str:
    """All that the program writes to a terminal that answers nothing."""
    ours, theirs = pty.openpty()
    whole = {**cpt.environment, "TERM": "xterm-256color", **environment}
    with Path(os.devnull).open("rb") as nothing:
        process = start_on((nothing.fileno(), theirs, theirs), arguments, cpt.folder, whole)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(ours)
        process.wait(timeout=30)
    return said.decode()


def test_agents_whose_quota_was_used_up_have_ended_and_are_not_at_work(cpt: Program) -> None:
    flow = cpt.script("return await parallel([1, 2, 3].map((n) => () => agent(`p${n}`, {label: `n${n}`})))")
    assert cpt("run", flow, "--model", "sim:limited=0.5,seed=2").code == 4

    seen = cpt("top", "@last").out

    assert "✗" not in seen.partition("Needs attention")[0]
    assert " q" in seen.partition("Phases")[0]
    assert "not ok" in seen
    assert "at work" not in seen


def test_a_terminal_shows_phases_slow_agents_and_troubles_and_ends_clean(cpt: Program) -> None:
    seen = on_a_terminal(
        cpt, "run", "demo", "--args", '{"agents": 30}', "--model", "sim:latency=100ms..400ms,fail=0.2", "-c", "4"
    )

    assert "Refute" in seen
    assert "running" in seen
    assert "Simulated: the provider failed" in seen
    assert "partial:" in seen
    assert "Traceback" not in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h")


ASKS_THREE = """
const agents = parallel([1, 2].map((n) => () => agent(`look ${n}`)))
const way = await counterpoint.checkpoint('Which \\u001b[31mway?', { options: ['left', 'right'] })
const many = await counterpoint.checkpoint('How many?', { schema: { type: 'integer' } })
const sure = await counterpoint.checkpoint('Sure?').catch((error) => error.name)
await agents
return { way, many, sure }
"""


def test_questions_are_answered_where_the_run_goes_on_and_a_wrong_answer_asks_again(cpt: Program) -> None:
    ours, theirs = pty.openpty()
    arguments = ("run", cpt.script(ASKS_THREE), "--model", "sim:latency=50ms")
    whole = {**cpt.environment, "TERM": "xterm-256color"}
    process = start_on((theirs, theirs, theirs), arguments, cpt.folder, whole)
    os.close(theirs)
    seen = everything = ""
    for shown, typed in [
        ("2  right", "3\r"),
        ("Type a number from 1 to 2", "xyz\x7f\x7f\x7f2\r"),
        ("JSON, or deny", '"many"\r'),
        ("does not fit the schema", "42\r"),
        ("y(es), or n(o)", "no\r"),
        ("run wf_", ""),
    ]:
        read, seen = _until(ours, shown, seen)
        everything += read
        os.write(ours, typed.encode())
    everything += _until(ours, None, seen)[0]

    assert process.wait(timeout=30) == 0
    assert cpt("result", "@last").json == {"way": "right", "many": 42, "sure": "DeniedError"}
    assert "\x1b[31mway" not in everything
    os.close(ours)


def _until(terminal: int, text: str | None, seen: str) -> tuple[str, str]:
    """Reads on until the text is there (without one: to the end); gives all before its end, and what came after."""
    while text is None or text not in seen:
        try:
            seen += os.read(terminal, 65536).decode("utf-8", "replace")
        except OSError:
            if text is None:
                return seen, ""
            raise AssertionError(f"{text!r} never came: {seen[-2000:]}") from None
    end = seen.index(text) + len(text)
    return seen[:end], seen[end:]


def test_the_bell_rings_when_somebody_is_asked_and_when_it_is_over(cpt: Program) -> None:
    seen = on_a_terminal(cpt, "run", cpt.script(ASKS), "--model", "sim", COUNTERPOINT_NOTIFY="bell")

    assert seen.count("\x07") == 2


def test_a_program_and_a_webhook_are_told_the_same(cpt: Program, hook: tuple[str, list[Any]]) -> None:
    address, posted = hook
    told = cpt.folder / "told.jsonl"
    tell = cpt.folder / "tell.py"
    tell.write_text(f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())")
    channels = f"command:{sys.executable} {tell}; {address}"
    ended = cpt("run", cpt.script(ASKS), "--model", "sim", COUNTERPOINT_NOTIFY=channels)

    assert ended.code == 0
    assert [(notice["kind"], notice["text"]) for notice in posted] == [
        ("needs_you", "Shall we?"),
        ("done", "completed: 1 of 1 agents ok."),
    ]
    assert [json.loads(line) for line in told.read_text().splitlines()] == posted


def test_a_run_that_failed_and_one_near_its_ceiling_say_so(cpt: Program, hook: tuple[str, list[Any]]) -> None:
    address, posted = hook
    text = "for (let n = 0; n < 5; n++) await agent(`ask ${n}`)\nthrow new Error('no')"
    cpt("run", cpt.script(text), "--model", "sim:tokens=100", "--budget", "520", COUNTERPOINT_NOTIFY=address)

    assert [notice["kind"] for notice in posted] == ["budget", "failed"]


def test_a_channel_that_fails_harms_no_run(cpt: Program) -> None:
    ended = cpt(
        "run",
        cpt.script("return 1"),
        "--model",
        "sim",
        COUNTERPOINT_NOTIFY="command:/nowhere/tell; http://127.0.0.1:9/x",
    )

    assert ended.code == 0
    assert ended.err.count("A notice could not be sent") == 2


@pytest.mark.parametrize(("channel", "code"), [("command:touch owned", 2), ("https://example.org/x", 2), ("bell", 0)])
def test_a_projects_file_may_not_name_a_program_or_an_address(cpt: Program, channel: str, code: int) -> None:
    folder = cpt.folder / ".counterpoint"
    folder.mkdir()
    (folder / "config.toml").write_text(f'notify = "{channel}"')

    assert cpt("run", cpt.script("return 1"), "--model", "sim").code == code
    assert not (cpt.folder / "owned").exists()
