"""Nothing that was paid for is paid again."""

import json
from collections import Counter

from tests.e2e.conftest import Process, Program

FAN = "return (await parallel(Array.from({length: 200}, (_, i) => () => agent(`task ${i}`)))).map((t) => t.length)"


def kill_after(process: Process, ends: int) -> None:
    """Kills a run with --jsonl when so many of its agents have ended."""
    assert process.stdout is not None
    for line in process.stdout:
        ends -= json.loads(line)["type"] == "agent_finished"
        if ends <= 0:
            break
    process.kill()
    process.communicate()


def test_a_run_that_was_killed_goes_on_without_asking_again(cpt: Program):
    kill_after(cpt.start("run", cpt.script(FAN), "--model", "sim:latency=100ms", "-c", "20", "--jsonl"), ends=70)
    before = cpt("show", "@last", "--json").json
    assert before["status"] == "interrupted"
    done = before["agents"]["ok"]
    assert 70 <= done < 200
    assert cpt("resume", "@last", "--dry-run", "--json").json["reuse"] == done
    after = cpt("resume", "@last", "--json")
    assert after.code == 0, after.err
    counts = after.json["agents"]
    assert (counts["total"], counts["reused"], counts["ok"]) == (200, done, 200 - done)
    assert after.json["resumed_from"] == done
    finished = Counter(
        event["agent"] for event in cpt("export", "@last", "--jsonl").lines if event["type"] == "agent_finished"
    )
    assert finished == Counter(f"a{n + 1}" for n in range(200))
    assert after.json["result"] == cpt("run", cpt.script(FAN), "--model", "sim", "--json").json["result"]


def test_editing_one_prompt_of_ten_runs_one_call(cpt: Program):
    text = "return await parallel(Array.from({length: 10}, (_, i) => () => agent(`p${i}`)))"
    assert cpt.run(text).code == 0
    edited = cpt.script(text.replace("agent(`p${i}`)", "agent(i === 4 ? 'changed' : `p${i}`)"), "edited")
    dry = cpt("resume", "@last", "--script", edited, "--dry-run", "--json").json
    assert (dry["reuse"], dry["run"]) == (9, 1)
    after = cpt("resume", "@last", "--script", edited, "--json").json
    assert (after["agents"]["reused"], after["agents"]["ok"], after["resumed_from"]) == (9, 1, 9)


def test_random_time_and_races_replay(cpt: Program):
    body = """
    const slow = agent('a slow one'), quick = agent('q')
    const first = await Promise.race([slow.then(() => 'slow'), quick.then(() => 'quick')])
    const started = Date.now()
    await new Promise((r) => setTimeout(r, 30))
    const value = [first, Math.random(), started, Date.now() - started, performance.now() > 0]
    await agent('after ' + JSON.stringify(value))
    return value
    """
    first = cpt("run", cpt.script(body), "--model", "sim:latency=5ms..60ms", "--json")
    assert first.code == 0, first.err + first.out
    second = cpt("resume", "@last", "--json")
    assert second.json["result"] == first.json["result"]
    assert second.json["agents"]["reused"] == 3


def test_reuse_none_starts_afresh(cpt: Program):
    cpt.run("return [await agent('a'), await agent('b')]")
    after = cpt("resume", "@last", "--reuse", "none", "--json").json
    assert (after["agents"]["ok"], after["agents"]["reused"]) == (2, 0)


def test_a_failed_agent_runs_again_alone(cpt: Program):
    body = "return await parallel(Array.from({length: 30}, (_, i) => () => agent(`n${i}`)))"
    first = cpt("run", cpt.script(body), "--model", "sim:fail=0.2,seed=3", "--json")
    assert first.code == 4
    failed = first.json["agents"]["failed"]
    after = cpt("resume", "@last", "--json").json
    assert after["agents"]["reused"] == 30 - failed
