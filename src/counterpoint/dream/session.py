"""A run as a dream reads it: texts with authors, commands with their ends, corrections, and how it went."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from counterpoint.dream.transcripts import decode_message, event_text, message_text, plain
from counterpoint.events import GateAnswered, Outcome, Recorded, RequestDelivered, RunCreated, RunStatus, Value
from counterpoint.memory.entries import Author, Outcomes, Taint
from counterpoint.memory.places import project_root
from counterpoint.memory.uses import outcome_of
from counterpoint.models.messages import AssistantTurn, Message, ToolResult, ToolTurn, UserTurn
from counterpoint.store.runs import Store
from counterpoint.view import AgentView, RunView

ReadValue = Callable[[Value], Awaitable[bytes]]

SHOWN = 4_000
"""Characters of an agent's prompt and answer that detectors look at."""
MAX_TEXTS = 4_000
"""Texts of one run that are looked at."""
LONGEST_SAYING = 2_000
"""A longer text among the arguments of a run was hardly typed by the person who started it: it may be anything."""
LOCAL_TOOLS = frozenset({"Read", "Grep", "Glob", "LS", "Write", "Edit", "MultiEdit", "TodoWrite", "StructuredOutput"})
READERS = frozenset({"Read", "LS"})
"""Of these, those whose call names the file that they show."""
RECALL = "Memory"
"""The tool that looks notes up: what it answers was not lived."""
SHELLS = frozenset({"Bash", "BashOutput", "KillShell"})
_WEB = re.compile(r"(?i)https?://|<html|<!doctype")
_FETCHES = re.compile(
    r"(?i)\b(?:curl|wget|httpie?|lynx|w3m|ftp|scp|rsync|nc|ssh|gh|glab|aria2c)\b|://|\bgit\s+(?:clone|fetch|pull)\b"
    r"|\b(?:npm|pip|pipx|cargo|gem|brew)\s+(?:view|info|show|search|download)\b"
)
_EXIT = re.compile(r"\[exit code (-?\d+)")
_CORRECTION = re.compile(
    r"\b(?:no,|nope|don't|do not|not like|wrong|instead|rather|stop|never|always|again|i said|as i said|actually|"
    r"revert|undo|should have|prefer)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text that has one author."""

    start: int
    end: int
    author: Author
    taint: Taint
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One text of a run. `session_id` is the agent, or empty where `seq` is the number of an event."""

    session_id: str
    seq: int
    at: float
    text: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A tool call that came back. `said` and `part` are the place of its result."""

    agent: str
    tool: str
    what: str
    """The command, the path, or the call's arguments."""
    ok: bool
    said: int
    part: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One agent, in the few words that detectors need."""

    id: str
    label: str
    kind: str
    """Its agent type, or empty."""
    outcome: Outcome | None
    retries: int
    turns: int
    prompt: str
    value: str


@dataclass(frozen=True, slots=True)
class Session:
    """One run, read."""

    run_id: str
    name: str
    cwd: str
    at: float
    ended_at: float
    last_seq: int
    status: RunStatus
    outcome: Outcomes
    usd: float | None
    output_tokens: int
    private: bool
    said: tuple[Said, ...]
    steps: tuple[Step, ...] = ()
    workers: tuple[Worker, ...] = ()
    corrections: tuple[int, ...] = ()
    """Places in `said` where a person corrected."""
    recalled: frozenset[str] = frozenset()
    """Notes that its agents were given."""
    digest: str = ""
    cut: bool = False
    """There is more in it than `MAX_TEXTS` texts, which was not looked at."""

    def find(self, session_id: str, seq: int) -> Said | None:
        return next((said for said in self.said if (said.session_id, said.seq) == (session_id, seq)), None)


@dataclass(slots=True)
class _Reading:
    said: list[Said] = field(default_factory=list[Said])
    steps: list[Step] = field(default_factory=list[Step])
    corrections: list[int] = field(default_factory=list[int])


async def read_session(store: Store, run_id: str, events: list[Recorded] | None = None) -> Session:
    """Reads a run with its transcripts; `events` are those of its journal. Raises StoreError."""
    reader = store.reader(run_id)
    events = await reader.read() if events is None else events
    view = RunView.of(events)
    reading = _Reading()
    for recorded in events:
        if len(reading.said) < MAX_TEXTS and isinstance(recorded.event, RunCreated | RequestDelivered | GateAnswered):
            _hear_person(reading, recorded, await event_text(recorded, reader))
    heard: dict[str, list[tuple[float, Message | None]]] = {}
    for agent in view.agents.values():
        rows = await reader.transcript(agent.id)
        heard[agent.id] = [(at, decode_message(body)) for _, at, body in rows]
    ground = _Ground(view.cwd, str(await asyncio.to_thread(project_root, Path(view.cwd))) if view.cwd else "", run_id)
    tainted_at = _tainted_at(heard.values(), ground)
    for agent_id, messages in heard.items():
        _hear_agent(reading, agent_id, messages, ground, tainted_at, conversation=_is_conversation(view))
    result = msgspec.json.decode(await reader.value(view.result)) if view.result is not None else None
    usage = view.usage()
    return Session(
        run_id=run_id,
        name=view.name,
        cwd=view.cwd,
        at=view.created_at,
        ended_at=view.ended_at or view.last_at,
        last_seq=view.last_seq,
        status=view.status,
        outcome=_outcome(view, result),
        usd=usage.usd,
        output_tokens=usage.output_tokens,
        private=bool(view.bounds.get("private")),
        said=tuple(reading.said),
        steps=tuple(reading.steps),
        workers=tuple([await _worker(reader.value, agent) for agent in view.agents.values()]),
        corrections=tuple(reading.corrections),
        recalled=frozenset(name for agent in view.agents.values() for name in agent.notes),
        digest=_digest(reading.said),
        cut=len(reading.said) >= MAX_TEXTS,
    )


def _hear_person(reading: _Reading, recorded: Recorded, text: str) -> None:
    """Takes what a person said by an event. Long arguments are of unknown origin: they prove nothing by themselves."""
    if not text.strip():
        return
    own = not isinstance(recorded.event, RunCreated) or len(text) <= LONGEST_SAYING
    part = Part(0, len(text), Author.USER if own else Author.AGENT, Taint.CLEAN if own else Taint.UNTRUSTED)
    if own and (not isinstance(recorded.event, RunCreated) or _CORRECTION.search(text)):
        reading.corrections.append(len(reading.said))
    reading.said.append(Said("", recorded.seq, recorded.at, text, (part,)))


Calls = Mapping[str, tuple[str, str]]
"""Id of a call → its tool, and what it was about."""


def _calls(messages: Iterable[tuple[float, Message | None]]) -> Calls:
    turns = [message for _, message in messages if isinstance(message, AssistantTurn)]
    return {call.id: (call.name, _subject(call.input or {})) for turn in turns for call in turn.calls}


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where a run was at work: what lies elsewhere is text from outside."""

    cwd: str
    root: str
    """Of the project."""
    run_id: str

    def has(self, path: str) -> bool:
        """Whether a path that a tool was given lies in the project, or in the worktree of an agent of this run."""
        whole = os.path.normpath(os.path.join(self.cwd, path))  # noqa: PTH118 (text of a transcript, perhaps of another machine)
        return whole == self.root or whole.startswith(f"{self.root.rstrip('/')}/") or f"/{self.run_id}/" in whole


def _tainted_at(transcripts: Iterable[list[tuple[float, Message | None]]], ground: _Ground) -> float:
    """When text from outside first came into the run. Agents hear of each other through the script, so from then on
    whatever any of them says is no better than that text."""
    times: list[float] = []
    for messages in transcripts:
        calls = _calls(messages)
        times += [
            at
            for at, message in messages
            if isinstance(message, ToolTurn)
            and any(_origin(result, calls, ground)[1] is Taint.UNTRUSTED for result in message.results)
        ]
    return min(times, default=math.inf)


def _is_conversation(view: RunView) -> bool:
    """Whether it is a conversation of another program: there, who asks is a person."""
    return bool(view.imported) and view.name == "conversation"


def _hear_agent(
    reading: _Reading,
    agent: str,
    messages: list[tuple[float, Message | None]],
    ground: _Ground,
    tainted_at: float,
    *,
    conversation: bool,
) -> None:
    """Takes a transcript."""
    calls = _calls(messages)
    for seq, (at, message) in enumerate(messages):
        if message is None or len(reading.said) >= MAX_TEXTS:
            continue
        text, place = message_text(message), len(reading.said)
        taint = Taint.UNTRUSTED if at >= tainted_at else Taint.DERIVED
        parts: list[Part] = []
        match message:
            case UserTurn() if conversation and text:
                parts = [_typed(text)]
                if seq and parts[0].author is Author.USER and _CORRECTION.search(text):
                    reading.corrections.append(place)
            case UserTurn():  # what the host adds later (repairs, words of people, which are events) is nobody's
                parts = [Part(0, len(text), Author.AGENT, taint)] if seq == 0 and text else []
            case AssistantTurn():
                parts = [Part(0, len(text), Author.ASSISTANT, taint)] if text else []
            case ToolTurn(results=results):
                for result, part in _answers(results, len(text), calls, ground, tainted=at >= tainted_at):
                    what = calls.get(result.id, ("", ""))[1]
                    went_well = _went_well(result.content, result.error)
                    reading.steps.append(Step(agent, result.name, what, went_well, place, len(parts)))
                    parts.append(part)
        reading.said.append(Said(agent, seq, at, text, tuple(parts)))


def _typed(text: str) -> Part:
    """What came in the place of a person: short, and without the tags in which programs put what they add."""
    own = len(text) <= LONGEST_SAYING and "<" not in text
    return Part(0, len(text), Author.USER if own else Author.AGENT, Taint.CLEAN if own else Taint.UNTRUSTED)


def _answers(
    results: list[ToolResult], length: int, calls: Calls, ground: _Ground, *, tainted: bool
) -> list[tuple[ToolResult, Part]]:
    """The pieces of a message with results that tools wrote. What was looked up in the memory was not lived.

    `tainted`: text from outside had come in, so a file of the project may be what an agent made of it.
    """
    found: list[tuple[ToolResult, Part]] = []
    start = 0
    for result in results:
        end = min(length, start + len(f"[{result.name}]\n{result.content}"))
        if end > start and result.name != RECALL:
            author, taint = _origin(result, calls, ground)
            taint = Taint.DERIVED if tainted and taint is Taint.CLEAN else taint
            found.append((result, Part(start, end, author, taint, result.name)))
        start = end + 1
    return found


def _origin(result: ToolResult, calls: Calls, ground: _Ground) -> tuple[Author, Taint]:
    """Who speaks in a tool's result. A file of the project does; one that lies elsewhere is from outside. What a
    command prints may be anything: where the command fetches something, or its output has an address of the web in
    it, it may be a page of the web."""
    command = calls.get(result.id, ("", ""))[1]
    if result.name in READERS:
        return (Author.TOOL_LOCAL, Taint.CLEAN) if ground.has(command) else (Author.TOOL_EXTERNAL, Taint.UNTRUSTED)
    if result.name in LOCAL_TOOLS:
        return Author.TOOL_LOCAL, Taint.DERIVED
    if result.name in SHELLS and not _WEB.search(result.content) and not _FETCHES.search(command):
        return Author.TOOL_LOCAL, Taint.DERIVED
    return Author.TOOL_EXTERNAL, Taint.UNTRUSTED


def _subject(given: dict[str, object]) -> str:
    for name in ("command", "file_path", "path", "pattern", "url", "query"):
        if isinstance(given.get(name), str):
            return str(given[name])
    return json.dumps(given, sort_keys=True, default=str)[:300]


def _went_well(content: str, error: bool) -> bool:
    code = _EXIT.search(content[-400:])
    return not error and (code is None or code[1] == "0")


def _outcome(view: RunView, result: object) -> Outcomes:
    """How the run went: by its own word where the script returns one, else by its status."""
    if isinstance(result, dict):
        for name in ("success", "passed", "ok", "solved"):
            if isinstance(result.get(name), bool):  # pyright: ignore[reportUnknownMemberType]  (any JSON object)
                return "success" if result[name] else "failure"
    return outcome_of(view)


async def _worker(read_value: ReadValue, agent: AgentView) -> Worker:
    return Worker(
        agent.id, agent.label, str(agent.options.get("agentType") or ""), agent.outcome, agent.retries, agent.turns,
        await _text(read_value, agent.prompt), await _text(read_value, agent.value),
    )  # fmt: skip


async def _text(read_value: ReadValue, value: Value | None) -> str:
    return "" if value is None else plain(msgspec.json.decode(await read_value(value)))[:SHOWN]


def _digest(said: list[Said]) -> str:
    whole = hashlib.sha256()
    for text in said:
        whole.update(f"{text.session_id}\0{text.seq}\0{len(text.text)}\0{text.text}".encode("utf-8", "replace"))
    return whole.hexdigest()
