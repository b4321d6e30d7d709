"""S8: does a version help? Paired runs on tasks that no dream has read, with the old notes and with the new.

The measure is the mean difference of success, new less old, over pairs of the same task and seed; its lower bound is
that of a bootstrap over tasks. Guards are tasks that must not get worse at all. Pure, but for what runs the tasks.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from counterpoint.memory.changes import Proposal
from counterpoint.memory.entries import Entry

FEWEST = 6
"""Tasks, below which nothing is proven."""
SEEDS = 2
EPSILON = 0.05
"""So much worse the lower bound may be."""
LEVEL = 0.90
SAMPLES = 2_000

Entries = Mapping[str, Entry]
Outcomes = Mapping[tuple[str, int], bool]
"""Task and seed → whether it was solved. A pair that is missing was not run to its end."""


Try = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Runs the agents of a trial: from the arguments of ``dream-eval.js`` to what it returns."""


class Tasks(Protocol):
    """Held-out tasks with checkers."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def guards(self) -> Sequence[str]:
        """Those that must not get worse."""
        ...

    async def attempt(self, entries: Entries, names: Sequence[str], seeds: Sequence[int], run: Try) -> Outcomes:
        """Runs each task with each seed, by agents that have these notes."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a comparison."""

    verdict: Literal["better", "no worse", "negative", "unproven"]
    pairs: int = 0
    difference: float = 0.0
    lower: float = 0.0
    broken_guards: tuple[str, ...] = ()
    culprits: tuple[str, ...] = ()
    """Proposals without which it is not negative."""

    @property
    def passed(self) -> bool:
        return self.verdict in ("better", "no worse")

    def document(self) -> dict[str, Any]:
        """As it is kept with the version."""
        return {
            "verdict": self.verdict, "pairs": self.pairs, "difference": round(self.difference, 4),
            "lower_90": round(self.lower, 4), "broken_guards": list(self.broken_guards),
            "culprits": list(self.culprits),
        }  # fmt: skip


def lower_bound(by_task: Sequence[Sequence[float]], *, seed: int = 0) -> float:
    """Lower `LEVEL` bound of the mean of all values, by resampling tasks with replacement."""
    draw = random.Random(seed)  # noqa: S311  (a bootstrap; the same seed, the same bound)
    means: list[float] = []
    for _ in range(SAMPLES):
        chosen = [by_task[draw.randrange(len(by_task))] for _ in by_task]
        values = [value for task in chosen for value in task]
        means.append(sum(values) / len(values))
    means.sort()
    return means[int(SAMPLES * (1 - LEVEL))]


def compare(old: Outcomes, new: Outcomes, guards: Sequence[str], *, fewest: int = FEWEST) -> Trial:
    """What two arms say, pair by pair."""
    pairs: dict[str, list[float]] = {}
    for task, seed in sorted(old.keys() & new.keys()):
        pairs.setdefault(task, []).append(float(new[task, seed]) - float(old[task, seed]))
    values = [value for task in pairs.values() for value in task]
    broken = tuple(task for task in guards if any(value < 0 for value in pairs.get(task, ())))
    if len(pairs) < fewest:
        return Trial("negative" if broken else "unproven", len(values), broken_guards=broken)
    mean, lower = sum(values) / len(values), lower_bound(list(pairs.values()))
    if broken or lower < -EPSILON:
        return Trial("negative", len(values), mean, lower, broken)
    return Trial("better" if lower > 0 else "no worse", len(values), mean, lower)


async def try_out(
    tasks: Tasks,
    old: Entries,
    proposals: Sequence[Proposal],
    apply: Callable[[Sequence[Proposal]], Entries],
    run: Try,
) -> tuple[Trial, list[Proposal]]:
    """Compares what these proposals make of the notes with the notes as they are, and gives those that may stay.

    Where it is negative, halves are tried until the proposals at fault are known; they are dropped, the others tried
    again.
    """
    seeds = range(SEEDS)
    if len(tasks.names) < FEWEST and not tasks.guards:
        return Trial("unproven"), list(proposals)
    names = list(dict.fromkeys([*tasks.names, *tasks.guards]))
    before = await tasks.attempt(old, names, seeds, run)

    async def trial(part: Sequence[Proposal]) -> Trial:
        return compare(before, await tasks.attempt(apply(part), names, seeds, run), tasks.guards)

    first = await trial(proposals)
    if first.verdict != "negative":
        return first, list(proposals)
    culprits = await culprits_of(proposals, trial)
    left = [proposal for proposal in proposals if proposal not in culprits]
    last = await trial(left) if left else first
    verdict = last.verdict if left else "negative"
    return Trial(
        verdict, last.pairs, last.difference, last.lower, last.broken_guards, tuple(p.id for p in culprits)
    ), left if last.verdict != "negative" else []  # fmt: skip


async def culprits_of(
    proposals: Sequence[Proposal], trial: Callable[[Sequence[Proposal]], Awaitable[Trial]]
) -> list[Proposal]:
    """The proposals that are at fault, by halves. Where each half is well by itself, all of them are: they harm only
    together."""
    if len(proposals) <= 1:
        return list(proposals)
    middle = len(proposals) // 2
    found: list[Proposal] = []
    for half in (proposals[:middle], proposals[middle:]):
        if (await trial(half)).verdict == "negative":
            found += await culprits_of(half, trial)
    return found or list(proposals)
