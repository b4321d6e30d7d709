"""The scripted learner: an agent whose success depends on the notes it is given, in a way that is written down here.

- It does a task's steps in order, a command a turn, and gives up after `COMMANDS` of them.
- *What it knows of a verb* is what its text says, read from the top: a note (``For `bin/lab build` pass --profile=x``,
  ``Before `bin/lab fetch` run `bin/lab unlock store` ``), else the newest command for the verb that a log shows as ok.
  It tries that first. A text that says to always pass an option makes it pass it: it obeys what it is told.
- *A long text distracts it*: what stands in it is found with a chance of ``ATTENTION / characters``, at most 1.
- Without knowledge, or where that failed, it goes through what the refusal names, in an order of its own.
- It cannot know what reports should look like unless the task or its text says so.

It never sees the facts themselves; the world (`dream_world`) refuses or accepts.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from counterpoint.events import Usage
from counterpoint.models.messages import Answer, AssistantTurn, Request, ToolCall, ToolTurn, UserTurn

COMMANDS = 6
ATTENTION = 12_000
CHARS_PER_TOKEN = 4

_TASK = re.compile(
    r"Do these with bin/lab, one after the other:\n((?:- \w+ \w+\n?)+)(?:I want reports with --style=(\w+))?"
)
_ALWAYS = re.compile(r"always pass (--[\w-]+)")
_WISH = re.compile(r"reports? with --style=(\w+)|bin/lab report` (?:with|pass) --style=(\w+)")
_NAMED = re.compile(r"\((?:one of|one of these frees it): ([\w, ]+)\)")


@dataclass(frozen=True, slots=True)
class Tried:
    """A command that was run in this task, and what it printed."""

    command: str
    output: str

    @property
    def ok(self) -> bool:
        return re.search(r"^ok ", self.output, re.MULTILINE) is not None


class Learner:
    """A model that goes by the rules of this page. `seed` decides in which order it tries, and what it overlooks."""

    spec = "scripted:learner"
    output: Literal["native"] = "native"
    tools = True
    simulated = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.tried: list[Tried] = []
        """What the agent that asked last has run."""

    def cost(self, usage: Usage) -> float | None:
        """As a model at 1 and 5 dollars for a million tokens in and out."""
        return (usage.input_tokens * 1 + usage.output_tokens * 5) / 1_000_000

    async def request(self, request: Request) -> Answer:
        """The next command of the task, or its end."""
        text, self.tried = _read(request)
        tried = self.tried
        task = _TASK.search(text)
        command = self._next(task, text, tried) if task else None
        said = "" if command else "I have done what I could."
        calls = [ToolCall(f"c{len(tried)}", "Bash", {"command": command})] if command else []
        size = len(request.system) + len(text) + sum(len(t.command) + len(t.output) for t in tried)
        usage = Usage(size // CHARS_PER_TOKEN, 0, len(command or said) // CHARS_PER_TOKEN + 1, 1)
        return Answer(said, calls, usage, self.spec, "tools" if calls else "end")

    def _next(self, task: re.Match[str], text: str, tried: Sequence[Tried]) -> str | None:
        if len(tried) >= COMMANDS:
            return None
        known = text[: task.start()] + text[task.end() :]
        begun = 0
        for line in task[1].split("\n"):
            verb, _, target = line.removeprefix("- ").partition(" ")
            if not verb:
                continue
            mine = tried[begun:]
            done = [n for n, t in enumerate(mine) if t.ok and t.command.startswith(f"bin/lab {verb} {target}")]
            if not done:
                return self._attempt(verb, target, known, task[2], mine)
            begun += done[0] + 1
        return None

    def _attempt(self, verb: str, target: str, known: str, wish: str | None, mine: Sequence[Tried]) -> str:
        lot = random.Random(zlib.crc32(f"{self._seed}/{verb}/{target}".encode()))
        attentive = lot.random() < ATTENTION / max(len(known), 1)
        extra = [m[1] for m in [_ALWAYS.search(known)] if m and attentive]
        plain = f"bin/lab {verb} {target}"
        if verb == "report":
            style = wish or (_wish(known) if attentive else None)
            return " ".join([plain, *([f"--style={style}"] if style else []), *extra])
        advice = _advice(known, verb) if attentive else None
        plans = self._plans(plain, verb, advice, mine, lot)
        done = [t.command for t in mine]
        for plan in plans:
            commands = [" ".join([command, *extra]) for command in plan]
            at = _position(done, commands)
            if at < len(commands):
                return commands[at]
        return " ".join([plain, *extra])

    def _plans(
        self, plain: str, verb: str, advice: str | None, mine: Sequence[Tried], lot: random.Random
    ) -> list[list[str]]:
        """What it will try, best first: each a command, or a remedy and the command."""
        named = next((m[1].split(", ") for t in mine if (m := _NAMED.search(t.output))), list[str]())
        lot.shuffle(named)
        option = next((m[1] for t in mine if (m := re.search(rf"{verb}: (\w+) refused", t.output))), None)
        plans = [_plan(plain, advice)] if advice else []
        plans += [] if advice or not plain else [[plain]]
        plans += [_plan(plain, f"--{option}={name}" if option else name) for name in named]
        return plans


def _plan(plain: str, advice: str) -> list[str]:
    return [f"{plain} {advice}"] if advice.startswith("--") else [f"bin/lab {advice} store", plain]


def _position(done: Sequence[str], plan: Sequence[str]) -> int:
    """How many of the plan's commands have been run, one right after the other."""
    for start in range(len(done)):
        run = done[start : start + len(plan)]
        if run == list(plan[: len(run)]):
            return len(run)
    return 0


def _advice(known: str, verb: str) -> str | None:
    """The option or the remedy that the text has for a verb."""
    if note := re.search(rf"For `bin/lab {verb}` pass (--\w+=\w+)", known):
        return note[1]
    if note := re.search(rf"run `bin/lab {verb} \w+ (--\w+=\w+)`", known):
        return note[1]
    if note := re.search(rf"Before `bin/lab {verb}(?: \w+)?` run `bin/lab (\w+) store`", known):
        return note[1]
    ok = list(re.finditer(rf"bin/lab {verb} \w+ (--\w+=\w+)[^\n]*\nok {verb}", known))
    if ok:
        return ok[-1][1]
    remedy = list(
        re.finditer(rf"bin/lab (\w+) store[^\n]*\nok \w+ store\n[^\n]*bin/lab {verb} \w+[^\n]*\nok {verb}", known)
    )
    return remedy[-1][1] if remedy else None


def _wish(known: str) -> str | None:
    said = _WISH.findall(known)
    return next((a or b for a, b in said[-1:]), None)


def _read(request: Request) -> tuple[str, list[Tried]]:
    """All text that the agent was given, and the commands that it has run."""
    texts = [request.system]
    tried: list[Tried] = []
    asked: dict[str, str] = {}
    for message in request.messages:
        match message:
            case UserTurn(text=text):
                texts.append(text)
            case AssistantTurn(calls=calls):
                asked |= {call.id: str((call.input or {}).get("command", "")) for call in calls}
            case ToolTurn(results=results):
                tried += [Tried(asked.get(result.id, ""), result.content) for result in results]
    return "\n".join(texts), tried
