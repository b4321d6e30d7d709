"""What may happen in a run, as a handful of stories: for each, what its agents answer and which of them fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["low", "usual", "high"]
"""Of what an agent consumes: little, as much as is usual, much."""
Lists = Literal["some", "none", "many"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. Rates are parts of one."""

    name: str
    seed: int = 0
    lists: Lists = "some"
    """How long lists are: findings, items, questions."""
    says: bool | None = None
    """What every yes-or-no question is answered with; None: now this, now that."""
    choice: Literal["first", "last"] | None = None
    """Which of the words it may choose from an agent always chooses; None: now this, now that."""
    repeats: bool = False
    """Equal questions get equal answers, so that searches run dry."""
    quotes: float = 0.8
    """How many quotes stand in the text that the agent was shown."""
    fails: float = 0.0
    invalid: float = 0.0
    level: Level = "usual"

    @property
    def ordinary(self) -> bool:
        """Whether a run may well go like this; the others are there for the bounds and the error paths."""
        return self.name == USUAL


USUAL = "as usual"
NOTHING = "nothing is found"
FAILING = "some agents fail"
ALL_FAIL = "every agent fails"


def scenarios(runs: int) -> list[Scenario]:
    """`runs` usual runs under different seeds, and one run of each kind that bounds them or tries the error paths."""
    usual = [Scenario(USUAL, seed) for seed in range(1, runs + 1)]
    return [
        *usual,
        Scenario(NOTHING, lists="none", says=False, choice="last", quotes=0.0, level="low"),
        Scenario(
            "every list is long, every answer yes", lists="many", says=True, choice="first", quotes=1.0, level="high"
        ),
        Scenario(
            "every list is long, every answer no", lists="many", says=False, choice="last", quotes=1.0, level="high"
        ),
        Scenario("always the same answers", repeats=True, level="low"),
        Scenario(FAILING, seed=1, fails=0.15, invalid=0.05),
        Scenario(ALL_FAIL, fails=1.0, level="low"),
    ]
