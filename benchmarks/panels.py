"""How good judges and critics are: noisy agents with known error rates in the real engine, beside exact theory.

*Judges* see two plans, of which one is planted as the better. Some judges prefer what they are shown first, whatever it
is; the others prefer the better plan with a known chance, and some die. `judge` shows each judge the plans in another
order; `same order` is what a script does that does not. Theory goes through every way in which the judges can vote.

*Critics* see an answer with planted gaps: each of three is there in half of the answers. A critic names a gap that is
there with the hit rate and one that is not with the false-alarm rate, or dies. An answer is *passed* when it has a gap
and is nevertheless taken for whole; `null is no gap` is what a script does that writes `?? []` behind `critic`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noisy import CHUNK, Crowd, carry_out, chance

from counterpoint.agents.task import AgentTask

JUDGE = """export const meta = { name: 'judge', description: 'Panels with a planted better plan' }
return await pipeline(args.items, async (n) =>
  ({ winner: (await counterpoint.judge([`plan ${n}/0`, `plan ${n}/1`], { judges: args.judges })).winner }))
"""
SAME_ORDER = """export const meta = { name: 'same-order', description: 'Panels in which all see the same order' }
const SCORES = { type: 'array', items: { type: 'number' }, minItems: 2, maxItems: 2 }
const SHEET = { type: 'object', properties: { scores: SCORES }, required: ['scores'] }
return await pipeline(args.items, async (n) => {
  const ask = (i) => () => agent(`plan ${n}/0 or plan ${n}/1`, { key: `${n} judge ${i}`, schema: SHEET })
  const cast = (await parallel(Array.from({ length: args.judges }, (_, i) => ask(i)))).filter((sheet) => sheet)
  const sum = (plan) => cast.reduce((all, sheet) => all + sheet.scores[plan], 0)
  return { winner: cast.length ? (sum(1) > sum(0) ? 1 : 0) : null }
})
"""
CRITIC = """export const meta = { name: 'critic', description: 'Critics of answers with planted gaps' }
return await pipeline(args.items, async (n) => {
  const ask = () => counterpoint.critic(`answer ${n}`, { goal: 'a whole answer' })
  const said = (await parallel(Array.from({ length: args.critics }, () => ask))).filter((gaps) => gaps !== null)
  return { looked: said.length, gaps: [...new Set(said.flat())] }
})
"""

GAPS = 3
"""Gaps that an answer can have."""

Figure = tuple[float, float]
"""What was measured, and what theory says; parts of one."""


@dataclass(frozen=True, slots=True)
class Judges:
    """`right`: how often one who judges by merit prefers the better plan. `biased`: who prefers what is shown first."""

    right: float
    biased: float
    dead: float


@dataclass(frozen=True, slots=True)
class PanelRow:
    """`best`: the better plan wins; `first`: the plan that the script named first wins; `none`: nobody judged."""

    pattern: str
    judges: Judges
    best: Figure
    first: Figure
    none: Figure


@dataclass(frozen=True, slots=True)
class Critics:
    """`hit` and `alarm`: how often a gap is named that is there, and that is not."""

    hit: float
    alarm: float
    dead: float


@dataclass(frozen=True, slots=True)
class CriticRow:
    """Precision and recall of the gaps named; `passed`: of all answers, those with a gap that were taken for whole."""

    pattern: str
    critics: Critics
    precision: Figure
    recall: Figure
    passed: Figure
    unseen: int
    """Answers that no critic has seen alive, and that the pattern says so of."""
    passed_by_death: int
    """Answers with a gap that were taken for whole although no critic has seen them alive."""


PANELS = (Judges(0.75, 0.0, 0.0), Judges(0.75, 0.3, 0.0), Judges(0.75, 0.3, 0.2))
PATTERNS = (("judge, 1", 1, True), ("judge, 3", 3, True), ("judge, 5", 5, True), ("same order, 5", 5, False))
CRITICS = (Critics(0.7, 0.1, 0.0), Critics(0.7, 0.1, 0.2))


# --- judges ----------------------------------------------------------------------------------------------------------


def starts_with(judge: int, swapped: bool) -> int:
    """Which of two plans a judge is shown first: 0, 1, 1, 0, and so on, as `judge` promises to change it."""
    return (judge // 2 + judge) % 2 if swapped else 0


def panel_theory(count: int, swapped: bool, judges: Judges) -> tuple[float, float, float]:
    """The chances that the better plan wins, that the first one does, and that nobody judges."""
    best = first = none = 0.0
    for better in (0, 1):
        for votes in itertools.product((None, 0, 1), repeat=count):
            here = 0.5
            for judge, vote in enumerate(votes):
                merit = judges.right if vote == better else 1 - judges.right
                biased = judges.biased * (vote == starts_with(judge, swapped))
                alive = (1 - judges.dead) * (biased + (1 - judges.biased) * merit)
                here *= judges.dead if vote is None else alive
            if all(vote is None for vote in votes):
                none += here
                continue
            winner = int(votes.count(1) > votes.count(0))  # equal scores: the first in the list
            best += here * (winner == better)
            first += here * (winner == 0)
    return best, first, none


async def panel(name: str, count: int, swapped: bool, judges: Judges, panels: int, seed: int) -> PanelRow:
    better = [int(chance(seed, "better", n) < 0.5) for n in range(panels)]

    def act(task: AgentTask) -> Any:
        shown = [(int(n), int(plan)) for n, plan in re.findall(r"plan (\d+)/([01])", task.prompt)]
        if chance(seed, "dies", task.key) < judges.dead:
            return None
        liked = shown[0][1]
        if chance(seed, "biased", task.key) >= judges.biased:
            best = better[shown[0][0]]
            liked = best if chance(seed, "right", task.key) < judges.right else 1 - best
        return {"scores": [8 if plan == liked else 5 for _, plan in shown], "note": "planted"}

    said = await in_parts(JUDGE if swapped else SAME_ORDER, {"judges": count}, panels, Crowd(act))
    winners = [one["winner"] for one in said]
    expected = panel_theory(count, swapped, judges)
    return PanelRow(
        name, judges,
        best=(sum(winner == best for winner, best in zip(winners, better, strict=True)) / panels, expected[0]),
        first=(winners.count(0) / panels, expected[1]),
        none=(winners.count(None) / panels, expected[2]),
    )  # fmt: skip


async def judge_rows(crowds: Sequence[Judges], panels: int, seed: int) -> list[PanelRow]:
    return [
        await panel(name, count, swapped, judges, panels, seed)
        for judges in crowds
        for name, count, swapped in PATTERNS
    ]


# --- critics ---------------------------------------------------------------------------------------------------------


def critic_theory(count: int, critics: Critics, null_is_no_gap: bool) -> tuple[float, float, float]:
    """Precision and recall of what is named, and the chance that an answer with a gap is passed."""

    def named(chance_of_one: float) -> float:
        return 1 - (1 - (1 - critics.dead) * chance_of_one) ** count

    def silent(gaps: int) -> float:
        """Nothing is named by those that are alive."""
        one = (1 - critics.hit) ** gaps * (1 - critics.alarm) ** (GAPS - gaps)
        all_dead = 0.0 if null_is_no_gap else critics.dead**count
        return (critics.dead + (1 - critics.dead) * one) ** count - all_dead

    ways = [sum(here) for here in itertools.product((0, 1), repeat=GAPS)]
    passed = sum(silent(gaps) for gaps in ways if gaps) / len(ways)
    hits, alarms = named(critics.hit), named(critics.alarm)
    return hits / (hits + alarms), hits, passed


async def criticism(
    name: str, count: int, critics: Critics, null_is_no_gap: bool, answers: int, seed: int
) -> CriticRow:
    there = [{gap for gap in range(GAPS) if chance(seed, "gap", n, gap) < 0.5} for n in range(answers)]

    def act(task: AgentTask) -> Any:
        if chance(seed, "dies", task.key) < critics.dead:
            return None
        gaps = there[int(task.prompt.rpartition("answer ")[2])]
        rates = [critics.hit if gap in gaps else critics.alarm for gap in range(GAPS)]
        return {"gaps": [str(gap) for gap, rate in enumerate(rates) if chance(seed, "names", task.key, gap) < rate]}

    said = await in_parts(CRITIC, {"critics": count}, answers, Crowd(act))
    named = [{int(gap) for gap in one["gaps"]} for one in said]
    looked = [one["looked"] > 0 for one in said]
    passed = [n for n in range(answers) if there[n] and not named[n] and (looked[n] or null_is_no_gap)]
    hits = sum(len(gaps & real) for gaps, real in zip(named, there, strict=True))
    precision, recall, missed = critic_theory(count, critics, null_is_no_gap)
    return CriticRow(
        name, critics,
        precision=(hits / max(1, sum(map(len, named))), precision),
        recall=(hits / max(1, sum(map(len, there))), recall),
        passed=(len(passed) / answers, missed),
        unseen=0 if null_is_no_gap else looked.count(False),
        passed_by_death=sum(not looked[n] for n in passed),
    )  # fmt: skip


async def critic_rows(crowds: Sequence[Critics], answers: int, seed: int) -> list[CriticRow]:
    patterns = (("critic", 1, False), ("critic, 3 together", 3, False), ("null is no gap", 1, True))
    return [
        await criticism(name, count, critics, naive, answers, seed)
        for critics in crowds
        for name, count, naive in patterns
    ]


# --- both ------------------------------------------------------------------------------------------------------------


async def in_parts(script: str, args: dict[str, Any], items: int, crowd: Crowd) -> list[Any]:
    """What the script returns for each of the items 0, 1, and so on."""
    said: list[Any] = []
    for start in range(0, items, CHUNK):
        said += await carry_out(script, {**args, "items": list(range(start, min(start + CHUNK, items)))}, crowd)
    if any(one is None for one in said):
        raise RuntimeError(f"A stage of the script failed: {json.dumps(said)[:200]}")
    return said


def both(figure: Figure) -> str:
    return f"{figure[0]:.1%} ({figure[1]:.1%})"


def judge_table(rows: Sequence[PanelRow]) -> str:
    lines = [
        "| judges: right / biased / dead | pattern | the better wins (theory) | the first wins (theory) "
        "| nobody judged (theory) |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.judges.right:.0%} / {row.judges.biased:.0%} / {row.judges.dead:.0%} | {row.pattern} "
        f"| {both(row.best)} | {both(row.first)} | {both(row.none)} |"
        for row in rows
    ]
    return "\n".join(lines)


def critic_table(rows: Sequence[CriticRow]) -> str:
    lines = [
        "| critics: hit / false alarm / dead | pattern | precision (theory) | recall (theory) | passed (theory) "
        "| said to be unseen | passed by death |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.critics.hit:.0%} / {row.critics.alarm:.0%} / {row.critics.dead:.0%} | {row.pattern} "
        f"| {both(row.precision)} | {both(row.recall)} | {both(row.passed)} "
        f"| {row.unseen:,} | {row.passed_by_death:,} |"
        for row in rows
    ]
    return "\n".join(lines)
