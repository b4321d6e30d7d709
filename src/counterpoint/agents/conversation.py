"""What was said between an agent and its model so far, what it cost, and the results that follow from that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from counterpoint.agents.compact import Compacted, Row, sent
from counterpoint.agents.observer import Observer
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.transcript import M, row
from counterpoint.events import NO_USAGE, Fault, Outcome, Usage
from counterpoint.models.messages import Answer, AssistantTurn, Message

_encode = msgspec.json.Encoder().encode
_NOTHING = Answer("", [], NO_USAGE, "")


class Conversation:
    """The messages of one agent, each in the transcript before anything follows from it."""

    def __init__(self, task: AgentTask, observer: Observer) -> None:
        self._task = task
        self._observer = observer
        self.rows: list[Row] = []
        """Its messages, and where it was shortened for the model."""
        self.turns = 0
        """Answers of the model."""
        self.last = _NOTHING
        """The answer that was heard last, in this attempt."""
        self.said = ""
        """What the model said last, for the case that this is not the value."""
        self._usage = NO_USAGE

    @property
    def messages(self) -> list[Message]:
        """What the model is sent of it."""
        return sent(self.rows)

    def take_up(self, history: Sequence[Row]) -> None:
        """Starts from the rows of an earlier attempt."""
        self.rows = list(history)
        self.turns = sum(isinstance(message, AssistantTurn) for message in history)

    def say(self, message: M) -> M:
        """Adds a message; the result is it as it is kept."""
        kept, body = row(message)
        self._observer.transcript(len(self.rows), body)
        self.rows.append(kept)
        return kept

    def hear(self, answer: Answer) -> AssistantTurn:
        """Adds what the model answered."""
        self.last = answer
        self.turns += 1
        self._count(answer.usage)
        return self.say(AssistantTurn(answer.text, answer.calls, answer.opaque, answer.usage))

    def shorten(self, mark: Compacted) -> None:
        """From now on the model is sent less; what it was sent so far stays in the transcript."""
        if mark.usage is not None:
            self._count(mark.usage)
        self._observer.compacted(mark)
        self.say(mark)

    def pay(self, usage: Usage, note: str) -> None:
        """Counts a request that is no part of the conversation."""
        self._count(usage)
        self._observer.turn(self.turns, usage, note)

    def _count(self, usage: Usage) -> None:
        self._usage = usage if self._usage is NO_USAGE else self._usage + usage

    @property
    def turns_left(self) -> int:
        return self._task.max_turns - self.turns

    def steering(self) -> list[str]:
        """What people said; it stays with them where the agent has no turn left to heed it."""
        return self._observer.steering() if self.turns_left > 0 else []

    def report(self, note: str) -> None:
        """Tells that the last answer does not end the agent."""
        if self.last is not _NOTHING:
            self._observer.turn(self.turns, self.last.usage, note)

    def result(self, value: Any) -> AgentResult:
        """The good end."""
        model = self.last.model or self._task.model
        return AgentResult(Outcome.OK, _encode(value), usage=self._usage, model=model, turns=self.turns)

    def end(
        self,
        outcome: Outcome,
        name: str,
        message: str,
        *,
        kind: str = "",
        stack: str = "",
        retry_at: float | None = None,
    ) -> AgentResult:
        """Any other end."""
        return AgentResult(
            outcome,
            raw=_encode(self.said) if self.said else None,
            fault=Fault(name, message, kind=kind, stack=stack),
            usage=self._usage,
            model=self.last.model,
            turns=self.turns,
            retry_at=retry_at,
        )
