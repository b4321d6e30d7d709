"""Recorded journals for the faces: every kind of event, times that a person would believe, texts that mean harm."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from tests.e2e.conftest import Program

from counterpoint import events as e
from counterpoint.events import Event, Outcome, Usage, Value

BEGIN = 1_790_000_000.0
HOSTILE = (
    '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
    "\x1b]0;owned\x07\x1b[31mred\x1b[0m \u202egnp.exe\u202c \u2066x\u2069 \x9b2J"
)
SCRIPT = """
export const meta = {
  name: 'recorded',
  description: 'A recorded run',
  phases: [{ title: 'Find' }, { title: 'Doubt' }, { title: 'Mend' }],
}
return 1
"""
OUTCOMES = (Outcome.FAILED, Outcome.INVALID, Outcome.LIMITED, Outcome.TIMED_OUT, Outcome.STALLED, Outcome.SKIPPED)
FAULTS = {outcome: e.Fault("ProviderError", f"It was {outcome.value}.", kind="server") for outcome in OUTCOMES}


def value(json: Any) -> Value:
    return Value(msgspec.Raw(msgspec.json.encode(json)))


class Story:
    """Events with their times, in the order in which they happen."""

    def __init__(self, seed: int = 7) -> None:
        self.dice = random.Random(seed)
        self.told: list[tuple[float, Event]] = []

    def tell(self, at: float, event: Event) -> None:
        self.told.append((at, event))

    def agent(self, number: int, phase: str, begin: float, *, spans: int, label: str | None = None) -> float:
        """One agent from its call to its end; gives the time of that."""
        name, dice = f"a{number}", self.dice
        prompt = value(f"Look at part {number}. " + "word " * dice.randint(1, 400))
        self.tell(begin, e.AgentQueued(name, f"k{number}", prompt, label or f"{phase.lower()} {number}", phase,
                                       {"effort": "low"}, "sim:x", line=1 + number % 3,
                                       workflow="child" if number % 9 == 4 else None))  # fmt: skip
        at = begin + dice.random() * 4
        self.tell(at, e.AgentStarted(name))
        for turn in range(1, spans // 2 + 1):
            at += 0.2 + dice.random()
            tools = ["Read", "Grep"][: dice.randint(1, 2)]
            self.tell(at, e.AgentTurned(name, turn, self.usage(), ", ".join(tools)))
            for tool in tools:
                at += 0.05 + dice.random() / 2
                self.tell(at, e.ToolUsed(name, tool, f"src/part{number}.py", dice.random() > 0.1, 0.1))
        if number % 7 == 3:
            cost = e.Usage(40_000, 0, 700, 1, 0.13)
            self.tell(at, e.AgentCompacted(name, "window", 151_000, 48_000, 12, 3, cost))
        if dice.random() < 0.15:
            self.tell(at, e.AgentRetried(name, e.Fault("ProviderError", "overloaded", kind="overloaded"), 1.5))
            at += 2.5
        at += 0.3 + dice.random() * 2
        bad = OUTCOMES[dice.randrange(len(OUTCOMES))] if dice.random() < 0.12 else None
        outcome = bad or Outcome.OK
        self.tell(at, e.AgentFinished(name, outcome, value({"n": number}) if bad is None else None, FAULTS.get(outcome),
                                      usage=self.usage(), model="sim:answered", seconds=round(at - begin, 3),
                                      turns=spans // 2 + 1))  # fmt: skip
        return at

    def usage(self) -> Usage:
        tokens_in = self.dice.randint(200, 4000)
        usd = None if self.dice.random() < 0.001 else self.dice.randint(1, 900) / 100_000
        return Usage(tokens_in, self.dice.randint(0, tokens_in), self.dice.randint(10, 600), 1, usd)


def story(agents: int, spans: int) -> list[tuple[float, Event]]:
    """A run of two attempts: the first one is cut off, the second takes up what it finds, asks a person, and ends."""
    told = Story()
    told.tell(BEGIN + 0.1, e.RunStarted(1, 1, "here", 1))
    told.tell(BEGIN + 0.2, e.PhaseEntered("Find"))
    told.tell(BEGIN + 0.3, e.LogWritten(HOSTILE, "warning"))
    half = agents // 2
    ends = [told.agent(n, "Find", BEGIN + 0.5 + n * 0.05, spans=spans) for n in range(1, half + 1)]
    told.tell(max(ends) + 1, e.AgentQueued("a9999", "k9999", value("cut off"), HOSTILE, "Find", {}, "sim:x"))
    told.tell(max(ends) + 2, e.AgentStarted("a9999"))
    again = max(ends) + 30
    told.tell(again, e.RunStarted(2, 2, "here", 2))
    told.tell(again + 0.1, e.PhaseEntered("Find"))
    finished = {event.agent: event.outcome for _, event in told.told if isinstance(event, e.AgentFinished)}
    reused = dict.fromkeys((agent for agent, outcome in finished.items() if outcome is Outcome.OK), Outcome.REUSED)
    stands = [(agent, outcome) for agent, outcome in finished.items() if outcome is not Outcome.OK][-1:]
    for n, (agent, outcome) in enumerate([*reused.items(), *stands]):
        told.tell(again + 0.2 + n / 1000, e.AgentReused(agent, f"again {agent}", "Find", outcome=outcome))
    told.tell(again + 1, e.PhaseEntered("Doubt"))
    later = [told.agent(n, "Doubt", again + 1 + n * 0.05, spans=spans) for n in range(half + 1, agents + 1)]
    for n, refuted in enumerate((True, False, False)):
        name = f"a{9000 + n}"
        prompt = value('Try to refute the claim below.\n\n# Claim\nThe "lock" is missing\nhere\n\n# Evidence\nnone')
        told.tell(again + 2 + n / 10, e.AgentQueued(name, name, prompt, f"verify {n + 1}/3", "Doubt", {}, "sim:x"))
        told.tell(again + 3 + n / 10, e.AgentStarted(name))
        if refuted:
            patch = value("diff --git a/x.py b/x.py\n@@ -1 +1 @@\n-old\n+new <b>\n")
            told.tell(again + 3.5, e.WorkspaceClosed(name, "agents/x", "b1", "c1", ["x.py"], 1, 1, "/tmp/x", patch, 60))
        answer = value({"refuted": refuted, "reason": "so it is"})
        told.tell(again + 4 + n / 10, e.AgentFinished(name, Outcome.OK, answer, usage=told.usage(), seconds=1.0))
    told.tell(again + 5, e.ProviderHeld("sim", again + 9, "slow down"))
    told.tell(again + 6, e.RequestDelivered(1, "steer", f"a{half + 1}", "look closer", again + 5.9, "me@here"))
    told.tell(again + 7, e.RequestDone(1, message="Heard."))
    told.tell(again + 7.5, e.AgentMarked(f"a{half}", "the script says so"))
    last = max(later)
    told.tell(last + 1, e.ScriptErrorRaised(e.Fault("TypeError", "x is undefined", 3, 7), "parallel", 2))
    told.tell(last + 1.1, e.SlotFailed("parallel", 2, e.Fault("TypeError", "x is undefined", 3, 7)))
    told.tell(last + 2, e.GateOpened("g1", "gk", f"Apply the patches? {HOSTILE}", ["yes", "no"]))
    told.tell(last + 9, e.GateAnswered("g1", "gk", value("yes"), by="me@here"))
    told.tell(last + 10, e.BoundsChanged({"budget_tokens": 10_000_000}))
    told.tell(
        last + 11, e.RunEnded(e.RunStatus.PARTIAL, value({"report": f"done {HOSTILE}"}), message="Not all ended ok.")
    )
    return sorted(told.told, key=lambda each: each[0])


def record(program: Program, agents: int = 44, spans: int = 6) -> str:
    """Puts the story into the state of a program, as a run of its own, and gives the run's id."""
    run_id = str(program.run(SCRIPT, name="recorded").json["run_id"])
    with sqlite3.connect(program.state / "runs" / run_id / "journal.db") as journal:
        journal.execute("DELETE FROM events WHERE seq > 1")
        journal.execute("UPDATE events SET at = ?", (BEGIN,))
        journal.executemany(
            "INSERT INTO events (run_id, seq, at, epoch, type, body) VALUES (?, ?, ?, 1, ?, ?)",
            [
                (run_id, seq, at, msgspec.json.decode(e.encode(event))["type"], e.encode(event))
                for seq, (at, event) in enumerate(story(agents, spans), start=2)
            ],
        )
    return run_id


def cut(program: Program, run_id: str, seq: int, state: Path) -> None:
    """A copy of the run as it was when event `seq` had just been written, in a state folder of its own."""
    folder = state / "runs" / run_id
    shutil.copytree(program.state / "runs" / run_id, folder)
    with sqlite3.connect(folder / "journal.db") as journal:
        journal.execute("DELETE FROM events WHERE seq > ?", (seq,))
