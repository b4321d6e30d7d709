"""A provider that says no, hangs, or talks rubbish: nothing is lost or burns on, and the end says what happened."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator

import pytest
from tests.e2e.conftest import Ended, Program
from tests.fakes.replies import Asked, Breaks, Fails, Gives, Reply, Says, Waits
from tests.fakes.server import Fake

SCHEMA = "{type: 'object', properties: {n: {type: 'integer'}}, required: ['n']}"


@pytest.fixture
def fake() -> Generator[Fake]:
    with Fake() as server:
        yield server


def run(cpt: Program, fake: Fake, text: str, *arguments: str) -> Ended:
    where = ("--model", "openai-compatible:m", "--base-url", f"{fake.url}/v1")
    return cpt("run", cpt.script(text), *where, "--json", *arguments)


def fan(agents: int, options: str = "") -> str:
    return f"return await parallel(Array.from({{length: {agents}}}, (_, i) => () => agent(`task ${{i}}`{options})))"


def prompt(asked: Asked) -> str:
    """What the agent was asked at first."""
    return next(message["content"] for message in asked.body["messages"] if message["role"] == "user")


def test_a_provider_without_room_pauses_the_run_until_it_has_some(cpt: Program, fake: Fake):
    began: list[float] = []

    def busy_at_first(asked: Asked) -> Reply:
        if not began:
            began.append(asked.at)
        busy = asked.at - began[0] < 4
        return Fails(429, "slow down", headers={"retry-after": "1"}) if busy else Says("Fine.")

    fake.otherwise = busy_at_first
    ended = run(cpt, fake, fan(300), "--concurrency", "300")
    assert ended.code == 0, ended.err
    assert ended.json["coverage"] == {"ok": 300, "of": 300}
    burnt = [asked for asked in fake.asked if 1 < asked.at - began[0] < 4]
    assert len(burnt) <= 6, "only probes may go out while the provider says no"
    events = cpt("export", "@last", "--jsonl").lines
    paused = [event for event in events if event["type"] == "run_paused"]
    assert paused
    assert all(event["cause"] == "quota" and event["until"] > event["at"] for event in paused)
    assert events[[event["type"] for event in events].index("run_paused") :][-1]["status"] == "completed"
    assert sum(event["type"] == "run_continued" for event in events) == len(paused)


def test_a_quota_without_an_end_in_sight_ends_as_paused_and_is_resumed(cpt: Program, fake: Fake):
    fake.otherwise = lambda asked: Fails(429, "come back tomorrow", headers={"retry-after": "3600"})
    ended = run(cpt, fake, fan(20))
    assert (ended.code, ended.json["status"]) == (6, "paused")
    assert ended.json["paused_until"] > time.time() + 3000
    assert ended.json["agents"]["failed"] == 0
    asked_before = len(fake.asked)
    assert asked_before <= 16
    fake.otherwise = lambda asked: Says("Fine.")
    after = cpt("resume", "@last", "--json")
    assert (after.code, after.json["coverage"]) == (0, {"ok": 20, "of": 20})


def test_a_detached_run_wakes_by_itself_when_the_quota_is_back(cpt: Program, fake: Fake):
    fake.will(*[Fails(429, "a moment", headers={"retry-after": "3"})] * 4)
    started = cpt(
        "run", cpt.script(fan(4)), "--model", "openai-compatible:m", "--base-url", f"{fake.url}/v1", "--detach",
        COUNTERPOINT_MAX_WAIT_S="1",
    )  # fmt: skip
    assert started.code == 0
    deadline = time.monotonic() + 30
    statuses: list[str] = []
    while time.monotonic() < deadline and statuses[-1:] != ["completed"]:
        statuses.append(cpt("show", "@last", "--json").json["status"])
    assert "paused" in statuses
    assert statuses[-1] == "completed"


def test_three_bad_ones_of_a_hundred_leave_97_and_are_repaired_alone(cpt: Program, fake: Fake):
    never = asyncio.Event()

    def three_bad(asked: Asked) -> Reply:
        match prompt(asked):
            case "task 13":
                return Waits(never, Says("too late"))
            case "task 44":
                return Fails(400, "I cannot stand this one")
            case "task 77":
                return Says("no JSON at all", tokens=(10, 0, 3))
            case _:
                return Gives({"n": 1})

    fake.otherwise = three_bad
    ended = run(
        cpt, fake, fan(100, f", {{schema: {SCHEMA}, stallMs: i === 13 ? 4000 : undefined}}"), "--concurrency", "50"
    )
    assert (ended.code, ended.json["status"]) == (4, "partial")
    agents = ended.json["agents"]
    assert (agents["ok"], agents["stalled"], agents["failed"], agents["invalid"]) == (97, 1, 1, 1)
    assert ended.json["coverage"] == {"ok": 97, "of": 100}
    assert ended.json["result"].count(None) == 3
    assert "I cannot stand this one" in ended.err
    assert "counterpoint resume" in ended.err
    shown = cpt("show", "@last", "--json").json["agent_list"]
    faults = {agent["outcome"]: agent["fault"]["name"] for agent in shown if agent["fault"]}
    assert faults == {"stalled": "StalledError", "failed": "ProviderError", "invalid": "StructuredOutputError"}
    invalid = next(agent["id"] for agent in shown if agent["outcome"] == "invalid")
    assert cpt("show", "@last", invalid, "--json").json["raw"] == "no JSON at all"
    fake.otherwise = lambda asked: Gives({"n": 2})
    fake.asked.clear()
    repaired = cpt("retry", "@last", "--json")
    assert (repaired.code, repaired.json["coverage"]) == (0, {"ok": 100, "of": 100})
    assert sorted(prompt(asked) for asked in fake.asked) == ["task 13", "task 44", "task 77"]


@pytest.mark.parametrize(
    ("reply", "outcome", "code", "requests"),
    [
        (Fails(500), "failed", 4, 3),
        (Fails(529), "failed", 4, 3),
        (Fails(404, "no such model"), "failed", 4, 1),
        (Fails(401, "expired key"), "failed", 6, 1),
        (Breaks(), "failed", 4, 3),
        (Breaks(midway=True), "failed", 4, 3),
    ],
)
def test_every_fault_has_its_outcome_and_its_rule_of_repeating(
    cpt: Program, fake: Fake, reply: Reply, outcome: str, code: int, requests: int
):
    fake.otherwise = lambda asked: reply
    ended = run(cpt, fake, "return await agent('x', {retries: 2})")
    assert ended.json["agents"][outcome] == 1, ended.err
    assert (ended.code, len(fake.asked)) == (code, requests)
    assert ended.json["result"] is None


def test_a_name_that_nobody_knows_pauses_the_run(cpt: Program):
    arguments = ("--model", "openai-compatible:m", "--base-url", "http://no-such-host.invalid/v1", "--json")
    ended = cpt("run", cpt.script("return await agent('x', {retries: 1})"), *arguments)
    assert (ended.code, ended.json["status"]) == (6, "paused")
    assert "no-such-host.invalid" in ended.err


def test_an_agent_without_progress_is_named_with_what_it_waits_for(cpt: Program, fake: Fake):
    never = asyncio.Event()

    def two_blocked(asked: Asked) -> Reply:
        runs = prompt(asked) == "run it"
        return Says(calls=[("Bash", {"command": "echo hi"})]) if runs else Waits(never, Says("too late"))

    fake.otherwise = two_blocked
    script = cpt.script("return await parallel([() => agent('think'), () => agent('run it', {label: 'the runner'})])")
    where = ("--model", "openai-compatible:m", "--base-url", f"{fake.url}/v1", "--ask", "Bash", "--no-sandbox")
    process = cpt.start("run", script, *where, "--detach", COUNTERPOINT_STALL_WARN_S="0.2")
    run_id = process.communicate(timeout=90)[0].strip()
    slow: dict[str, str] = {}
    watching = cpt.start("logs", run_id, "-f", "--jsonl")
    assert watching.stdout is not None
    for line in watching.stdout:
        event = json.loads(line)
        if event["type"] == "agent_slow":
            slow[event["agent"]] = event["waits_for"]
        if slow == {"a1": "the model", "a2": "a person"}:
            break
    shown = cpt("show", run_id)
    assert "the runner: waits for a person since" in shown.out
    assert cpt("stop", run_id).code == 0
    watching.communicate(timeout=60)


def test_an_agent_that_was_cut_off_goes_on_from_its_transcript(cpt: Program, fake: Fake):
    (cpt.folder / "note.txt").write_text("the secret word is plover")
    stuck = asyncio.Event()
    fake.will(
        Says(calls=[("Read", {"file_path": "note.txt"})], tokens=(50, 0, 7)),
        Waits(stuck, Says("too late")),
        Says("plover"),
    )
    where = ("--model", "openai-compatible:m", "--base-url", f"{fake.url}/v1")
    process = cpt.start("run", cpt.script("return await agent('read it')"), *where)
    for _ in range(2):
        assert fake.arrived.acquire(timeout=20)
    process.kill()
    process.communicate()
    after = cpt("resume", "@last", "--json")
    assert after.json["result"] == "plover"
    assert len(fake.asked) == 3, "the first request is not made again"
    assert "the secret word" in json.dumps(fake.asked[2].body)
    assert after.json["usage"]["output_tokens"] == 7 + 10
    assert after.json["usage"]["requests"] == 2


def test_a_resume_says_which_files_are_not_as_a_reused_agent_left_them(cpt: Program, fake: Fake):
    writes = [("Write", {"file_path": "made.txt", "content": "by an agent"})]
    fake.will(Says(calls=writes), Says("done"), Fails(400))
    flow = "const first = await agent('write it'); return [first, await agent('then')]"
    assert run(cpt, fake, flow, "--allow", "Write(*)").json["result"] == ["done", None]
    agent = cpt("show", "@last", "--json").json["agent_list"][0]["id"]
    assert cpt("resume", "@last", "--dry-run", "--json").json["differing"] == []
    (cpt.folder / "made.txt").write_text("by somebody else")
    assert cpt("resume", "@last", "--dry-run", "--json").json["differing"] == [{"agent": agent, "file": "made.txt"}]
    after = cpt("resume", "@last", "--json")
    assert "made.txt (a1)" in after.err
    assert any("made.txt" in line for line in after.json["log"])
    assert (after.code, after.json["agents"]["reused"]) == (0, 1)
