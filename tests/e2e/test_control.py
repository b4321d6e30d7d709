"""One terminal runs, the other one steers: every request has its receipts in the journal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.e2e.conftest import Program

FAN = "return await parallel(Array.from({length: 40}, (_, i) => () => agent(`p${i}`, {label: `n${i}`})))"
RAGGED = """const schema = {type: 'object', properties: {n: {type: 'integer'}}, required: ['n']}
const ask = (i) => agent(`p${i}`, {label: `n${i}`, schema}).then((it) => it ? 'ok' : 'failed', (error) => error.name)
return await Promise.all(Array.from({length: 40}, (_, i) => ask(i)))"""
GATE = "return [await counterpoint.checkpoint('Ship it?', {options: [true, false]}), await agent('after')]"


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


def detached(cpt: Program, text: str, *arguments: str, model: str = "sim:latency=300ms") -> str:
    """Starts a run in the background and gives its id."""
    ended = cpt("run", cpt.script(text), "--model", model, "--concurrency", "4", "--detach", *arguments)
    assert ended.code == 0, ended.err
    until(cpt, lambda run: run["agents"]["ok"] >= 1 or run.get("gates"))
    return ended.out.strip()


def receipts(cpt: Program) -> list[tuple[str, bool]]:
    """Verb and success of each request that the journal has as delivered and done."""
    events = cpt("export", "@last", "--jsonl").lines
    done = {event["request"]: event.get("ok", True) for event in events if event["type"] == "request_done"}
    asked = [event for event in events if event["type"] == "request_delivered"]
    assert all(0 < event["asked_at"] <= event["at"] for event in asked)
    return [(event["verb"], done[event["request"]]) for event in asked]


def test_a_detached_run_stops_when_it_is_told_to(cpt: Program):
    run_id = detached(cpt, FAN)
    assert cpt("ps", "--json").json["runs"][0]["status"] == "running"
    assert cpt("stop", run_id).code == 0
    run = until(cpt, lambda run: run["status"] == "stopped")
    assert run["agents"]["cancelled"] + run["agents"]["ok"] == 40
    assert receipts(cpt) == [("stop", True)]
    again = cpt("resume", run_id, "--json")
    assert again.code == 0
    assert again.json["agents"]["reused"] == run["agents"]["ok"]


def test_a_run_in_the_background_obeys_as_soon_as_its_id_is_told_and_imports_nothing_from_its_folder(cpt: Program):
    (cpt.folder / "click.py").write_text("raise SystemExit('this folder is no place for our modules')\n")
    started = cpt("run", cpt.script(FAN), "--model", "sim:latency=300ms", "--concurrency", "1", "--detach")
    assert (started.code, started.err) == (0, "")
    assert cpt("stop", started.out.strip()).code == 0
    assert until(cpt, lambda run: run["status"] == "stopped")["coverage"]["of"] == 40


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


def test_a_paused_run_starts_no_agent_until_it_goes_on(cpt: Program):
    run_id = detached(cpt, FAN)
    assert cpt("pause", run_id, "--stay").code == 0
    paused = until(cpt, lambda run: run["status"] == "paused" and not _running(run))
    assert _waiting(paused)
    assert cpt("resume", run_id).code == 0
    ended = until(cpt, lambda run: run["status"] == "completed")
    assert ended["coverage"] == {"ok": 40, "of": 40}
    assert receipts(cpt) == [("pause", True), ("continue", True)]


def _running(run: Any) -> list[str]:
    return [agent["id"] for agent in run["agent_list"] if agent["state"] == "running"]


def _waiting(run: Any) -> list[str]:
    return [agent["id"] for agent in run["agent_list"] if agent["state"] == "queued"]


def test_a_pause_without_stay_ends_the_process_and_a_resume_goes_on(cpt: Program):
    process = cpt.start("run", cpt.script(FAN), "--model", "sim:latency=300ms", "--concurrency", "4", "--json")
    run = until(cpt, lambda run: run["agents"]["ok"] >= 1)
    assert cpt("pause", run["run_id"]).code == 0
    process.communicate(timeout=90)
    assert process.returncode == 6
    assert document(cpt)["status"] == "paused"
    assert cpt("resume", "@last", "--json").json["status"] == "completed"


def test_a_skipped_agent_is_null_and_the_run_partial(cpt: Program):
    run_id = detached(cpt, FAN)
    skipped = _waiting(document(cpt))[-1]
    assert cpt("skip", run_id, skipped).code == 0
    run = until(cpt, lambda run: run["status"] == "partial")
    assert run["agents"]["skipped"] == 1
    assert run["result"].count(None) == 1
    assert cpt("skip", run_id, skipped).code == 2


def test_a_retried_agent_starts_anew_with_another_prompt(cpt: Program):
    run_id = detached(cpt, FAN)
    agent = _waiting(document(cpt))[-1]
    assert cpt("retry", run_id, agent, "--prompt", "quite another question").code == 0
    until(cpt, lambda run: run["status"] == "completed")
    shown = cpt("show", run_id, agent, "--json").json
    assert shown["prompt"] == "quite another question"
    assert "quite another question" in shown["value"]


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


def test_a_message_is_done_when_the_agents_have_heard_it(cpt: Program):
    run_id = detached(cpt, FAN)
    cpt("steer", run_id, "n39", "mind the gap")
    until(cpt, lambda run: run["status"] == "completed")
    events = cpt("export", run_id, "--jsonl").lines
    delivered = next(event for event in events if event["type"] == "request_delivered")
    heard = [event["agent"] for event in events if event["type"] == "agent_steered"]
    assert (delivered["verb"], delivered["target"], delivered["text"]) == ("steer", "n39", "mind the gap")
    assert heard == [cpt("show", run_id, "n39", "--json").json["id"]]
    assert any("mind the gap" in str(turn) for turn in cpt("show", run_id, "n39", "--json").json["transcript"])
    assert receipts(cpt) == [("steer", True)]


def test_a_person_answers_a_gate_from_another_terminal(cpt: Program):
    run_id = detached(cpt, GATE, model="sim")
    waiting = until(cpt, lambda run: run["status"] == "waiting")
    gate = waiting["gates"][0]
    assert (gate["question"], gate["options"]) == ("Ship it?", [True, False])
    assert cpt("approve", run_id, gate["id"], "--answer", "false").code == 0
    ended = until(cpt, lambda run: run["status"] == "completed")
    assert ended["result"][0] is False
    assert receipts(cpt) == [("approve", True)]


def test_a_denied_gate_rejects_in_the_script(cpt: Program):
    run_id = detached(cpt, f"try {{ {GATE} }} catch (error) {{ return error.name }}", model="sim")
    gate = until(cpt, lambda run: run["status"] == "waiting")["gates"][0]["id"]
    assert cpt("deny", run_id, gate).code == 0
    assert until(cpt, lambda run: run["status"] == "completed")["result"] == "DeniedError"


def test_without_anyone_to_ask_the_run_waits_and_is_answered_later(cpt: Program):
    ended = cpt.run(GATE)
    assert (ended.code, ended.json["status"]) == (3, "waiting")
    assert cpt("approve", "@last", ended.json["gates"][0]["id"]).code == 0
    after = cpt("resume", "@last", "--json")
    assert (after.code, after.json["result"][0]) == (0, True)


def test_a_raised_budget_lets_a_run_end_that_it_would_have_ended(cpt: Program):
    run_id = detached(cpt, FAN, "--budget", "3k", model="sim:latency=500ms,tokens=100")
    assert cpt("budget", run_id, "50k").code == 0
    ended = until(cpt, lambda run: run["status"] not in ("running", "waiting"))
    assert ended["status"] == "completed"
    assert next(limit for limit in ended["limits"] if limit["name"] == "budget")["left"] == 50_000 - 40 * 100


def test_two_processes_never_execute_one_run(cpt: Program):
    run_id = detached(cpt, FAN)
    second = cpt("resume", run_id)
    assert second.code == 2
    assert "executed" in second.err


@pytest.mark.parametrize(("signals", "cancelled"), [([signal.SIGINT], False), ([signal.SIGINT, signal.SIGINT], True)])
def test_the_first_interrupt_drains_and_the_second_stops(cpt: Program, signals: list[signal.Signals], cancelled: bool):
    process = cpt.start("run", cpt.script(FAN), "--model", "sim:latency=700ms", "--concurrency", "4", "--json")
    until(cpt, lambda run: run["agents"]["ok"] >= 4 and len(_running(run)) == 4)
    assert process.stderr is not None
    process.send_signal(signals[0])
    while "Stopping" not in process.stderr.readline():  # two signals of one kind at the same instant would be one
        assert process.poll() is None
    for number in signals[1:]:
        process.send_signal(number)
    process.communicate(timeout=90)
    run = document(cpt)
    assert (process.returncode, run["status"]) == (130, "stopped")
    started = [agent for agent in run["agent_list"] if agent["seconds"] > 0]
    assert any(agent["outcome"] == "cancelled" for agent in started) is cancelled


def test_a_run_goes_on_when_its_terminal_is_gone(cpt: Program):
    process = cpt.start("run", cpt.script(FAN), "--model", "sim:latency=200ms", "--concurrency", "4")
    until(cpt, lambda run: run["agents"]["ok"] >= 1)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=90)
    assert document(cpt)["status"] == "completed"


def test_a_run_whose_process_died_is_shown_as_interrupted(cpt: Program):
    process = cpt.start("run", cpt.script(FAN), "--model", "sim:latency=300ms", "--concurrency", "4")
    until(cpt, lambda run: run["agents"]["ok"] >= 1)
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
