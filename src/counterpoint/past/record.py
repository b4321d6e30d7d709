"""A past run as a journal of ours: the same events, so that every face shows it; never one that can go on.

What was not recorded is said to be unknown: what it cost (its tokens stand in transcripts, a price does not), how an
agent without a result ended, when something was where no clock stood beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from counterpoint.events import (
    NO_USAGE,
    AgentFinished,
    AgentQueued,
    AgentStarted,
    AgentTurned,
    Fault,
    LogWritten,
    Outcome,
    Recorded,
    RunCreated,
    RunEnded,
    RunStarted,
    RunStatus,
    ToolUsed,
    Usage,
    Value,
)
from counterpoint.models.messages import AssistantTurn, Message
from counterpoint.past.claude import PastAgent, PastRun
from counterpoint.past.transcript import Spoken
from counterpoint.redaction import Redaction
from counterpoint.script.meta import Meta
from counterpoint.script.parse import examine, trust
from counterpoint.store.blobs import as_value
from counterpoint.text import one_line

CLAUDE_CODE = "claude-code"
CODEX = "codex"
TAG = "imported"
"""What every list shows of such a run, and ``tag:imported`` finds."""
MOST_LOG_LINES = 10_000
MAX_LABEL = 500
UNKNOWN = Usage(usd=None)


@dataclass(slots=True)
class Journaled:
    """Everything that a new journal is made of."""

    created: RunCreated
    events: list[Recorded] = field(default_factory=list[Recorded])
    turns: list[tuple[str, int, float, bytes]] = field(default_factory=list[tuple[str, int, float, bytes]])
    large: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Values beside the events, by blob."""


def of_run(run: PastRun, redaction: Redaction) -> Journaled:
    """The journal of a workflow's run."""
    summary, agents = run.summary, list(run.agents.values())
    meta = examine(run.script, ask=trust).meta if run.script else None
    begin = _begin(run, agents)
    made = _Made(redaction, begin)
    spoken = [agent.spoken for agent in agents if agent.spoken is not None]
    args = bytes(summary.args) if summary is not None else b"null"
    created = RunCreated(
        run_id=run.run_id,
        name=_name(run, meta),
        description=made.text((meta.description if meta is not None else "") or ""),
        script=run.script_path or str(run.origin),
        source=made.value(run.script),
        seed=0,
        model=_model((summary.default_model if summary is not None else None) or next((s.model for s in spoken), "")),
        cwd=next((s.cwd for s in spoken if s.cwd), "."),
        args=None if args == b"null" else made.value(msgspec.json.decode(args)),
        phases=_phases(run, meta),
        version=CLAUDE_CODE,
        tags=(TAG,),
        imported=str(run.origin),
    )
    made.add(begin, RunStarted(1, 0, "", 0))
    for number, agent in enumerate(agents, 1):
        made.agent(f"a{number}", agent)
    for line in summary.logs[:MOST_LOG_LINES] if summary is not None else []:
        made.add(begin, LogWritten(made.text(line if isinstance(line, str) else str(line))))
    missing = sum(agent.spoken is None for agent in agents)
    if missing:
        text = f"No transcript is there of {missing} of {len(agents)} agents: what they used is unknown."
        made.add(begin, LogWritten(text, "warning", "runtime"))
    end = max([made.end, begin + (summary.duration_ms or 0) / 1000 if summary is not None else 0.0])
    made.add(end, _ended(run, agents, made))
    return made.journaled(created)


def of_conversation(spoken: Spoken, origin: str, redaction: Redaction, *, by: str = CLAUDE_CODE) -> Journaled:
    """The journal of one conversation: a run with one agent, whose prompt is what was said first. `by` is the program
    that it was led with."""
    digits = hashlib.sha256(f"{spoken.session or origin}".encode()).hexdigest()
    begin = spoken.begin or 0.0
    made = _Made(redaction, begin)
    title = one_line(made.text(spoken.prompt), 60) or "conversation"
    created = RunCreated(
        run_id=f"wf_{digits[:8]}-{digits[8:11]}",
        name="conversation",
        description=title,
        script=origin,
        source=made.value(""),
        seed=0,
        model=_model(spoken.model),
        cwd=spoken.cwd or ".",
        version=by,
        tags=(TAG,),
        imported=origin,
    )
    made.add(begin, RunStarted(1, 0, "", 0))
    done = bool(spoken.answer)
    result = msgspec.json.encode(spoken.answer) if done else None
    made.agent("a1", PastAgent("a1", title, None, result=result, state="done" if done else "unknown", spoken=spoken))
    status = RunStatus.COMPLETED if done else RunStatus.STOPPED
    made.add(made.end, RunEnded(status, made.value(spoken.answer) if done else None))
    return made.journaled(created)


class _Made:
    """Events under the hand, each with its time; they are put in order at the end."""

    def __init__(self, redaction: Redaction, begin: float) -> None:
        self._redaction = redaction
        self._begin = begin
        self._events: list[tuple[float, Any]] = []
        self._turns: list[tuple[str, int, float, bytes]] = []
        self._large: dict[str, bytes] = {}
        self.end = begin

    def add(self, at: float, event: Any) -> None:
        at = max(at, self._begin)
        self.end = max(self.end, at)
        self._events.append((at, event))

    def text(self, text: str) -> str:
        return self._redaction.text(text)

    def value(self, value: Any) -> Value:
        json = msgspec.json.encode(self._redaction.value(value))
        kept = as_value(json)
        if kept.blob is not None:
            self._large[kept.blob] = json
        return kept

    def agent(self, name: str, agent: PastAgent) -> None:
        """All events of one agent, and its transcript."""
        spoken = agent.spoken or Spoken()
        begin = spoken.begin or agent.begin or self._begin
        label = self.text(agent.label) or one_line(self.text(spoken.prompt), 60)
        options = {"agentType": agent.kind} if agent.kind else {}
        key, model = f"imported:{agent.id}", _model(agent.model or spoken.model)
        prompt = self.value(spoken.prompt)
        self.add(begin, AgentQueued(name, key, prompt, label[:MAX_LABEL], agent.phase, options, model))
        self.add(begin, AgentStarted(name))
        self._messages(name, spoken)
        for used in spoken.used:
            self.add(used.at, ToolUsed(name, used.tool[:100], self.text(used.summary), used.ok, used.seconds))
        end = max(spoken.end, begin)
        self.add(end, self._finished(name, agent, spoken, end - begin))

    def _messages(self, name: str, spoken: Spoken) -> None:
        turn = 0
        for n, (at, message) in enumerate(spoken.messages):
            self._turns.append((name, n, at, self._row(message)))
            if isinstance(message, AssistantTurn):
                turn += 1
                if message.calls:
                    note = ", ".join(call.name for call in message.calls)[:MAX_LABEL]
                    self.add(at, AgentTurned(name, turn, NO_USAGE, note))

    def _row(self, message: Message) -> bytes:
        return msgspec.json.encode(self._redaction.value(msgspec.to_builtins(message)))

    def _finished(self, name: str, agent: PastAgent, spoken: Spoken, seconds: float) -> AgentFinished:
        outcome, fault = _outcome(agent)
        value = self.value(msgspec.json.decode(agent.result)) if agent.result is not None else None
        said = self.value(spoken.answer) if spoken.answer and value is None else None
        turns = sum(isinstance(message, AssistantTurn) for _, message in spoken.messages)
        if fault is not None:
            fault = Fault(fault.name, self.text(fault.message))
        return AgentFinished(
            name, outcome, value, fault, said, spoken.usage if agent.spoken is not None else UNKNOWN,
            _model(spoken.model), round(seconds, 3), turns,
        )  # fmt: skip

    def journaled(self, created: RunCreated) -> Journaled:
        ordered = sorted(
            enumerate(self._events), key=lambda each: (each[1][0], isinstance(each[1][1], RunEnded), each[0])
        )
        events = [Recorded(1, self._begin, created)]
        events += [Recorded(seq, at, event) for seq, (_, (at, event)) in enumerate(ordered, 2)]
        return Journaled(created, events, self._turns, self._large)


def _outcome(agent: PastAgent) -> tuple[Outcome, Fault | None]:
    match agent.state:
        case "done":
            return Outcome.OK, None
        case "skipped":
            return Outcome.SKIPPED, Fault("Skipped", "A person stopped it.")
        case "failed":
            return Outcome.FAILED, Fault("AgentFailed", one_line(agent.error, MAX_LABEL) or "Why was not recorded.")
        case _:
            return Outcome.CANCELLED, Fault("Unknown", "No result was recorded: it was skipped, failed or was cut off.")


def _ended(run: PastRun, agents: list[PastAgent], made: _Made) -> RunEnded:
    summary = run.summary
    if summary is None or summary.status is None:
        return RunEnded(
            RunStatus.STOPPED, message="Nothing was recorded of its end: it was cut off, or is still going on."
        )
    result = bytes(summary.result)
    value = None if result == b"null" else made.value(msgspec.json.decode(result))
    match summary.status:
        case "completed":
            whole = all(agent.state == "done" for agent in agents)
            return RunEnded(RunStatus.COMPLETED if whole else RunStatus.PARTIAL, value)
        case "failed":
            message = made.text(summary.error if isinstance(summary.error, str) else str(summary.error or ""))
            return RunEnded(RunStatus.FAILED, value, Fault("Error", message or "Why was not recorded."))
        case _:
            return RunEnded(RunStatus.STOPPED, value)


def _begin(run: PastRun, agents: list[PastAgent]) -> float:
    given = run.summary.start_time / 1000 if run.summary is not None and run.summary.start_time else None
    times = [at for at in (given, *(agent.begin for agent in agents)) if at is not None]
    return min(times, default=0.0)


def _name(run: PastRun, meta: Meta | None) -> str:
    given = run.summary.workflow_name if run.summary is not None else None
    return one_line((meta.name if meta is not None else "") or given or run.run_id, 100)


def _phases(run: PastRun, meta: Meta | None) -> list[dict[str, Any]]:
    if meta is not None and meta.phases:
        return [{"title": phase.title, "detail": phase.detail} for phase in meta.phases]
    given = (run.summary.phases if run.summary is not None else None) or []
    return [{"title": phase.title, "detail": phase.detail} for phase in given]


def _model(name: str) -> str:
    """As ours are named. Claude Code has models of one vendor, whoever serves them."""
    return name if not name or ":" in name else f"anthropic:{name}"
