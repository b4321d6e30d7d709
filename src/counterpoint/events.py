"""What can happen in a run. A run *is* its list of these events; everything anybody shows of it is a fold over them.

The journal numbers each event (`seq`, from 1, without gaps) and stamps it (`at`, seconds since the epoch); the pair and
the event make a `Recorded`, which is one line of ``run --jsonl``. A field may be added with a default; none is ever
removed, renamed or given another meaning, so that journals of every release stay readable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct, field


class Outcome(StrEnum):
    """How one agent ended."""

    OK = "ok"
    FAILED = "failed"
    """Provider or tool error after retries, or marked failed by the script."""
    INVALID = "invalid"
    """Structured output never became valid; the raw text is kept."""
    LIMITED = "limited"
    """Quota: nothing is said about the task."""
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    SKIPPED = "skipped"
    """A person skipped it."""
    CANCELLED = "cancelled"
    """The run was stopped, or ended, before the agent could."""
    REUSED = "reused"
    """Answered from the journal of an earlier attempt."""


class RunStatus(StrEnum):
    """Where a run is. Only the last six are ends."""

    RUNNING = "running"
    WAITING = "waiting"
    """For a person, at a gate."""
    PAUSED = "paused"
    """By a person, or until a quota comes back."""
    INTERRUPTED = "interrupted"
    """Its process died. Never written: whoever looks finds no end and no live lease."""
    UNREADABLE = "unreadable"
    """Its journal is missing, damaged, or of a newer release. Never written either."""
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    STOPPED = "stopped"
    BUDGET_EXCEEDED = "budget_exceeded"
    REJECTED = "rejected"


class Usage(Struct, frozen=True, omit_defaults=True):
    """What model requests consumed. Counts are tokens; `usd` is None where a price is unknown, never a guess."""

    input_tokens: int = 0
    """All input tokens, cached ones included."""
    cached_input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.requests + other.requests,
            None if self.usd is None or other.usd is None else self.usd + other.usd,
        )


ELSEWHERE = Raw(b"")


class Workspace(Struct, frozen=True, omit_defaults=True):
    """What an agent made of its worktree. `commit` is `base` where it changed nothing."""

    branch: str
    base: str
    commit: str
    files: list[str] = field(default_factory=list[str])
    insertions: int = 0
    deletions: int = 0
    path: str = ""
    patch: str = ""
    patch_bytes: int = 0


class Value(Struct, frozen=True, omit_defaults=True):
    """A JSON value: in the event itself, or, above 64 KiB, in the blob whose SHA-256 is `blob`."""

    json: Raw = ELSEWHERE
    blob: str | None = None
    bytes: int = 0


class Fault(Struct, frozen=True, omit_defaults=True):
    """An error as the journal keeps it. `line` and `column` are places in the script, counted from 1."""

    name: str
    message: str
    line: int | None = None
    column: int | None = None
    stack: str = ""
    kind: str = ""
    """The `ProviderError.kind`, where a provider was the cause."""


class Event(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Base of all events."""


class Parent(Struct, frozen=True, omit_defaults=True):
    """The run that another was forked from, and the number of the last event that the two have in common."""

    run_id: str
    seq: int
    at: float
    """When it was forked, in seconds since the epoch."""
    by: str = ""


# --- the run -----------------------------------------------------------------------------------------------------


class RunCreated(Event, frozen=True, tag="run_created"):
    """Everything that a resume on any machine needs: text, arguments, seed, model, bounds."""

    run_id: str
    name: str
    description: str
    script: str
    """Path as the user gave it, or ``bundled:name``."""
    source: Value
    """The script's text, as a JSON string."""
    seed: int
    model: str
    cwd: str
    args: Value | None = None
    """None: no arguments were given (``args`` is undefined)."""
    base_url: str | None = None
    phases: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    simulated: bool = False
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """Settings that shape the run: concurrency, caps, budget, limits of the script."""
    version: str = ""
    """Counterpoint's, the script engine's and the price list's, as ``0.1.0 quickjs-ng/0.17 genai-prices/0.2.3``."""
    tags: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Names of the tools that the program which began the run gave to its agents: they are there only where it is."""
    imported: str = ""
    """Where another system had left it: it can be looked at, and not go on. Empty: it is our own."""
    parent: Parent | None = None
    """Of a fork: the events behind this one, up to the parent's number, are the parent's."""


class RunForked(Event, frozen=True, tag="run_forked"):
    """What comes before was another run's, and paid there; from here on the run is its own."""

    source: Value | None = None
    """The edited script, where it has another text than the parent's."""
    script: str | None = None
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it changes of the parent's bounds."""


class RunTagged(Event, frozen=True, tag="run_tagged"):
    """Words that people find the run by: all that it has from now on."""

    tags: tuple[str, ...]
    by: str = ""


class RunStarted(Event, frozen=True, tag="run_started"):
    """An attempt begins: the first, or a resume. Agents of earlier attempts count again only when called again."""

    attempt: int
    pid: int
    host: str
    epoch: int
    reuse: Literal["calls", "prefix", "none"] = "calls"
    source: Value | None = None
    """The edited script, when the resume brought one."""
    script: str | None = None
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """What this attempt changes of the run's bounds."""


class RunPaused(Event, frozen=True, tag="run_paused"):
    """No agent is started until the run goes on."""

    cause: Literal["quota", "user"]
    message: str
    until: float | None = None
    """When it will go on by itself, in seconds since the epoch; None when a person or a resume must."""


class RunContinued(Event, frozen=True, tag="run_continued"):
    """A paused or waiting run goes on, in the same process."""


class RunEnded(Event, frozen=True, tag="run_ended"):
    """The attempt is over. `paused` and `waiting` are ends of an attempt, not of the run."""

    status: RunStatus
    result: Value | None = None
    error: Fault | None = None
    message: str = ""
    """Why, in one sentence, where the status alone does not say."""


class PhaseEntered(Event, frozen=True, tag="phase_entered"):
    """The script called ``phase(title)``."""

    title: str


class LogWritten(Event, frozen=True, tag="log_written"):
    """A line of the run's narration."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    origin: Literal["script", "runtime"] = "script"


class SlotFailed(Event, frozen=True, tag="slot_failed"):
    """A thunk of ``parallel`` or a stage of ``pipeline`` failed and left ``null`` in its slot: the recorded reason."""

    hook: str
    index: int
    fault: Fault
    stage: int | None = None


class ScriptErrorRaised(Event, frozen=True, tag="script_error"):
    """A TypeError, ReferenceError or SyntaxError of the script inside a thunk or stage: the run is partial at best."""

    fault: Fault
    hook: str = ""
    index: int | None = None


class CallRefused(Event, frozen=True, tag="call_refused"):
    """An ``agent()`` call was refused before an agent was spawned (cap, budget, schema, agent type): no agent."""

    key: str
    fault: Fault
    label: str = ""
    call: int = 0
    """Its place among the ``agent()`` calls of this attempt, from 1; 0: it was no ``agent()`` call."""


# --- agents ------------------------------------------------------------------------------------------------------


class AgentQueued(Event, frozen=True, tag="agent_queued"):
    """An ``agent()`` call was accepted. One agent has one id for the run's whole life, through every attempt."""

    agent: str
    """``a1``, ``a2``, …: in order of first acceptance."""
    key: str
    """The call's identity for resume (hash and occurrence)."""
    prompt: Value
    label: str = ""
    phase: str | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """The call's options as the script gave them, without prompt, label and phase."""
    model: str = ""
    """As asked for, after aliases were resolved."""
    line: int | None = None
    workflow: str | None = None
    """Name of the child workflow that called, None for the script itself."""
    call: int = 0
    """Its place among the ``agent()`` calls of this attempt, from 1; 0: a person has changed an agent under way."""


class AgentStarted(Event, frozen=True, tag="agent_started"):
    """A slot was free and the agent's first request goes out. `attempt` counts from 1, over resumes too."""

    agent: str
    attempt: int = 1
    taken_up: int = 0
    """Model answers of an earlier attempt that it goes on from."""
    notes: list[str] = []
    """Ids of the memory's notes that it is told."""


class PromptSet(Event, frozen=True, tag="prompt_set"):
    """A system prompt with the tools that go with it, once for all agents that have just that."""

    digest: str
    system: Value
    tools: Value
    """A list of ``{name, description, schema}``."""


class AgentPrompted(Event, frozen=True, tag="agent_prompted"):
    """The agent's requests carry this system prompt and these tools."""

    agent: str
    digest: str


class InstructionsLoaded(Event, frozen=True, tag="instructions_loaded"):
    """Which files of project and user agents are told, as they were."""

    files: list[dict[str, Any]]
    """``{path, sha256, bytes}``."""


class MemoryOpened(Event, frozen=True, tag="memory_opened"):
    """What the agents of this attempt remember. Every later attempt keeps to these versions."""

    sources: list[dict[str, Any]]
    """``{scope, kind, path, version, entries}``: stores, and folders of other programs (kind ``file``)."""


class AgentTurned(Event, frozen=True, tag="agent_turned"):
    """One model request of a longer agent came back with tool calls or for repair. Its transcript has the text."""

    agent: str
    turn: int
    usage: Usage
    note: str = ""


class AgentCompacted(Event, frozen=True, tag="agent_compacted"):
    """The agent's conversation was too long for its model, which is sent less of it from now on: old results left out
    or cut, older messages replaced by notes of its own. Its transcript keeps all, and has the notes."""

    agent: str
    cause: Literal["window", "provider"] = "window"
    """It came near the model's window; or the provider refused it for its length."""
    before: int = 0
    """Tokens of the conversation: the provider's last count, and an estimate of what came since."""
    after: int = 0
    """An estimate."""
    messages: int = 0
    """Messages that are left out."""
    results: int = 0
    """Tool results that are left out or cut."""
    usage: Usage = Usage()
    """What the notes cost."""


class ToolUsed(Event, frozen=True, tag="tool_used"):
    """A tool call of an agent ended."""

    agent: str
    tool: str
    summary: str = ""
    ok: bool = True
    seconds: float = 0.0


class ToolDenied(Event, frozen=True, tag="tool_denied"):
    """The rules, or a person, said no to a tool call; nothing was done, and the caller was told why."""

    agent: str
    """Empty: the script."""
    tool: str
    subject: str
    """A path, a command, a host."""
    reason: str
    hint: str = ""
    """The rule that would allow it."""


class AgentRetried(Event, frozen=True, tag="agent_retried"):
    """A model request failed and will be repeated after `wait` seconds."""

    agent: str
    fault: Fault
    wait: float = 0.0


class AgentSlow(Event, frozen=True, tag="agent_slow"):
    """The agent has shown no progress for `seconds`; `waits_for` names the blocker."""

    agent: str
    waits_for: str
    seconds: float


class AgentSteered(Event, frozen=True, tag="agent_steered"):
    """The agent has heard what a person said: request number `request`."""

    agent: str
    request: int


class AgentFinished(Event, frozen=True, tag="agent_finished"):
    """The agent ended. It is durable before the script hears it."""

    agent: str
    outcome: Outcome
    value: Value | None = None
    """What the script receives; None is ``null`` (or a rejection: see `fault`)."""
    fault: Fault | None = None
    raw: Value | None = None
    """What the agent said, where that is not the value."""
    usage: Usage = Usage()
    model: str = ""
    """Provider and model as answered."""
    seconds: float = 0.0
    turns: int = 1
    cited: list[str] = []
    """Notes of the memory that it named."""
    contradicted: list[str] = []
    """Notes that it called wrong."""


class AgentReused(Event, frozen=True, tag="agent_reused"):
    """A call was answered from the journal: the agent's earlier AgentFinished holds again in this attempt."""

    agent: str
    label: str = ""
    phase: str | None = None
    workflow: str | None = None
    call: int = 0
    """Its place among the ``agent()`` calls of this attempt, from 1."""
    behind: int = 0
    """How many new answers the script had heard in this attempt before this one."""
    outcome: Outcome = Outcome.REUSED
    """How the agent counts: an end that was not ok, and that stands, is what it was."""


class FileChanged(Event, frozen=True, tag="file_changed"):
    """An agent changed a file of the shared working tree: its result holds only where the file is as it left it.

    SHA-256 of the bytes before (empty: there was no file) and after; `diff` for people.
    """

    agent: str
    path: str
    before: str
    after: str
    diff: Value | None = None


class WorkspaceOpened(Event, frozen=True, tag="workspace_opened"):
    """The agent has a worktree and a branch of its own."""

    agent: str
    path: str
    branch: str
    base: str


class WorkspaceClosed(Event, frozen=True, tag="workspace_closed"):
    """What the agent left in its worktree is committed; comes before its AgentFinished."""

    agent: str
    branch: str
    base: str
    commit: str
    """The same as `base`: nothing was changed, and worktree and branch are gone."""
    files: list[str] = field(default_factory=list[str])
    insertions: int = 0
    deletions: int = 0
    path: str = ""
    """Where the worktree still is."""
    patch: Value | None = None
    """The diff as a JSON string; None where it is empty or too long."""
    patch_bytes: int = 0


class AgentMarked(Event, frozen=True, tag="agent_marked"):
    """The script called ``counterpoint.fail``: the agent answered, but counts as failed."""

    agent: str
    reason: str


# --- other calls whose answers replay needs ------------------------------------------------------------------------


class TimerFired(Event, frozen=True, tag="timer_fired"):
    """A ``setTimeout`` of the script came due. On replay it does not wait again."""

    key: str
    ms: float


class AnswerReused(Event, frozen=True, tag="answer_reused"):
    """The script heard again what it had heard before: of a timer, gate, tool call, child workflow or refusal."""

    key: str
    behind: int = 0
    """How many new answers the script had heard in this attempt before this one."""


class WorkflowEntered(Event, frozen=True, tag="workflow_entered"):
    """A child workflow began."""

    key: str
    name: str
    source: Value | None = None
    """The child's text, as a JSON string: a resume needs no file."""


class WorkflowLeft(Event, frozen=True, tag="workflow_left"):
    """A child workflow ended, with a value or a fault."""

    key: str
    name: str
    value: Value | None = None
    fault: Fault | None = None


class GateOpened(Event, frozen=True, tag="gate_opened"):
    """``counterpoint.checkpoint``: a person is asked."""

    gate: str
    key: str
    question: str
    options: list[Any] | None = None
    schema: dict[str, Any] | None = None
    deadline: float | None = None
    default: Value | None = None


class GateAnswered(Event, frozen=True, tag="gate_answered"):
    """A person answered, or the deadline brought the default. Never a model."""

    gate: str
    key: str
    answer: Value | None = None
    denied: bool = False
    by: str = ""


class ToolCalled(Event, frozen=True, tag="tool_called"):
    """``counterpoint.tool`` ended: one tool call of the script, without a model."""

    key: str
    tool: str
    value: Value | None = None
    fault: Fault | None = None
    seconds: float = 0.0


# --- people, and limits --------------------------------------------------------------------------------------------


class RequestDelivered(Event, frozen=True, tag="request_delivered"):
    """Somebody asked something of the run (stop, steer, skip, …) and the process that executes it has read it."""

    request: int
    verb: str
    target: str | None = None
    text: str = ""
    asked_at: float = 0.0
    by: str = ""


class RequestDone(Event, frozen=True, tag="request_done"):
    """What was asked took effect, or could not (`ok` false, `message` says why)."""

    request: int
    ok: bool = True
    message: str = ""


class BoundsChanged(Event, frozen=True, tag="bounds_changed"):
    """Budget or concurrency were changed while the run goes on."""

    bounds: dict[str, Any]


class ProviderHeld(Event, frozen=True, tag="provider_held"):
    """The provider said "not now": no request goes to it (and this key) before `until`."""

    provider: str
    until: float
    message: str = ""


AnyEvent = (
    RunCreated
    | RunForked
    | RunTagged
    | RunStarted
    | RunPaused
    | RunContinued
    | RunEnded
    | PhaseEntered
    | LogWritten
    | SlotFailed
    | ScriptErrorRaised
    | CallRefused
    | AgentQueued
    | AgentStarted
    | PromptSet
    | AgentPrompted
    | InstructionsLoaded
    | MemoryOpened
    | AgentTurned
    | AgentCompacted
    | ToolUsed
    | ToolDenied
    | AgentRetried
    | AgentSlow
    | AgentSteered
    | AgentFinished
    | AgentReused
    | FileChanged
    | WorkspaceOpened
    | WorkspaceClosed
    | AgentMarked
    | TimerFired
    | AnswerReused
    | WorkflowEntered
    | WorkflowLeft
    | GateOpened
    | GateAnswered
    | ToolCalled
    | RequestDelivered
    | RequestDone
    | BoundsChanged
    | ProviderHeld
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


NO_USAGE = Usage()


def encode(event: Event) -> bytes:
    """The event as one JSON object, without seq and at."""
    return _encoder.encode(event)


def decode(body: bytes) -> AnyEvent:
    """The inverse of `encode`. Raises msgspec.ValidationError for what is no event of this release."""
    return _decoder.decode(body)


class Recorded(Struct, frozen=True):
    """An event in its place in the journal."""

    seq: int
    at: float
    event: AnyEvent

    def line(self) -> bytes:
        """One line of ``run --jsonl`` and ``export --jsonl``: ``{"seq":…,"at":…,"type":…,…}``, without the newline."""
        return b'{"seq":%d,"at":%s,' % (self.seq, repr(self.at).encode()) + encode(self.event)[1:]
