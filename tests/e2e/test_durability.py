"""What a run survives: being killed at any moment, a full disk, damage, other processes, other machines."""

from __future__ import annotations

import contextlib
import ctypes
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Ended, Process, Program

ORDER = """export const meta = { name: 'order', description: 'who is heard when' }
const heard = []
const note = (name) => () => { heard.push(`${name}@${Date.now()} ${budget.spent()} ${Math.random()}`) }
const wait = (ms) => new Promise((r) => setTimeout(r, ms))
const all = []
for (let i = 0; i < 6; i++) {
  all.push(agent(`first ${i}`).then(note(`a${i}`)).then(() => agent(`second ${heard.join()}`)).then(note(`b${i}`)))
  all.push(wait(7 * i).then(note(`t${i}`)).then(() => agent('the same prompt')).then(note(`s${i}`)))
}
all.push(Promise.race([agent('x'), agent('y').then(() => agent('z')), wait(30)]).then((won) => note(`race ${won}`)()))
all.push(workflow({ scriptPath: 'child.js' }).then(note('child')).then(() => agent('after')).then(note('after')))
all.push(counterpoint.tool('Glob', { pattern: '*.js' }).then(note('tool')))
all.push(agent('bad', { schema: { type: 'array' } }).catch(note('refused')))
await Promise.all(all)
return heard
"""
CHILD = """export const meta = { name: 'child', description: 'a part' }
return await parallel([1, 2, 3].map((i) => () => agent(`child ${i} ${Math.random()}`)))
"""
AGENTS = 6 * 3 + 3 + 3 + 1
SLOW = "sim:latency=1ms..40ms"


def in_order(cpt: Program) -> str:
    cpt.script(CHILD, "child")
    return cpt.script(ORDER, "order")


def end_of(process: Process) -> tuple[str, str]:
    return process.communicate()


def kill_after(process: Process, events: int) -> list[Any]:
    """Kills a run with --jsonl when it has told so many events; gives those that it told."""
    told: list[Any] = []
    assert process.stdout is not None
    while len(told) < events and (line := process.stdout.readline()):
        told.append(json.loads(line))
    process.kill()
    process.communicate()
    return told


def journal(cpt: Program, run: str = "@last") -> list[Any]:
    ended = cpt("export", run, "--jsonl")
    assert ended.code == 0, ended.err
    return ended.lines


def assert_nothing_is_asked_twice(events: list[Any]) -> None:
    done: set[str] = set()
    for event in events:
        if event["type"] in ("agent_started", "agent_finished"):
            assert event["agent"] not in done
        if event["type"] == "agent_finished" and event["outcome"] == "ok":
            done.add(event["agent"])


# --- killed, and resumed --------------------------------------------------------------------------------------------


def test_races_clocks_and_chance_go_the_same_way_in_every_resume(cpt: Program):
    first = cpt("run", in_order(cpt), "--model", SLOW, "--json")
    assert first.code == 0, first.err
    assert first.json["agents"]["ok"] >= AGENTS - 1  # where the timer wins the race at once, `z` may not be asked
    for _ in range(3):
        again = cpt("resume", "@last", "--json").json
        assert again["result"] == first.json["result"]
        assert (again["agents"]["ok"], again["agents"]["reused"]) == (0, first.json["agents"]["total"])


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_again_and_again_loses_repeats_and_reorders_nothing(cpt: Program, seed: int):
    chance = random.Random(seed)
    told = kill_after(cpt.start("run", in_order(cpt), "--model", SLOW, "--jsonl"), chance.randint(2, 90))
    for _ in range(2):
        before = journal(cpt)
        assert before[: len(told)] == told
        told = kill_after(cpt.start("resume", "@last", "--jsonl"), len(before) + chance.randint(1, 60))
        assert told[: len(before)] == before
    ended = cpt("resume", "@last", "--json")
    assert (ended.code, ended.json["status"]) == (0, "completed"), ended.err
    again = cpt("resume", "@last", "--json").json
    assert again["result"] == ended.json["result"]
    assert again["agents"]["reused"] == again["agents"]["total"]
    events = journal(cpt)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert_nothing_is_asked_twice(events)


def test_a_run_killed_while_the_script_waits_for_a_tool_can_be_resumed(cpt: Program):
    body = "return await parallel([() => counterpoint.tool('Grep', {pattern: '(x+x+)+y'}), () => agent('a')])"
    (cpt.folder / "wide.txt").write_text(("x" * 28 + "\n") * 40)
    told = kill_after(cpt.start("run", cpt.script(body), "--model", "sim", "--jsonl"), 3)
    assert "tool_called" not in [event["type"] for event in told]
    (cpt.folder / "wide.txt").write_text("x\n")
    assert cpt("resume", "@last", "--dry-run", "--json").code == 0
    assert cpt("resume", "@last").code == 0


def test_prefix_reuses_up_to_the_first_change_and_knows_the_new_order_next_time(cpt: Program):
    text = "let t = ''; for (let i = 0; i < 8; i++) t = await agent(`step ${i} ${i === 4 ? 'ONE' : ''}`); return t"
    body = text + "\ntry { await agent('bad', {schema: {type: 'array'}}) } catch {}"
    first = cpt(
        "run", cpt.script("try { await agent('bad', {schema: {type: 'array'}}) } catch {}\n" + body), "--model", "sim"
    )
    assert first.code == 0, first.err
    edited = cpt.script(
        "try { await agent('bad', {schema: {type: 'array'}}) } catch {}\n" + body.replace("ONE", "TWO"), "edited"
    )
    plan = cpt("resume", "@last", "--script", edited, "--reuse", "prefix", "--dry-run", "--json").json
    assert plan["reuse"] == 4
    counts = cpt("resume", "@last", "--script", edited, "--reuse", "prefix", "--json").json["agents"]
    assert (counts["reused"], counts["ok"]) == (4, 4)
    counts = cpt("resume", "@last", "--reuse", "prefix", "--json").json["agents"]
    assert (counts["reused"], counts["ok"]) == (8, 0)
    counts = cpt("resume", "@last", "--reuse", "none", "--json").json["agents"]
    assert (counts["reused"], counts["ok"]) == (0, 8)


def test_a_completed_run_resumed_runs_nothing_and_says_so(cpt: Program):
    first = cpt.run("return [await agent('a'), await agent('b'), args, Math.random()]", "--args", '{"n": 1}').json
    dry = cpt("resume", "@last", "--dry-run", "--json").json
    assert (dry["reuse"], dry["run"]) == (2, 0)
    again = cpt("resume", first["run_id"])
    assert again.code == 0
    assert "reuses 2, runs 0" in again.err
    document = cpt("result", "@last", "--json").json
    kept = ("run_id", "result", "status", "coverage", "model")
    assert {name: document[name] for name in kept} == {name: first[name] for name in kept}
    assert (document["resumed_from"], document["agents"]["ok"], document["agents"]["reused"]) == (2, 0, 2)


def test_a_resume_keeps_the_model_whatever_is_configured_now(cpt: Program):
    cpt(
        "run", cpt.script("return await parallel([() => agent('a'), () => agent('b')])"), "--model", "sim:fail=1,seed=2"
    )
    assert cpt("resume", "@last", "--json", COUNTERPOINT_MODEL="anthropic:x").json["model"] == "sim:fail=1,seed=2"


def test_a_live_run_is_not_resumed_and_of_two_resumes_one_wins(cpt: Program):
    process = cpt.start("run", cpt.script("return await agent('x')"), "--model", "sim:latency=60s", "--jsonl")
    assert process.stdout is not None
    run_id = json.loads(process.stdout.readline())["run_id"]
    while json.loads(process.stdout.readline())["type"] != "agent_started":
        pass
    refused = cpt("resume", run_id)
    assert (refused.code, refused.out) == (2, "")
    assert "is being executed" in refused.err
    process.kill()
    process.communicate()
    rivals = [cpt.start("resume", run_id, "--jsonl") for _ in range(3)]
    with ThreadPoolExecutor(len(rivals)) as pool:  # the one that gets the run works for a minute; the others end
        ends = as_completed([pool.submit(end_of, rival) for rival in rivals])
        for _ in range(2):
            next(ends)
        assert sorted(str(rival.poll()) for rival in rivals) == ["2", "2", "None"]
        for rival in rivals:
            rival.kill()
    assert [event["type"] for event in journal(cpt, run_id)].count("run_started") == 2


def test_a_child_workflow_goes_on_without_its_file(cpt: Program):
    cpt.script("return await parallel([1, 2, 3, 4].map((n) => () => agent(`part ${n}`)))", "child")
    script = cpt.script("return await workflow({scriptPath: 'child.js'})")
    kill_after(cpt.start("run", script, "--model", "sim:latency=100ms", "-c", "1", "--jsonl"), 10)
    (cpt.folder / "child.js").unlink()
    ended = cpt("resume", "@last", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.json["result"]) == 4


def test_a_run_goes_on_in_another_state_folder_to_which_it_was_copied(cpt: Program):
    kill_after(cpt.start("run", in_order(cpt), "--model", SLOW, "--jsonl"), 50)
    for _ in range(2):  # each attempt raises the epoch that guards the journal
        kill_after(cpt.start("resume", "@last", "--jsonl"), 60)
    before = journal(cpt)
    shutil.copytree(cpt.state / "runs", cpt.folder / "elsewhere" / "runs")
    shutil.rmtree(cpt.state)
    cpt.environment["COUNTERPOINT_STATE"] = str(cpt.folder / "elsewhere")
    assert [run["status"] for run in cpt("ps", "--json").json["runs"]] == ["interrupted"]
    ended = cpt("resume", "@last", "--json")
    assert ended.code == 0, ended.err
    events = journal(cpt)
    assert events[: len(before)] == before
    assert_nothing_is_asked_twice(events)


def test_what_run_and_resume_tell_is_what_export_gives(cpt: Program):
    big = "await agent('x'.repeat(70000), {label: '𝄞 \\ud800', n: 1e20, m: 12345678901234567890, f: 0.1, z: -0})"
    body = f"log('hi ' + '\\udfff'); setTimeout(() => log('late'), 5); {big}; return [await agent('y'), 1.0, 1e300]"
    live = cpt("run", cpt.script(body), "--model", "sim:fail=0.5,seed=8", "--jsonl")
    assert live.out == cpt("export", "@last", "--jsonl").out
    resumed = cpt("resume", "@last", "--jsonl")
    assert resumed.out == cpt("export", "@last", "--jsonl").out
    assert resumed.out.startswith(live.out)
    assert resumed.out != live.out
    assert cpt("logs", "@last", "--jsonl").out == resumed.out


# --- values beside the journal ---------------------------------------------------------------------------------------


def blobs(cpt: Program) -> list[Path]:
    return sorted(cpt.state.glob("runs/*/blobs/*"))


def test_a_torn_value_is_found_out_and_a_run_afresh_mends_it(cpt: Program):
    body = "return (await agent('a'.repeat(100000))).length + args.length"
    args = cpt.folder / "args.json"
    args.write_text(json.dumps("b" * 90_000))
    assert cpt("run", cpt.script(body), "--model", "sim", "--args", f"@{args}").code == 0
    assert len(blobs(cpt)) == 2
    for blob in blobs(cpt):
        blob.write_bytes(blob.read_bytes()[:50_000])
    torn = cpt("resume", "@last", "--json")
    assert (torn.code, torn.out) == (1, "")
    assert "is damaged: its content has changed" in torn.err
    assert cpt("show", "@last", "a1").code == 1
    next(blob for blob in blobs(cpt) if b"bbb" in blob.read_bytes()).write_text(args.read_text())
    assert cpt("resume", "@last", "--reuse", "none").code == 0
    assert cpt("show", "@last", "a1", "--json").json["prompt"] == "a" * 100_000


# --- disks -----------------------------------------------------------------------------------------------------------

FILL = "let n = 0; while (true) { await agent(`fill ${n++} ${'x'.repeat(2000)}`); if (n >= args) return n }"


def assert_stops_and_goes_on(cpt: Program, full: Ended, make_room: Callable[[], None]) -> None:
    """The run has said that its disk failed, has lost nothing that was told, and goes on with more room."""
    assert full.code == 6, full.err + full.out
    assert full.err.count("error: ") == 1, full.err
    assert "What was acknowledged is safe" in full.err
    assert "then resume the run" in full.err
    assert "Traceback" not in full.err
    assert "Task exception" not in full.err
    make_room()
    told = full.lines
    before = journal(cpt)
    assert before[: len(told)] == told
    assert any(event["type"] == "agent_finished" for event in told)
    assert [run["status"] for run in cpt("ps", "--json").json["runs"]] == ["interrupted"]
    ended = cpt("resume", "@last", "--json")
    assert (ended.code, ended.json["result"]) == (0, 400), ended.err
    assert_nothing_is_asked_twice(journal(cpt))


def test_a_file_that_cannot_grow_stops_the_run_which_goes_on_later(cpt: Program):
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)); "
        "from counterpoint.__main__ import main; main()"
    )
    script = cpt.script(FILL)
    command = [sys.executable, "-c", limited, "run", script, "--args", "400", "--model", "sim", "--jsonl"]
    process = subprocess.run(
        command, cwd=cpt.folder, env=cpt.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert_stops_and_goes_on(cpt, Ended(process.returncode, process.stdout, process.stderr), lambda: None)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a file system needs root, and CAP_SYS_ADMIN in a container")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_stops_the_run_which_goes_on_later(cpt: Program, tiny: Path):
    cpt.environment["COUNTERPOINT_STATE"] = str(tiny / "state")
    full = cpt("run", cpt.script(FILL), "--args", "400", "--model", "sim", "--jsonl")
    assert "No space is left for" in full.err

    def make_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=50m", tiny], check=True)

    assert_stops_and_goes_on(cpt, full, make_room)


def fill(path: Path) -> None:
    """Writes a file until its disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_disk_that_is_full_already_refuses_the_run_and_keeps_nothing_of_it(cpt: Program, tiny: Path):
    cpt.environment["COUNTERPOINT_STATE"] = str(tiny / "state")
    assert cpt.run("return 1").code == 0
    fill(tiny / "ballast")
    refused = cpt.run("return 2")
    assert (refused.code, refused.out) == (6, "")
    assert "No space is left for" in refused.err
    assert len(cpt("ps", "--all", "--json").json["runs"]) == 1
    (tiny / "ballast").unlink()
    assert cpt.run("return 2").code == 0


def without_root() -> None:
    """In a child before it becomes the program: root no longer passes over permissions."""
    libc = ctypes.CDLL(None)
    drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2
    libc.prctl(drop_from_bounding_set, dac_override, 0, 0, 0)
    libc.prctl(drop_from_bounding_set, dac_read_search, 0, 0, 0)


def as_a_user(cpt: Program, *arguments: str) -> Ended:
    command = [sys.executable, "-m", "counterpoint", *arguments]
    process = subprocess.run(
        command,
        cwd=cpt.folder,
        env=cpt.environment,
        capture_output=True,
        text=True,
        preexec_fn=without_root,
        check=False,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are dropped as Linux has it")
def test_a_folder_that_cannot_be_written_can_be_read_also_after_a_kill(cpt: Program):
    done = cpt.run("return await agent('x')").json
    kill_after(cpt.start("run", in_order(cpt), "--model", SLOW, "--jsonl"), 40)
    known = journal(cpt)
    folders = [cpt.state, cpt.state / "runs", *cpt.state.glob("runs/*")]
    for path in cpt.state.glob("runs/*/journal.db-shm"):
        path.unlink()  # as in a copy
    for folder in folders:
        folder.chmod(0o500)
    try:
        runs = as_a_user(cpt, "ps", "--all", "--json")
        assert [run["status"] for run in runs.json["runs"]] == ["interrupted", "completed"], runs.err
        assert as_a_user(cpt, "result", done["run_id"], "--json").json == done
        assert as_a_user(cpt, "export", "@last", "--jsonl").lines == known
        for command in (("resume", "@last"), ("run", cpt.script("return 1"), "--model", "sim")):
            refused = as_a_user(cpt, *command)
            assert refused.code == 1
            assert refused.err.splitlines()[-2].startswith("error: "), refused.err
            assert "cannot be" in refused.err
            assert "hint: Check its permissions" in refused.err
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert cpt("resume", "@last").code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are dropped as Linux has it")
def test_a_folder_that_cannot_be_entered(cpt: Program):
    cpt.run("return 1")
    cpt.state.chmod(0)
    try:
        ended = as_a_user(cpt, "ps")
    finally:
        cpt.state.chmod(0o700)
    assert (ended.code, ended.out) == (1, "")
    assert "Permission denied" in ended.err
    assert "Traceback" not in ended.err


# --- damage ----------------------------------------------------------------------------------------------------------


def damage_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 400] = b"\xa5" * 400
    path.write_bytes(data)


def change(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


def torn_event(path: Path) -> None:
    change(path, "UPDATE events SET body = substr(body, 1, 20) WHERE seq = 3")


def event_of_the_future(path: Path) -> None:
    change(path, "UPDATE events SET body = ? WHERE seq = 4", b'{"type":"x"}')


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_bytes(b"not a database " * 1000), "is damaged, or no journal"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged, or no journal"),
    "pages": (damage_pages, "is damaged, or no journal"),
    "a torn event": (torn_event, "is damaged"),
    "an event is gone": (lambda path: change(path, "DELETE FROM events WHERE seq = 4"), "events are missing"),
    "another kind of event": (event_of_the_future, "does not know"),
    "newer": (lambda path: change(path, "PRAGMA user_version = 9"), "was written by a newer release"),
    "deleted": (Path.unlink, "is missing"),
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A state folder, and the ids of two runs in it."""
    cpt = Program(tmp_path_factory.mktemp("two"))
    good = cpt.run("return await agent('good')").json["run_id"]
    return cpt.state, good, cpt.run("return [await agent('bad'), await agent('too')]").json["run_id"]


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_journal_is_told_from_a_good_one_and_harms_no_other(
    cpt: Program, two_runs: tuple[Path, str, str], kind: str
):
    state, good, bad = two_runs
    shutil.copytree(state, cpt.state)
    damage, said = DAMAGE[kind]
    damage(cpt.state / "runs" / bad / "journal.db")
    for command in (("show", bad), ("resume", bad)):
        ended = cpt(*command)
        assert (ended.code, ended.out) == (1, ""), ended.out
        assert said in ended.err
        assert "hint: " in ended.err
        assert "Traceback" not in ended.err
    runs = {run["run_id"]: run for run in cpt("ps", "--all", "--json").json["runs"]}
    assert runs[good]["status"] == "completed"
    assert set(runs) == {good, bad}
    assert cpt("result", good).code == 0


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_journal_that_vanishes_under_its_run_ends_it(cpt: Program, how: str):
    script = cpt.script("let n = 0; while (true) await agent(`more ${n++}`)")
    process = cpt.start("run", script, "--model", "sim:latency=20ms", "--max-agents", "100000", "--jsonl")
    assert process.stdout is not None
    run_id = json.loads(process.stdout.readline())["run_id"]
    while json.loads(process.stdout.readline())["type"] != "agent_finished":
        pass
    folder = cpt.state / "runs" / run_id
    if how == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(folder.with_name("wf_elsewhere"))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "was deleted, moved or replaced while the run was writing it" in err
    assert "Traceback" not in err


# --- many processes --------------------------------------------------------------------------------------------------


def test_ten_processes_that_start_at_once_all_have_their_runs(cpt: Program):
    script = cpt.script(
        "return (await parallel(Array.from({length: 20}, (_, i) => () => agent(`${args} ${i}`)))).length"
    )
    processes = [cpt.start("run", script, "--model", "sim", "--args", str(n), "--json") for n in range(10)]
    ended = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * 10, ended
    documents = [json.loads(out) for out, _ in ended]
    assert [document["result"] for document in documents] == [20] * 10
    listed = Counter(run["run_id"] for run in cpt("ps", "--all", "--json").json["runs"])
    assert listed == Counter(document["run_id"] for document in documents)


def test_those_who_look_do_not_disturb_the_one_who_writes(cpt: Program):
    script = cpt.script("return (await parallel(Array.from({length: 300}, (_, i) => () => agent(`${i}`)))).length")
    process = cpt.start("run", script, "--model", "sim:latency=5ms..60ms", "-c", "10", "--jsonl")
    assert process.stdout is not None
    told = [json.loads(process.stdout.readline()) for _ in range(5)]
    path = cpt.state / "runs" / told[0]["run_id"] / "journal.db"
    seen = 0
    for line in process.stdout:
        told.append(json.loads(line))
        if len(told) % 20 == 0:  # a reader that holds its snapshot while the run goes on
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            seen = connection.execute("SELECT max(seq) FROM events").fetchone()[0]
            assert seen >= told[-1]["seq"]
            connection.close()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert seen > 100
    assert journal(cpt) == told


def test_a_detached_run_survives_who_started_it(cpt: Program):
    started = cpt(
        "run", cpt.script("return await agent('x')"), "--model", "sim:latency=300ms", "--detach", "--json"
    ).json
    followed = cpt("logs", started["run_id"], "-f", "--jsonl")
    assert followed.code == 0
    assert cpt("result", started["run_id"], "--json").json["status"] in ("completed", "running")
