"""Kills a run at random moments, again while it goes on, and looks whether anything was lost, repeated or reordered.

Each round starts a run through the command line, kills its process (SIGKILL) up to five times at random moments, lets
the last resume end, and then resumes once more. It must hold that

- the journal of every killed process is the beginning of the next one's: nothing that was acknowledged is gone;
- no agent whose result was in the journal was ever asked again;
- the last resume, which reuses everything, gives the same value, in which every race and every clock is written down;
- `export` gives the journal line by line, without gaps.

    python benchmarks/soak.py --rounds 100 --seed 7
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from counterpoint.cli import export, main, resume, run

IMPORTED = (export, main, resume, run)

SCRIPT = """export const meta = { name: 'soak', description: 'who is heard when' }
const heard = []
const note = (name) => () => { heard.push(`${name}@${Date.now()} ${budget.spent()} ${Math.random()}`) }
const wait = (ms) => new Promise((r) => setTimeout(r, ms))
const all = []
for (let i = 0; i < 8; i++) {
  all.push(agent(`first ${i}`).then(note(`a${i}`))
    .then(() => agent(`second ${heard.length} ${heard[heard.length - 1]}`)).then(note(`b${i}`)))
  all.push(wait(9 * i).then(note(`t${i}`)).then(() => agent('the same prompt')).then(note(`s${i}`)))
  all.push(agent(`large ${i}`, { key: `k${i}` }).then((text) => agent(text.repeat(3000))).then(note(`l${i}`)))
}
all.push(Promise.race([agent('x'), agent('y').then(() => agent('z')), wait(40)]).then((won) => note(`race ${won}`)()))
all.push(workflow({ scriptPath: 'child.js' }).then(note('child')).then(() => agent('after')).then(note('after')))
all.push(counterpoint.tool('Glob', { pattern: '*.js' }).then(note('tool')))
all.push(agent('bad', { schema: { type: 'array' } }).catch(note('refused')))
await Promise.all(all)
return heard
"""
CHILD = """export const meta = { name: 'child', description: 'a part' }
return await parallel([1, 2, 3].map((i) => () => agent(`child ${i} ${Math.random()}`)))
"""
MODEL = "sim:latency=1ms..60ms"


class Broken(Exception):
    """What must hold does not."""


class Command:
    """One call of the command line, in a process of its own: a fork of this one, which has everything imported."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.arguments = arguments
        self.errors = folder / "errors"
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(folder, writing)
        os.close(writing)
        self.output = os.fdopen(reading, "rb")

    def _become(self, folder: Path, output: int) -> NoReturn:
        try:
            os.chdir(folder)
            os.environ["COUNTERPOINT_STATE"] = str(folder / "state")
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(os.open(self.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["counterpoint", *self.arguments]
            main.main()
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:
            traceback.print_exc()
        os._exit(70)

    def result(self) -> bytes:
        """What it wrote. Raises Broken where it failed."""
        with self.output:
            out = self.output.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code != 0:
            raise Broken(f"{self.arguments}: exit code {code}\n{out.decode()}{self.errors.read_text()}")
        return out

    def kill_after(self, lines: int, seconds: float) -> bool:
        """Kills a run with --jsonl some time after so many of its lines; False where it had ended by then."""
        with self.output:
            for line in self.output:
                lines -= 1
                if lines <= 0 or b'"run_ended"' in line:
                    break
            time.sleep(seconds)
            os.kill(self.pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == -signal.SIGKILL


class Place:
    """A folder with the script and the state of its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "soak.js").write_text(SCRIPT)
        (folder / "child.js").write_text(CHILD)

    def start(self, *arguments: str) -> Command:
        return Command(self.folder, *arguments)

    def run(self, *arguments: str) -> bytes:
        return self.start(*arguments).result()

    def journal(self) -> list[bytes]:
        return self.run("export", "@last", "--jsonl").splitlines()


def look(before: list[bytes], now: list[bytes]) -> None:
    """Raises Broken where the journal lost, repeated or reordered something."""
    if now[: len(before)] != before:
        raise Broken("an acknowledged event is gone or has changed")
    events: list[Any] = [json.loads(line) for line in now]
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        raise Broken("the journal has a gap")
    done: set[str] = set()
    for event in events:
        if event["type"] in ("agent_started", "agent_finished") and event["agent"] in done:
            raise Broken(f"{event['agent']} was asked again although its result was in the journal")
        if event["type"] == "agent_finished" and event["outcome"] == "ok":
            done.add(event["agent"])


def one_round(place: Place, chance: random.Random, counts: Counter[str]) -> None:
    """One run, killed and resumed."""
    lines: list[bytes] = []
    command: tuple[str, ...] = ("run", "soak.js", "--model", MODEL, "--jsonl")
    for _ in range(chance.randint(1, 5)):
        more = chance.randint(1, 120)
        if not place.start(*command).kill_after(len(lines) + more, chance.choice((0.0, chance.uniform(0, 0.05)))):
            counts["ended before the kill"] += 1
            break
        counts[f"kills in {'the first attempt' if command[0] == 'run' else 'a resume'}"] += 1
        now = place.journal()
        look(lines, now)
        lines, command = now, ("resume", "@last", "--jsonl")
    first = json.loads(place.run("resume", "@last", "--json"))
    now = place.journal()
    look(lines, now)
    counts["agents"] += first["agents"]["total"]
    counts["agents reused"] += first["agents"]["reused"]
    again = json.loads(place.run("resume", "@last", "--json"))
    look(now, place.journal())
    if again["agents"]["reused"] != again["agents"]["total"]:
        raise Broken(f"a run that was complete ran {again['agents']['ok']} agents again")
    if again["result"] != first["result"]:
        raise Broken(f"a race went another way:\n{first['result']}\n{again['result']}")


def soak() -> int:
    parser = argparse.ArgumentParser(description="Kills runs and resumes them.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    for number in range(given.rounds):
        with tempfile.TemporaryDirectory(prefix="counterpoint-soak-") as folder:
            try:
                chance = random.Random(given.seed * 1_000_003 + number)
                one_round(Place(Path(folder)), chance, counts)
            except Broken as broken:
                print(f"round {number} of seed {given.seed}: {broken}")
                return 1
    counted = ", ".join(f"{number} {what}" for what, number in counts.items())
    print(f"{given.rounds} rounds, nothing lost, repeated or reordered: {counted}")
    return 0


if __name__ == "__main__":
    sys.exit(soak())
