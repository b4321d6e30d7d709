"""A conversation with the lead, while runs go on in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.conftest import Program
from tests.fakes.replies import Asked, Reply, Says, Stops, Waits
from tests.fakes.server import Fake
from tests.warm import start_on

FLOW = """export const meta = { name: 'hundred', description: 'Asks many agents', phases: [{ title: 'Ask' }] }
phase('Ask')
const many = Number(args ?? 3)
const said = await parallel(Array.from({ length: many }, (_, i) => () => agent(`Number ${i}?`)))
return { report: said.filter(Boolean).join(' ').slice(0, 40000), numbers: said.filter(Boolean).length }
"""


class Talking:
    """A chat that is typed into by a pipe and read line by line."""

    def __init__(self, cpt: Program, fake: Fake, *arguments: str) -> None:
        known = "--reopen" in arguments  # a session knows its model
        model = () if known else ("--model", "anthropic:m", "--base-url", fake.url)
        whole = {**cpt.environment, "ANTHROPIC_API_KEY": "k", "PYTHONUNBUFFERED": "1"}
        read, typed = os.pipe()
        said, said_end = os.pipe()
        self.process = start_on((read, said_end, said_end), ["chat", *model, *arguments], cpt.folder, whole)
        for theirs in (read, said_end):
            os.close(theirs)
        self._typed = os.fdopen(typed, "w", 1, encoding="utf-8", errors="surrogateescape")
        self._said = os.fdopen(said, encoding="utf-8")
        self.heard: list[str] = []

    def type(self, line: str) -> None:
        self._typed.write(line + "\n")

    def until(self, words: str) -> str:
        """Reads up to the line that has these words."""
        for line in self._said:
            self.heard.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} never came:\n{''.join(self.heard)}")

    def until_running(self, agents: str = "") -> str:
        """Asks how the run stands until its agents (so many of them) are at work."""
        while True:
            self.type("/status")
            line = self.until("hundred: ")
            if "running" in line and " 0 of 0 " not in line and agents in line:
                return line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # what was typed last, and nobody reads any more
            self._typed.close()
        self._said.close()

    def leave(self) -> str:
        self.type("/quit")
        rest = self._said.read()
        assert self.process.wait(60) == 0, "".join(self.heard) + rest
        return rest


class Lead:
    """A scripted lead and its agents; `agents` says what an agent's request gets."""

    def __init__(self, fake: Fake) -> None:
        self.heard: list[Asked] = []
        self.agents: Reply = Says("One of many.")
        self.replies: list[Reply] = []
        fake.otherwise = self

    def __call__(self, asked: Asked) -> Reply:
        text = json.dumps(asked.body)
        if "in a conversation with a user" not in text:
            return self.agents
        self.heard.append(asked)
        tokens = (len(text) // 4, 0, 10)
        if self.replies:
            return self.replies.pop(0)
        return Says(f"Answer {len(self.heard)}.", tokens=tokens)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        yield server


Talk = Callable[..., Talking]


@pytest.fixture
def talk(cpt: Program, fake: Fake) -> Iterator[Talk]:
    """Begins a chat."""
    begun: list[Talking] = []

    def begin(*arguments: str) -> Talking:
        begun.append(Talking(cpt, fake, *arguments))
        return begun[-1]

    yield begin
    for chat in begun:
        chat.end()


def flow(cpt: Program) -> None:
    folder = cpt.folder / ".counterpoint" / "workflows"
    folder.mkdir(parents=True)
    (folder / "hundred.js").write_text(FLOW, "utf-8")


def last(asked: Asked) -> str:
    return json.dumps(asked.body["messages"][-1])


def test_the_chat_answers_while_a_hundred_agents_are_at_work_and_hears_of_the_end_once(
    cpt: Program, fake: Fake, talk: Talk
):
    flow(cpt)
    lead = Lead(fake)
    gate = asyncio.Event()
    lead.agents = Waits(gate, Says("One of many. " * 40))
    chat = talk("--yes")
    chat.type("/hundred 100")
    chat.until("has begun")
    chat.type("Are you there?")
    chat.until("Answer 1.")
    assert "0 of 100 agents ok" in chat.until_running(" of 100 agents")
    fake.release(gate)
    chat.until("completed: 100 of 100 agents ok")
    chat.until("Answer 2.")
    chat.leave()
    assert len(lead.heard) == 2
    told = last(lead.heard[1])
    assert "A run has ended" in told
    assert "100 of 100 agents ended well" in told
    assert "counterpoint result" in told
    assert len(told) < 8000


def test_the_lead_starts_a_run_only_with_a_yes(cpt: Program, fake: Fake, talk: Talk):
    flow(cpt)
    lead = Lead(fake)
    lead.replies = [Says(calls=[("Start", {"what": "hundred", "args": "2"})])]
    chat = talk()
    chat.type("Please start it.")
    chat.until("Answer 2.")
    chat.leave()
    assert "nobody is at the terminal" in last(lead.heard[1])
    assert cpt("ps", "--all", "--json").json["runs"] == []


def test_the_lead_starts_looks_reads_and_stops(cpt: Program, fake: Fake, talk: Talk):
    flow(cpt)
    lead = Lead(fake)
    gate = asyncio.Event()
    lead.agents = Waits(gate, Says("never"))
    lead.replies = [
        Says(calls=[("Start", {"what": "hundred", "args": "2"})]),
        Says("It has begun."),
        Says(calls=[("Status", {}), ("Result", {"run": "@last"}), ("Stop", {"run": "@last"})]),
    ]
    chat = talk("--yes")
    chat.type("Start it.")
    chat.until("It has begun.")
    chat.until_running()
    chat.type("Look, then stop it.")
    chat.until("stopped: ")
    chat.leave()
    results = last(lead.heard[3])
    assert "running" in results
    assert "It has returned nothing." in results
    assert "to stop (request" in results


def test_a_session_can_be_reopened_and_hears_what_ended_meanwhile(cpt: Program, fake: Fake, talk: Talk):
    flow(cpt)
    lead = Lead(fake)
    gate = asyncio.Event()
    lead.agents = Waits(gate, Says("One."))
    chat = talk("--yes")
    chat.type("My name is Ada.")
    chat.until("Answer 1.")
    chat.type("/hundred 2")
    chat.until("has begun")
    rest = chat.leave()
    assert "still under way" in rest
    again = talk("--reopen", "@last")
    again.until("reopened with 2 messages")
    fake.release(gate)
    again.until("completed: 2 of 2 agents ok")
    again.until("Answer 2.")
    again.leave()
    assert "My name is Ada." in json.dumps(lead.heard[1].body["messages"])
    (row,) = cpt("chat", "--list", "--json").json["sessions"]
    assert row["begins"] == "My name is Ada."


def test_a_session_is_open_in_one_process_at_a_time(cpt: Program, fake: Fake, talk: Talk):
    Lead(fake)
    chat = talk()
    chat.type("My name is Ada.")
    chat.until("Answer 1.")
    record = next((cpt.state / "sessions").glob("s_*/session.jsonl"))
    before = record.read_bytes()
    refused = cpt("chat", "--reopen", "@last", "--model", "sim")
    assert refused.code == 2
    assert f"is open in another process ({chat.process.pid})." in refused.err
    assert record.read_bytes() == before
    chat.process.kill()
    chat.process.wait()
    again = talk("--reopen", "@last")
    again.until("reopened with 2 messages")
    again.leave()


def test_budget_directives_count_only_at_the_ends_of_what_a_person_types(cpt: Program, fake: Fake, talk: Talk):
    flow(cpt)
    Lead(fake)
    chat = talk("--yes")
    chat.type("/hundred 1")
    chat.until("completed: 1 of 1")
    chat.type("The note said +900k in the middle.")
    chat.until("Answer")
    chat.type("Now go on. +500k")
    chat.until("each run from now on has at most")
    chat.type("/hundred 2")
    chat.until("completed: 2 of 2")
    chat.leave()
    runs = [row["run_id"] for row in cpt("ps", "--all", "--json").json["runs"]]
    bounds = [cpt("export", run_id, "--jsonl").lines[0]["bounds"] for run_id in runs]
    assert sorted(bound["budget_tokens"] or 0 for bound in bounds) == [0, 500_000]


def test_unknown_commands_and_long_messages(cpt: Program, fake: Fake, talk: Talk):
    lead = Lead(fake)
    chat = talk()
    chat.type("/surve docs")
    assert "did you mean 'survey'" in chat.until("no workflow")
    chat.type("/plan  ")
    chat.until("There is nothing to plan.")
    chat.type('"""first\nsecond"""')
    chat.until("Answer 1.")
    chat.type("no text: \udcff\udcfe")
    chat.until("Answer 2.")
    chat.type("one \\\ntwo")
    chat.until("Answer 3.")
    chat.leave()
    assert "first\\nsecond" in last(lead.heard[0])
    assert "no text: \\ufffd\\ufffd" in last(lead.heard[1])
    assert "one \\ntwo" in last(lead.heard[2])


STORY = "Once there was a line.\nThen there was another one.\nThe end."


def said(lead: Lead, n: int) -> list[str]:
    """Who said what in the n-th request that the lead got, in few words."""
    return [f"{m['role']}: {json.dumps(m['content'])}" for m in lead.heard[n].body["messages"]]


def test_an_answer_is_read_while_it_is_written_and_half_of_one_is_marked(cpt: Program, fake: Fake, talk: Talk):
    lead = Lead(fake)
    gate = asyncio.Event()
    lead.replies = [Stops(Says(STORY), 13, until=gate, breaks=True), Says(STORY), Stops(Says(STORY), 13, breaks=True)]
    chat = talk()
    chat.type("Tell me a story.")
    chat.until("Once there was a line.")
    fake.release(gate)
    chat.until("[broken off: this is no answer]")
    chat.until("The end.")
    cpt.environment["COUNTERPOINT_RETRIES"] = "0"
    chat.leave()
    again = talk("--reopen", "@last")
    again.type("Another one.")
    again.until("[broken off: this is no answer]")
    assert "broke the connection off" in again.until("error: ")
    again.type("Are you there?")
    again.until("Answer 4.")
    again.leave()
    before, _, failed, last_one = said(lead, 3)[-4:]
    assert "The end." in before
    assert "I was cut off" in failed
    assert "Are you there?" in last_one
    assert sum("Once there was" in one for one in said(lead, 3)) == 1


class Screen:
    """A chat in a terminal of its own."""

    def __init__(self, cpt: Program, fake: Fake) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 100))
        model = ("--model", "anthropic:m", "--base-url", fake.url)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "counterpoint", "chat", *model], cwd=cpt.folder, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True,
            env={**cpt.environment, "ANTHROPIC_API_KEY": "k", "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def enter(self, keys: str, words: str) -> str:
        """Types a line and reads until these words were shown, like `until`."""
        self.type(f"{keys}\r")
        return self.until(words)

    def until(self, words: str) -> str:
        """Reads until these words were shown; the result is what was shown up to them since the last time."""
        while words not in self.shown:
            self._read(words)
        before, _, self.shown = self.shown.partition(words)
        return before

    def _read(self, words: str) -> None:
        try:
            piece = os.read(self._ours, 65536)
        except OSError:
            raise AssertionError(f"{words!r} never came:\n{self.shown}") from None
        self.shown += re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])|\r", "", piece.decode("utf-8", "replace"))

    def leave(self) -> None:
        self.type("\x04")
        self.until("go on with: counterpoint chat --reopen")
        assert self.process.wait(60) == 0
        os.close(self._ours)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_at_a_terminal_lines_are_edited_kept_and_brought_back(cpt: Program, fake: Fake):
    flow(cpt)
    lead = Lead(fake)
    lead.replies = [Stops(Says(STORY), 13, until=asyncio.Event())]
    screen = Screen(cpt, fake)
    try:
        screen.until("\n>")
        screen.enter("Tell me a story.", "Once there was a line.")
        screen.type("\x03")
        screen.until("[broken off: this is no answer]")
        for n in range(12):
            screen.type(f"/help\r/status wf_none_{n}\r")  # keys that come while something is written
        screen.until("wf_none_11")
        screen.enter("one\ntwo", "Answer 2.")
        assert "at most: +500k" in screen.enter("/hund\t2 +500k", "Run it?")
        screen.enter("n", "Not started")
        screen.leave()
        assert "one\\ntwo" in last(lead.heard[1])
        again = Screen(cpt, fake)
        again.until("\n>")
        again.enter("\x1b[A\x1b[A", "Answer 3.")
        again.leave()
        assert "one\\ntwo" in last(lead.heard[2])
    finally:
        screen.process.kill()
        screen.process.wait()
    kept = next((cpt.state / "history").iterdir())
    assert kept.stat().st_mode & 0o077 == 0
    assert "+/hundred 2 +500k" in kept.read_text("utf-8")
    assert "+n\n" not in kept.read_text("utf-8")
