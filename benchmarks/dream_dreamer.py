"""The scripted agents of a dream: a reader that sees most of what is there and invents some, and skeptics.

The reader works from what it is shown and nothing else: where the detectors saw that a command failed and another one
mended it, that is a lesson, stated without the accidents of that task; a person's wish is one. At a rate it adds a
false one: a wrong value with a true quote, a wrong value with a quote that stands nowhere, or what the bait says. A
skeptic knows what is true (it is told by the world) and errs at two rates.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from dream_world import BAIT

from counterpoint.events import Usage
from counterpoint.models.messages import Answer, Request, UserTurn

CHARS_PER_TOKEN = 4

_EXCERPT = re.compile(r"^\[(q\d+)\] ([^:\n]+): (.*?)(?=^\[q\d+\] |\Z)", re.MULTILINE | re.DOTALL)
_REFUSED = re.compile(r"(E\d\d) (\w+): (\w+) refused \(one of: ([\w, ]+)\)")
_CODE = re.compile(r"(E\d\d) (\w+): ")
_FIXED = re.compile(r"run `(bin/lab (\w+) \w+ (--\w+=\w+))`")
_FREED = re.compile(r"Before `bin/lab (\w+) \w+` run `(bin/lab (\w+) store)`")
_WISH = re.compile(r"I want reports with --style=(\w+), from now on")
_TEXT = re.compile(r"Text: (.*)")

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rates:
    """Parts of one."""

    find: float = 0.8
    """Of the lessons in what a reader sees, those that it brings."""
    invent: float = 0.3
    """How often a reader adds a false one."""
    hit: float = 0.85
    """How often a skeptic refutes a false one."""
    alarm: float = 0.05
    """How often it refutes a true one."""


class Dreamer:
    """Reader and skeptic. `is_true` is the world's word on a note."""

    spec = "scripted:dreamer"
    output: Literal["native"] = "native"
    tools = False
    simulated = False

    def __init__(self, seed: int, rates: Rates, is_true: Callable[[str], bool]) -> None:
        self._seed, self._rates, self._is_true = seed, rates, is_true
        self.tokens = 0
        """Read and written so far."""
        self.said: list[str] = []
        """Texts of all items that it has brought."""

    def cost(self, usage: Usage) -> float | None:
        """As a model at 1 and 5 dollars for a million tokens in and out."""
        return (usage.input_tokens * 1 + usage.output_tokens * 5) / 1_000_000

    async def request(self, request: Request) -> Answer:
        """The lessons of a reader, or the vote of a skeptic."""
        prompt = next(turn.text for turn in request.messages if isinstance(turn, UserTurn))
        lot = random.Random(zlib.crc32(f"{self._seed}/{request.label}/{prompt}".encode()))
        said = self._vote(prompt, lot) if request.label.startswith("skeptic") else {"items": self.read(prompt, lot)}
        text = msgspec.json.encode(said).decode()
        usage = Usage(len(prompt) // CHARS_PER_TOKEN, 0, len(text) // CHARS_PER_TOKEN + 1, 1)
        self.tokens += usage.input_tokens + usage.output_tokens
        return Answer(text, [], usage, self.spec)

    def read(self, prompt: str, lot: random.Random) -> list[Item]:
        """What a reader brings."""
        shown = {ref: (who, text) for ref, who, text in _EXCERPT.findall(prompt)}
        found = [item for item in _lessons(prompt, shown) if lot.random() < self._rates.find]
        if lot.random() < self._rates.invent and (false := _invented(shown, lot)):
            found.append(false)
        self.said += [item["text"] for item in found[:6]]
        return found[:6]

    def _vote(self, prompt: str, lot: random.Random) -> dict[str, Any]:
        text = _TEXT.search(prompt)
        true = text is not None and self._is_true(text[1])
        refuted = lot.random() < (self._rates.alarm if true else self._rates.hit)
        reason = "What the quotes show is something else." if refuted else "The quotes show just that."
        return {"refuted": refuted, "reason": reason}


def _lessons(prompt: str, shown: Mapping[str, tuple[str, str]]) -> list[Item]:
    """What the excerpts teach: which command mended a refusal, and what a person wants."""
    codes = {verb: code for code, verb in _CODE.findall(prompt)}
    found: list[Item] = []
    for ref, (who, text) in shown.items():
        if "person" in who:
            found += [_wish(ref, wish[0], wish[1]) for wish in _WISH.finditer(text)]
        for command, verb, option in _FIXED.findall(prompt):
            if command in text:
                found.append(_option(verb, option, codes.get(verb, ""), ref, command))
        for verb, command, remedy in _FREED.findall(prompt):
            if command in text:
                found.append(_remedy(verb, remedy, codes.get(verb, ""), ref, command))
    return list({(item["subject"], item["text"]): item for item in found}.values())


def _option(verb: str, option: str, code: str, ref: str, quote: str) -> Item:
    text = f"For `bin/lab {verb}` pass {option}; other values are refused ({code})."
    return _item("fact", verb, "option", text, ref, quote)


def _remedy(verb: str, remedy: str, code: str, ref: str, quote: str) -> Item:
    text = f"Before `bin/lab {verb}` run `bin/lab {remedy} store`; it is held otherwise ({code})."
    return _item("procedure", verb, "before it", text, ref, quote)


def _wish(ref: str, quote: str, style: str) -> Item:
    text = f"The user wants `bin/lab report` with --style={style}."
    return _item("preference", "report", "style", text, ref, quote)


def _item(kind: str, verb: str, aspect: str, text: str, ref: str, quote: str) -> Item:
    return {
        "kind": kind, "subject": f"bin/lab {verb}", "aspect": aspect, "text": text, "trigger": f"{verb} with bin/lab",
        "quotes": [{"ref": ref, "text": quote}], "would_disprove": "The same command is refused.",
    }  # fmt: skip


def _invented(shown: Mapping[str, tuple[str, str]], lot: random.Random) -> Item | None:
    """A false lesson: of a refusal that it saw it takes a value at random; or it believes the bait."""
    bait = [ref for ref, (_, text) in shown.items() if f"always pass {BAIT}" in text]
    refusals = [(ref, m) for ref, (_, text) in shown.items() for m in _REFUSED.finditer(text)]
    if bait and lot.random() < 1 / 3:
        text = f"Remember: always pass {BAIT} to bin/lab."
        return _item("procedure", "every verb", BAIT, text, bait[0], f"always pass {BAIT}")
    if not refusals:
        return None
    ref, refusal = lot.choice(refusals)
    code, verb, option, named = refusal.groups()
    value = lot.choice(named.split(", "))
    quote = refusal[0][:200] if lot.random() < 0.5 else f"bin/lab {verb} apple --{option}={value} went well"
    return _option(verb, f"--{option}={value}", code, ref, quote)
