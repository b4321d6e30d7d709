"""An accepted `agent()` call on its way to an answer, and what it reports on the way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from counterpoint.agents.compact import Compacted, Row
from counterpoint.agents.task import AgentTask
from counterpoint.events import (
    NO_USAGE,
    AgentCompacted,
    AgentPrompted,
    AgentRetried,
    AgentSteered,
    AgentTurned,
    Fault,
    FileChanged,
    Outcome,
    PromptSet,
    RequestDone,
    ToolUsed,
    Usage,
    Workspace,
    WorkspaceClosed,
    WorkspaceOpened,
)
from counterpoint.memory.marks import noted
from counterpoint.memory.recall import cited
from counterpoint.models.messages import AssistantTurn, ToolSpec, UserTurn
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.calls import AgentArg
from counterpoint.runtime.denials import report_denial
from counterpoint.tools.base import FileChange
from counterpoint.tools.policy import Access

NAMES_NOTE = b"m-"
"""What stands in every message that names a note."""
_message = msgspec.json.Decoder(Row).decode


@dataclass(frozen=True, slots=True)
class Change:
    """What a person wants otherwise in a retried agent; the call keeps its identity. None: as the script has it."""

    prompt: str | None = None
    model: str | None = None

    def __bool__(self) -> bool:
        return self.prompt is not None or self.model is not None

    def of(self, arg: AgentArg) -> AgentArg:
        """The call's argument, changed."""
        opts = arg.opts if self.model is None else {**arg.opts, "model": self.model}
        return msgspec.structs.replace(arg, prompt=arg.prompt if self.prompt is None else self.prompt, opts=opts)


@dataclass(slots=True, eq=False)
class Said:
    """A message of a person on its way to agents."""

    request: int
    text: str
    waits_for: set[str] = field(default_factory=set[str])
    """Ids of agents that have not heard it."""
    heard: list[str] = field(default_factory=list[str])


@dataclass(slots=True, eq=False)
class Job:
    """One agent of the present attempt. `call` is the script's number for its promise."""

    call: int
    task: AgentTask
    attempt: int
    fresh: bool = True
    """It starts from its prompt; else it goes on from its transcript."""
    steering: list[Said] = field(default_factory=list[Said])
    started: float = 0.0
    usage: Usage = NO_USAGE
    """Of the requests so far; what counts where the task is cancelled."""
    waits_for: str = ""
    """What the agent waits for now."""
    since: float = 0.0
    """Monotonic time of the last sign of life."""
    slow: bool = False
    """It was said that it shows no progress."""
    notes: set[str] = field(default_factory=set[str])
    """Notes of the memory that it was told, or that stand in what it goes on from."""
    cited: set[str] = field(default_factory=set[str])
    contradicted: set[str] = field(default_factory=set[str])
    ended_by: Outcome | None = None
    """Set before its task is cancelled: the outcome that it then has."""
    again: bool = False
    """Set before its task is cancelled: it starts anew."""

    def begin(self) -> None:
        """The next try starts now."""
        self.started, self.usage = time.monotonic(), NO_USAGE
        self.waits("the model")

    def take_up(self, history: Sequence[Row]) -> None:
        """It begins, from its prompt or from an earlier conversation, and knows the notes that stand there."""
        first = history[0] if history else None
        self.notes = set(noted(first.text) if isinstance(first, UserTurn) else self.task.note_ids)
        for message in history:
            self.heed(message)

    def heed(self, message: Row) -> None:
        """Takes down which notes the agent names."""
        if self.notes and isinstance(message, AssistantTurn):
            said = " ".join([message.text, *(call.raw or str(call.input) for call in message.calls)])
            cites, disputes = cited(said, frozenset(self.notes))
            self.cited |= cites
            self.contradicted |= disputes

    def waits(self, what: str) -> None:
        """A sign of life: from now on it waits for something else."""
        self.waits_for, self.since, self.slow = what, time.monotonic(), False

    def observer(self, attempt: Attempt) -> JobObserver:
        return JobObserver(self, attempt)


class JobObserver:
    """Writes down what an agent does, and hands it what people say to it."""

    def __init__(self, job: Job, attempt: Attempt) -> None:
        self._job = job
        self._attempt = attempt

    def waits(self, what: str) -> None:
        self._job.waits(what)

    def turn(self, n: int, usage: Usage, note: str) -> None:
        self._job.usage = self._job.usage + usage
        self._attempt.emit(AgentTurned(self._job.task.id, n, usage, note))

    def compacted(self, mark: Compacted) -> None:
        usage = mark.usage or NO_USAGE
        self._job.usage = self._job.usage + usage
        self._attempt.emit(
            AgentCompacted(self._job.task.id, mark.cause, mark.before, mark.after, mark.dropped, mark.lessened, usage)
        )

    def tool(self, name: str, summary: str, ok: bool, seconds: float) -> None:
        self._attempt.emit(ToolUsed(self._job.task.id, name, summary, ok, seconds))

    def denied(self, access: Access, reason: str) -> None:
        report_denial(self._attempt, self._job.task.id, access, reason)

    def prompted(self, system: str, tools: list[ToolSpec]) -> None:
        value, attempt = self._attempt.journal.value, self._attempt
        said, listed = msgspec.json.encode(system), msgspec.json.encode(tools)
        digest = hashlib.sha256(said + listed).hexdigest()[:16]
        if digest not in attempt.view.prompts:
            attempt.emit(PromptSet(digest, value(said), value(listed)))
        attempt.emit(AgentPrompted(self._job.task.id, digest))

    def changed(self, change: FileChange) -> None:
        diff = self._attempt.journal.value(msgspec.json.encode(change.diff)) if change.diff else None
        self._attempt.emit(FileChanged(self._job.task.id, change.path, change.before, change.after, diff))

    def worktree_opened(self, path: str, branch: str, base: str) -> None:
        self._attempt.emit(WorkspaceOpened(self._job.task.id, path, branch, base))

    def worktree_closed(self, workspace: Workspace) -> None:
        patch = self._attempt.journal.value(msgspec.json.encode(workspace.patch)) if workspace.patch else None
        self._attempt.emit(
            WorkspaceClosed(
                self._job.task.id,
                workspace.branch,
                workspace.base,
                workspace.commit,
                workspace.files,
                workspace.insertions,
                workspace.deletions,
                workspace.path,
                patch,
                workspace.patch_bytes,
            )
        )

    def retried(self, fault: Fault, wait: float) -> None:
        self._attempt.emit(AgentRetried(self._job.task.id, fault, wait))

    def transcript(self, n: int, body: bytes) -> None:
        self._attempt.journal.write_turn(self._job.task.id, n, body)
        if self._job.notes and NAMES_NOTE in body:
            self._job.heed(_message(body))

    async def kept(self) -> None:
        await self._attempt.journal.durable(self._attempt.view.last_seq)

    def unheard(self) -> list[str]:
        return [message.text for message in self._job.steering]

    def steering(self, most: int | None = None) -> list[str]:
        waiting = self._job.steering
        most = len(waiting) if most is None else most
        said, self._job.steering = waiting[:most], waiting[most:]
        for message in said:
            self._heard(message)
        return [message.text for message in said]

    def _heard(self, said: Said) -> None:
        agent = self._job.task.id
        said.heard.append(agent)
        said.waits_for.discard(agent)
        self._attempt.emit(AgentSteered(agent, said.request))
        if not said.waits_for:
            self._attempt.emit(RequestDone(said.request, message=f"Heard by {', '.join(said.heard)}."))
