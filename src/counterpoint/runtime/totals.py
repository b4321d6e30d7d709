"""What a script reads as the run's ceilings (`budget.total`): from the journal alone, so that a replay reads it too.

Whoever begins an attempt with other ceilings (`resume --budget`, a fork) has them read from the script's start, like an
edit of it. A change while the run goes on is read with the first answer that the journal has behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from counterpoint.events import BoundsChanged, Recorded, RunCreated, RunForked, RunStarted

SEEN = frozenset({"budget_tokens", "budget_usd"})
"""The bounds that a script can read."""


@dataclass(frozen=True, slots=True)
class Total:
    """The run's ceilings of output tokens and of money in US dollars; None: there is none."""

    tokens: int | None = None
    usd: float | None = None

    def changed(self, bounds: Mapping[str, Any]) -> Total:
        """With what some bounds say otherwise."""
        tokens, usd = bounds.get("budget_tokens", self.tokens), bounds.get("budget_usd", self.usd)
        return replace(self, tokens=None if tokens is None else int(tokens), usd=usd)


class Totals:
    """The ceilings that a script reads, by the place in the journal of the answer that it has heard last."""

    def __init__(self, history: Iterable[Recorded]) -> None:
        self._since = [0]
        self._totals = [Total()]
        for recorded in history:
            self.take(recorded)

    @property
    def first(self) -> Total:
        """What the script reads before its first answer."""
        return self._totals[0]

    def at(self, seq: int) -> Total:
        """What it reads when it has heard the answer that is recorded as event `seq`."""
        return self._totals[bisect_right(self._since, seq) - 1]

    def take(self, recorded: Recorded) -> None:
        """Takes the next event."""
        match recorded.event:
            case RunCreated(bounds=bounds) | RunForked(bounds=bounds) | RunStarted(bounds=bounds):
                if not SEEN.isdisjoint(bounds):
                    self._since, self._totals = [0], [self._totals[-1].changed(bounds)]
            case BoundsChanged(bounds=bounds):
                self._since.append(recorded.seq)
                self._totals.append(self._totals[-1].changed(bounds))
            case _:
                pass
