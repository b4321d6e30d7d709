"""The terminal UI, driven by keys, on recorded journals and on live runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import unicodedata
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.web.conftest import end_runs
from tests.web.journals import record
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import OptionList

from counterpoint.client import Client
from counterpoint.store.runs import Store
from counterpoint.text import count
from counterpoint.tui.app import Top
from counterpoint.tui.board import Board
from counterpoint.tui.dialogs import Help, Line
from counterpoint.tui.feed import Feed
from counterpoint.tui.panes.run import run_screen
from counterpoint.tui.scene import Scene, Signs
from counterpoint.tui.screens.agent import AgentScreen
from counterpoint.tui.screens.answer import Form
from counterpoint.tui.screens.door import Door
from counterpoint.tui.screens.run import RunScreen

SCREENS = Path(__file__).parent / "screens"
FLOW = """
phase('Work')
await parallel(Array.from({length: 4}, (_, n) => () => agent(`Task ${n}`, {label: `task ${n}`})))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("top"))
    yield made
    end_runs(made)


@pytest.fixture(scope="module")
def recording(program: Program) -> str:
    return record(program)


@pytest.fixture
def live(program: Program) -> Iterator[str]:
    """A run whose agents are under way until it is ended."""
    process = program.start("run", program.script(FLOW, "live"), "--model", "sim:latency=60s", "--jsonl")
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["run_id"]
    process.kill()
    process.communicate(timeout=20)


Window = tuple[Top, Pilot[None]]


@asynccontextmanager
async def opened(
    program: Program, run_id: str | None, size: tuple[int, int] = (120, 40), speed: float | None = None
) -> AsyncGenerator[Window]:
    async def start(arguments: list[str]) -> None:
        assert (await asyncio.to_thread(program, *arguments)).code == 0

    async with Store(program.state) as store:
        client = Client(store)
        door = Door(client, "me@test", Signs(), start)
        app = Top(door, Feed(client, run_id, speed=speed) if run_id else None)
        async with app.run_test(size=size) as pilot:
            yield app, pilot


def board(app: Top) -> Board:
    return app.screen.query_one(Board)


async def until(pilot: Pilot[None], condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await pilot.pause(0.02)


async def shows(window: Window, text: str) -> None:
    app, pilot = window
    try:
        await until(pilot, lambda: app.screen.query(Board) and text in board(app).plain)
    except TimeoutError:
        raise AssertionError(f"{text!r} is not on the screen:\n{board(app).plain}") from None


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (140, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_recorded_run_looks_as_it_did(program: Program, recording: str, size: tuple[int, int]) -> None:
    async with opened(program, recording, size) as window:
        await shows(window, "PARTIAL")
        await window[1].press("right")
        await shows(window, "a1  reused" if size[0] > 100 else "Needs attention")
        await until(window[1], lambda: MARKED in picture(window[0]))
        seen = board(window[0]).plain
        looks_as_it_did(f"run-{size[0]}x{size[1]}.txt", seen + "\n")
        looks_as_it_did(f"run-{size[0]}x{size[1]}.svg", picture(window[0]))
        for name, keys, shown in PICTURES:
            await window[1].press(*keys)
            await shows(window, shown)
            looks_as_it_did(f"{name}-{size[0]}x{size[1]}.svg", picture(window[0]))
            await window[1].press("escape")

    assert len(seen.splitlines()) <= size[1]


MARKED = '<rect fill="#68a0b3"'
"""The cell of the chosen agent, which was reused."""
PICTURES = (
    ("timeline", ("w",), "Timeline"),
    ("verdicts", ("v",), "Verdicts"),
    ("agent", ("enter",), "transcript"),
)
"""Name, keys that lead there from the screen of the run, and what is then to be seen."""


def looks_as_it_did(name: str, seen: str) -> None:
    """Compares with the file of an earlier time; COUNTERPOINT_SCREENS=write replaces it."""
    file = SCREENS / name
    if os.environ.get("COUNTERPOINT_SCREENS") == "write":
        file.write_text(seen, "utf-8")
    assert seen == file.read_text("utf-8"), f"{name} looks otherwise; if it should: COUNTERPOINT_SCREENS=write"


def picture(app: Top) -> str:
    """The screen as an SVG that names no font of another host, and nothing of this very moment."""
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(title="counterpoint"), flags=re.DOTALL)
    return re.sub(r"terminal-\d+", "terminal", "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


async def test_hostile_texts_reach_no_terminal(program: Program, recording: str) -> None:
    async with opened(program, recording, (140, 40)) as window:
        await shows(window, "PARTIAL")
        for key in ("w", "w", "c", "$", "$", "t"):
            await window[1].press(key)
            await window[1].pause(0.15)
            acting = {
                c for c in board(window[0]).plain if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"
            }
            assert acting == set()
        await shows(window, "<script>")


async def test_arrows_choose_and_enter_opens_an_agent_with_its_exact_prompt(program: Program, recording: str) -> None:
    prompt = program("show", recording, "a1", "--json").json["prompt"]
    async with opened(program, recording) as window:
        await shows(window, "PARTIAL")
        await window[1].press("right", "enter")
        await shows(window, "transcript")
        await window[1].press("tab")
        await shows(window, prompt[:60])
        await window[1].press("tab")
        await shows(window, "What the script received")
        await window[1].press("escape")
        await shows(window, "Needs attention")


async def test_a_filter_keeps_what_fits(program: Program, recording: str) -> None:
    async with opened(program, recording) as window:
        await shows(window, "PARTIAL")
        await window[1].press("/", *"state:bad", "enter")
        await shows(window, "filter state:bad")
        await window[1].press("w", "g")
        await shows(window, "Timeline")
        bad = [
            row
            for row in program("show", recording, "--json").json["agent_list"]
            if row["outcome"] not in ("ok", "reused")
        ]
        lanes = [line for line in board(window[0]).plain.splitlines()[3:-1] if line.strip()]
        assert len(lanes) == 1 + len(bad)


async def test_a_click_on_a_cell_chooses_its_agent(program: Program, recording: str) -> None:
    async with opened(program, recording) as window:
        await shows(window, "PARTIAL")
        y = next(
            n for n, line in enumerate(board(window[0]).plain.splitlines()) if line.startswith(" Find ") and "↺" in line
        )
        await window[1].click(Board, offset=(14, y))
        second = program("show", recording, "--json").json["agent_list"][1]["id"]
        await shows(window, f"{second}  reused")


async def test_the_tree_folds_fan_outs_and_opens_the_one_that_the_cursor_comes_to(
    program: Program, recording: str
) -> None:
    async with opened(program, recording) as window:
        await shows(window, "PARTIAL")
        await window[1].press("T")
        await shows(window, "workflow child")
        assert "again a1" not in board(window[0]).plain
        await window[1].press("down", "down")
        await shows(window, "- again")
        first = board(window[0]).plain
        await window[1].press("right")
        await until(window[1], lambda: board(window[0]).plain != first)
        await window[1].press("left", "enter")
        await shows(window, "transcript")


async def test_cost_says_what_the_money_is_made_of(program: Program, recording: str) -> None:
    usage = program("show", recording, "--json").json["usage"]
    async with opened(program, recording) as window:
        await shows(window, "PARTIAL")
        await window[1].press("$")
        await shows(window, "by model")
        assert f"{count(usage['output_tokens'])} out" in board(window[0]).plain


async def test_skipping_and_stopping_ask_twice_and_show_receipts(program: Program, live: str) -> None:
    async with opened(program, live) as window:
        await shows(window, "RUNNING")
        await shows(window, "4 at work")
        await window[1].press("right", "x")
        await shows(window, "Press x again")
        await window[1].press("x")
        await shows(window, "skip: done")
        await window[1].press("s", *"look", "enter")
        await shows(window, "steer: asked")
        await window[1].press("X")
        await shows(window, "3 agents are cancelled")
        await window[1].press("X")
        await shows(window, "STOPPED")
    requests = program("show", live, "--json").json["requests"]

    assert [(r["verb"], r["by"]) for r in requests[:1]] == [("skip", "me@test")]
    assert requests[-1]["verb"] == "stop"


async def test_several_agents_are_marked_and_asked_at_once(program: Program, live: str) -> None:
    async with opened(program, live) as window:
        await shows(window, "4 at work")
        await window[1].press("right", "space", "space")
        await shows(window, "2 marked")
        await window[1].press("x", "x")
        await shows(window, "skip: 2 done")
        await window[1].press("*")
        await shows(window, "4 marked")
        await window[1].press("enter")  # what is asked of an opened agent is asked of it, not of those that are marked
        await shows(window, "transcript")
        await window[1].press("r")
        await shows(window, "Runs task 2 again.")
        await window[1].press("escape")
        await shows(window, "4 marked")
        await window[1].press("escape", "p")
        await shows(window, "PAUSED")
        await window[1].press("right", "R")
        await until(window[1], lambda: not isinstance(window[0].screen, RunScreen))
        await window[1].press(*"Other: ", "tab", *"sim:latency=50s", "enter")
        await shows(window, "retry: done")
    shown = program("show", live, "--json").json
    agent = program("show", live, "a4", "--json").json

    assert [(r["verb"], r["target"]) for r in shown["requests"]] == [
        ("skip", "a1"), ("skip", "a2"), ("pause", None), ("retry", "a4"),
    ]  # fmt: skip
    assert (agent["prompt"], agent["model"]) == ("Other: Task 3", "sim:latency=50s")


async def test_a_fork_from_a_held_replay_opens(program: Program) -> None:
    parent = program.run("phase('One')\nreturn await agent('one')", name="forkable").json["run_id"]
    async with opened(program, parent, speed=1000) as window:
        await shows(window, "COMPLETED")
        await window[1].press("F")
        await shows(window, "a new run that reuses everything")
        await window[1].press("F")
        await shows(window, f"fork of {parent}")
        await shows(window, "COMPLETED")
        await shows(window, "↺1")


def hold(app: Top, *keys: str) -> None:
    """The keys come at once, as from a terminal: before any of them has had its effect."""
    for key in keys:
        app.post_message(Key(key, key if len(key) == 1 else None))


async def test_keys_that_come_faster_than_screens_open_and_leave_each_once(program: Program, live: str) -> None:
    async with opened(program, live) as (app, pilot):
        await shows((app, pilot), "4 at work")
        run = app.screen
        await pilot.press("right")
        for key, kind, leave in (
            ("enter", AgentScreen, "escape"), ("b", Line, "escape"), ("s", Line, "enter"), ("?", Help, "z"),
        ):  # fmt: skip
            hold(app, *[key] * 4)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))
            await pilot.press(leave)  # one is enough
            await until(pilot, lambda: app.screen is run)
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))
            hold(app, *[leave] * 4)
            await until(pilot, lambda: app.screen is run)
        await shows((app, pilot), "4 at work")


async def test_leaving_stops_nothing(program: Program, live: str) -> None:
    async with opened(program, live) as window:
        await shows(window, "4 at work")
        await window[1].press("q")
        await until(window[1], lambda: not window[0].is_running)

    assert program("show", live, "--json").json["status"] == "running"


async def test_a_question_is_answered_by_choosing(program: Program) -> None:
    text = "return await counterpoint.checkpoint('Which way?', {options: ['left', 'right']})"
    run_id = program("run", program.script(text, "asks"), "--model", "sim", "--detach").out.strip()
    async with opened(program, run_id) as window:
        await shows(window, "Which way?")
        await shows(window, "WAITING")
        await window[1].press("A")
        await until(window[1], lambda: not isinstance(window[0].screen, RunScreen))
        await window[1].press("down", "enter")
        await shows(window, "COMPLETED")

    assert program("result", run_id, "--json").json["result"] == "right"


async def test_a_question_is_answered_in_a_form_made_from_its_schema(program: Program) -> None:
    schema = """{type: 'object', required: ['how', 'n', 'name'], properties: {
      how: {type: 'string', enum: ['now', 'later']}, n: {type: 'integer', minimum: 1}, name: {type: 'string'},
      sure: {type: 'boolean'}, files: {type: 'array', items: {type: 'string'}}, why: {type: 'string'},
      more: {type: 'object', required: ['x'], properties: {x: {type: 'number'}}}, rest: {}}}"""
    text = f"return await counterpoint.checkpoint('How shall we go on?', {{schema: {schema}}})"
    run_id = program("run", program.script(text, "asks"), "--model", "sim", "--detach").out.strip()
    async with opened(program, run_id, (80, 24)) as (app, pilot):
        await shows((app, pilot), "WAITING")
        await pilot.press("A")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press("right", "enter", "0", "enter", "ctrl+s")
        await until(pilot, lambda: wrong(app) == ["is required"])  # the name: what can be no value comes first
        await pilot.press(*"Åse", "ctrl+s")
        await until(pilot, lambda: wrong(app) == ["0 is less than the minimum of 1"])
        await pilot.press("end", "backspace", "3", "tab", "tab", "space", "tab", *"a b", "enter", "c", "ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, Form))
        await shows((app, pilot), "COMPLETED")

    result = program("result", run_id, "--json").json["result"]
    assert result == {"how": "later", "n": 3, "name": "Åse", "sure": True, "files": ["a b", "c"]}


def wrong(app: Top) -> list[str]:
    """What the form finds wrong."""
    return [str(line.render()) for line in app.screen.query(".wrong") if line.display]


async def test_a_long_question_leaves_its_answers_in_sight_and_p_resumes_a_run_at_rest(program: Program) -> None:
    text = "return await counterpoint.checkpoint('Long '.repeat(2000), {options: ['yes '.repeat(500), 'no']})"
    run_id = program("run", program.script(text, "asks"), "--model", "sim", "--no-input", "--json").json["run_id"]
    async with opened(program, run_id, (40, 10)) as (app, pilot):
        await shows((app, pilot), "A answer")
        await pilot.press("A")
        await until(pilot, lambda: not isinstance(app.screen, RunScreen))
        await pilot.press("down")
        answers = app.screen.query_one(OptionList)
        await until(pilot, lambda: answers.has_focus and answers.region.height >= 2)
        assert answers.region.bottom < 10
        await pilot.press("enter")
        await shows((app, pilot), "Recorded.")
        await pilot.press("p", "p")
        await shows((app, pilot), "COMPLETED")

    assert program("result", run_id, "--json").json["result"] == "no"


async def test_a_replay_goes_through_the_run_and_can_be_held(program: Program, recording: str) -> None:
    async with opened(program, recording, speed=2) as window:
        await shows(window, "RUNNING")
        await window[1].press("space")
        await shows(window, "held")
    async with opened(program, recording, speed=1000) as window:
        await shows(window, "PARTIAL")
        await window[1].press("X", "X")
        await shows(window, "This is a replay")


async def test_the_list_shows_all_runs_and_opens_one(program: Program, recording: str) -> None:
    async with opened(program, None, (100, 24)) as window:
        await shows(window, recording)
        await window[1].press("G", "enter")
        await shows(window, "Needs attention")
        await window[1].press("escape")
        await shows(window, "Runs")


async def test_runs_are_marked_tagged_found_and_stopped_together(program: Program, live: str) -> None:
    other = program("run", program.script(FLOW, "other"), "--model", "sim:latency=900s", "--detach").out.strip()
    async with opened(program, None, (110, 24)) as window:
        await shows(window, live)
        await window[1].press("/", *"status:running", "enter")
        await until(window[1], lambda: board(window[0]).plain.count(" running ") == 2)
        await window[1].press("*")
        await shows(window, "2 marked")
        await window[1].press("T")
        await until(window[1], lambda: isinstance(window[0].screen, Line))
        await window[1].press(*"pair", "enter")
        await until(window[1], lambda: board(window[0]).plain.count("#pair") == 2)
        await window[1].press("X")
        await shows(window, "Stops 2 runs")
        await window[1].press("X")
        await shows(window, "stop: asked of 2 runs")
        await window[1].press("escape", "escape", "/", *"tag:pair", "enter")
        await until(window[1], lambda: board(window[0]).plain.count(" stopped ") == 2)

    assert program("show", other, "--json").json["requests"][-1]["verb"] == "stop"


def test_without_a_terminal_it_is_one_look_as_text(program: Program, recording: str) -> None:
    seen = program("top", recording).out
    plain = program("top", recording, "--ascii").out

    assert "PARTIAL" in seen
    assert "Needs attention" in seen
    assert plain.isascii()
    assert "\x1b" not in seen


async def test_the_screen_says_what_the_command_line_says_at_every_hundredth_event(
    program: Program, recording: str, tmp_path: Path
) -> None:
    async with Store(program.state) as store:
        client = Client(store)
        events = await client.events(recording)
        feed = Feed(client, recording)
        for start in range(0, len(events), 100):
            feed.apply(events[start : start + 100])
            document = await client.run_document(feed.view)
            scene = Scene(feed.view, feed.timeline, feed.now(), False, 140, 40)
            seen = "\n".join(line.plain for line in run_screen(scene))
            usage, ok, of = document["usage"], document["coverage"]["ok"], document["coverage"]["of"]
            assert f" agents {of}: {ok} ok " in seen
            assert f"tokens {count(usage['input_tokens'])} in" in seen
            assert f"{count(usage['output_tokens'])} out" in seen
            assert document["status"].upper() in seen
            for phase in document["phases"]:
                assert not phase["agents"] or f"{phase['ok']}/{phase['agents']} " in seen


async def test_a_run_whose_process_dies_is_interrupted(program: Program, live: str) -> None:
    async with opened(program, live) as window:
        await shows(window, "4 at work")
        screen = window[0].screen
        assert isinstance(screen, RunScreen)
        os.kill(screen.feed.view.pid, signal.SIGKILL)
        await shows(window, "INTERRUPTED")
        await shows(window, "Its process ended")
        assert "at work" not in board(window[0]).plain
        assert "/4" in board(window[0]).plain  # four that were cut off
        assert {row["state"] for row in program("show", live, "--json").json["agent_list"]} == {"interrupted"}
