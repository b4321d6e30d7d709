"""What a fork takes from the journal of its parent, besides the events themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from counterpoint.events import AgentFinished, AgentQueued, AgentStarted, Recorded, Value


def blobs_of(events: Iterable[Recorded]) -> set[str]:
    """Names of the large values that the events stand for."""
    values = (getattr(recorded.event, name) for recorded in events for name in recorded.event.__struct_fields__)
    return {value.blob for value in values if isinstance(value, Value) and value.blob is not None}


def ended_agents(events: Iterable[Recorded]) -> set[str]:
    """Agents that are not under way at the end of the events."""
    ended: set[str] = set()
    for recorded in events:
        match recorded.event:
            case AgentQueued(agent=agent) | AgentStarted(agent=agent):
                ended.discard(agent)
            case AgentFinished(agent=agent):
                ended.add(agent)
            case _:
                pass
    return ended
