"""What each request to a model consumed: a fold of the events in which that stands, one by one or as a sum. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from counterpoint.events import NO_USAGE, AgentFinished, AgentStarted, AgentTurned, Recorded, Usage


@dataclass(slots=True)
class Spent:
    """Agent and time → the usage of the request that ended there."""

    of: dict[tuple[str, float], Usage] = field(default_factory=dict[tuple[str, float], Usage])
    _before: dict[str, Usage] = field(default_factory=dict[str, Usage])
    """Agent → the sum of its requests of this attempt: what is left of an agent's own sum is its last request's."""

    def apply(self, recorded: Recorded) -> None:
        """Takes one event; most mean nothing here."""
        match recorded.event:
            case AgentStarted(agent=agent):
                self._before[agent] = NO_USAGE
            case AgentTurned(agent=agent, usage=usage):
                self._before[agent] = self._before.get(agent, NO_USAGE) + usage
                self.of[agent, recorded.at] = usage
            case AgentFinished(agent=agent, usage=usage):
                before = self._before.pop(agent, NO_USAGE)
                self.of[agent, recorded.at] = Usage(
                    usage.input_tokens - before.input_tokens,
                    usage.cached_input_tokens - before.cached_input_tokens,
                    usage.output_tokens - before.output_tokens,
                )
            case _:
                pass
