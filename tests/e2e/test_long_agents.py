"""Agents whose conversation grows beyond their model's context, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Generator
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.fakes.replies import Asked, Fails, Reply, Says, Waits
from tests.fakes.server import Fake

import counterpoint
from counterpoint import RunStatus, Workflow
from counterpoint.agents import prompts
from counterpoint.events import AgentCompacted, AgentFinished, Event

TASK = "Count the mice in all files."
FILES = 8


class Reader:
    """A provider with a small context, whose agent reads one file after the other and then answers."""

    def __init__(self, fake: Fake, window: int, refusal: Fails) -> None:
        self.window, self.refusal = window, refusal
        self.read = 0
        self.notes = 0
        self.after_notes: asyncio.Event | None = None
        """The request after the first notes waits for it."""
        fake.otherwise = self.reply

    def reply(self, asked: Asked) -> Reply:
        used = len(json.dumps(asked.body)) // 4
        tokens = (used, 0, 10)
        if used > self.window:
            return self.refusal
        if prompts.NOTES in json.dumps(asked.body, ensure_ascii=False):
            self.notes += 1
            return Says(f"Notes {self.notes}: {self.read} files hold mice.", tokens=tokens)
        if self.notes == 1 and self.after_notes is not None:
            until, self.after_notes = self.after_notes, None
            return Waits(until, Says("nobody hears this"))
        if self.read == FILES:
            return Says("16,000 mice.", tokens=tokens)
        self.read += 1
        return Says("", [("Read", {"file_path": f"f{self.read}.txt"})], tokens=tokens)


@pytest.fixture
def fake(cpt: Program) -> Generator[Fake]:
    for n in range(1, FILES + 1):
        (cpt.folder / f"f{n}.txt").write_text(f"file {n}\n" + "mouse\n" * 2_000)
    with Fake() as server:
        yield server


def on_disk(cpt: Program, row: str) -> bool:
    """Whether a transcript has such a row."""
    for journal in cpt.state.glob("runs/*/journal.db"):
        database = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        with contextlib.closing(database), contextlib.suppress(sqlite3.OperationalError):  # it is just being made
            return bool(database.execute("SELECT 1 FROM turns WHERE CAST(body AS TEXT) LIKE ?", (row,)).fetchone())
    return False


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


def test_an_agent_killed_after_it_made_room_goes_on_from_its_notes_and_all_is_shown_and_paid(cpt: Program, fake: Fake):
    reader = Reader(fake, 30_000, Fails(500))
    release = reader.after_notes = asyncio.Event()
    environment = {"ANTHROPIC_API_KEY": "k", "COUNTERPOINT_CONTEXT_WINDOWS": "anthropic:m=40k"}
    script = cpt.script(f"return await agent({json.dumps(TASK)})")
    run = cpt.start("run", script, "--model", "anthropic:m", "--base-url", fake.url, **environment)
    while not on_disk(cpt, '{"type":"compacted"%') or reader.after_notes:
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    run.kill()
    run.communicate()
    fake.release(release)
    cut_off = fake.asked[-1].body["messages"]

    ended = cpt("resume", "@last", "--json", timeout=100, **environment)

    assert ended.code == 0, ended.err
    assert ended.json["result"] == "16,000 mice."
    went_on = next(n for n, asked in enumerate(fake.asked) if asked.body["messages"] == cut_off) + 1
    assert fake.asked[went_on].body["messages"] == cut_off
    assert TASK in json.dumps(cut_off[0])
    assert "Notes 1: " in json.dumps(cut_off[0])
    events = cpt("export", "@last", "--jsonl").lines
    marks = of(events, "agent_compacted")
    assert len(marks) == reader.notes
    assert all(mark["before"] >= 30_000 > mark["after"] for mark in marks)
    assert all(mark["usage"]["output_tokens"] == 10 for mark in marks)
    assert ended.json["usage"]["requests"] == len(fake.asked) - 1
    shown = cpt("show", "@last", "a1").out
    assert shown.count("--- compacted") == reader.notes
    assert "The conversation came near the model's context: " in shown
    assert "replaced by the notes below" in shown
    assert "Notes 1: " in shown
    assert all(f"file {n}\n" in shown for n in range(1, FILES + 1))


@pytest.mark.parametrize(
    ("model", "refusal"),
    [
        ("anthropic:m", Fails(400, "prompt is too long: 26000 tokens > 25000 maximum")),
        (
            "openai-compatible:m",
            Fails(
                400,
                "This model's maximum context length is 25000 tokens. However, your messages resulted in 26000 tokens.",
                "context_length_exceeded",
            ),
        ),
    ],
)
async def test_where_the_window_is_unknown_the_refusal_makes_room_and_a_task_that_is_too_long_ends_its_agent(
    cpt: Program, fake: Fake, model: str, refusal: Fails, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    reader = Reader(fake, 25_000, refusal)
    address = fake.url if model.startswith("anthropic") else f"{fake.url}/v1"
    script = (
        "export const meta = { name: 'long', description: 'a test' }\n"
        f"return [await agent({json.dumps(TASK)}), await agent('x'.repeat(200_000), {{label: 'vast', tools: []}})]"
    )
    told: list[Event] = []

    result = await counterpoint.run(
        Workflow(script), model=model, base_url=address, cwd=cpt.folder, state=cpt.state,
        on_event=lambda recorded: told.append(recorded.event),
    )  # fmt: skip

    assert result.status is RunStatus.PARTIAL
    assert result.value == ["16,000 mice.", None]
    marks = [event for event in told if isinstance(event, AgentCompacted)]
    assert marks[0].cause == "provider"
    assert sum(mark.usage.requests for mark in marks) == reader.notes
    *_, vast = (event for event in told if isinstance(event, AgentFinished))
    assert vast.fault is not None
    assert vast.fault.kind == "too_long"
    assert "The task itself is too long for the context of" in vast.fault.message
