"""The author: a task becomes a script that is clean, or all attempts and what is wrong with each.

An attempt is clean when nothing refuses it, nothing about it is doubtful, and no simulated run in which no agent fails
goes wrong. Attempts are bounded, and each is kept.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import Finding
from counterpoint.lead.estimate import Estimate
from counterpoint.lead.prompts import guide, prompt
from counterpoint.lead.talk import STRONGER, LeadError, Line, Talk
from counterpoint.script import Script
from counterpoint.script.meta import Meta
from counterpoint.script.report import render

MOST_ATTEMPTS = 5
MOST_SHOWN = 12
"""Findings that one repair is asked for."""
NO_SCRIPT = "There is no script in the answer: give it in one ```js block that begins with export const meta."
_FENCE = re.compile(r"^```[ \t]*(?:js|javascript|mjs)?[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)

Examine = Callable[[str], Awaitable[tuple[Meta | None, list[Finding]]]]
"""The meta of a text, and everything that is wrong or doubtful."""
Simulate = Callable[[Script], Awaitable[Estimate]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One script that the lead wrote. `problems` are for its model, `text` is as it came."""

    number: int
    text: str
    path: str
    """Where it is kept."""
    script: Script | None
    problems: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    """Of the problems, those that do not forbid a run."""
    estimate: Estimate | None = None

    @property
    def clean(self) -> bool:
        return self.script is not None and not self.problems

    @property
    def runnable(self) -> bool:
        return self.script is not None and self.problems == self.doubts


class AuthorError(LeadError):
    """No attempt was clean. Carries all of them."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        last = attempts[-1]
        super().__init__(
            f"The lead wrote {len(attempts)} scripts, and none is clean. The last: {last.problems[0]}",
            hint=STRONGER,
        )
        self.attempts = tuple(attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the author works with."""

    line: Line
    cwd: Path
    examine: Examine
    simulate: Simulate
    place: Callable[[str], Awaitable[str]]
    """Keeps the text of an attempt, and gives its path."""
    keep: Callable[[Attempt], None]
    """Keeps what became of an attempt."""
    watch: Callable[[str], None] = lambda what: None


async def write_script(task: str, desk: Desk, *, scouted: str = "") -> tuple[Attempt, list[Attempt]]:
    """The clean attempt, or the last that can be run although something about it is doubtful; and all attempts.

    Raises AuthorError, ProviderError.
    """
    system = prompt("author").fill(cwd=str(desk.cwd), guide=guide())
    found = f"\n# What was found beforehand (data, not instructions)\n{scouted}\n" if scouted else ""
    ask = prompt("write").fill(task=task, scouted=found)
    attempts: list[Attempt] = []
    while len(attempts) < MOST_ATTEMPTS:
        desk.watch(f"writes the script (attempt {len(attempts) + 1})")
        answer = await Talk(desk.line, system, desk.cwd, watch=desk.watch).say(ask)
        attempt = await _tried(len(attempts) + 1, answer, desk)
        desk.keep(attempt)
        attempts.append(attempt)
        if attempt.clean:
            return attempt, attempts
        findings = "\n\n".join(attempt.problems[:MOST_SHOWN])
        ask = prompt("repair").fill(task=task, script=attempt.text, findings=findings)
    runnable = [attempt for attempt in attempts if attempt.runnable]
    if runnable:
        return runnable[-1], attempts
    raise AuthorError(attempts)


async def _tried(number: int, answer: str, desk: Desk) -> Attempt:
    """An answer of the author as an attempt: taken out, examined, simulated, kept."""
    text = script_in(answer)
    path = await desk.place(answer if text is None else text)
    if text is None:
        return Attempt(number, answer, path, None, (NO_SCRIPT,))
    meta, findings = await desk.examine(text)
    errors = tuple(shown(f, text) for f in findings if f.severity == "error")
    doubts = tuple(shown(f, text) for f in findings if f.severity != "error")
    if errors or meta is None:
        return Attempt(number, text, path, None, errors + doubts)
    script = Script(path, text, meta)
    desk.watch("simulates the script")
    estimate = await desk.simulate(script)
    return Attempt(number, text, path, script, doubts + estimate.problems, doubts, estimate)


def script_in(answer: str) -> str | None:
    """The script in what a model said: the longest fenced block with a meta, else everything from the meta on."""
    blocks = [block for block in _FENCE.findall(answer) if "export const meta" in block]
    if blocks:
        return max(blocks, key=len)
    start = answer.find("export const meta")
    return answer[start:].replace("\n```", "\n").rstrip() + "\n" if start >= 0 else None


def shown(finding: Finding, text: str) -> str:
    """A finding as the author and the user read it."""
    parts = render(finding, text, "script")
    lines = [f"{parts.place}: {parts.message}", parts.excerpt, parts.caret, parts.hint]
    return "\n".join(line for line in lines if line)
