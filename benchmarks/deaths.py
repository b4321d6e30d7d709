"""A run of many agents on four workers, in which everything dies once: what is asked twice, and what is lost.

Real processes on this machine: PostgreSQL that syncs each commit, Temporal's development server, four workers, the
run's own process, and a provider that answers after a while and remembers who asked what and when. On the way

1. a worker is killed (SIGKILL), and another one started;
2. a worker loses its network for longer than its lease (it reaches PostgreSQL and Temporal through a relay that is cut;
   its agents go on asking the provider), and gets it back;
3. the run's process is killed, and the run resumed;
4. PostgreSQL is killed with all its processes, and started again.

The table says how many requests there were and how many of them were a second one for the same agent, which only those
that were under way at a death may have; `asked again after it was recorded` has to be 0, as has each of the faults.

    python benchmarks/deaths.py [--agents 1000] [--latency 2.0] [--lease 5]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent))
from machines import Machines, machines

WORKERS = 4
SLOTS = 25
SCRIPT = """export const meta = { name: 'deaths', description: 'Many agents, each asked once' }
const ask = (i) => () => agent(`task ${i}.`, { label: `agent ${i}`, tools: [] })
return await parallel(Array.from({ length: args.n }, (_, i) => ask(i)))
"""
OK = {0, 4}
"""Exit codes of a run that has ended; 4 is one with agents that did not end ok, which the table then shows."""


class Provider:
    """Answers each request after a while, and remembers when who asked."""

    def __init__(self, latency_s: float) -> None:
        self.asked: dict[str, list[float]] = {}
        self.answered = 0
        self._latency_s = latency_s
        self._more = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        content = (await request.json())["messages"][-1]["content"]
        task = content if isinstance(content, str) else content[0]["text"]
        self.asked.setdefault(task, []).append(time.time())
        await asyncio.sleep(self._latency_s)
        self.answered += 1
        self._more.set()
        message = {"role": "assistant", "content": f"{task} is done"}
        return web.json_response({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        })  # fmt: skip

    async def until(self, answered: float) -> None:
        while self.answered < answered:
            self._more.clear()
            await self._more.wait()


class Relay:
    """A way to a server that can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._is_cut = False
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def cut(self, is_cut: bool) -> None:
        self._is_cut = is_cut
        for end in self._ends if is_cut else ():
            end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return writer.transport.abort()
        with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled where this program ends
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._ends |= {writer, back}
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
            self._ends -= {writer, back}
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Scene:
    """The machines with a run on them."""

    def __init__(self, here: Machines, provider: Provider, url: str, lease_s: float) -> None:
        self.here, self.provider = here, provider
        self.database = here.postgres.new_database()
        self._environment = os.environ | {
            "COUNTERPOINT_DATABASE": self.database, "COUNTERPOINT_CLUSTER": here.temporal, "COUNTERPOINT_BASE_URL": url,
            "COUNTERPOINT_CLUSTER_LEASE_S": f"{lease_s:g}", "COUNTERPOINT_MODEL": "openai-compatible:m",
        }  # fmt: skip

    def counterpoint(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "counterpoint", *arguments]
        return subprocess.Popen(
            command, env=self._environment | environment, cwd=self.here.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    async def worker(self, **environment: str) -> subprocess.Popen[str]:
        folder = str(self.here.folder / f"worker{len(self.here.workers)}")
        worker = self.counterpoint("worker", "--json", "--slots", str(SLOTS), "--state", folder, **environment)
        self.here.workers.append(worker)
        assert worker.stdout is not None
        if not await asyncio.to_thread(worker.stdout.readline):
            raise SystemExit("A worker did not start.")
        return worker

    async def read(self, *arguments: str) -> str:
        process = self.counterpoint(*arguments)
        out, err = await asyncio.to_thread(process.communicate)
        if process.returncode not in OK:
            raise SystemExit(f"counterpoint {' '.join(arguments)}: {process.returncode}\n{err}")
        return out


async def _deaths(scene: Scene, agents: int, lease_s: float) -> dict[str, Any]:
    relays = [Relay(scene.here.postgres.port), Relay(urlsplit(scene.here.temporal).port or 7233)]
    for relay in relays:
        await relay.open()
    postgres, temporal = (f"127.0.0.1:{relay.port}" for relay in relays)
    doomed, *_ = [await scene.worker() for _ in range(WORKERS - 1)]
    await scene.worker(
        COUNTERPOINT_DATABASE=scene.database.replace(f"127.0.0.1:{scene.here.postgres.port}", postgres),
        COUNTERPOINT_CLUSTER=f"temporal://{temporal}/default",
    )
    script = scene.here.folder / "deaths.js"
    script.write_text(SCRIPT)
    begun, said = time.monotonic(), [f"{0:6.1f} s  {agents} agents, {WORKERS} workers of {SLOTS} places"]

    def say(text: str) -> None:
        said.append(f"{time.monotonic() - begun:6.1f} s  {scene.provider.answered:5} answers  {text}")

    options = ["--args", json.dumps({"n": agents}), "--concurrency", str(WORKERS * SLOTS), "--yes", "--quiet"]
    run = scene.counterpoint("run", str(script), *options)
    await scene.provider.until(agents * 0.1)
    doomed.kill()
    say("a worker is killed")
    await scene.worker()
    await scene.provider.until(agents * 0.2)
    for relay in relays:
        relay.cut(True)
    say("a worker loses its network")
    await asyncio.sleep(lease_s * 1.5)
    for relay in relays:
        relay.cut(False)
    say("it has it again")
    await scene.provider.until(agents * 0.6)
    run.kill()
    await asyncio.to_thread(run.communicate)
    say("the run's process is killed")
    (run_id,) = (row["run_id"] for row in json.loads(await scene.read("ps", "--all", "--json"))["runs"])
    resumed = scene.counterpoint("resume", run_id, "--yes", "--quiet")
    say("resumed")
    await scene.provider.until(agents * 0.8)
    scene.here.postgres.kill()
    say("PostgreSQL is killed")
    await asyncio.sleep(1)
    await asyncio.to_thread(scene.here.postgres.start)
    say("PostgreSQL is there again")
    _, err = await asyncio.to_thread(resumed.communicate)
    say(f"the run has ended with {resumed.returncode}")
    print("\n".join(said))
    if resumed.returncode not in OK:
        raise SystemExit(err)
    return await _found(scene, run_id, agents)


async def _found(scene: Scene, run_id: str, agents: int) -> dict[str, Any]:
    events = [json.loads(line) for line in (await scene.read("export", run_id, "--jsonl")).splitlines()]
    ends = [event for event in events if event["type"] == "agent_finished"]
    for event in ends:
        if event["outcome"] != "ok":
            print(f"agent {event['agent']} ended {event['outcome']}: {json.dumps(event.get('fault'))}")
    recorded = {f"task {_number(event)}.": event["at"] for event in _labelled(events, ends)}
    result = json.loads(await scene.read("result", run_id, "--json"))["result"]
    asked = scene.provider.asked
    return {
        "agents": agents,
        "ended ok": sum(event["outcome"] == "ok" for event in ends),
        "recorded twice": sum(count > 1 for count in Counter(event["agent"] for event in ends).values()),
        "missing or wrong in the result": sum(
            value != f"task {i}. is done" for i, value in enumerate([*result, *[None] * (agents - len(result))])
        ),
        "requests": sum(map(len, asked.values())),
        "second requests for an agent that was under way": sum(len(times) - 1 for times in asked.values()),
        "asked again after it was recorded": sum(
            time > recorded[task] for task, times in asked.items() if task in recorded for time in times
        ),
    }


def _labelled(events: list[Any], ends: list[Any]) -> list[Any]:
    """The ends, each with the label of its agent."""
    labels = {event["agent"]: event["label"] for event in events if event["type"] == "agent_queued"}
    return [{**event, "label": labels[event["agent"]]} for event in ends]


def _number(event: Any) -> str:
    return str(event["label"]).rpartition(" ")[2]


async def _main(agents: int, latency_s: float, lease_s: float) -> None:
    provider = Provider(latency_s)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    with machines() as here:
        scene = Scene(here, provider, f"http://127.0.0.1:{runner.addresses[0][1]}/v1", lease_s)
        try:
            found = await _deaths(scene, agents, lease_s)
        finally:
            for worker in here.workers:
                worker.kill()
                worker.communicate()
    await runner.cleanup()
    for name, value in found.items():
        print(f"{name:50} {value:6}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds of an answer")
    parser.add_argument("--lease", type=float, default=5.0, help="seconds of silence after which a worker is lost")
    given = parser.parse_args()
    asyncio.run(_main(given.agents, given.latency, given.lease))
