"""Triage: the cheapest way that will really do a task, decided by one structured call that may look around first.

A decision starts nothing. Whoever acts on it asks the user first, whatever the text of the task or of files says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from counterpoint.lead.prompts import prompt
from counterpoint.lead.talk import Talk
from counterpoint.script.find import Saved
from counterpoint.text import one_line

Way = Literal["answer", "agent", "saved", "workflow"]
MAX_TASK = 60_000
"""Characters of a task."""
SMALL = ("local", "sim")
"""Providers whose models plan nothing: one is half a billion parameters, the other none."""


class Decision(msgspec.Struct, frozen=True):
    """How a task is to be done."""

    way: Way
    reason: str
    gain: str = ""
    cost: str = ""
    answer: str = ""
    """With the way `answer`: all of it."""
    prompt: str = ""
    """With `agent`: what the agent is told."""
    name: str = ""
    """With `saved`: of the workflow."""
    args: str = ""
    """With `saved`: the workflow's arguments, as JSON."""
    pieces: str = ""
    """With `workflow`: what was found of the pieces that the work divides into."""


def _text(description: str, most: int = 4000) -> dict[str, Any]:
    return {"type": "string", "maxLength": most, "description": description}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "way": {"type": "string", "enum": ["answer", "agent", "saved", "workflow"]},
        "reason": _text("what in this task decides the way, one or two sentences", 1000),
        "gain": _text("what this way gives over one single agent, one sentence", 600),
        "cost": _text("about how many agents, one sentence", 600),
        "answer": _text("with the way answer: the whole answer", 20_000),
        "prompt": _text("with the way agent: the whole prompt of the agent", 20_000),
        "name": _text("with the way saved: the workflow's name", 200),
        "args": _text("with the way saved: its arguments as JSON text", 8000),
        "pieces": _text("with the way workflow: the pieces that you found, or how to find them", 8000),
    },
    "required": ["way", "reason", "gain", "cost"],
    "additionalProperties": False,
}


async def triage(task: str, talk: Talk, unusable: Callable[[Decision], str | None]) -> Decision:
    """Decides. `talk` was made with `system`; `unusable` says why a decision cannot be carried out, if it cannot.

    The model is told what is wrong with a decision, and decides again. Raises LeadError, ProviderError.
    """

    def wrong(given: dict[str, Any]) -> list[str]:
        decision = msgspec.convert(given, Decision)
        goes_with = {"answer": decision.answer, "agent": decision.prompt, "saved": decision.name}.get(decision.way, "-")
        if not goes_with.strip():
            return [f"the way {decision.way!r} was chosen, and what goes with it was not said"]
        said = unusable(decision)
        return [said] if said else []

    return msgspec.convert(await talk.decide(f"# Task\n{task}", SCHEMA, wrong), Decision)


def system(cwd: Path, saved: Sequence[Saved]) -> str:
    """What the lead is told before it decides."""
    return prompt("triage").fill(cwd=str(cwd), workflows=shelf(saved))


def shelf(saved: Iterable[Saved]) -> str:
    """Saved workflows as a list; what they say of themselves is cut to a line."""
    lines = [f"- {one_line(s.name, 60)}: {one_line(s.description, 200)}" for s in saved if s.error is None]
    return "\n".join(lines) or "(none)"


# --- a model that plans nothing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """A saved workflow that may fit a task."""

    saved: Saved
    score: float
    words: tuple[str, ...] = field(default=())


def plans(model: str) -> bool:
    """Whether a model of this name is asked to plan."""
    return model.partition(":")[0] not in SMALL


_STEM = re.compile(r"[a-z]{3,}")
_COMMON = frozenset({
    "the", "and", "for", "with", "that", "this", "from", "what", "which", "all", "are", "was", "into", "our", "your",
    "please", "can", "does", "how", "about", "its", "has", "have",
})  # fmt: skip


def _stems(text: str) -> set[str]:
    words = cast("list[str]", _STEM.findall(text.lower()))
    return {re.sub(r"(ing|ed|s)$", "", word).rstrip("e")[:8] for word in words if word not in _COMMON}


def offers(task: str, saved: Iterable[Saved], also: dict[str, str] | None = None) -> list[Offer]:
    """The saved workflows that share at least half as many words with a task as the best one does, the best first.

    `also` has more text on some, by name.
    """
    wanted = _stems(task)
    found: list[Offer] = []
    for one in saved:
        if one.error is not None:
            continue
        name = _stems(one.name)
        shared = wanted & (name | _stems(f"{one.description} {(also or {}).get(one.name, '')}"))
        score = len(shared) + 2 * len(wanted & name)
        if score:
            found.append(Offer(one, score, tuple(sorted(shared))))
    best = max((offer.score for offer in found), default=0)
    near = [offer for offer in found if offer.score * 2 >= best]
    return sorted(near, key=lambda offer: (-offer.score, offer.saved.name))
