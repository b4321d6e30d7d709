"""The lead in a conversation: the tools by which it has work done, and what the user types as it is meant.

What a run returns reaches it as one message (`lead.notice`). It starts nothing by itself: `Runs.start` asks the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from counterpoint.lead.talk import Hand
from counterpoint.models.messages import ToolSpec


class Runs(Protocol):
    """What the lead can have done. Each gives what the lead is told; a CounterpointError is told too."""

    async def plan(self, task: str) -> str:
        """Writes a script for a task; names it for `start`."""
        ...

    async def start(self, what: str, args: str) -> str:
        """Asks the user, and starts a plan or a saved workflow; `args` is JSON or empty."""
        ...

    async def status(self, run: str) -> str: ...
    async def result(self, run: str, start: int) -> str: ...
    async def steer(self, run: str, text: str, agent: str) -> str: ...
    async def stop(self, run: str) -> str: ...


def _schema(required: Sequence[str], **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_RUN = _text("the run's id, or @last")


def hands(runs: Runs) -> dict[str, Hand]:
    """The lead's own tools."""

    async def plan(given: dict[str, Any]) -> str:
        return await runs.plan(given["task"])

    async def start(given: dict[str, Any]) -> str:
        return await runs.start(given["what"], given.get("args", ""))

    async def status(given: dict[str, Any]) -> str:
        return await runs.status(given.get("run", ""))

    async def result(given: dict[str, Any]) -> str:
        return await runs.result(given["run"], given.get("from", 0))

    async def steer(given: dict[str, Any]) -> str:
        return await runs.steer(given["run"], given["text"], given.get("agent", ""))

    async def stop(given: dict[str, Any]) -> str:
        return await runs.stop(given["run"])

    made = [
        Hand(
            ToolSpec(
                "Plan", "Write and check a workflow script for a task; nothing runs.",
                _schema(["task"], task=_text("the task in the user's words, with all that they have said of it")),
            ),
            plan,
        ),
        Hand(
            ToolSpec(
                "Start", "Start a plan or a saved workflow in the background, after asking the user.",
                _schema(["what"], what=_text("a plan's name, or a saved workflow's"), args=_text("arguments as JSON")),
            ),
            start,
        ),
        Hand(ToolSpec("Status", "How runs of this session stand.", _schema([], run=_RUN)), status),
        Hand(
            ToolSpec(
                "Result", "A further part of what a run returned.",
                _schema(["run"], run=_RUN, **{"from": {"type": "integer", "minimum": 0}}),
            ),
            result,
        ),
        Hand(
            ToolSpec(
                "Steer", "Say something to the agents of a run, or to one.",
                _schema(["run", "text"], run=_RUN, text=_text("what to say"), agent=_text("an agent's id or label")),
            ),
            steer,
        ),
        Hand(ToolSpec("Stop", "Stop a run.", _schema(["run"], run=_RUN)), stop),
    ]  # fmt: skip
    return {hand.spec.name: hand for hand in made}


# --- what the user types ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """One message of the user. `budget` are ceilings that it sets for what is started from now on."""

    text: str
    command: str = ""
    """The word behind the slash."""
    budget: tuple[str, ...] = ()


_COMMAND = re.compile(r"/([A-Za-z][\w:-]*)(?:\s+(.*))?", re.DOTALL)
_BUDGET = re.compile(r"\+(?:\$\d+(?:\.\d+)?|\d+(?:\.\d+)?[kKmM]|\d{4,})")


def typed(line: str) -> Typed:
    """What a typed message means.

    ``+500k`` and ``+$5`` are directives only as the first or last words of what a person types, so that text that is
    pasted into the middle, like everything that comes from files and runs, sets nothing.
    """
    words = line.strip().split(" ")
    budget: list[str] = []
    while words and _BUDGET.fullmatch(words[0]):
        budget.append(words.pop(0))
    while words and _BUDGET.fullmatch(words[-1]):
        budget.append(words.pop())
    text = " ".join(words).strip()
    found = _COMMAND.fullmatch(text)
    return Typed((found[2] or "").strip(), found[1], tuple(budget)) if found else Typed(text, "", tuple(budget))
