"""Ceilings as people write them: ``500k``, ``$5``, ``20k/agent``, ``$20/day``, ``100k/phase:Find``.

Tokens are output tokens; money is US dollars. Without a scope a ceiling holds for the run. ``/phase`` holds for every
phase by itself, ``/phase:TITLE`` for that one; ``/day`` is over all runs of the store since midnight, local time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from counterpoint.errors import SettingsError

Unit = Literal["tokens", "usd"]
Scope = Literal["run", "phase", "agent", "day"]
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
_FORM = re.compile(
    r"""\+?\s*(?: \$\s*(?P<usd>\d+(?:\.\d+)?) | (?P<dollars>\d+(?:\.\d+)?)\s*(?:\$|usd)
      | (?P<tokens>\d+(?:\.\d+)?)\s*(?P<unit>[km]?) )
    (?:\s*/\s*(?P<scope>run|agent|day|phase)(?::(?P<phase>.+))?)?""",
    re.VERBOSE | re.IGNORECASE,
)
MOST_PLACES = 100_000
_SIZE = re.compile(r"(\d{1,9})\s*([km]?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One ceiling. `phase` is the only phase that it holds for; None: each."""

    amount: float
    unit: Unit
    scope: Scope = "run"
    phase: str | None = None

    def __str__(self) -> str:
        amount = f"${self.amount:g}" if self.unit == "usd" else f"{self.amount:.0f}"
        scope = "" if self.scope == "run" else f"/{self.scope}"
        return amount + scope + (f":{self.phase}" if self.phase else "")


def read_ceiling(text: str) -> Ceiling:
    """Reads one ceiling. Raises SettingsError."""
    match = _FORM.fullmatch(text.strip())
    scope = (match["scope"] or "run").lower() if match else "run"
    if match is None or (match["phase"] and scope != "phase"):
        raise SettingsError(
            f"The budget {text!r} is neither tokens (500k, 1.5m) nor money ($5).",
            hint="A scope may follow: 20k/agent, $20/day, 100k/phase, 100k/phase:Find.",
        )
    money = match["usd"] or match["dollars"]
    if not float(money or match["tokens"]):
        raise SettingsError(f"The budget {text!r} leaves nothing to spend; give more, or none for no ceiling.")
    if money:
        return Ceiling(float(money), "usd", scope, match["phase"])  # pyright: ignore[reportArgumentType]  (the pattern's words)
    amount = int(float(match["tokens"]) * _UNITS[match["unit"].lower()])
    return Ceiling(amount, "tokens", scope, match["phase"])  # pyright: ignore[reportArgumentType]  (the same)


def read_windows(texts: Iterable[str]) -> dict[str, int]:
    """Model → tokens of its context, of texts like ``ollama:qwen3=32k``; a figure alone is that of all others, under
    the empty name. Raises SettingsError."""
    found: dict[str, int] = {}
    for text in texts:
        model, _, size = text.rpartition("=")
        match = _SIZE.fullmatch(size.strip())
        if match is None or not int(match[1]):
            raise SettingsError(
                f"context_windows has {text!r}, which says no number of tokens.",
                hint="Write ollama:qwen3=32k, or 32k for every model.",
            )
        found[model.strip()] = int(match[1]) * _UNITS[match[2].lower()]
    return found


def read_places(texts: Iterable[str]) -> dict[str, int]:
    """Provider → requests under way at once, of texts like ``anthropic=40``. Raises SettingsError."""
    found: dict[str, int] = {}
    for text in texts:
        provider, _, places = (part.strip() for part in text.partition("="))
        if not provider or not places.isdecimal() or not 1 <= int(places[:8]) <= MOST_PLACES:
            raise SettingsError(
                f"provider_limits has {text!r}, which says no number of requests.",
                hint=f"Write anthropic=40: a provider, and how many requests at once (1 to {MOST_PLACES:,}).",
            )
        found[provider] = int(places)
    return found


def ceilings_of(bounds: Mapping[str, Any]) -> list[Ceiling]:
    """The ceilings among the bounds of a run."""
    found = [read_ceiling(text) for text in bounds.get("budgets") or ()]
    tokens, usd = bounds.get("budget_tokens"), bounds.get("budget_usd")
    if tokens is not None:
        found.append(Ceiling(tokens, "tokens"))
    if usd is not None:
        found.append(Ceiling(usd, "usd"))
    return found


def read_budgets(texts: Iterable[str]) -> dict[str, Any]:
    """The settings that ceilings as people write them come to. Raises SettingsError."""
    found: dict[str, Any] = {}
    scoped: list[str] = []
    for ceiling in map(read_ceiling, texts):
        if ceiling.scope == "run":
            found[f"budget_{ceiling.unit}"] = ceiling.amount
        else:
            scoped.append(str(ceiling))
    return found | ({"budgets": tuple(scoped)} if scoped else {})
