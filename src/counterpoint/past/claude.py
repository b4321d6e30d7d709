"""What Claude Code leaves of a workflow: a journal, a transcript an agent, the script, and at its end a summary.

    SESSION/workflows/RUN.json                    written once, when the run has ended
    SESSION/workflows/scripts/NAME-RUN.js         the script as it was started
    SESSION/subagents/workflows/RUN/journal.jsonl agents that began, and what they gave
    SESSION/subagents/workflows/RUN/agent-ID.jsonl, agent-ID.meta.json

Any of them may be missing, except that there must be a summary or a journal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import Raw, Struct

from counterpoint.errors import ImportRefusedError
from counterpoint.past.files import document, lines, refuse_links, text
from counterpoint.past.transcript import Spoken, read_transcript

RUN_ID = re.compile(r"wf_[a-z0-9-]{6,60}")
AGENT_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
MAX_AGENTS = 10_000
MAX_RUNS = 1000
MAX_SCRIPT = 1 << 20
"""Bytes."""
NULL = Raw(b"null")
State = Literal["done", "failed", "skipped", "unknown"]


class _Entry(Struct, rename="camel"):
    """A line of the journal."""

    type: str = ""
    agent_id: str = ""
    label: str | None = None
    phase: str | None = None
    result: Raw = NULL


class _Meta(Struct, rename="camel"):
    agent_type: str | None = None
    label: str | None = None
    phase: str | None = None
    model: str | None = None


class _Shown(Struct, rename="camel"):
    """An agent, or something else, as the progress view had it."""

    type: str = ""
    agent_id: str | None = None
    label: str | None = None
    phase_title: str | None = None
    model: str | None = None
    state: str | None = None
    error: Any = None
    started_at: float | None = None
    duration_ms: float | None = None


class _Phase(Struct):
    title: str = ""
    detail: str | None = None


class Summary(Struct, rename="camel"):
    """``RUN.json``."""

    run_id: str = ""
    workflow_name: str | None = None
    summary: str | None = None
    status: str | None = None
    script: str | None = None
    script_path: str | None = None
    args: Raw = NULL
    result: Raw = NULL
    error: Any = None
    logs: list[Any] = []
    phases: list[_Phase] | None = None
    workflow_progress: list[_Shown] | None = None
    start_time: float | None = None
    """Milliseconds since the epoch."""
    duration_ms: float | None = None
    default_model: str | None = None


@dataclass(slots=True)
class PastAgent:
    """An agent of a run, with all that was found of it."""

    id: str
    label: str = ""
    phase: str | None = None
    kind: str = ""
    """Its agent type."""
    model: str = ""
    result: bytes | None = None
    """JSON; None: no result was recorded."""
    state: State = "unknown"
    error: str = ""
    begin: float | None = None
    spoken: Spoken | None = None


@dataclass(slots=True)
class PastRun:
    """A run, with all that was found of it."""

    run_id: str
    origin: Path
    summary: Summary | None = None
    agents: dict[str, PastAgent] = field(default_factory=dict[str, PastAgent])
    script: str = ""
    script_path: str = ""


def find_runs(path: Path) -> list[PastRun]:
    """The runs that a path holds: a run's folder or summary, a session's folder, a project's. Blocking.

    Raises ImportRefusedError where there is none, and for the first file that is not what it should be.
    """
    if path.is_file():
        if not RUN_ID.fullmatch(path.stem):
            raise ImportRefusedError(
                path, 0, "it is nothing that Claude Code or Codex has left",
                hint="Name a transcript (….jsonl), the summary of a run (wf_….json), or settings.json.",
            )  # fmt: skip
        return [_run(path.stem, path, path.parent.parent / "subagents" / "workflows" / path.stem)]
    if (path / "journal.jsonl").is_file():
        session = path.parent.parent.parent
        return [_run(path.name, session / "workflows" / f"{path.name}.json", path)]
    sessions = [path] if _is_session(path) else sorted(each for each in path.iterdir() if _is_session(each))
    found = [run for session in sessions for run in _of_session(session)]
    if not found:
        raise ImportRefusedError(
            path, 0, "there is no workflow of Claude Code here",
            hint="Name a session's folder below ~/.claude/projects/PROJECT, a run's folder, or a transcript.",
        )  # fmt: skip
    if len(found) > MAX_RUNS:
        raise ImportRefusedError(path, 0, f"it holds {len(found)} runs, and at most {MAX_RUNS} are taken at once")
    return found


def _is_session(path: Path) -> bool:
    return (path / "workflows").is_dir() or (path / "subagents" / "workflows").is_dir()


def _of_session(session: Path) -> list[PastRun]:
    summaries = {path.stem: path for path in sorted((session / "workflows").glob("wf_*.json"))}
    folders = {path.name: path for path in sorted((session / "subagents" / "workflows").glob("wf_*")) if path.is_dir()}
    names = dict.fromkeys((*folders, *summaries))
    return [
        _run(
            name,
            summaries.get(name, session / "workflows" / f"{name}.json"),
            folders.get(name, session / "subagents" / "workflows" / name),
        )
        for name in names
    ]


def _run(name: str, summary: Path, folder: Path) -> PastRun:
    if not RUN_ID.fullmatch(name):
        raise ImportRefusedError(folder, 0, f"{name!r} is no id of a run")
    refuse_links(folder, folder.parent, folder.parent.parent, summary.parent, summary.parent / "scripts")
    run = PastRun(name, folder if folder.is_dir() else summary)
    if summary.exists():
        run.summary = document(summary, Summary)
        if run.summary.run_id not in ("", name):
            raise ImportRefusedError(summary, 0, f"it is of another run, {run.summary.run_id}")
        _take_summary(run, run.summary)
    if (folder / "journal.jsonl").exists():
        _take_journal(run, folder / "journal.jsonl")
    for agent in run.agents.values():
        _take_files(agent, folder)
    if not run.script:
        _take_script(run, summary.parent / "scripts")
    return run


def _take_summary(run: PastRun, summary: Summary) -> None:
    run.script, run.script_path = summary.script or "", summary.script_path or ""
    for shown in summary.workflow_progress or []:
        if shown.type == "workflow_agent" and shown.agent_id:
            agent = _agent(run, shown.agent_id)
            agent.label, agent.phase = shown.label or "", shown.phase_title
            agent.model, agent.state = shown.model or "", _state(shown.state)
            agent.error = "" if shown.error is None else str(shown.error)
            agent.begin = shown.started_at / 1000 if shown.started_at else None


def _take_journal(run: PastRun, path: Path) -> None:
    for number, entry in lines(path, _Entry):
        if not entry.agent_id:
            continue
        if not AGENT_ID.fullmatch(entry.agent_id):
            raise ImportRefusedError(path, number, f"{entry.agent_id[:80]!r} is no id of an agent")
        agent = _agent(run, entry.agent_id)
        agent.label, agent.phase = agent.label or entry.label or "", agent.phase or entry.phase
        if entry.type == "result":
            agent.result, agent.state = bytes(entry.result), "done"
        elif entry.type == "failed" and agent.result is None:
            agent.state = "failed"


def _take_files(agent: PastAgent, folder: Path) -> None:
    meta = folder / f"agent-{agent.id}.meta.json"
    if meta.exists() or meta.is_symlink():
        known = document(meta, _Meta)
        agent.label, agent.phase = agent.label or known.label or "", agent.phase or known.phase
        agent.kind, agent.model = known.agent_type or "", agent.model or known.model or ""
    transcript = folder / f"agent-{agent.id}.jsonl"
    if transcript.exists() or transcript.is_symlink():
        agent.spoken = read_transcript(transcript)
        agent.model = agent.spoken.model or agent.model
        agent.begin = agent.spoken.begin or agent.begin


def _take_script(run: PastRun, folder: Path) -> None:
    for path in sorted(folder.glob(f"*-{run.run_id}.js")):
        run.script, run.script_path = text(path, MAX_SCRIPT), str(path)
        return


def _agent(run: PastRun, agent_id: str) -> PastAgent:
    if not AGENT_ID.fullmatch(agent_id):
        raise ImportRefusedError(run.origin, 0, f"{agent_id[:80]!r} is no id of an agent")
    agent = run.agents.get(agent_id)
    if agent is None:
        if len(run.agents) >= MAX_AGENTS:
            raise ImportRefusedError(run.origin, 0, f"it has more than {MAX_AGENTS:,} agents")
        agent = run.agents[agent_id] = PastAgent(agent_id)
    return agent


def _state(shown: str | None) -> State:
    match shown:
        case "done" | "cached":
            return "done"
        case "error":
            return "failed"
        case "skipped":
            return "skipped"
        case _:
            return "unknown"
