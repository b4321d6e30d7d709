"""What survives verification: noisy agents with known error rates against planted truths, beside theory.

Claims are planted, a part `--true` of them true. A skeptic refutes a false claim with the hit rate, a true one with the
false-alarm rate, and dies with the death rate, independently each time. Each pattern is a workflow script that is run
by the real engine (`counterpoint.verify`, `parallel`, `converge` in the prelude); only the agents are ours. Measured:

- *precision*: of the claims that survive, the part that is true;
- *recall*: of the true claims, the part that survives;
- *refuted by death*: claims that were called refuted although no majority of those who voted refuted them;
- *agents*: calls for each claim.

Theory is the binomial distribution: of v skeptics c are alive, of those r refute; a claim survives when c reaches the
quorum and less than half refute. `naive majority` is what a script does that counts a dead skeptic as a refutation.
Finders are measured apart: rounds of finders of a given recall until two rounds bring nothing new, theory 1-(1-r)^n.
Judges and critics are in `panels.py`; `--claims` is also how many panels and answers there are.

    python benchmarks/verification.py                    # 10,000 claims, the table of docs/verification.md
    python benchmarks/verification.py --claims 1000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from noisy import CHUNK, Crowd, binomial, carry_out, chance
from panels import CRITICS, PANELS, critic_rows, critic_table, judge_rows, judge_table

from counterpoint.agents.task import AgentTask

VERIFY = """export const meta = { name: 'verify', description: 'Verifies planted claims' }
const verdicts = await pipeline(args.claims, async (n) =>
  (await counterpoint.verify(`claim ${n}`, { votes: args.votes, quorum: args.quorum })).verdict)
return verdicts
"""
NAIVE = """export const meta = { name: 'naive', description: 'A majority in which the dead vote against' }
const VOTE = { type: 'object', properties: { refuted: { type: 'boolean' } }, required: ['refuted'] }
return await pipeline(args.claims, async (n) => {
  const ask = (i) => () => agent(`claim ${n}`, { key: `${n}/${i}`, schema: VOTE })
  const votes = await parallel(Array.from({ length: args.votes }, (_, i) => ask(i)))
  return votes.filter((vote) => vote && !vote.refuted).length * 2 > args.votes ? 'confirmed' : 'refuted'
})
"""
CONVERGE = """export const meta = { name: 'converge', description: 'Rounds of finders until they bring nothing new' }
let rounds = 0
const LIST = { type: 'array', items: { type: 'integer' } }
const FOUND = { type: 'object', properties: { found: LIST }, required: ['found'] }
const found = await counterpoint.converge(async (n) => {
  rounds = n + 1
  const said = await agent(`find, round ${n}`, { key: `round ${n}`, schema: FOUND })
  return said ? said.found : []
}, { quiet: args.quiet, maxRounds: args.rounds, key: (item) => item })
return { found, rounds }
"""


@dataclass(frozen=True, slots=True)
class Rates:
    """How good agents are. `hit` and `alarm`: how often a skeptic refutes a false, and a true, claim."""

    hit: float
    alarm: float
    dead: float = 0.0
    find: float = 0.0
    """Of what there is to find, the part that one finder finds."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to verify."""

    name: str
    votes: int
    quorum: int
    naive: bool = False


PATTERNS = (
    Pattern("one skeptic", 1, 1),
    Pattern("verify, 3 votes", 3, 2),
    Pattern("verify, 5 votes", 5, 3),
    Pattern("naive majority, 3 votes", 3, 3, naive=True),
    Pattern("naive majority, 5 votes", 5, 5, naive=True),
)
CROWDS = (Rates(0.85, 0.15), Rates(0.85, 0.15, dead=0.2), Rates(0.7, 0.3, dead=0.2), Rates(0.6, 0.05))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; parts of one."""

    pattern: str
    rates: Rates
    precision: float
    precision_theory: float
    recall: float
    recall_theory: float
    unverified: float
    refuted_by_death: int
    agents: float


# --- theory ----------------------------------------------------------------------------------------------------------


def survives(pattern: Pattern, refutes: float, dead: float) -> float:
    """The chance of a claim to survive that a skeptic refutes with `refutes`."""
    chance = 0.0
    for cast in range(pattern.votes + 1):
        for against in range(cast + 1):
            here = binomial(pattern.votes, cast, 1 - dead) * binomial(cast, against, refutes)
            if pattern.naive:
                chance += here * ((cast - against) * 2 > pattern.votes)
            else:
                chance += here * (cast >= pattern.quorum and (cast - against) * 2 > cast)
    return chance


def theory(pattern: Pattern, rates: Rates, true: float) -> tuple[float, float]:
    """Precision and recall of the survivors."""
    kept, wrong = survives(pattern, rates.alarm, rates.dead), survives(pattern, rates.hit, rates.dead)
    return true * kept / (true * kept + (1 - true) * wrong), kept


# --- the engine, with agents of ours --------------------------------------------------------------------------------


class Skeptics:
    """Votes on planted claims, and remembers them."""

    def __init__(self, rates: Rates, truths: Sequence[bool], seed: int) -> None:
        self._rates, self._truths, self._seed = rates, truths, seed
        self.votes: dict[int, list[bool]] = {}

    def __call__(self, task: AgentTask) -> Any:
        claim = int(task.prompt.rpartition("claim ")[2].split()[0])
        if chance(self._seed, "dies", task.key) < self._rates.dead:
            return None
        refutes = self._rates.alarm if self._truths[claim] else self._rates.hit
        vote = chance(self._seed, "votes", task.key) < refutes
        self.votes.setdefault(claim, []).append(vote)
        return {"refuted": vote, "reason": "planted"}


async def measure(pattern: Pattern, rates: Rates, claims: int, true: float, seed: int) -> Row:
    """Runs one pattern over all claims."""
    truths = [chance(seed, "true", n) < true for n in range(claims)]
    skeptics = Skeptics(rates, truths, seed)
    crowd = Crowd(skeptics)
    verdicts: list[str] = []
    for start in range(0, claims, CHUNK):
        part = list(range(start, min(start + CHUNK, claims)))
        args = {"claims": part, "votes": pattern.votes, "quorum": pattern.quorum}
        verdicts += await carry_out(NAIVE if pattern.naive else VERIFY, args, crowd)
    kept = [truths[n] for n in range(claims) if verdicts[n] == "confirmed"]
    refuted = [skeptics.votes.get(n, []) for n in range(claims) if verdicts[n] == "refuted"]
    precision, recall = theory(pattern, rates, true)
    return Row(
        pattern.name, rates,
        precision=sum(kept) / max(1, len(kept)), precision_theory=precision,
        recall=sum(kept) / max(1, sum(truths)), recall_theory=recall,
        unverified=sum(verdict == "unverified" for verdict in verdicts) / claims,
        refuted_by_death=sum(sum(votes) * 2 <= len(votes) for votes in refuted),
        agents=crowd.called / claims,
    )  # fmt: skip


async def converge(find: float, there: int, seed: int) -> tuple[int, float, float]:
    """Rounds, the part that finders of that recall find together, and theory for as many rounds."""

    def act(task: AgentTask) -> Any:
        return {"found": [n for n in range(there) if chance(seed, task.key, n) < find]}

    said = await carry_out(CONVERGE, {"quiet": 2, "rounds": 60}, Crowd(act))
    return said["rounds"], len(said["found"]) / there, 1 - (1 - find) ** said["rounds"]


FINDERS = "| one finder's recall | rounds | found | theory |\n| --- | --- | --- | --- |"


# --- the table ----------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| skeptics: hit / false alarm / dead | pattern | precision (theory) | recall (theory) | unverified "
        "| refuted by death | agents a claim |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        rates = row.rates
        lines.append(
            f"| {rates.hit:.0%} / {rates.alarm:.0%} / {rates.dead:.0%} | {row.pattern} "
            f"| {row.precision:.1%} ({row.precision_theory:.1%}) | {row.recall:.1%} ({row.recall_theory:.1%}) "
            f"| {row.unverified:.1%} | {row.refuted_by_death:,} | {row.agents:.1f} |"
        )
    return "\n".join(lines)


async def main() -> int:
    parser = argparse.ArgumentParser(description="What survives verification, beside theory.")
    parser.add_argument("--claims", type=int, default=10_000)
    parser.add_argument("--true", type=float, default=0.5, help="part of the claims that is true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=0.02, help="farthest that a figure may be from theory")
    parser.add_argument(
        "--crowd",
        type=int,
        choices=range(len(CROWDS)),
        help="only this crowd of skeptics, from 0; of judges and critics, those that die",
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    crowds = CROWDS if given.crowd is None else CROWDS[given.crowd : given.crowd + 1]
    rows = [
        await measure(pattern, rates, given.claims, given.true, given.seed) for rates in crowds for pattern in PATTERNS
    ]
    rounds = [(find, *await converge(find, 400, given.seed)) for find in (0.2, 0.4, 0.7)]
    panels = await judge_rows(PANELS if given.crowd is None else PANELS[-1:], given.claims, given.seed)
    critics = await critic_rows(CRITICS if given.crowd is None else CRITICS[-1:], given.claims, given.seed)
    figures = [
        pair for row in rows for pair in ((row.precision, row.precision_theory), (row.recall, row.recall_theory))
    ]
    figures += [figure for panel in panels for figure in (panel.best, panel.first, panel.none)]
    figures += [figure for critic in critics for figure in (critic.precision, critic.recall, critic.passed)]
    worst = max(abs(measured - expected) for measured, expected in figures)
    deaths = sum(row.refuted_by_death for row in rows if not row.pattern.startswith("naive"))
    deaths += sum(critic.passed_by_death for critic in critics if critic.pattern != "null is no gap")
    if given.json:
        document = {
            "claims": given.claims, "rows": msgspec.to_builtins(rows), "judge": msgspec.to_builtins(panels),
            "critic": msgspec.to_builtins(critics), "worst": worst, "converge": rounds,
        }  # fmt: skip
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"{table(rows)}\n\n{judge_table(panels)}\n\n{critic_table(critics)}\n\n{FINDERS}\n")
        for find, n, found, expected in rounds:
            sys.stdout.write(f"| {find:.0%} | {n} | {found:.1%} | {expected:.1%} |\n")
        sys.stdout.write(
            f"\n{given.claims:,} claims; farthest from theory: {worst:.2%}; refuted or passed by death under ours: "
            f"{deaths}; {time.perf_counter() - started:.0f} s\n"
        )
    return 0 if worst <= given.within and deaths == 0 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
