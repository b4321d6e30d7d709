"""An accepted `agent()` call on its way to an answer, and what it reports on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from counterpoint.agents.task import AgentTask
from counterpoint.events import NO_USAGE, AgentRetried, AgentTurned, Fault, Outcome, ToolUsed, Usage
from counterpoint.models.messages import Message
from counterpoint.runtime.attempt import Attempt


@dataclass(slots=True, eq=False)
class Job:
    """One agent of the present attempt. `call` is the script's number for its promise."""

    call: int
    task: AgentTask
    attempt: int
    history: list[Message] = field(default_factory=list[Message])
    """What an earlier attempt said, where the agent goes on from there."""
    steering: list[str] = field(default_factory=list[str])
    started: float = 0.0
    usage: Usage = NO_USAGE
    """Of the requests so far; what counts where the task is cancelled."""
    ended_by: Outcome | None = None
    """Set before its task is cancelled: the outcome that it then has."""
    again: bool = False
    """Set before its task is cancelled: it starts anew."""

    def observer(self, attempt: Attempt) -> JobObserver:
        return JobObserver(self, attempt)


class JobObserver:
    """Writes down what an agent does, and hands it what people say to it."""

    def __init__(self, job: Job, attempt: Attempt) -> None:
        self._job = job
        self._attempt = attempt

    def turn(self, n: int, usage: Usage, note: str) -> None:
        self._job.usage = self._job.usage + usage
        self._attempt.emit(AgentTurned(self._job.task.id, n, usage, note))

    def tool(self, name: str, summary: str, ok: bool, seconds: float) -> None:
        self._attempt.emit(ToolUsed(self._job.task.id, name, summary, ok, seconds))

    def retried(self, fault: Fault, wait: float) -> None:
        self._attempt.emit(AgentRetried(self._job.task.id, fault, wait))

    def transcript(self, n: int, body: bytes) -> None:
        self._attempt.journal.write_turn(self._job.task.id, n, body)

    def steering(self) -> list[str]:
        said, self._job.steering = self._job.steering, []
        return said
