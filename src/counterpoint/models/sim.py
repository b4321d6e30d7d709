"""`sim`: no language model at all. Agents that answer at once, the same way every time, and fail when they are told to.

    sim                                         conforming values, short texts
    sim:seed=7,latency=50ms,fail=0.1            a tenth of the agents die at their provider
    sim:latency=20ms..80ms,invalid=0.02         structured output that never becomes valid
    sim:price=3/15                              dollars per million tokens in and out, to rehearse a budget in money

An answer depends on the seed, the call's identity, the prompt and the schema alone.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

import msgspec

from counterpoint.errors import ProviderError, UnknownModelError, nearest
from counterpoint.events import Usage
from counterpoint.models.conform import Dice, conform
from counterpoint.models.messages import Answer, Request, UserTurn
from counterpoint.text import task_alone

CHARS_PER_TOKEN = 4
MARK = "[simulated]"


@dataclass(frozen=True, slots=True)
class Faults:
    """The options of a `sim`. Rates are parts of one; times are seconds."""

    seed: int = 0
    latency: tuple[float, float] = (0.0, 0.0)
    fail: float = 0.0
    """Ends in a terminal failure of the provider."""
    null: float = 0.0
    """The same, as the script sees it."""
    invalid: float = 0.0
    limited: float = 0.0
    price: tuple[float, float] = (0.0, 0.0)
    tokens: int = 0
    """Output tokens of every answer; 0: by its length."""


class SimModel:
    """One simulator. `options` is what stands behind ``sim:``."""

    output: Literal["native", "tool"] = "native"
    tools = False
    simulated = True

    def __init__(self, options: str = "") -> None:
        self.spec = f"sim:{options}" if options else "sim"
        self._faults = parse_options(options)

    def cost(self, usage: Usage) -> float:
        """By the prices that it was given: nothing, unless a budget in money is rehearsed."""
        price_in, price_out = self._faults.price
        return (usage.input_tokens * price_in + usage.output_tokens * price_out) / 1_000_000

    async def request(self, request: Request) -> Answer:
        """Answers as the class says. Raises ProviderError where a fault is due."""
        faults = self._faults
        prompt = next((task_alone(turn.text) for turn in request.messages if isinstance(turn, UserTurn)), "")
        dice = Dice(f"{faults.seed}\0{request.identity}\0{prompt}")
        low, high = faults.latency
        await asyncio.sleep(low + (high - low) * dice.below(1001) / 1000 if high else 0)
        text = self._answer(request, prompt, dice)
        return Answer(text, [], self._usage(request, text), self.spec, "end")

    def _answer(self, request: Request, prompt: str, dice: Dice) -> str:
        lot = dice.below(1_000_000) / 1_000_000
        faults = self._faults
        if lot < (edge := faults.fail + faults.null):
            raise ProviderError("rejected", "Simulated: the provider failed for good.")
        if lot < (edge := edge + faults.limited):
            raise ProviderError("quota", "Simulated: the quota is used up.")
        if request.schema is None:
            return f"{MARK} {_gist(prompt)} ({dice.word()})"
        if lot < edge + faults.invalid:
            return f"{MARK} no JSON, however often it is asked"
        return msgspec.json.encode(conform(request.schema, dice)).decode()

    def _usage(self, request: Request, text: str) -> Usage:
        read = len(request.system) + sum(len(getattr(turn, "text", "")) for turn in request.messages)
        tokens_in = read // CHARS_PER_TOKEN + 1
        tokens_out = self._faults.tokens or len(text) // CHARS_PER_TOKEN + 1
        if request.max_tokens is not None:
            tokens_out = min(tokens_out, request.max_tokens)
        usage = Usage(tokens_in, 0, tokens_out, 1)
        return msgspec.structs.replace(usage, usd=self.cost(usage))


def parse_options(text: str) -> Faults:
    """The options behind ``sim:``. Raises UnknownModelError for what is none."""
    values: dict[str, Any] = {}
    known = {field.name for field in fields(Faults)}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if name not in known or not equals:
            raise UnknownModelError(
                f"sim has no option {name!r}{nearest(name, known)}", hint=f"It has: {', '.join(sorted(known))}."
            )
        try:
            values[name] = _OPTIONS[name](value)
        except ValueError as error:
            raise UnknownModelError(f"sim: {name}={value!r} cannot be used: {error}.") from error
    return Faults(**values)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1:
        raise ValueError("a rate lies between 0 and 1")
    return rate


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", text)
    if match is None:
        raise ValueError("a time is a number with ms or s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _latency(text: str) -> tuple[float, float]:
    low, _, high = text.partition("..")
    return _seconds(low), _seconds(high or low)


def _price(text: str) -> tuple[float, float]:
    tokens_in, slash, tokens_out = text.partition("/")
    if not slash:
        raise ValueError("a price is two numbers, as 3/15")
    return float(tokens_in), float(tokens_out)


_OPTIONS = {
    "seed": int,
    "latency": _latency,
    "fail": _rate,
    "null": _rate,
    "invalid": _rate,
    "limited": _rate,
    "price": _price,
    "tokens": int,
}


def _gist(prompt: str) -> str:
    words = " ".join(prompt[:300].split())
    return words if len(words) <= 60 else f"{words[:60].rstrip()}…"
