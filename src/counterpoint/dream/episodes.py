"""S2: a run cut into episodes: a goal, what was done for it, and how that ended. Pure.

A long session is many things that were tried. A new episode begins with each word of a person, with each agent, and
where an agent has gone on for very long: there after something that went well. Readers are shown whole episodes, and
may bring `MOST_ITEMS` lessons of each.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from counterpoint.dream.session import Said, Session, Step
from counterpoint.memory.entries import Author

MOST_ITEMS = 3
"""Lessons of one episode: more is a summary, and no lesson."""
LONG = 60
"""Texts of an agent, from which its episode ends with the next action that goes well."""
LONGEST = 2 * LONG
"""The same, where none goes well."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Places in the texts of a session, in their order."""

    goal: int
    """The place of the text that says what was wanted."""
    places: tuple[int, ...]
    actions: int = 0
    failed: int = 0
    ended_well: bool | None = None
    """Whether the last action went well; None: there was none."""

    def about(self) -> str:
        """What was done and how it ended, in words; empty where nobody did anything."""
        if self.ended_well is None:
            return ""
        end = "the last one went well" if self.ended_well else "the last one failed"
        return f"{self.actions} actions, {self.failed} failed; {end}"


def episodes(session: Session) -> list[Episode]:
    """The episodes of a run in the order of time. Each place is in one of them."""
    wishes = [place for place, said in enumerate(session.said) if not said.session_id]
    asked_at = [session.said[place].at for place in wishes]
    by_agent: dict[str, list[int]] = defaultdict(list)
    for place, said in enumerate(session.said):
        by_agent[said.session_id].append(place)
    steps: dict[int, list[Step]] = defaultdict(list)
    for step in session.steps:
        steps[step.said].append(step)
    found = [Episode(place, (place,)) for place in wishes]
    for agent, places in by_agent.items():
        if agent:
            for goal, part in _cut(session.said, places, wishes, asked_at, steps):
                done = [step for place in part for step in steps.get(place, ())]
                failed = sum(not step.ok for step in done)
                found.append(Episode(goal, tuple(part), len(done), failed, done[-1].ok if done else None))
    return sorted(found, key=lambda each: (session.said[each.places[0]].at, each.places[0]))


def _cut(
    said: tuple[Said, ...], places: list[int], wishes: list[int], asked_at: list[float], steps: dict[int, list[Step]]
) -> Iterable[tuple[int, list[int]]]:
    """The texts of one agent, piece by piece, each with the place of its goal."""
    part: list[int] = []
    goal, heard = places[0], 0
    for place in places:
        known = bisect_right(asked_at, said[place].at)
        typed = any(each.author is Author.USER for each in said[place].parts)
        long = len(part) >= LONGEST or (len(part) >= LONG and _went_well(steps, part[-1]))
        if part and (known > heard or typed or long):
            yield goal, part
            part = []
        if typed:
            goal = place
        elif known > heard and (heard or part or place != places[0]):
            goal = wishes[known - 1]
        heard = known
        part.append(place)
    yield goal, part


def _went_well(steps: dict[int, list[Step]], place: int) -> bool:
    return bool(steps.get(place)) and steps[place][-1].ok
