"""The web page in a real browser, against the program as it is installed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.conftest import Program
from tests.web.browser import Browser
from tests.web.conftest import Served, start
from tests.web.journals import HOSTILE, cut, record

from counterpoint.attention import needs
from counterpoint.events import Recorded, decode
from counterpoint.outline import outline
from counterpoint.timeline import Timeline
from counterpoint.view import RunView

SLOW = "sim:latency=60s"
"""Agents that are still at work when a test has seen them."""
QUICK = "sim:latency=20ms..200ms,fail=0.03,price=3/15"


@pytest.fixture(scope="module")
def page(browser: Browser, server: Served) -> Browser:
    """A window with a session."""
    browser.open(server.url)
    browser.wait("document.querySelector('.brand')")
    server.url = server.next_address()
    return browser


@pytest.fixture(scope="module")
def recording(program: Program) -> str:
    """A run that is over, with every kind of event."""
    return record(program)


@pytest.fixture
def live(program: Program) -> Iterator[str]:
    """A run with agents that are under way until it is ended."""
    process = program.start("run", program.script(FLOW, "live"), "--model", SLOW, "--jsonl", "-c", "50")
    assert process.stdout is not None
    run_id = json.loads(process.stdout.readline())["run_id"]
    yield run_id
    process.kill()
    process.communicate(timeout=20)


FLOW = (
    "phase('Work')\nawait parallel(Array.from({length: 4}, (_, n) => () => agent(`Task ${n}`, {label: `task ${n}`})))"
)


@pytest.fixture
def leaving() -> Iterator[contextlib.ExitStack]:
    """What is to be ended with the test, however that ends."""
    with contextlib.ExitStack() as stack:
        yield stack


def show(page: Browser, server: Served, link: str) -> None:
    """Goes to a place of the page, as somebody who follows a link."""
    page.open("about:blank")
    page.open(f"{server.base}/#/run/{link}")
    page.wait("window.counterpoint?.ready")


def test_a_live_run_of_300_agents_is_seen_as_it_goes_and_after(page: Browser, server: Served, program: Program) -> None:
    ended = program("run", "demo", "--args", '{"agents": 300}', "--model", "sim:latency=5ms..50ms", "--detach")
    run_id = ended.out.strip()
    show(page, server, run_id)
    page.wait("counterpoint.document().agents.total >= 10")
    page.wait("document.querySelector('.pill')?.textContent.includes('completed')")
    page.press("2")

    assert page.wait("document.querySelectorAll('#pane-matrix .cell.state-ok').length") == 300
    assert "300 of 300 ok" in page.text(".meters")
    late = page.run("return counterpoint.document()")
    show(page, server, run_id)
    page.wait("counterpoint.document().status === 'completed'")
    assert page.run("return counterpoint.document()") == late


def test_the_timeline_draws_10000_bars_of_300_agents_in_one_frame(
    page: Browser, server: Served, program: Program
) -> None:
    run_id = record(program, agents=300, spans=33)
    show(page, server, run_id)
    page.wait("counterpoint.document().status === 'partial'")
    bars = page.run("return counterpoint.bars().map(([, , bars]) => bars.length).reduce((a, b) => a + b)")
    inked = page.wait("""(() => {
      const canvas = document.querySelector('#pane-timeline canvas')
      const ink = canvas.getContext('2d').getImageData(200, 30, canvas.width - 200, canvas.height - 30).data
      let n = 0
      for (let i = 3; i < ink.length; i += 4) n += ink[i] > 0
      return n
    })()""")

    assert bars > 10_000
    assert inked > 10_000


def test_the_page_goes_on_when_the_server_was_started_again(
    page: Browser, program: Program, leaving: contextlib.ExitStack
) -> None:
    first = start(program)
    leaving.callback(first.stop)
    page.open(first.url)
    page.wait("document.querySelector('.brand')")
    process = program.start("run", program.script(FLOW, "live"), "--model", SLOW, "--jsonl")
    assert process.stdout is not None
    run_id = json.loads(process.stdout.readline())["run_id"]
    show(page, first, run_id)
    page.wait("counterpoint.live")
    first.stop()
    page.wait("document.body.innerText.includes('reconnecting')")
    second = start(program, first.port)
    leaving.callback(second.stop)
    page.wait("!document.body.innerText.includes('reconnecting')")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)

    page.wait("counterpoint.document().status === 'interrupted'")
    told, shown = program("show", run_id, "--json").json, page.run("return counterpoint.document()")
    assert {row["state"] for row in told["agent_list"]} == {"interrupted"}
    assert (told["status"], told["message"], said(told)) == (shown["status"], shown["message"], said(shown))
    assert [event["seq"] for event in page.run("return counterpoint.events()")] == list(
        range(1, page.run("return counterpoint.ready") + 1)
    )


def test_a_question_is_answered_in_a_form_made_from_its_schema(page: Browser, server: Served, program: Program) -> None:
    schema = """{type: 'object', required: ['how', 'n'], properties: {
      how: {type: 'string', enum: ['now', 'later']}, n: {type: 'integer', minimum: 1},
      sure: {type: 'boolean'}, why: {type: 'string'}}}"""
    text = f"return await counterpoint.checkpoint('How shall we go on?', {{schema: {schema}}})"
    run_id = program("run", program.script(text, "asks"), "--model", "sim", "--detach").out.strip()
    show(page, server, run_id)
    page.wait("document.querySelector('.gate form')")
    page.wait("counterpoint.document().status === 'waiting'")
    page.run("document.querySelector('.gate select').value = '1'")
    page.type(".gate input[type=number]", "3")
    page.click(".gate input[type=checkbox]")
    page.click(".gate button", "Answer")
    page.wait("counterpoint.document().status === 'completed'")

    assert program("result", run_id, "--json").json["result"] == {"how": "later", "n": 3, "sure": True}


def test_steering_skipping_and_stopping_leave_receipts(
    page: Browser, server: Served, program: Program, live: str
) -> None:
    show(page, server, live)
    page.wait("counterpoint.document().agent_list.filter(a => a.state === 'running').length === 4")
    page.click("#pane-timeline canvas")
    page.press("3", "j")
    page.wait("document.querySelector('.agent-head')")
    page.press("s")
    page.type("dialog textarea", "Look at the tests first")
    page.click("dialog button", "Send")
    page.wait("counterpoint.document().requests.some(r => r.verb === 'steer' && r.by.includes('(web)'))")
    page.press("x")
    page.click("dialog button", "Skip it")
    page.wait("counterpoint.document().agents.skipped === 1")
    page.press("X")
    assert "3 agents under way are cancelled" in page.wait("document.querySelector('dialog')?.innerText")
    page.click("dialog button", "Stop")
    page.wait("counterpoint.document().status === 'stopped'")

    asked = program("show", live, "--json").json["requests"]
    assert [(r["verb"], r["target"]) for r in asked] == [("steer", "a1"), ("skip", "a1"), ("stop", None)]
    page.press("Escape")
    assert "Stopped" in page.wait("document.querySelector('.receipts')?.innerText")


def test_a_long_question_leaves_its_answers_in_sight(page: Browser, server: Served, program: Program) -> None:
    text = "return await counterpoint.checkpoint('Long '.repeat(2000), {options: ['yes'.repeat(900), 'no']})"
    run_id = program("run", program.script(text, "asks"), "--model", "sim", "--no-input", "--json").json["run_id"]
    show(page, server, run_id)
    page.wait("document.querySelector('.gate button')")

    assert page.run("""
      const box = document.querySelector('.gates').getBoundingClientRect()
      const ask = document.querySelector('.gate button').getBoundingClientRect()
      return ask.top < box.bottom && ask.right <= innerWidth && document.documentElement.scrollHeight <= innerHeight""")
    page.run("document.querySelector('.gates').scrollTop = 1e6")
    page.click(".gate button", "no")
    page.wait("!document.querySelector('.gate')")
    page.click("button", "Resume")
    page.wait("counterpoint.document().status === 'completed'")


def test_several_agents_are_marked_and_asked_at_once(
    page: Browser, server: Served, program: Program, live: str
) -> None:
    show(page, server, f"{live}?tab=agents")
    page.wait("document.querySelectorAll('.rows .row').length === 4")
    page.wait("counterpoint.document().agent_list.filter(a => a.state === 'running').length === 4")
    page.press("j", "m", "m", "s")
    page.type("dialog textarea", "Hurry")
    page.click("dialog button", "Send")
    page.wait("counterpoint.document().requests.filter(r => r.verb === 'steer').length === 2")
    page.press("x")
    page.click("dialog button", "Skip them")
    page.wait("counterpoint.document().agents.skipped === 2")
    page.wait("document.querySelector('.toasts').innerText.includes('2 done')")
    page.press("M", "X")
    page.click("dialog button", "Stop")
    page.wait("counterpoint.document().status === 'stopped'")

    asked = program("show", live, "--json").json["requests"]
    assert [(r["verb"], r["target"], r["ok"]) for r in asked if r["verb"] == "skip"] == [
        ("skip", "a1", True),
        ("skip", "a2", True),
    ]


def test_a_fork_begins_at_the_point_of_the_scrubber_and_both_runs_say_so(
    page: Browser, server: Served, program: Program
) -> None:
    text = """phase('One')
      const found = await parallel([1, 2, 3].map((n) => () => agent(`find ${n}`)))
      phase('Two')
      return [args?.how ?? 'as before', (await agent(`join ${found.length} ${args?.how}`)).length > 0]"""
    parent = program.run(text, name="forked").json["run_id"]
    lines = program("export", parent, "--jsonl").lines
    seq = next(event["seq"] for event in lines if event["type"] == "phase_entered" and event["title"] == "Two")
    show(page, server, f"{parent}?seq={seq}")
    page.click(".scrubber button", "Fork from here")
    assert "3 results can be reused" in page.wait("document.querySelector('dialog')?.innerText")
    page.type("dialog textarea", "no JSON")
    page.click("dialog button", "Fork")
    page.wait("document.querySelector('dialog .wrong').textContent.includes('JSON')")
    page.run("document.querySelector('dialog textarea').value = '{\"how\": \"anew\"}'")
    page.click("dialog button", "Fork")
    page.wait("!location.hash.includes(arguments[0]) && counterpoint.document().status === 'completed'", parent)
    forked = page.run("return counterpoint.document()")

    assert (forked["parent"], forked["agents"]["reused"], forked["agents"]["ok"]) == (
        {"run_id": parent, "seq": seq},
        3,
        1,
    )
    shown = program("show", forked["run_id"], "--json").json
    assert shown["result"] == ["anew", True]
    assert said(forked) == said(shown)
    page.click(".forks a", parent)
    page.wait("counterpoint.seq === arguments[0] && counterpoint.document().run_id === arguments[1]", seq, parent)
    page.wait("document.querySelector('.forks')?.innerText.includes(arguments[0])", forked["run_id"])


def test_runs_are_tagged_and_found_by_their_tags(
    page: Browser, server: Served, program: Program, recording: str
) -> None:
    page.open("about:blank")
    page.open(f"{server.base}/#/")
    page.wait("document.querySelector('.run-line')")
    page.click(f".run-line input[aria-label='Mark {recording}']")
    page.click(".bulk button", "Tag")
    page.type("dialog input", "baseline")
    page.click("dialog button", "Tag")
    page.click(".tag", "baseline")
    page.wait("document.querySelectorAll('.run-line').length === 1 && location.hash.includes('baseline')")

    assert program("tag", recording, "--json").json["runs"] == [{"run_id": recording, "tags": ["baseline"]}]
    program("tag", recording, "--remove", "baseline")


def test_hostile_texts_are_shown_and_do_nothing(
    page: Browser, server: Served, program: Program, recording: str
) -> None:
    page.complaints()
    for tab in ("timeline", "matrix", "agents", "log", "script", "cost"):
        show(page, server, f"{recording}?tab={tab}&agent=a9999")
        page.wait("document.querySelector('.agent-body')")
    page.press("Escape")
    page.wait("document.querySelector('.run-pane pre')")
    shown = page.run("return document.body.textContent")

    assert page.run(
        "return window.hacked === undefined && !document.querySelector('#app script, #app img, main iframe')"
    )
    assert "<script>window.hacked = 1</script>" in shown
    assert "\\x1b[31mred" in shown
    assert "\\u202egnp.exe\\u202c" in shown
    assert not set("\x1b\x07\u202e\u202c\u2066\u2069\x9b") & set(shown)
    assert page.complaints() == []


def test_a_line_of_a_megabyte_is_shown_in_part_and_more_on_demand(
    page: Browser, server: Served, program: Program
) -> None:
    text = "const s = 'x'.repeat(1_000_000); log(s); await agent(s, {label: s}); return s"
    run_id = program("run", program.script(text, "long"), "--model", "sim", "--detach").out.strip()
    show(page, server, f"{run_id}?tab=log")
    page.wait("counterpoint.document().status === 'completed'")
    assert page.wait("document.querySelector('.run-pane pre')?.textContent.length") == 20_000
    show(page, server, f"{run_id}?agent=a1")
    page.click(".inspector [role=tab]", "Prompt")
    page.wait("document.querySelector('.agent-body pre')?.textContent.length === 20000")
    page.click(".agent-body .link", "more characters")

    assert page.wait("document.querySelector('.agent-body pre').textContent.length") == 120_000


def test_what_an_agent_changed_is_shown_as_a_diff(page: Browser, server: Served, recording: str) -> None:
    show(page, server, f"{recording}?agent=a9000")
    page.click(".inspector [role=tab]", "Diff")

    assert page.wait("document.querySelector('.diff .added')?.textContent") == "+new <b>\n"
    assert page.run("return document.querySelector('.diff .removed').textContent") == "-old\n"
    show(page, server, f"{recording}?agent=a1")
    page.wait("document.querySelector('.inspector [data-tab=diff]')?.hidden")


def test_history_can_be_scrubbed_and_played(page: Browser, server: Served, program: Program, recording: str) -> None:
    show(page, server, f"{recording}?seq=50")
    page.wait("document.querySelector('.flags').textContent.includes('event 50')")
    page.press("Right", "Right", "Left")
    page.wait("location.hash.includes('seq=51')")
    assert page.run("return counterpoint.document().agents.total") < 45
    page.run("const s = document.querySelector('.track input'); s.value = 5000; s.dispatchEvent(new Event('input'))")
    page.wait("location.hash.includes('seq=') && !location.hash.includes('seq=51')")
    page.press("l")
    page.wait("!location.hash.includes('seq=')")
    show(page, server, f"{recording}?play=100")
    page.wait("counterpoint.document().status === 'partial' && !location.hash.includes('seq=')")


def test_a_filter_and_a_link_to_it_show_the_same(
    page: Browser, server: Served, program: Program, recording: str
) -> None:
    show(page, server, f"{recording}?tab=agents")
    page.type(".filter", "state:bad phase:doubt")
    failed = 'counterpoint.document().agent_list.filter(a => a.phase === "Doubt" && a.outcome !== "ok").length'
    page.wait(f"document.querySelectorAll('.rows .row').length === {failed}")
    link = page.run("return location.hash").removeprefix("#/run/")
    show(page, server, link)

    assert page.wait(f"document.querySelectorAll('.rows .row').length === {failed}")


def test_a_phone_in_the_dark_can_read_it(page: Browser, server: Served, program: Program, recording: str) -> None:
    page.resize(390, 844)
    show(page, server, recording)
    page.run("document.documentElement.dataset.theme = 'dark'")
    page.wait("document.querySelector('.need')")

    assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1")
    page.resize(1440, 900)


def test_the_exported_file_opened_from_disk_is_the_same_page(
    page: Browser, server: Served, program: Program, recording: str, tmp_path: Path
) -> None:
    show(page, server, recording)
    page.wait("counterpoint.document().message")  # what comes after the first events has come, to the end of the run
    served = page.run("return counterpoint.document()")
    file = tmp_path / "run.html"
    assert program("export", recording, "--html", "--output", str(file)).code == 0
    page.complaints()
    page.open(f"file://{file}#/run/{recording}?agent=a3")
    page.wait("window.counterpoint?.ready")
    page.click(".inspector [role=tab]", "Prompt")

    assert page.run("return counterpoint.document()") == served
    assert "Look at part 3" in page.wait("document.querySelector('.agent-body pre')?.textContent")
    assert page.run("return window.hacked === undefined")
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert page.complaints() == []


def test_every_face_says_the_same_at_every_hundredth_event(
    page: Browser, server: Served, program: Program, recording: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.html"
    program("export", recording, "--html", "--output", str(file))
    lines = program("export", recording, "--jsonl").out.splitlines()
    places = [*range(100, len(lines), 100), len(lines)]
    assert len(places) > 4
    said_by_program: list[dict[str, Any]] = []
    for seq in places:
        state = tmp_path / str(seq)
        cut(program, recording, seq, state)
        said_by_program.append(said(program("show", recording, "--json", COUNTERPOINT_STATE=str(state)).json))
    for place in (f"{server.base}/", f"file://{file}"):
        page.open("about:blank")
        page.open(place)
        for seq, shown in zip(places, said_by_program, strict=True):
            page.run("location.hash = arguments[0]", f"#/run/{recording}?seq={seq}")
            page.wait("counterpoint.ready === arguments[0] && counterpoint.seq === arguments[1]", len(lines), seq)
            assert said(page.run("return counterpoint.document()")) == shown, (place, seq)
            text = f"{shown['coverage']['ok']} of {shown['agents']['total']} ok"
            page.wait("document.querySelector('.meters').innerText.includes(arguments[0])", text)


def said(document: dict[str, Any]) -> dict[str, Any]:
    """What faces must agree about. Whether a process is behind a run is no event, and neither is the time of day."""
    own = {"status", "message", "duration_s", "result", "log", "limits", "journal", "schema_version", "forks"}
    kept = {name: value for name, value in document.items() if name not in own}
    if document["status"] not in ("interrupted", "running", "waiting", "paused"):
        kept["status"] = document["status"]
    for row in kept["agent_list"]:
        row["usage"] = {name: value for name, value in row["usage"].items() if value != 0}
        row["state"] = row["state"].replace("interrupted", "running")
    for fault in [kept["error"], *kept["script_errors"]]:
        if fault is not None:
            fault.pop("kind", None)
    return kept


def test_the_bars_of_the_page_are_those_of_the_timeline(
    page: Browser, server: Served, program: Program, recording: str
) -> None:
    show(page, server, recording)
    timeline = Timeline.of(recorded(program, recording))
    bars = [
        [lane.id, lane.doing, [[bar.kind, bar.start, bar.end, bar.label] for bar in lane.bars]]
        for lane in timeline.lanes.values()
    ]

    assert page.run("return counterpoint.bars()") == bars


def test_the_page_and_the_terminal_need_a_person_for_the_same_and_have_the_same_outline(
    page: Browser, server: Served, program: Program, recording: str
) -> None:
    events = recorded(program, recording)
    show(page, server, recording)
    for seq in (60, 300, len(events)):
        page.run("location.hash = arguments[0]", f"#/run/{recording}?seq={seq}")
        page.wait("counterpoint.ready === arguments[0] && counterpoint.seq === arguments[1]", len(events), seq)
        view = RunView.of(events[:seq])
        expected = [
            {"kind": n.kind, "text": n.text, "since": n.since, "agents": list(n.agents), "gate": n.gate}
            for n in needs(view, view.last_at)
        ]
        assert page.run("return counterpoint.needs()") == expected
        rows = [[row.depth, row.kind, row.title, [a.id for a in row.agents], row.line] for row in outline(view)]
        assert page.run("return counterpoint.outline()") == rows
        assert {"phase", "workflow", "fan", "agent"} == {row.kind for row in outline(view)}
    page.press("8")
    page.click("#pane-tree .fan", "again")
    page.click("#pane-tree .agent", "again a10")
    page.wait("document.querySelector('.inspector').innerText.includes('a10')")
    assert {"conflict", "failed", "script"} <= {each.kind for each in needs(RunView.of(events), events[-1].at)}


def recorded(program: Program, recording: str) -> list[Recorded]:
    found: list[Recorded] = []
    for line in program("export", recording, "--jsonl").out.splitlines():
        event = msgspec.json.decode(line)
        seq, at = event.pop("seq"), event.pop("at")
        found.append(Recorded(seq, at, decode(msgspec.json.encode(event))))
    return found


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; sys.argv[1:] = ['serve']\n"
        "from counterpoint.__main__ import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "counterpoint[web]" in ended.stderr


def test_the_hostile_texts_hold_what_they_should() -> None:
    assert all(c in HOSTILE for c in "\x1b\u202e\x9b<")


def test_budget_retry_with_changes_pause_and_denial_work_from_the_page(
    page: Browser, server: Served, program: Program, live: str
) -> None:
    show(page, server, f"{live}?tab=agents&agent=a2")
    page.wait("counterpoint.document().agent_list.filter(a => a.state === 'running').length === 4")
    page.wait("document.querySelector('.agent-head')")
    page.press("r")
    page.wait("document.querySelector('dialog textarea')?.value === 'Task 1'")
    page.type("dialog textarea", " and look twice")
    page.type("dialog input", "sim:latency=50s")
    page.click("dialog button", "Run again")
    page.wait("counterpoint.document().requests.some(r => r.verb === 'retry' && r.ok && r.done_at)")
    page.press("b")
    page.type("dialog input", "70k")
    page.click("dialog button", "Change")
    page.wait("counterpoint.document().requests.some(r => r.verb === 'bounds' && r.ok && r.done_at)")
    page.press("p")
    page.click("dialog button", "Pause")
    page.wait("counterpoint.document().status === 'paused'")
    page.press("p")
    page.wait("counterpoint.document().status === 'running'")

    changed = program("show", live, "a2", "--json").json
    assert (changed["prompt"], changed["model"]) == ("Task 1 and look twice", "sim:latency=50s")
    limits = program("show", live, "--json").json["limits"]
    assert {"name": "budget", "unit": "tokens", "total": 70_000} in [
        {name: limit[name] for name in ("name", "unit", "total")} for limit in limits
    ]


def test_a_question_is_denied_from_the_page(page: Browser, server: Served, program: Program) -> None:
    text = "try { return await counterpoint.checkpoint('Go on?') } catch (error) { return error.name }"
    run_id = program("run", program.script(text, "denied"), "--model", "sim", "--detach").out.strip()
    show(page, server, run_id)
    page.click(".gate button", "Deny")
    page.wait("counterpoint.document().status === 'completed'")

    assert program("result", run_id, "--json").json["result"] == "DeniedError"
