"""One terminal runs, the other one steers: every request has its receipts in the journal.

The agents' provider answers the first requests and holds back all others until the test lets them go: nothing depends
on how fast this machine is just now.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from tests.e2e.conftest import Process, Program
from tests.fakes.replies import Asked, Reply, Says, Waits
from tests.fakes.server import Fake

FAN = "return await parallel(Array.from({length: 40}, (_, i) => () => agent(`p${i}`, {label: `n${i}`})))"
RAGGED = """const schema = {type: 'object', properties: {n: {type: 'integer'}}, required: ['n']}
const ask = (i) => agent(`p${i}`, {label: `n${i}`, schema}).then((it) => it ? 'ok' : 'failed', (error) => error.name)
return await Promise.all(Array.from({length: 40}, (_, i) => ask(i)))"""
GATE = "return [await counterpoint.checkpoint('Ship it?', {options: [true, false]}), await agent('after')]"


class Provider:
    """Answers the first requests at once, the others when it is told to, each with what it was asked."""

    ANSWERED = 3

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self._gate = asyncio.Event()
        self._seen = 0
        fake.otherwise = self._answer

    def _answer(self, asked: Asked) -> Reply:
        self._seen += 1
        prompt = next(message["content"] for message in asked.body["messages"] if message["role"] == "user")
        says = Says(f"You asked: {prompt}", tokens=(100, 0, 100))
        return says if self._seen <= self.ANSWERED else Waits(self._gate, says)

    def let_go(self) -> None:
        """Answers what it has held back, and from now on everything at once."""
        self.fake.release(self._gate)

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--model", "openai-compatible:m", "--base-url", f"{self.fake.url}/v1")


@pytest.fixture
def provider() -> Generator[Provider]:
    with Fake() as fake:
        yield Provider(fake)


def document(cpt: Program) -> Any:
    return cpt("show", "@last", "--json").json


def until(cpt: Program, holds: Callable[[Any], bool], *, seconds: float = 90) -> Any:
    """The run's document as soon as that holds of it."""
    deadline = time.monotonic() + seconds
    while True:
        shown = cpt("show", "@last", "--json")
        if shown.code == 0 and holds(shown.json):
            return shown.json
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"not within {seconds} s: {shown.out}{shown.err}")


def is_held(run: Any) -> bool:
    """Whether the first agents have answered, and those at work wait for the provider."""
    return run["agents"]["ok"] == Provider.ANSWERED and len(_in_state(run, "running")) == 4


def detached(cpt: Program, provider: Provider, *arguments: str) -> str:
    """Starts a run of 40 agents in the background, 4 at once, and gives its id when it is held."""
    ended = cpt("run", cpt.script(FAN), *provider.arguments, "--concurrency", "4", "--detach", *arguments)
    assert ended.code == 0, ended.err
    until(cpt, is_held)
    return ended.out.strip()


def attended(cpt: Program, provider: Provider) -> Process:
    """The same in the foreground."""
    process = cpt.start("run", cpt.script(FAN), *provider.arguments, "--concurrency", "4", "--json")
    until(cpt, is_held)
    return process


def receipts(cpt: Program) -> list[tuple[str, bool]]:
    """Verb and success of each request that the journal has as delivered and done."""
    events = cpt("export", "@last", "--jsonl").lines
    done = {event["request"]: event.get("ok", True) for event in events if event["type"] == "request_done"}
    asked = [event for event in events if event["type"] == "request_delivered"]
    assert all(0 < event["asked_at"] <= event["at"] for event in asked)
    return [(event["verb"], done[event["request"]]) for event in asked]


def _in_state(run: Any, state: str) -> list[str]:
    return [agent["id"] for agent in run["agent_list"] if agent["state"] == state]


def test_a_detached_run_stops_when_it_is_told_to_and_closes_its_requests(cpt: Program, provider: Provider):
    run_id = detached(cpt, provider)
    assert cpt("ps", "--json").json["runs"][0]["status"] == "running"
    second = cpt("resume", run_id)
    assert (second.code, "executed" in second.err) == (2, True), "two processes never execute one run"
    assert cpt("stop", run_id).code == 0
    for _ in range(4):
        assert provider.fake.abandoned.acquire(timeout=60)
    run = until(cpt, lambda run: run["status"] == "stopped")
    assert (run["agents"]["ok"], run["agents"]["cancelled"]) == (3, 37)
    assert receipts(cpt) == [("stop", True)]
    provider.let_go()
    again = cpt("resume", run_id, "--json")
    assert (again.code, again.json["agents"]["reused"], again.json["agents"]["ok"]) == (0, 3, 37)


def test_a_run_in_the_background_obeys_as_soon_as_its_id_is_told_and_imports_nothing_from_its_folder(
    cpt: Program, provider: Provider
):
    (cpt.folder / "click.py").write_text("raise SystemExit('this folder is no place for our modules')\n")
    started = cpt("run", cpt.script(FAN), *provider.arguments, "--concurrency", "1", "--detach")
    assert (started.code, started.err) == (0, "")
    assert cpt("stop", started.out.strip()).code == 0
    assert until(cpt, lambda run: run["status"] == "stopped")["agents"]["ok"] <= 3


def test_a_process_that_ends_before_it_has_the_run_is_an_error_that_names_its_log(cpt: Program):
    (cpt.folder / "sitecustomize.py").write_text(
        "import sys\nif 'execute' in sys.orig_argv:\n    sys.exit('not today')\n"
    )
    search = f"{cpt.folder}:{os.environ.get('PYTHONPATH', '')}"
    started = cpt("run", cpt.script(FAN), "--model", "sim", "--detach", PYTHONPATH=search)
    assert (started.code, started.out) == (1, "")
    assert "ended before it began" in started.err
    (log,) = cpt.state.glob("runs/*/process.log")
    assert str(log) in started.err
    assert "not today" in log.read_text()
    run = document(cpt)
    assert (run["status"], run["message"]) == (
        "interrupted",
        f"No process has begun it: counterpoint resume {run['run_id']}",
    )
    assert "is interrupted: no process executes it" in cpt("stop", "@last").err


def test_a_paused_run_starts_no_agent_until_it_goes_on(cpt: Program, provider: Provider):
    run_id = detached(cpt, provider)
    assert cpt("pause", run_id, "--stay").code == 0
    provider.let_go()
    paused = until(cpt, lambda run: run["status"] == "paused" and not _in_state(run, "running"))
    assert (paused["agents"]["ok"], len(_in_state(paused, "queued"))) == (7, 33)
    assert cpt("resume", run_id).code == 0
    ended = until(cpt, lambda run: run["status"] == "completed")
    assert ended["coverage"] == {"ok": 40, "of": 40}
    assert receipts(cpt) == [("pause", True), ("continue", True)]


def test_a_pause_without_stay_ends_the_process_and_a_resume_goes_on(cpt: Program, provider: Provider):
    process = attended(cpt, provider)
    assert cpt("pause", "@last").code == 0
    provider.let_go()
    process.communicate(timeout=90)
    assert process.returncode == 6
    paused = document(cpt)
    assert (paused["status"], paused["agents"]["ok"]) == ("paused", 7)
    assert cpt("resume", "@last", "--json").json["status"] == "completed"


def test_a_skipped_agent_is_null_a_retried_one_anew_and_a_message_is_heard(cpt: Program, provider: Provider):
    run_id = detached(cpt, provider)
    waiting = _in_state(document(cpt), "queued")
    under_way, changed, skipped = _in_state(document(cpt), "running")[0], waiting[0], waiting[-1]
    assert cpt("skip", run_id, skipped).code == 0
    assert cpt("retry", run_id, changed, "--prompt", "quite another question").code == 0
    assert cpt("retry", run_id, under_way).code == 0
    steering = cpt.start("steer", run_id, "n30", "mind the gap")
    until(cpt, lambda run: any(request["verb"] == "steer" for request in run["requests"]))
    provider.let_go()
    assert (steering.communicate(timeout=60)[1], steering.returncode) == ("Heard by a31.\n", 0)
    run = until(cpt, lambda run: run["status"] == "partial")
    assert run["agents"] | {"skipped": 1, "ok": 39} == run["agents"]
    assert run["result"].count(None) == 1
    shown = cpt("show", run_id, changed, "--json").json
    assert (shown["prompt"], shown["value"]) == ("quite another question", "You asked: quite another question")
    events = cpt("export", run_id, "--jsonl").lines
    delivered = next(event for event in events if event["type"] == "request_delivered" and event["verb"] == "steer")
    heard = [event["agent"] for event in events if event["type"] == "agent_steered"]
    assert (delivered["target"], delivered["text"]) == ("n30", "mind the gap")
    told = cpt("show", run_id, "n30", "--json").json
    assert heard == [told["id"]]
    assert any("mind the gap" in str(turn) for turn in told["transcript"])
    began = [event for event in events if event["type"] == "agent_started" and event["agent"] == under_way]
    assert [event.get("attempt", 1) for event in began] == [1, 2]
    assert receipts(cpt) == [("skip", True), ("retry", True), ("retry", True), ("steer", True)]
    assert cpt("skip", run_id, skipped).code == 2


def test_one_agent_of_an_ended_run_is_asked_again_alone_with_another_model_and_the_others_keep_their_ends(cpt: Program):
    run = cpt("run", cpt.script(RAGGED), "--model", "sim:seed=3,fail=0.2,invalid=0.2", "--json").json
    assert {"failed", "StructuredOutputError"} <= set(run["result"])
    once = run["result"].index("failed")
    again = cpt("retry", "@last", f"n{once}", "--model", "sim:seed=99", "--json")
    ok, bad = run["coverage"]["ok"], 40 - run["coverage"]["ok"]
    assert f"reuses {ok}, leaves {bad - 1} as they ended, runs 1" in again.err
    assert again.json["agents"] == run["agents"] | {"ok": 1, "reused": ok, "failed": run["agents"]["failed"] - 1}
    assert (again.code, again.json["result"]) == (4, [*run["result"][:once], "ok", *run["result"][once + 1 :]])
    assert cpt("show", "@last", f"n{once}", "--json").json["model"] == "sim:seed=99"
    assert f"reuses {ok + 1}, runs {bad - 1}" in cpt("resume", "@last", "--dry-run").out


def test_a_person_answers_a_gate_from_another_terminal(cpt: Program):
    run_id = cpt("run", cpt.script(GATE), "--model", "sim", "--detach").out.strip()
    waiting = until(cpt, lambda run: run["status"] == "waiting")
    gate = waiting["gates"][0]
    assert (gate["question"], gate["options"]) == ("Ship it?", [True, False])
    assert cpt("approve", run_id, gate["id"], "--answer", "false").code == 0
    ended = until(cpt, lambda run: run["status"] == "completed")
    assert ended["result"][0] is False
    assert receipts(cpt) == [("approve", True)]


def test_a_denied_gate_rejects_in_the_script(cpt: Program):
    text = f"try {{ {GATE} }} catch (error) {{ return error.name }}"
    run_id = cpt("run", cpt.script(text), "--model", "sim", "--detach").out.strip()
    gate = until(cpt, lambda run: run["status"] == "waiting")["gates"][0]["id"]
    assert cpt("deny", run_id, gate).code == 0
    assert until(cpt, lambda run: run["status"] == "completed")["result"] == "DeniedError"


def test_without_anyone_to_ask_the_run_waits_and_is_answered_later(cpt: Program):
    ended = cpt.run(GATE)
    assert (ended.code, ended.json["status"]) == (3, "waiting")
    assert cpt("approve", "@last", ended.json["gates"][0]["id"]).code == 0
    after = cpt("resume", "@last", "--json")
    assert (after.code, after.json["result"][0]) == (0, True)


READS = """
const note = () => log(`has ${budget.total} and ${counterpoint.budget.usd.total}`)
note()
await agent('first')
note()
await counterpoint.checkpoint('Is it enough?', {options: [true]})
note()
await agent(`with ${budget.total}`)
await counterpoint.checkpoint('And now?', {options: [true]})
return [budget.total, budget.remaining(), counterpoint.budget.usd.total]
"""


def _noted(run: Any) -> list[str]:
    return [line for line in run["log"] if line.startswith("has ")]


def test_a_raised_budget_lets_a_run_go_on_that_reads_it_and_reads_the_same_on_a_replay(cpt: Program):
    started = cpt("run", cpt.script(READS), "--model", "sim:tokens=100", "--budget", "150", "--detach")
    run_id = started.out.strip()
    gate = until(cpt, lambda run: run.get("gates"))["gates"][0]["id"]
    assert cpt("budget", run_id, "50k", "$9").code == 0
    assert cpt("approve", run_id, gate, "--answer", "true").code == 0
    asked = until(cpt, lambda run: run.get("gates") and run["gates"][0]["id"] != gate)
    noted = ["has 150 and null", "has 150 and null", "has 50000 and 9"]
    assert _noted(asked) == noted
    assert cpt("stop", run_id).code == 0
    until(cpt, lambda run: run["status"] == "stopped")
    assert cpt("resume", run_id).code == 3
    again = document(cpt)
    assert _noted(again) == noted, "a script that is told the same says the same, and that is not said twice"
    assert again["agents"]["reused"] == again["agents"]["total"] == 2
    assert cpt("approve", run_id, again["gates"][0]["id"], "--answer", "true").code == 0
    ended = cpt("resume", run_id, "--json")
    assert ended.json["result"] == [50_000, 50_000 - 2 * 100, 9]
    more = cpt("resume", run_id, "--budget", "60k", "--json").json
    assert _noted(more)[len(noted) :] == ["has 60000 and 9"] * 3, "what a resume is given is read from the start"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_drains(cpt: Program, provider: Provider, number: signal.Signals):
    process = attended(cpt, provider)
    _interrupt(process, number)
    provider.let_go()
    process.communicate(timeout=90)
    run = document(cpt)
    assert (process.returncode, run["status"]) == (130, "stopped")
    assert (run["agents"]["ok"], run["agents"]["cancelled"]) == (7, 33)


def test_the_second_interrupt_stops(cpt: Program, provider: Provider):
    process = attended(cpt, provider)
    _interrupt(process, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    run = document(cpt)
    assert (process.returncode, run["status"]) == (130, "stopped")
    assert (run["agents"]["ok"], run["agents"]["cancelled"]) == (3, 37)


def _interrupt(process: Process, number: signal.Signals) -> None:
    """Sends a signal, and waits until the program has taken it: two at the same instant would be one."""
    process.send_signal(number)
    assert process.stderr is not None
    while "Stopping" not in process.stderr.readline():
        assert process.poll() is None


def test_a_run_goes_on_when_its_terminal_is_gone(cpt: Program, provider: Provider):
    process = attended(cpt, provider)
    process.send_signal(signal.SIGHUP)
    provider.let_go()
    process.communicate(timeout=90)
    assert document(cpt)["status"] == "completed"


def test_a_run_whose_process_died_is_shown_as_interrupted(cpt: Program, provider: Provider):
    process = attended(cpt, provider)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    run = document(cpt)
    assert run["status"] == "interrupted"
    assert next(limit for limit in run["limits"] if limit["name"] == "concurrency")["used"] == 0
    shown = cpt("show", "@last").out
    assert "cut off" in shown
    assert "running" not in shown
    assert "resume" in cpt("stop", "@last").err
    assert cpt("ps", "--json").json["runs"][0]["status"] == "interrupted"


def test_a_run_that_waits_for_people_gives_the_commands_that_answer_it(cpt: Program):
    asks = """return await parallel([
      () => counterpoint.checkpoint('Go on?'), () => counterpoint.checkpoint('Where?', {options: ['left']})])"""
    waits = cpt("run", cpt.script(asks), "--model", "sim", "--no-input")
    commands = [
        line.partition("counterpoint ")[2].split() for line in waits.err.splitlines() if "counterpoint " in line
    ]
    plain, given, resume = [words for words in commands if words[0] in ("approve", "resume")]

    assert cpt(*plain).code == 0
    assert cpt(*(word.replace("JSON", '"left"') for word in given)).code == 0
    assert cpt(*resume).code == 0
    assert cpt("result", resume[1], "--json").json["result"] == [True, "left"]
