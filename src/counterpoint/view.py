"""RunView: the fold of a run's events that every face shows.

Feed it each `Recorded` once, in order. It does no I/O: values stay `Value`s, which the store turns into JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from counterpoint.events import (
    NO_USAGE,
    AgentCompacted,
    AgentFinished,
    AgentMarked,
    AgentPrompted,
    AgentQueued,
    AgentRetried,
    AgentReused,
    AgentSlow,
    AgentStarted,
    AgentTurned,
    AnyEvent,
    BoundsChanged,
    CallRefused,
    Fault,
    FileChanged,
    GateAnswered,
    GateOpened,
    InstructionsLoaded,
    LogWritten,
    MemoryOpened,
    Outcome,
    Parent,
    PhaseEntered,
    PromptSet,
    ProviderHeld,
    Recorded,
    RequestDelivered,
    RequestDone,
    RunContinued,
    RunCreated,
    RunEnded,
    RunForked,
    RunPaused,
    RunStarted,
    RunStatus,
    RunTagged,
    ScriptErrorRaised,
    SlotFailed,
    ToolDenied,
    ToolUsed,
    Usage,
    Value,
    WorkspaceClosed,
)

GOOD = frozenset({Outcome.OK, Outcome.REUSED})
DENIALS = 1000
"""Denials that are kept one by one; the rest is counted, and in the journal."""
LOG_LINES = 1000
"""Lines of narration that the JSON document shows; the rest is counted, and in the journal."""


@dataclass(slots=True)
class AgentView:
    """One agent, through all attempts."""

    id: str
    key: str
    label: str
    phase: str | None
    prompt: Value
    options: dict[str, Any]
    model: str
    line: int | None
    workflow: str | None
    state: str = "queued"
    """queued, running or finished."""
    outcome: Outcome | None = None
    attempt: int = 0
    called: bool = True
    """Whether the present attempt has called it."""
    inherited: bool = False
    """Of a fork: only the parent has called it so far."""
    value: Value | None = None
    raw: Value | None = None
    fault: Fault | None = None
    answered_by: str = ""
    paid: Usage = NO_USAGE
    """Of all ended attempts."""
    running: Usage = NO_USAGE
    """Of the attempt that is not over."""
    queued_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    seconds: float = 0.0
    turns: int = 0
    compactions: int = 0
    """How often its conversation was shortened for its model."""
    tools: int = 0
    prompted: str = ""
    """Digest of its system prompt and tools, in `RunView.prompts`."""
    notes: list[str] = field(default_factory=list[str])
    """Notes of the memory that it was told."""
    cited: list[str] = field(default_factory=list[str])
    contradicted: list[str] = field(default_factory=list[str])
    workspace: WorkspaceClosed | None = None
    files: dict[str, str] = field(default_factory=dict[str, str])
    """Files of the shared tree that it changed, with the SHA-256 that it left them with."""
    """What it has left in its worktree."""
    denied: int = 0
    """Tool calls that it was not allowed to make."""
    retries: int = 0
    doing: str = ""
    """What it did last, in a few words."""
    last_at: float = 0.0
    """When it last showed progress."""

    @property
    def usage(self) -> Usage:
        return self.paid + self.running

    @property
    def good(self) -> bool:
        return self.outcome in GOOD


@dataclass(slots=True)
class LogLine:
    """A line of narration, with the time it was written."""

    at: float
    text: str
    level: str
    origin: str


@dataclass(slots=True)
class GateView:
    """A question to a person."""

    id: str
    key: str
    question: str
    options: list[Any] | None
    schema: dict[str, Any] | None
    opened_at: float
    deadline: float | None
    answered: bool = False
    denied: bool = False
    answer: Value | None = None
    by: str = ""


@dataclass(slots=True)
class RequestView:
    """Something that was asked of the run, with its receipts."""

    id: int
    verb: str
    target: str | None
    text: str
    by: str
    asked_at: float
    delivered_at: float
    done_at: float | None = None
    ok: bool = True
    message: str = ""


@dataclass(slots=True)
class PhaseView:
    """A group of agents."""

    title: str
    declared: bool = False
    entered: bool = False
    detail: str = ""


@dataclass(slots=True)
class RunView:
    """A run, as far as its events go. ``RunView.of(recorded)`` folds a whole journal."""

    run_id: str = ""
    name: str = ""
    description: str = ""
    script: str = ""
    source: Value = field(default_factory=Value)
    args: Value | None = None
    model: str = ""
    base_url: str | None = None
    cwd: str = ""
    seed: int = 0
    simulated: bool = False
    version: str = ""
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    status: RunStatus = RunStatus.RUNNING
    message: str = ""
    attempt: int = 0
    pid: int = 0
    host: str = ""
    result: Value | None = None
    error: Fault | None = None
    agents: dict[str, AgentView] = field(default_factory=dict[str, AgentView])
    by_key: dict[str, AgentView] = field(default_factory=dict[str, AgentView])
    phases: dict[str, PhaseView] = field(default_factory=dict[str, PhaseView])
    log: list[LogLine] = field(default_factory=list[LogLine])
    slot_failures: list[SlotFailed] = field(default_factory=list[SlotFailed])
    script_errors: list[Fault] = field(default_factory=list[Fault])
    refusals: list[CallRefused] = field(default_factory=list[CallRefused])
    gates: dict[str, GateView] = field(default_factory=dict[str, GateView])
    requests: dict[int, RequestView] = field(default_factory=dict[int, RequestView])
    denials: list[ToolDenied] = field(default_factory=list[ToolDenied])
    """The first that there were."""
    denied: int = 0
    prompts: dict[str, PromptSet] = field(default_factory=dict[str, PromptSet])
    instructions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Files that agents are told: path, sha256, bytes."""
    memory: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What its agents remember: scope, kind, path, version, entries of each source."""
    held: dict[str, ProviderHeld] = field(default_factory=dict[str, ProviderHeld])
    reused: int = 0
    created_at: float = 0.0
    """When the script's clock began: of a fork, when that of the first parent did."""
    parent: Parent | None = None
    """What it was forked from."""
    tags: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Tools of the program that began it."""
    imported: str = ""
    """Where another system had left it."""
    started_at: float | None = None
    ended_at: float | None = None
    paused_until: float | None = None
    active_s: float = 0.0
    """Seconds of the attempts that are over."""
    last_seq: int = 0
    last_at: float = 0.0

    @classmethod
    def of(cls, events: Iterable[Recorded]) -> RunView:
        view = cls()
        for recorded in events:
            view.apply(recorded)
        return view

    def apply(self, recorded: Recorded) -> None:
        """Takes one event. Events that change nothing shown here are passed over."""
        handler = _HANDLERS.get(type(recorded.event))
        if handler is not None:
            handler(self, recorded.event, recorded.at)
        self.last_seq = recorded.seq
        if not isinstance(recorded.event, RunTagged):  # which may come long after the run
            self.last_at = recorded.at

    # --- what is asked of it ---------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the present attempt is over."""
        return self.ended_at is not None

    def shown_status(self) -> RunStatus:
        """The status, where a run whose every open end is a question counts as waiting."""
        idle = all(agent.state == "finished" for agent in self.agents.values() if agent.called)
        waits = self.status is RunStatus.RUNNING and idle and self.open_gates()
        return RunStatus.WAITING if waits else self.status

    def interrupt(self) -> None:
        """Whoever folds the journal knows that the process behind it is gone: nothing that looks alive is."""
        if not self.ended:
            what = "Its process ended" if self.attempt else "No process has begun it"
            self.status, self.message = RunStatus.INTERRUPTED, f"{what}: counterpoint resume {self.run_id}"

    def state(self, agent: AgentView) -> str:
        """queued, running or finished; interrupted: it was at work when the run's process ended."""
        cut = agent.state == "running" and self.status is RunStatus.INTERRUPTED
        return "interrupted" if cut else agent.state

    @property
    def begun_at(self) -> float:
        """When the run was made."""
        return self.parent.at if self.parent else self.created_at

    def own(self) -> list[AgentView]:
        """The agents of all attempts; without those that only the parent of a fork has called."""
        return [agent for agent in self.agents.values() if not agent.inherited]

    def counted(self) -> list[AgentView]:
        """The agents that count. Those of an earlier attempt that a finished script no longer calls do not."""
        if self.status in (RunStatus.COMPLETED, RunStatus.PARTIAL):
            return [agent for agent in self.agents.values() if agent.called]
        return self.own()

    def counts(self) -> dict[str, int]:
        """Agents by outcome, and in total; those without an outcome count in the total only."""
        counts = {"total": 0, "ok": 0, "reused": 0} | {o.value: 0 for o in Outcome}
        for agent in self.counted():
            counts["total"] += 1
            if agent.outcome is not None:
                counts[agent.outcome.value] += 1
        return counts

    def coverage(self) -> tuple[int, int]:
        """How many agents ended well, of how many."""
        counted = self.counted()
        return sum(agent.good for agent in counted), len(counted)

    def usage(self) -> Usage:
        """What all agents of all attempts consumed."""
        total = NO_USAGE
        for agent in self.agents.values():
            total = total + agent.usage
        return total

    def phase_rows(self) -> list[dict[str, Any]]:
        """Phases in order of declaration, then of appearance, with how many of their agents ended well."""
        rows: dict[str, dict[str, Any]] = {title: {"title": title, "agents": 0, "ok": 0} for title in self.phases}
        for agent in self.counted():
            if agent.phase is not None:
                row = rows.setdefault(agent.phase, {"title": agent.phase, "agents": 0, "ok": 0})
                row["agents"] += 1
                row["ok"] += agent.good
        return list(rows.values())

    def duration_s(self, now: float | None = None) -> float:
        """Seconds of work: of all attempts, the present one up to `now`, or to the last event where it died."""
        if self.ended or self.started_at is None:
            return self.active_s
        until = self.last_at if now is None or self.status is RunStatus.INTERRUPTED else now
        return self.active_s + max(0.0, until - self.started_at)

    def seconds(self, agent: AgentView, now: float) -> float:
        """How long the agent took, or is at work; of one that was cut off, until it last showed progress."""
        if agent.state != "running" or agent.started_at is None:
            return agent.seconds
        return max(0.0, (now if self.state(agent) == "running" else agent.last_at) - agent.started_at)

    def find_agent(self, text: str) -> AgentView | None:
        """The agent with this id, or the only one, or the first, with this label."""
        if text in self.agents:
            return self.agents[text]
        return next((agent for agent in self.agents.values() if agent.label == text), None)

    def open_gates(self) -> list[GateView]:
        return [gate for gate in self.gates.values() if not gate.answered]

    def not_ok(self) -> list[AgentView]:
        """Agents that ended, and not well."""
        return [agent for agent in self.counted() if agent.outcome is not None and not agent.good]

    def log_texts(self) -> list[str]:
        """The narration for the JSON document: at most LOG_LINES lines; what is left out is counted in the first."""
        texts = [line.text for line in self.log[-LOG_LINES:]]
        left_out = len(self.log) - len(texts)
        if left_out:
            texts.insert(0, f"({left_out} earlier lines: counterpoint logs {self.run_id})")
        return texts


# --- one small function an event ------------------------------------------------------------------------------------


def _run_created(view: RunView, event: RunCreated, at: float) -> None:
    for name in ("run_id", "name", "description", "script", "source", "args", "model", "base_url", "cwd", "seed"):
        setattr(view, name, getattr(event, name))
    view.simulated, view.version, view.bounds, view.created_at = event.simulated, event.version, dict(event.bounds), at
    view.parent, view.tags, view.tools = event.parent, event.tags, event.tools
    view.imported = event.imported
    for phase in event.phases:
        title = str(phase.get("title", ""))
        view.phases[title] = PhaseView(title, declared=True, detail=str(phase.get("detail") or ""))


def _run_forked(view: RunView, event: RunForked, at: float) -> None:
    _forget_attempt(view)
    view.status, view.message, view.result, view.error = RunStatus.RUNNING, "", None, None
    view.attempt, view.active_s = 0, 0.0
    view.started_at = view.ended_at = view.paused_until = None
    view.gates, view.requests, view.denials, view.denied = {}, {}, [], 0
    view.bounds.update(event.bounds)
    view.source, view.script = event.source or view.source, event.script or view.script
    for agent in view.agents.values():
        agent.inherited, agent.paid = True, NO_USAGE


def _run_tagged(view: RunView, event: RunTagged, at: float) -> None:
    view.tags = event.tags


def _run_started(view: RunView, event: RunStarted, at: float) -> None:
    if view.started_at is not None and view.ended_at is None:
        view.active_s += max(0.0, view.last_at - view.started_at)
    view.attempt, view.pid, view.host = event.attempt, event.pid, event.host
    view.started_at, view.ended_at, view.paused_until = at, None, None
    view.status, view.message, view.result, view.error = RunStatus.RUNNING, "", None, None
    view.bounds.update(event.bounds)
    if event.source is not None:
        view.source = event.source
    view.script = event.script or view.script
    if event.attempt > 1:
        _forget_attempt(view)


def _forget_attempt(view: RunView) -> None:
    """What belongs to one attempt only: the script starts again from the top."""
    view.reused = 0
    view.slot_failures, view.script_errors, view.refusals = [], [], []
    view.held = {}
    for agent in view.agents.values():
        agent.called = False
        if agent.state != "finished":
            agent.state, agent.outcome = "finished", Outcome.CANCELLED
            agent.fault = Fault("Interrupted", "The process that ran this agent ended before it did.")
            agent.paid, agent.running = agent.paid + agent.running, NO_USAGE


def _run_paused(view: RunView, event: RunPaused, at: float) -> None:
    view.status, view.message, view.paused_until = RunStatus.PAUSED, event.message, event.until


def _run_continued(view: RunView, event: RunContinued, at: float) -> None:
    view.status, view.message, view.paused_until = RunStatus.RUNNING, "", None


def _run_ended(view: RunView, event: RunEnded, at: float) -> None:
    view.status, view.result, view.error, view.ended_at = event.status, event.result, event.error, at
    if event.message or event.status is not RunStatus.PAUSED:
        view.message = event.message
    if event.status is not RunStatus.PAUSED:
        view.paused_until = None
    if view.started_at is not None:
        view.active_s += max(0.0, at - view.started_at)


def _phase_entered(view: RunView, event: PhaseEntered, at: float) -> None:
    view.phases.setdefault(event.title, PhaseView(event.title)).entered = True


def _log_written(view: RunView, event: LogWritten, at: float) -> None:
    view.log.append(LogLine(at, event.text, event.level, event.origin))


def _slot_failed(view: RunView, event: SlotFailed, at: float) -> None:
    view.slot_failures.append(event)


def _script_error(view: RunView, event: ScriptErrorRaised, at: float) -> None:
    view.script_errors.append(event.fault)


def _call_refused(view: RunView, event: CallRefused, at: float) -> None:
    view.refusals.append(event)


def _agent_queued(view: RunView, event: AgentQueued, at: float) -> None:
    agent = view.agents.get(event.agent)
    if agent is None:
        agent = AgentView(
            event.agent,
            event.key,
            event.label,
            event.phase,
            event.prompt,
            event.options,
            event.model,
            event.line,
            event.workflow,
        )
        view.agents[event.agent] = view.by_key[event.key] = agent
    else:
        agent.label, agent.phase, agent.workflow, agent.line = event.label, event.phase, event.workflow, event.line
        agent.model, agent.prompt = event.model, event.prompt
        agent.state, agent.outcome, agent.fault, agent.value, agent.raw = "queued", None, None, None, None
        agent.started_at = agent.finished_at = None
        agent.doing = ""
    agent.called, agent.inherited = True, False
    agent.queued_at = agent.last_at = at


def _agent_started(view: RunView, event: AgentStarted, at: float) -> None:
    agent = view.agents[event.agent]
    agent.state, agent.attempt, agent.started_at, agent.last_at = "running", event.attempt, at, at
    agent.turns, agent.notes = event.taken_up, event.notes
    agent.compactions = agent.compactions if event.taken_up else 0
    agent.paid, agent.running = agent.paid + agent.running, NO_USAGE
    agent.doing = ""


def _agent_slow(view: RunView, event: AgentSlow, at: float) -> None:
    view.agents[event.agent].doing = f"waits for {event.waits_for} since {event.seconds:.0f} s"


def _agent_turned(view: RunView, event: AgentTurned, at: float) -> None:
    agent = view.agents[event.agent]
    agent.running = agent.running + event.usage
    agent.turns, agent.doing, agent.last_at = event.turn, event.note, at


def _agent_compacted(view: RunView, event: AgentCompacted, at: float) -> None:
    agent = view.agents[event.agent]
    agent.running = agent.running + event.usage
    agent.compactions += 1
    agent.doing, agent.last_at = f"made room: {event.before:,} to {event.after:,} tokens", at


def _tool_used(view: RunView, event: ToolUsed, at: float) -> None:
    agent = view.agents.get(event.agent)
    if agent is not None:
        agent.tools += 1
        agent.doing, agent.last_at = f"{event.tool} {event.summary}".strip(), at


def _tool_denied(view: RunView, event: ToolDenied, at: float) -> None:
    view.denied += 1
    if len(view.denials) < DENIALS:
        view.denials.append(event)
    agent = view.agents.get(event.agent)
    if agent is not None:
        agent.denied += 1
        agent.last_at = at


def _prompt_set(view: RunView, event: PromptSet, at: float) -> None:
    view.prompts[event.digest] = event


def _agent_prompted(view: RunView, event: AgentPrompted, at: float) -> None:
    view.agents[event.agent].prompted = event.digest


def _instructions_loaded(view: RunView, event: InstructionsLoaded, at: float) -> None:
    view.instructions = event.files


def _memory_opened(view: RunView, event: MemoryOpened, at: float) -> None:
    view.memory = event.sources


def _file_changed(view: RunView, event: FileChanged, at: float) -> None:
    for agent in view.agents.values():
        agent.files.pop(event.path, None)  # whoever wrote last answers for the file
    view.agents[event.agent].files[event.path] = event.after


def _workspace_closed(view: RunView, event: WorkspaceClosed, at: float) -> None:
    view.agents[event.agent].workspace = event


def _agent_retried(view: RunView, event: AgentRetried, at: float) -> None:
    agent = view.agents[event.agent]
    agent.retries += 1
    agent.doing, agent.last_at = f"waits {event.wait:.1f} s: {event.fault.message}", at


def _agent_finished(view: RunView, event: AgentFinished, at: float) -> None:
    agent = view.agents[event.agent]
    agent.state, agent.outcome, agent.fault = "finished", event.outcome, event.fault
    agent.value, agent.raw, agent.answered_by = event.value, event.raw, event.model
    agent.paid, agent.running = agent.paid + event.usage, NO_USAGE
    agent.finished_at, agent.seconds, agent.turns, agent.last_at = at, event.seconds, event.turns, at
    agent.cited, agent.contradicted = event.cited, event.contradicted


def _agent_reused(view: RunView, event: AgentReused, at: float) -> None:
    agent = view.agents[event.agent]
    agent.called, agent.state, agent.outcome = True, "finished", event.outcome
    agent.inherited = False
    agent.label, agent.phase, agent.workflow = event.label, event.phase, event.workflow
    if event.outcome is Outcome.REUSED:
        agent.fault = None
        view.reused += 1


def _agent_marked(view: RunView, event: AgentMarked, at: float) -> None:
    agent = view.agents.get(event.agent)
    if agent is not None:
        agent.outcome, agent.fault = Outcome.FAILED, Fault("MarkedFailed", event.reason)


def _gate_opened(view: RunView, event: GateOpened, at: float) -> None:
    view.gates[event.gate] = GateView(
        event.gate, event.key, event.question, event.options, event.schema, at, event.deadline
    )


def _gate_answered(view: RunView, event: GateAnswered, at: float) -> None:
    gate = view.gates[event.gate]
    gate.answered, gate.denied, gate.answer, gate.by = True, event.denied, event.answer, event.by


def _request_delivered(view: RunView, event: RequestDelivered, at: float) -> None:
    view.requests[event.request] = RequestView(
        event.request, event.verb, event.target, event.text, event.by, event.asked_at, at
    )


def _request_done(view: RunView, event: RequestDone, at: float) -> None:
    request = view.requests.get(event.request)
    if request is not None:
        request.done_at, request.ok, request.message = at, event.ok, event.message


def _bounds_changed(view: RunView, event: BoundsChanged, at: float) -> None:
    view.bounds.update(event.bounds)


def _provider_held(view: RunView, event: ProviderHeld, at: float) -> None:
    view.held[event.provider] = event


_HANDLERS: dict[type[AnyEvent], Callable[[RunView, Any, float], None]] = {
    RunCreated: _run_created,
    RunForked: _run_forked,
    RunTagged: _run_tagged,
    RunStarted: _run_started,
    RunPaused: _run_paused,
    RunContinued: _run_continued,
    RunEnded: _run_ended,
    PhaseEntered: _phase_entered,
    LogWritten: _log_written,
    SlotFailed: _slot_failed,
    ScriptErrorRaised: _script_error,
    CallRefused: _call_refused,
    AgentQueued: _agent_queued,
    AgentStarted: _agent_started,
    AgentSlow: _agent_slow,
    AgentTurned: _agent_turned,
    AgentCompacted: _agent_compacted,
    ToolUsed: _tool_used,
    ToolDenied: _tool_denied,
    FileChanged: _file_changed,
    WorkspaceClosed: _workspace_closed,
    PromptSet: _prompt_set,
    AgentPrompted: _agent_prompted,
    InstructionsLoaded: _instructions_loaded,
    MemoryOpened: _memory_opened,
    AgentRetried: _agent_retried,
    AgentFinished: _agent_finished,
    AgentReused: _agent_reused,
    AgentMarked: _agent_marked,
    GateOpened: _gate_opened,
    GateAnswered: _gate_answered,
    RequestDelivered: _request_delivered,
    RequestDone: _request_done,
    BoundsChanged: _bounds_changed,
    ProviderHeld: _provider_held,
}
