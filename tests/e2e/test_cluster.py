"""Agents on a cluster: a real Temporal server, a real PostgreSQL, workers as processes that are killed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Process, Program

MANY = """export const meta = { name: 'many', description: 'a test' }
const n = args.n
return await parallel(Array.from({ length: n }, (_, i) => () => agent(`answer ${i}`, { label: `agent ${i}` })))
"""
StartWorker = Callable[..., Process]


@pytest.fixture
def cluster(cpt: Program, temporal: str, database: str, tmp_path: Path) -> Generator[StartWorker]:
    """The program with a cluster of a pool of its own; gives what starts a worker, and waits until it takes agents."""
    pool = database.rpartition("/")[2]
    cpt.environment |= {
        "COUNTERPOINT_DATABASE": database,
        "COUNTERPOINT_CLUSTER": temporal,
        "COUNTERPOINT_POOL": pool,
        "COUNTERPOINT_CLUSTER_LEASE_S": "2",
    }
    started: list[Process] = []

    def start(*options: str, **environment: str) -> Process:
        folder = str(tmp_path / f"worker{len(started)}")
        worker = cpt.start("worker", "--json", "--no-color", "--state", folder, *options, **environment)
        started.append(worker)
        assert worker.stdout is not None
        told = json.loads(worker.stdout.readline())
        assert told["pool"] == pool
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.communicate(60)


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


@pytest.mark.parametrize("mode", ["activity", "workflow"])
def test_the_same_run_here_and_on_two_workers_has_the_same_journal(cpt: Program, cluster: StartWorker, mode: str):
    workers = [cluster("--slots", "4"), cluster("--slots", "4")]
    run = ["run", cpt.script(MANY, "many"), "--args", '{"n": 30}', "--model", "sim:latency=20ms", "--budget", "50k"]
    here = cpt(*run, "--jsonl", COUNTERPOINT_CLUSTER="")
    there = cpt(*run, "--jsonl", COUNTERPOINT_CLUSTER_MODE=mode)

    assert there.code == 0, there.err
    assert without_times(there.lines) == without_times(here.lines)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
