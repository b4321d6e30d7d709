"""Agents on a cluster: a real Temporal server, a real PostgreSQL, workers as processes that are killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Process, Program
from tests.fakes.postgres import Postgres
from tests.fakes.replies import Asked, Says, Waits
from tests.fakes.server import Fake
from tests.fakes.temporal import Temporal
from tests.fakes.tls import Relay, certificate

MANY = """export const meta = { name: 'many', description: 'a test' }
const n = args.n
return await parallel(Array.from({ length: n }, (_, i) => () => agent(`answer ${i}`, { label: `agent ${i}` })))
"""
MOST_CONNECTIONS = 4
"""Of a worker, however many agents it has: two questions at a time, its reports, and what it listens to."""
StartWorker = Callable[..., Process]


@pytest.fixture
def cluster(cpt: Program, temporal: Temporal, database: str, tmp_path: Path) -> Generator[StartWorker]:
    """The program with a cluster of a pool of its own; gives what starts a worker, and waits until it takes agents."""
    pool = database.rpartition("/")[2]
    cpt.environment |= {
        "COUNTERPOINT_DATABASE": database,
        "COUNTERPOINT_CLUSTER": temporal.address,
        "COUNTERPOINT_POOL": pool,
    }
    started: list[Process] = []

    def start(*options: str, **environment: str) -> Process:
        folder = str(tmp_path / f"worker{len(started)}")
        worker = cpt.start("worker", "--json", "--no-color", "--state", folder, *options, **environment)
        started.append(worker)
        assert worker.stdout is not None
        told = json.loads(worker.stdout.readline())
        assert told["pool"] == pool or "--pool" in options
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.communicate()


@pytest.fixture
def fake(cpt: Program) -> Generator[Fake]:
    """A provider that workers and runs ask."""
    cpt.environment |= {"ANTHROPIC_API_KEY": "key", "COUNTERPOINT_MODEL": "anthropic:m"}
    with Fake() as server:
        cpt.environment["COUNTERPOINT_BASE_URL"] = server.url
        server.otherwise = lambda asked: Says(f"{prompt_of(asked)}!")
        yield server


def prompt_of(asked: Asked) -> str:
    content = asked.body["messages"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def arrive(fake: Fake, requests: int) -> None:
    for _ in range(requests):
        assert fake.arrived.acquire(timeout=60)


def told(process: Process, wanted: str, times: int) -> list[Any]:
    """The events of ``run --jsonl`` until the n-th of a type."""
    assert process.stdout is not None
    events: list[Any] = []
    for line in process.stdout:
        events.append(json.loads(line))
        if sum(event["type"] == wanted for event in events) == times:
            return events
    raise AssertionError(f"the run ended after {Counter(event['type'] for event in events)}")


def without_times(events: list[Any]) -> Counter[str]:
    """Events as a bag, without what tells when and where."""
    where = ("seq", "at", "pid", "host", "run_id", "seconds", "seed", "created_at", "bounds", "epoch")
    kept = [{name: value for name, value in event.items() if name not in where} for event in events]
    return Counter(json.dumps(event, sort_keys=True) for event in kept)


def test_the_same_run_here_and_on_two_workers_has_the_same_journal(
    cpt: Program, cluster: StartWorker, postgres: Postgres, database: str
):
    named = f"{database}?application_name={database.rpartition('/')[2]}"
    workers = [cluster("--slots", "16", COUNTERPOINT_DATABASE=named) for _ in range(2)]
    run = ["run", cpt.script(MANY, "many"), "--args", '{"n": 30}', "--model", "sim:latency=20ms", "--budget", "50k"]
    here = cpt(*run, "--jsonl", COUNTERPOINT_CLUSTER="")
    for mode in ("activity", "workflow"):
        there = cpt(*run, "--jsonl", COUNTERPOINT_CLUSTER_MODE=mode)
        assert there.code == 0, there.err
        assert without_times(there.lines) == without_times(here.lines), mode
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_database()"
    assert int(postgres.sql(connections, database.rpartition("/")[2])) <= 2 * MOST_CONNECTIONS
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0


def test_agents_of_a_lost_worker_go_to_another_and_one_that_comes_back_delivers_nothing(
    cpt: Program, cluster: StartWorker, fake: Fake
):
    cpt.environment["COUNTERPOINT_CLUSTER_LEASE_S"] = "5"
    held, last = asyncio.Event(), asyncio.Event()
    fake.will(*[Waits(held, Says("too late"))] * 2)
    killed, silent = cluster("--slots", "1"), cluster("--slots", "1")
    script = cpt.script(
        "const ask = (p) => () => agent(p, { tools: [] })\n"
        "return [...await parallel([ask('one'), ask('two')]), await ask('three')()]"
    )
    run = cpt.start("run", script, "--jsonl")
    arrive(fake, 2)
    killed.kill()
    silent.send_signal(signal.SIGSTOP)
    fake.will(Says("one or two"), Says("one or two"), Waits(last, Says("three")))
    heir = cluster("--slots", "2")
    arrive(fake, 3)
    fake.release(held)
    silent.send_signal(signal.SIGCONT)
    silent.send_signal(signal.SIGTERM)
    assert silent.wait(60) == 0
    fake.release(last)
    out, err = run.communicate()
    events = [json.loads(line) for line in out.splitlines()]

    assert run.poll() == 0, err
    assert events[-1]["type"] == "run_ended"
    assert cpt("result", "@last", "--json").json["result"] == ["one or two", "one or two", "three"]
    assert Counter(event["agent"] for event in events if event["type"] == "agent_finished") == {
        "a1": 1,
        "a2": 1,
        "a3": 1,
    }
    assert sum("the one that had it was lost" in event.get("text", "") for event in events) == 2
    assert len(fake.asked) == 5
    assert heir.poll() is None


def test_a_worker_that_is_told_to_end_finishes_what_it_has_or_hands_it_back(
    cpt: Program, cluster: StartWorker, fake: Fake
):
    first = asyncio.Event()
    fake.will(Waits(first, Says("finished")), Waits(asyncio.Event(), Says("never")), Says("elsewhere"))
    one, two = cluster("--slots", "1"), cluster("--slots", "1")
    script = cpt.script("return await parallel([1, 2].map((n) => () => agent(`answer ${n}`, { tools: [] })))")
    run = cpt.start("run", script, "--json")
    arrive(fake, 2)
    for worker in (one, two):
        worker.send_signal(signal.SIGTERM)
        assert worker.stderr is not None
        assert "Ending" in worker.stderr.readline()
    fake.release(first)
    ended = wait_for_one(one, two)
    other = two if ended is one else one
    cluster("--slots", "1")
    other.send_signal(signal.SIGTERM)
    out, err = run.communicate()

    assert run.poll() == 0, err
    assert sorted(json.loads(out)["result"]) == ["elsewhere", "finished"]
    assert other.wait(60) == 0
    assert len(fake.asked) == 3


def wait_for_one(*processes: Process) -> Process:
    """The first that has ended; it ended well."""
    while True:
        for process in processes:
            if process.poll() is not None:
                assert process.poll() == 0
                return process
        time.sleep(0.01)


def test_what_agents_answer_while_nobody_executes_their_run_is_not_asked_again(
    cpt: Program, cluster: StartWorker, fake: Fake
):
    held = asyncio.Event()
    fake.otherwise = lambda asked: Waits(held, Says("late")) if "held" in prompt_of(asked) else Says("early")
    worker = cluster("--slots", "5")
    prompts = "['free 1', 'free 2', 'held 1', 'held 2', 'held 3']"
    script = cpt.script(f"return await parallel({prompts}.map((p) => () => agent(p, {{ tools: [] }})))")
    run = cpt.start("run", script, "--jsonl", "--budget", "200k")
    told(run, "agent_finished", 2)
    arrive(fake, 5)
    run.kill()
    run.communicate()
    fake.release(held)
    resumed = cpt("resume", "@last", "--json")

    assert resumed.code == 0, resumed.err
    assert resumed.json["result"] == ["early", "early", "late", "late", "late"]
    assert resumed.json["agents"]["reused"] == 2
    assert (resumed.json["usage"]["requests"], resumed.json["usage"]["output_tokens"]) == (5, 50)
    assert sum("was under way on a worker" in line for line in resumed.json["log"]) == 3
    assert len(fake.asked) == 5
    assert worker.poll() is None


def test_a_queue_that_has_lost_its_memory_is_told_again_what_is_to_be_done(
    cpt: Program, cluster: StartWorker, fake: Fake, temporal: Temporal
):
    held = asyncio.Event()
    fake.will(Waits(held, Says("under way")))
    cluster("--slots", "1")
    script = cpt.script("return await parallel([1, 2, 3].map((n) => () => agent(`answer ${n}`, { tools: [] })))")
    run = cpt.start("run", script, "--json")
    arrive(fake, 1)
    temporal.kill()
    fake.release(held)
    temporal.start()
    out, err = run.communicate()

    assert run.poll() == 0, err
    assert len(json.loads(out)["result"]) == 3
    assert "under way" in out
    assert len(fake.asked) == 3


def test_a_message_reaches_an_agent_on_a_worker_and_counts_when_it_was_heard(
    cpt: Program, cluster: StartWorker, fake: Fake, postgres: Postgres, database: str
):
    def looks_until_told(asked: Asked) -> Says:
        heard = "look elsewhere" in json.dumps(asked.body["messages"])
        return Says("I look elsewhere") if heard else Says(calls=[("TodoWrite", {"todos": []})])

    held = asyncio.Event()
    fake.will(Waits(held, Says(calls=[("TodoWrite", {"todos": []})])))
    fake.otherwise = looks_until_told
    project(cpt.folder / "project")
    cluster("--slots", "1")
    script = cpt.script("return await agent('look', { tools: ['TodoWrite'], maxTurns: 2000 })")
    run = cpt.start("run", script, "--json", "--cwd", str(cpt.folder / "project"))
    arrive(fake, 1)
    assert cpt("steer", "@last", "a1", "look elsewhere").code == 0
    name = database.rpartition("/")[2]
    while postgres.sql("SELECT count(*) FROM counterpoint.notes", name) == "0":
        assert run.poll() is None
    assert not any(event["type"] == "agent_steered" for event in cpt("export", "@last", "--jsonl").lines)
    fake.release(held)
    out, err = run.communicate()

    assert run.poll() == 0, err
    assert json.loads(out)["result"] == "I look elsewhere"
    assert any(event["type"] == "agent_steered" for event in cpt("export", "@last", "--jsonl").lines)


def test_agents_go_to_the_pool_of_their_type_and_end_there_when_their_run_is_stopped(
    cpt: Program, cluster: StartWorker, fake: Fake
):
    fake.will(*[Waits(asyncio.Event(), Says("never"))] * 2)
    cluster("--slots", "1")
    kind = cpt.folder / ".counterpoint/agents/special.md"
    kind.parent.mkdir(parents=True)
    kind.write_text("---\nname: special\ndescription: needs special workers\npool: special\n---\nDo it.\n")
    cluster("--slots", "1", "--pool", "special")
    script = cpt.script(
        "const ask = (agentType) => () => agent(`answer ${agentType}`, { agentType, tools: [] })\n"
        "return await parallel(['special', 'general-purpose'].map(ask))"
    )
    run = cpt.start("run", script, "--jsonl")
    arrive(fake, 2)
    assert cpt("stop", "@last").code == 0
    for _ in range(2):
        assert fake.abandoned.acquire(timeout=60)
    run.communicate()
    assert run.poll() == 130
    assert cpt("run", script, "--json").json["result"] == ["answer special!", "answer general-purpose!"]


FILES = """export const meta = { name: 'files', description: 'a test' }
const apart = { isolation: 'worktree' }
const [one, two] = await parallel([
  () => agent('write one.txt', { ...apart, label: 'one' }),
  () => agent('write sub/two.txt', { ...apart, label: 'two' }),
])
const seen = await agent('read draft.txt', { label: 'reader', tools: ['Read'] })
const more = await agent('write three.txt', { from: one, label: 'three' })
const nothing = await agent('read one.txt', { from: one, label: 'idle' })
const merged = await counterpoint.merge([one, two, more])
return [seen, nothing, merged.merged]
"""


def works(asked: Asked) -> Says:
    """An agent that does the one thing that its prompt says, and tells what it heard."""
    messages = asked.body["messages"]
    if len(messages) > 1:
        return Says(json.dumps(messages[-1]["content"]))
    verb, name = prompt_of(asked).split()[:2]
    if verb == "read":
        return Says(calls=[("Read", {"file_path": name})])
    return Says(calls=[("Write", {"file_path": name, "content": f"{name}\n"})])


def project(folder: Path) -> Path:
    """A repository with a file that is not committed."""
    folder.mkdir()
    (folder / "README").write_text("a project\n")
    for words in ("init -q -b main", "add .", "-c user.name=a -c user.email=a@b commit -q -m first"):
        git(folder, *words.split())
    (folder / "draft.txt").write_text("not committed yet\n")
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def doings(events: list[Any]) -> dict[str, list[str]]:
    """Agent → the types of its events."""
    done: dict[str, list[str]] = {}
    for event in events:
        if "agent" in event:
            done.setdefault(event["agent"], []).append(event["type"])
    return done


def role_of_the_guide(cpt: Program, postgres: Postgres, database: str) -> str:
    """The database's address for a worker with no more rights than `docs/cluster.md` gives it."""
    guide = Path(__file__).parents[2].joinpath("docs/cluster.md").read_text()
    assert cpt("ps").code == 0
    postgres.sql(guide.partition("<<'SQL'\n")[2].partition("\nSQL\n")[0], database.rpartition("/")[2])
    return database.replace("counterpoint:secret-word", "worker")


def test_agents_work_in_worktrees_on_workers_and_their_commits_come_back(
    cpt: Program, cluster: StartWorker, fake: Fake, tmp_path: Path, postgres: Postgres, database: str
):
    fake.otherwise = works
    narrow = role_of_the_guide(cpt, postgres, database)
    workers = [cluster("--slots", "1", COUNTERPOINT_DATABASE=narrow) for _ in range(2)]
    run = ["run", cpt.script(FILES, "files"), "--jsonl", "--allow", "Write"]
    here = cpt(*run, "--cwd", str(project(tmp_path / "here")), COUNTERPOINT_CLUSTER="")
    there = cpt(*run, "--cwd", str(project(tmp_path / "there")))
    seen, nothing, merged = cpt("result", "@last", "--json").json["result"]

    assert there.code == 0, there.err
    assert "not committed yet" in seen
    assert "one.txt" in nothing
    assert merged == 3
    for folder in (tmp_path / "here", tmp_path / "there"):
        names = {path.name for path in folder.iterdir()}
        assert names == {".git", "README", "draft.txt", "one.txt", "sub", "three.txt"}
        assert (folder / "sub/two.txt").read_text() == "sub/two.txt\n"
    assert doings(there.lines) == doings(here.lines)
    opened = [event["path"] for event in there.lines if event["type"] == "workspace_opened"]
    assert all(path.startswith(str(cpt.state)) for path in opened)
    kept = {path.name for path in tmp_path.glob("worker?/worker/wf_*/*")}
    assert kept == {"repository", "trees"}
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    with pytest.raises(subprocess.CalledProcessError) as denied:
        postgres.sql("SET ROLE worker; SELECT * FROM counterpoint.events", database.rpartition("/")[2])
    assert "permission denied for table events" in denied.value.stderr


def test_runs_and_workers_verify_the_servers_they_talk_to_and_refuse_one_of_another_authority(
    cpt: Program, cluster: StartWorker, tmp_path: Path, temporal: Temporal, postgres: Postgres, database: str
):
    ours, other = certificate(tmp_path / "ours"), certificate(tmp_path / "other")
    name = database.rpartition("/")[2]
    verified = f"{database.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert="
    run = ["run", cpt.script("return await agent('answer', { tools: [] })"), "--model", "sim", "--json"]
    with Relay(temporal.port, ours) as relay, postgres.with_tls(ours):
        cpt.environment |= {
            "COUNTERPOINT_DATABASE": f"{verified}{ours.authority}",
            "COUNTERPOINT_CLUSTER": f"localhost:{relay.port}/default",
            "TEMPORAL_TLS": "true",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(ours.authority),
        }
        cluster("--slots", "1")
        done = cpt(*run)
        how = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '%s'"
        assert done.code == 0, done.err
        assert "simulated" in done.json["result"]
        assert postgres.sql(how % name) == "t"

        no_queue = cpt("worker", TEMPORAL_TLS_SERVER_CA_CERT_PATH=str(other.authority))
        no_database = cpt("ps", COUNTERPOINT_DATABASE=f"{verified}{other.authority}")
    assert no_queue.code == 2
    assert f"at localhost:{relay.port} shows a certificate that is not trusted here" in no_queue.err
    assert "TEMPORAL_TLS_SERVER_CA_CERT_PATH" in no_queue.err
    assert no_database.code != 0
    assert f"postgresql://localhost:{postgres.port}/{name} cannot be reached" in no_database.err
    assert "certificate verify failed" in no_database.err


@pytest.mark.parametrize(
    ("cluster", "environment", "said"),
    [
        ("127.0.0.1:1", {}, "The Temporal server at 127.0.0.1:1 cannot be reached"),
        ("host:abc", {}, "it takes the address of a Temporal server"),
        ("http://host:1/x", {}, "it takes the address of a Temporal server"),
        ("127.0.0.1:1", {"TEMPORAL_CONFIG_FILE": __file__}, "TEMPORAL_… variables and Temporal's own file"),
        ("127.0.0.1:1", {"COUNTERPOINT_DATABASE": ""}, "A worker needs the database of the runs"),
    ],
)
def test_a_worker_says_what_keeps_it_from_its_cluster(
    cpt: Program, cluster: str, environment: dict[str, str], said: str
):
    database = {"COUNTERPOINT_DATABASE": "postgresql://u@127.0.0.1:1/runs"}
    cpt.environment |= {**database, **environment}
    refused = cpt("worker", "--cluster", cluster)
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert "fault of Counterpoint" not in refused.err


def test_a_run_whose_workers_could_not_reach_it_is_refused_and_not_recorded(cpt: Program):
    script = cpt.script(MANY, "many")
    refused = cpt("run", script, "--args", '{"n": 1}', "--model", "sim", COUNTERPOINT_CLUSTER="127.0.0.1:1")
    assert refused.code == 2
    assert "Agents on a cluster need runs in a database" in refused.err
    assert cpt("ps", "--all", "--json").json == {"runs": []}
