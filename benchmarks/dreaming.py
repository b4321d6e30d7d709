"""Whether dreaming helps: the same agents on new tasks of the same project, with different memories.

Families of tasks share hidden facts (`dream_world`). A scripted learner (`dream_learner`) lives the first tasks of a
family; in their middle and at their end a dream reads the runs, with a scripted reader and skeptics of known error
rates (`dream_dreamer`). Then the family's other tasks are done once for each arm, by the same learner with the same
seed:

- *none*: no memory.
- *raw log*: the end of the transcripts, in the prompt, as far as the learner's attention reaches.
- *rewrite*: one text that a model rewrites after each half, without evidence or check: it takes what the reader says,
  loses each older line with a chance of `LOST`, and of two lines on one thing keeps either.
- *ours*: the notes that the dream has published, as agents get them. All tiers are put in force.
- *unverified*: all that the reader says as notes, without anchors, floors, skeptics or order.
- *shuffled*: the notes of another family: shows that it is not merely more text.
- *oracle*: the truth, as notes: the ceiling.

Measured on the test tasks, by a checker: success; commands and tokens for a success; *repeated*: first commands for a
verb that are refused although a lived task had found the answer, per task; *harm*: tasks that succeed without memory
and not with it; *notes true* and *facts known*: of the notes, those that hold; of the facts, those that a note says.
Differences to *none* are paired by task; their interval is a bootstrap over families (95 %).

    python benchmarks/dreaming.py                              # the table of docs/dreaming.md; minutes
    python benchmarks/dreaming.py --families 2 --seeds 1 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dream_dreamer import Dreamer, Rates
from dream_learner import Learner
from dream_world import Family, Task, family

import counterpoint
from counterpoint.dream.inbox import Policy
from counterpoint.dream.prepare import Wish
from counterpoint.dreaming import dream_of
from counterpoint.memory.changes import Counts
from counterpoint.memory.entries import Author, Entry, Kind, evidence, new_id
from counterpoint.memory.places import project_store
from counterpoint.memory.store import STATED
from counterpoint.memory.versions import Move

ARMS = ("none", "raw log", "rewrite", "ours", "unverified", "shuffled", "oracle")
LIVED, TESTS = 10, 6
LOST = 0.15
TAIL = 24_000
"""Characters of the raw log."""
TRUSTING = Policy(auto=[0, 1, 2, 3], unproven=True)
ERRAND = counterpoint.Workflow(
    "export const meta = { name: 'errand', description: 'One task of a family' }\n"
    "return await agent(args.before + args.task, { label: args.id })\n",
    "errand.js",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One test task under one arm."""

    arm: str
    cluster: str
    """Family and seed."""
    task: str
    success: bool
    commands: int
    tokens: int
    repeated: int


@dataclass(slots=True)
class Lived:
    """A family after its first tasks: what there is to remember."""

    family: Family
    folder: Path
    seed: int
    solved: set[str] = field(default_factory=set[str])
    """Verbs whose answer was found."""
    log: str = ""
    said: list[str] = field(default_factory=list[str])
    """All that the reader says, in order."""
    rewritten: list[str] = field(default_factory=list[str])
    notes: list[Entry] = field(default_factory=list[Entry])
    """What the dreams have published."""
    dream_tokens: int = 0
    blocked: int = 0

    @property
    def cluster(self) -> str:
        return f"{self.family.name}/{self.seed}"


async def do(lived: Lived, task: Task, folder: Path, before: str = "") -> tuple[bool, Learner, int]:
    """One task as one run. Gives whether the checker is content, the learner, and the tokens of the run."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    learner = Learner(lived.seed)
    result = await counterpoint.run(
        ERRAND, model=learner, args={"before": before, "task": task.prompt(), "id": task.id}, cwd=folder,
        state=folder / ".state", allow=["Bash(bin/lab *)"], memory_tokens=1500,
    )  # fmt: skip
    if not result.ok:
        raise SystemExit(f"The run of {task.id} ended as {result.status}: {result.error}")
    usage = result.usage
    return lived.family.done(task, folder), learner, usage["input_tokens"] + usage["output_tokens"]


async def live(number: int, seed: int, rates: Rates, root: Path) -> Lived:
    """The first tasks of a family, with a dream after each half."""
    lived = Lived(family(number, seed, LIVED, TESTS), root / f"{number}-{seed}", seed)
    lived.family.build(lived.folder)
    heard: list[str] = []
    for half in (lived.family.lived[: LIVED // 2], lived.family.lived[LIVED // 2 :]):
        for task in half:
            _, learner, _ = await do(lived, task, lived.folder)
            heard.append(task.prompt())
            heard += [f"$ {tried.command}\n{_plain(tried.output)}" for tried in learner.tried]
            lived.solved |= {tried.command.split()[1] for tried in learner.tried if tried.ok}
        await _dream(lived, rates, half[-1].style)
    lived.log = "\n".join(heard)
    return lived


async def _dream(lived: Lived, rates: Rates, style: str) -> None:
    """One dream, when the user wants reports in this style. What its reader says is kept for arms that do not check."""
    dreamer = Dreamer(lived.seed, rates, lambda note: lived.family.holds(note, style))
    report = await dream_of(
        state=lived.folder / ".state", folder=lived.folder, model=dreamer, wish=Wish(policy=TRUSTING)
    )
    lived.dream_tokens += dreamer.tokens
    lived.blocked += len(report.blocked)
    memory = project_store(lived.folder)
    lived.notes = [entry for entry in memory.entries(memory.head()).values() if entry.active]
    lot = random.Random(f"{lived.cluster}/{len(lived.said)}")
    kept = [line for line in lived.rewritten if lot.random() >= LOST]
    lived.rewritten = _merged([*kept, *dreamer.said], lot)
    lived.said += dreamer.said


def _merged(lines: Sequence[str], lot: random.Random) -> list[str]:
    """One line for each thing: of two that differ either stays."""
    found: dict[str, str] = {}
    for line in dict.fromkeys(lines):
        about = re.search(r"bin/lab[` ]*(\w+)?", line)
        name = about[0] if about else line
        if name not in found or lot.random() < 0.5:
            found[name] = line
    return list(found.values())


def _plain(output: str) -> str:
    """What a command printed, without the marks of the tool."""
    return "\n".join(line for line in output.splitlines() if not line.startswith(("<", "[exit")))


async def trial(lived: Lived, other: Lived, arm: str) -> list[Trial]:
    """The test tasks of a family under one arm, in a copy of the project with that memory alone."""
    folder = lived.folder.with_name(f"{lived.folder.name}-{arm.replace(' ', '-')}")
    lived.family.build(folder)
    memory_for(arm, lived, other, folder)
    before = {"raw log": lived.log[-TAIL:] + "\n\n", "rewrite": "\n".join(lived.rewritten) + "\n\n"}.get(arm, "")
    found: list[Trial] = []
    for task in lived.family.tests:
        success, learner, tokens = await do(lived, task, folder, before)
        repeated = sum(_repeats(learner, step.verb) for step in task.steps if step.verb in lived.solved)
        found.append(Trial(arm, lived.cluster, task.id, success, len(learner.tried), tokens, repeated))
    return found


def memory_for(arm: str, lived: Lived, other: Lived, folder: Path) -> None:
    """Gives a copy of the project the notes of an arm; for some there are none."""
    match arm:
        case "ours":
            shutil.copytree(lived.folder / ".counterpoint", folder / ".counterpoint")
        case "shuffled":
            shutil.copytree(other.folder / ".counterpoint", folder / ".counterpoint")
        case "unverified":
            remember(folder, list(dict.fromkeys(lived.said)))
        case "oracle":
            remember(folder, lived.family.truths())
        case _:
            pass


def _repeats(learner: Learner, verb: str) -> bool:
    """Whether the first command for a verb was refused."""
    first = next((tried for tried in learner.tried if tried.command.startswith(f"bin/lab {verb} ")), None)
    return first is not None and not first.ok


def remember(folder: Path, texts: Sequence[str]) -> None:
    """Puts these texts in force as notes, as if a person had stated them."""
    memory = project_store(folder)
    entries: dict[str, Entry] = {}
    for number, text in enumerate(texts):
        memory.state(text)
        anchors = [evidence(text, (0, min(len(text), 300)), run_id=STATED, seq=0, author=Author.USER)]
        key = f"bin/lab::{number}"
        name = new_id("project", key, text, anchors)
        entries[name] = Entry(id=name, kind=Kind.FACT, scope="project", key=key, text=text, evidence=anchors)
    version = memory.keep(entries, parent=memory.head(), actor="benchmark", at=1.0, counts=Counts(active=len(entries)))
    memory.publish(
        version.id, memory.head(), Move(before=None, after=version.id, kind="publish", actor="benchmark", at=1.0)
    )


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One arm; parts of one, and numbers for each task or success."""

    arm: str
    success: float
    difference: float
    low: float
    high: float
    commands: float
    tokens: float
    repeated: float
    harm: float
    notes_true: float | None = None
    facts_known: float | None = None


def rows(trials: Sequence[Trial], families: Sequence[Lived]) -> list[Row]:
    """All arms, paired with *none* by task."""
    base = {(trial.cluster, trial.task): trial for trial in trials if trial.arm == "none"}
    found: list[Row] = []
    for arm in ARMS:
        mine = [trial for trial in trials if trial.arm == arm]
        won = sum(trial.success for trial in mine)
        pairs = [(trial.cluster, trial.success - base[trial.cluster, trial.task].success) for trial in mine]
        low, high = interval(pairs)
        harm = sum(base[t.cluster, t.task].success and not t.success for t in mine) / len(mine)
        true, known = _quality(arm, families)
        found.append(
            Row(
                arm, won / len(mine), sum(gain for _, gain in pairs) / len(pairs), low, high,
                sum(t.commands for t in mine) / max(won, 1), sum(t.tokens for t in mine) / max(won, 1),
                sum(t.repeated for t in mine) / len(mine), harm, true, known,
            )
        )  # fmt: skip
    return found


def interval(pairs: Sequence[tuple[str, int]], rounds: int = 4000) -> tuple[float, float]:
    """The middle 95 % of the mean difference when families are drawn anew."""
    clusters: dict[str, list[int]] = {}
    for cluster, gain in pairs:
        clusters.setdefault(cluster, []).append(gain)
    lot = random.Random(7)
    names = list(clusters)
    means: list[float] = []
    for _ in range(rounds):
        drawn = [gain for name in lot.choices(names, k=len(names)) for gain in clusters[name]]
        means.append(sum(drawn) / len(drawn))
    means.sort()
    return means[int(rounds * 0.025)], means[int(rounds * 0.975) - 1]


def _quality(arm: str, families: Sequence[Lived]) -> tuple[float | None, float | None]:
    """Of an arm's notes the part that holds, and of what could be known the part that they say."""
    texts: dict[str, Callable[[Lived], list[str]]] = {
        "ours": lambda lived: [entry.text for entry in lived.notes],
        "unverified": lambda lived: list(dict.fromkeys(lived.said)),
        "rewrite": lambda lived: lived.rewritten,
    }
    if arm not in texts:
        return None, None
    notes = [(lived, text) for lived in families for text in texts[arm](lived)]
    true = sum(lived.family.holds(text) for lived, text in notes) / max(len(notes), 1)
    facts = [(lived, verb) for lived in families for verb in (*(fact.verb for fact in lived.family.facts), "report")]
    true_notes = [(one, text) for one in families for text in texts[arm](one) if one.family.holds(text)]
    known = sum(any(of is one and f"bin/lab {verb}" in text for of, text in true_notes) for one, verb in facts)
    return true, known / len(facts)


def table(found: Sequence[Row]) -> str:
    """The rows as Markdown."""
    head = ("arm", "success", "against none", "commands / success", "tokens / success", "repeated", "harm")
    lines = [f"| {' | '.join(head)} | notes true | facts known |", "| --- |" + " --: |" * 8]
    for row in found:
        against = "" if row.arm == "none" else f"{row.difference:+.0%} ({row.low:+.0%} to {row.high:+.0%})"
        quality = ["" if part is None else f"{part:.0%}" for part in (row.notes_true, row.facts_known)]
        cells = [row.arm, f"{row.success:.0%}", against, f"{row.commands:.1f}", f"{row.tokens:,.0f}"]
        lines.append(f"| {' | '.join([*cells, f'{row.repeated:.2f}', f'{row.harm:.0%}', *quality])} |")
    return "\n".join(lines)


async def experiment(families: int, seeds: int, rates: Rates, arms: Sequence[str]) -> tuple[list[Trial], list[Lived]]:
    """All families and seeds under all arms."""
    with tempfile.TemporaryDirectory(prefix="dreaming-", ignore_cleanup_errors=True) as root:
        lived = [
            await live(number, seed, rates, Path(root)) for seed in range(1, seeds + 1) for number in range(families)
        ]
        trials: list[Trial] = []
        for at, one in enumerate(lived):
            for arm in arms:
                trials += await trial(one, lived[(at + 1) % len(lived)], arm)
            print(f"{one.cluster} done", file=sys.stderr)
        return trials, lived


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--families", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="rows and every trial")
    for name, value in asdict(Rates()).items():
        parser.add_argument(f"--{name}", type=float, default=value, help="see dream_dreamer.Rates")
    given = parser.parse_args()
    rates = Rates(given.find, given.invent, given.hit, given.alarm)
    begun = time.monotonic()
    trials, lived = asyncio.run(experiment(given.families, given.seeds, rates, ARMS))
    found = rows(trials, lived)
    if given.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "trials": [asdict(one) for one in trials]}))
        return
    print(table(found))
    tokens = sum(one.dream_tokens for one in lived) / len(lived)
    none, ours = (next(row for row in found if row.arm == arm) for arm in ("none", "ours"))
    blocked = sum(one.blocked for one in lived) / len(lived)
    print(
        f"\n{len(lived)} families, {len(trials):,} test runs, {time.monotonic() - begun:.0f} s. The dreams of a family "
        f"took {tokens:,.0f} tokens and blocked {blocked:.0f} claims; a success takes "
        f"{none.tokens - ours.tokens:,.0f} tokens less with their notes than without."
    )


if __name__ == "__main__":
    main()
