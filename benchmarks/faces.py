"""What it costs to watch: 300 agents at 500 events a second, seen in the terminal UI and by a reader of the web API.

    python benchmarks/faces.py [--seconds 10] [--rate 500]

A process of its own writes a run's journal at that rate, as the engine does (lease, journal, group commit). Told are
the events that the face took, its repaints, the CPU of the process that shows, as part of one core, and its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from counterpoint import events as e
from counterpoint.client import Client
from counterpoint.events import Event, Outcome, Usage, Value
from counterpoint.store.runs import Store
from counterpoint.tui.app import Top
from counterpoint.tui.board import Board
from counterpoint.tui.feed import Feed
from counterpoint.tui.scene import Signs
from counterpoint.tui.screens.door import Door
from counterpoint.tui.screens.run import RunScreen

AGENTS = 300
TICK_S = 0.02
WARM_UP_S = 1.5
FLOW = "export const meta = { name: 'busy', description: 'busy', phases: [{ title: 'Work' }] }\nreturn 1\n"


def happenings() -> list[Event]:
    """A round in which every agent does something; it can be told for ever."""
    prompt, usage = Value(msgspec.Raw(b'"work"')), Usage(900, 300, 80, 1, 0.004)
    told: list[Event] = []
    for n in range(AGENTS):
        told.append(e.AgentQueued(f"a{n}", f"k{n}", prompt, f"part {n}", "Work", {}, "sim"))
        told.append(e.AgentStarted(f"a{n}"))
    for turn in range(1, 9):
        for n in range(AGENTS):
            told.append(e.AgentTurned(f"a{n}", turn, usage, "Read"))
            told.append(e.ToolUsed(f"a{n}", "Read", f"src/part{n}.py", seconds=0.1))
    outcomes = (Outcome.OK, Outcome.OK, Outcome.OK, Outcome.FAILED)
    told += [e.AgentFinished(f"a{n}", outcomes[n % 4], usage=usage, model="sim", seconds=3.0) for n in range(AGENTS)]
    return told


async def write(state: Path, run_id: str, rate: float) -> None:
    """Appends events at the rate until it is killed."""
    told = happenings()
    async with Store(state) as store, store.writing(run_id) as journal:
        journal.append(e.RunStarted(1, os.getpid(), "here", 1))
        begin, written = time.monotonic(), 0
        print("writing", flush=True)
        while True:
            due = int((time.monotonic() - begin) * rate)
            for n in range(written, due):
                recorded = journal.append(told[n % len(told)])
                if n + 1 == due:
                    await journal.durable(recorded.seq)
            written = max(written, due)
            await asyncio.sleep(TICK_S)


def usage_of(pid: int) -> tuple[float, float]:
    """CPU seconds and megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def terminal(state: Path, run_id: str, seconds: float) -> dict[str, float]:
    async def start(arguments: list[str]) -> None:
        raise AssertionError(arguments)

    async with Store(state) as store:
        client = Client(store)
        app = Top(Door(client, "bench", Signs(), start), Feed(client, run_id))
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.pause(WARM_UP_S)
            screen = app.screen
            assert isinstance(screen, RunScreen)
            board = screen.query_one(Board)
            seq, painted, began = screen.feed.view.last_seq, board.repaints, time.monotonic()
            cpu, _ = usage_of(os.getpid())
            await asyncio.sleep(seconds)
            spent, memory = usage_of(os.getpid())
            took = time.monotonic() - began
            return {
                "events_per_s": (screen.feed.view.last_seq - seq) / took,
                "repaints_per_s": (board.repaints - painted) / took,
                "cpu_of_a_core": (spent - cpu) / took,
                "memory_mb": memory,
            }


def web(state: Path, run_id: str, seconds: float) -> dict[str, float]:
    """One reader of the stream; its batches are its repaints at most."""
    server = subprocess.Popen(
        [sys.executable, "-m", "counterpoint", "serve", "--port", "0", "--quiet", "--state", str(state)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip().removeprefix("http://")
        host, _, path = address.partition("/")
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        cookie = answer.headers["set-cookie"].partition(";")[0]
        answer.read()
        connection.request("GET", f"/api/runs/{run_id}/events", headers={"Cookie": cookie})
        stream = connection.getresponse()
        begin = time.monotonic()
        while time.monotonic() - begin < WARM_UP_S:
            stream.readline()
        cpu, _ = usage_of(server.pid)
        began, taken, batches = time.monotonic(), 0, 0
        while time.monotonic() - began < seconds:
            line = stream.readline()
            if line.startswith(b"data: ["):
                taken, batches = taken + len(json.loads(line[6:])), batches + 1
        spent, memory = usage_of(server.pid)
        took = time.monotonic() - began
        return {
            "events_per_s": taken / took,
            "batches_per_s": batches / took,
            "cpu_of_a_core": (spent - cpu) / took,
            "memory_mb": memory,
        }
    finally:
        server.terminate()
        server.wait(timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--write", nargs=2, metavar=("STATE", "RUN"))
    given = parser.parse_args()
    if given.write:
        asyncio.run(write(Path(given.write[0]), given.write[1], given.rate))
        return
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        script = Path(folder) / "busy.js"
        script.write_text(FLOW)
        command = [
            sys.executable,
            "-m",
            "counterpoint",
            "run",
            str(script),
            "--model",
            "sim",
            "--json",
            "--state",
            str(state),
        ]
        run_id = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["run_id"]
        writer = subprocess.Popen(
            [sys.executable, __file__, "--write", str(state), run_id, "--rate", str(given.rate)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            figures = {
                "terminal": asyncio.run(terminal(state, run_id, given.seconds)),
                "web": web(state, run_id, given.seconds),
            }
        finally:
            writer.kill()
            writer.wait(timeout=20)
    for face, numbers in figures.items():
        print(face, {name: round(value, 3) for name, value in numbers.items()})


if __name__ == "__main__":
    main()
