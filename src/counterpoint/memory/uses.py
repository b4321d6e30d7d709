"""How notes fared in a run: the fold of its journal that their utility is made of. Pure."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from counterpoint.events import Outcome, RunStatus
from counterpoint.memory.versions import Use
from counterpoint.view import RunView

NOBODYS_FAULT = frozenset({Outcome.LIMITED, Outcome.SKIPPED, Outcome.CANCELLED})
"""Ends of agents that say nothing of what they knew."""


def use_of(view: RunView, version: str, known: Container[str]) -> Use:
    """Which notes of a store were in play in a run. `known` are the ids of the notes of that version."""
    agents = view.agents.values()
    return Use(
        run_id=view.run_id,
        version=version,
        loaded=_of(known, *(agent.notes for agent in agents)),
        cited=_of(known, *(agent.cited for agent in agents)),
        contradicted=_of(known, *(agent.contradicted for agent in agents)),
        outcome=outcome_of(view),
        at=view.ended_at or view.last_at,
    )


def outcome_of(view: RunView) -> Literal["success", "failure", "unknown"]:
    """Whether a run went well, as far as its journal says. What a quota or a person ended says nothing."""
    if view.status is RunStatus.COMPLETED:
        return "success"
    ends = {agent.outcome for agent in view.not_ok()}
    if view.status is RunStatus.FAILED or (view.status is RunStatus.PARTIAL and (ends - NOBODYS_FAULT or not ends)):
        return "failure"
    return "unknown"


def _of(known: Container[str], *lists: list[str]) -> list[str]:
    return sorted({name for names in lists for name in names if name in known})
