"""What `docs/lead.md` says under "Shown": the lead's context, the conversation's answers while agents work, estimates.

    PYTHONPATH=src:. python benchmarks/lead.py [context] [chat] [estimates]

- *context*: `do` with a lead that is scripted over real HTTP: its tokens before the run and after it, as the provider
  counts them, for runs of 3, 30 and 300 agents. Each agent says some 400 characters.
- *chat*: time from a line typed to its answer shown, without any run and with 100 agents at work whose provider does
  not answer. The lead's provider answers at once: what is measured is ours, with the HTTP of both sides.
- *estimates*: what `simulate` says of bundled workflows on this project's own documents and code, and what the same
  workflow then uses with `sim`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Program
from tests.e2e.test_chat import Lead, Talking, flow
from tests.e2e.test_lead import DOCS, GOOD, WORKFLOW, ScriptedLead
from tests.fakes.replies import Says, Waits
from tests.fakes.server import Fake

MESSAGES = 30
AT_WORK = 100
QUESTION = {"question": "What is done when a process is killed?", "path": "."}
ESTIMATED: dict[str, Any] = {
    "survey": {"path": "."},
    "review": {"path": "lead"},
    "bug-hunt": {"path": "lead"},
    "deep-research": QUESTION,
    "plan-panel": {"goal": "Make the start faster"},
    "triage": {"items": [{"id": n, "text": f"Item {n} is broken"} for n in range(12)]},
}
CODE = DOCS.parent / "src" / "counterpoint" / "lead"
UNITS = ("agents", "input_tokens", "output_tokens")


@contextmanager
def program() -> Generator[Program]:
    """The program in an empty folder of its own."""
    with tempfile.TemporaryDirectory(prefix="counterpoint-lead-") as folder:
        yield Program(Path(folder))


def context() -> None:
    print("| provider | agents of the run | lead's context before (tokens) | after | growth |")
    print("| --- | --- | --- | --- | --- |")
    for provider in ("anthropic", "openai"):
        for agents in (3, 30, 300):
            before, after = _context(provider, agents)
            print(f"| {provider} | {agents} | {before:,} | {after:,} | {after - before:,} |", flush=True)


def _context(provider: str, agents: int) -> tuple[int, int]:
    with Fake() as fake, program() as cpt:
        ScriptedLead(fake, decision=WORKFLOW, scripts=[GOOD.replace("COUNT", str(agents))])
        ended = cpt(
            "do", "Say what each page of this folder is about.", "--yes", "--json", "--cwd", str(DOCS),
            "--model", f"{provider}:m", "--base-url", fake.url if provider == "anthropic" else f"{fake.url}/v1",
            ANTHROPIC_API_KEY="k", OPENAI_API_KEY="k", timeout=300,
        )  # fmt: skip
        assert ended.json["run"]["agents"]["ok"] == agents, ended.err
        lead = ended.json["lead"]
        return lead["context_before"], lead["context_after"]


def chat() -> None:
    print("| agents at work | asked | median (ms) | longest (ms) |")
    print("| --- | --- | --- | --- |")
    with Fake() as fake, program() as cpt:
        flow(cpt)
        lead = Lead(fake)
        lead.agents = Waits(asyncio.Event(), Says("never"))
        talking = Talking(cpt, fake, "--yes")
        try:
            _measured(talking, 0)
            talking.type(f"/hundred {AT_WORK}")
            talking.until("has begun")
            talking.until_running(f" of {AT_WORK} agents")
            _measured(talking, AT_WORK)
            talking.type("/stop")
            talking.until("stopped: ")
        finally:
            talking.end()


def _measured(talking: Talking, at_work: int) -> None:
    def say() -> str:
        talking.type("Are you there?")
        return talking.until("Answer ")

    def look() -> str:
        talking.type("/status")
        return talking.until("hundred: " if at_work else "has started no run")

    for name, ask in (("the lead", say), ("`/status`", look)):
        ask()
        took = [_milliseconds(ask) for _ in range(MESSAGES)]
        print(f"| {at_work} | {name} | {statistics.median(took):.0f} | {max(took):.0f} |", flush=True)


def _milliseconds(ask: Callable[[], str]) -> float:
    begin = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - begin)


def estimates() -> None:
    print("| workflow | agents: estimate | used | tokens in: estimate | used | tokens out: estimate | used | inside |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, args in ESTIMATED.items():
        estimate, used = _estimated(name, args)
        inside = all(estimate[unit]["low"] <= used[unit] <= estimate[unit]["high"] for unit in UNITS)
        cells = [
            f"{estimate[unit]['low']:,.0f} to {estimate[unit]['high']:,.0f} | {used[unit]:,}"
            for unit in UNITS
        ]  # fmt: skip
        print(f"| `{name}` | {' | '.join(cells)} | {'yes' if inside else 'NO'} |", flush=True)


def _estimated(name: str, args: Any) -> tuple[Any, dict[str, int]]:
    with program() as cpt:
        shutil.copytree(DOCS, cpt.folder, dirs_exist_ok=True)
        shutil.copytree(CODE, cpt.folder / "lead", ignore=shutil.ignore_patterns("__pycache__"))
        arguments = (name, "--args", json.dumps(args), "--model", "sim", "--json")
        estimate = cpt("simulate", *arguments, timeout=300)
        run = cpt("run", *arguments, timeout=300)
        assert run.code == 0, run.out + run.err
        return estimate.json, {**run.json["usage"], "agents": run.json["agents"]["total"]}


def main() -> None:
    for part in (context, chat, estimates):
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()
            print()


if __name__ == "__main__":
    main()
