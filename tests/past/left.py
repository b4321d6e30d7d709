"""What Claude Code leaves of a run, written by hand in its form: two agents that answered, one that did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RUN = "wf_1072dc96-6a2"
SCRIPT = """export const meta = {
  name: 'find-flaky', description: 'Find flaky tests', phases: [{ title: 'Scan' }, { title: 'Judge' }],
}
return await parallel(['a', 'b', 'c'].map((name) => () => agent(`Look at ${name}`, { label: name })))
"""
SECRET = "sk-ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA"
AT = 1_790_000_000


def stamp(second: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(AT + second, UTC).isoformat().replace("+00:00", "Z")


def said(role: str, content: Any, second: float, **more: Any) -> dict[str, Any]:
    return {
        "type": role, "timestamp": stamp(second), "cwd": "/work/project", "sessionId": "s-1", "uuid": f"u{second}",
        "message": {"role": role, "content": content, **more},
    }  # fmt: skip


def conversation(prompt: str, answer: str) -> list[dict[str, Any]]:
    """Asked, a tool called, its result, answered; the first answer comes in two lines, as it does there."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 100, "output_tokens": 7}
    first = {"id": "m1", "model": "claude-sonnet-5", "usage": usage}
    last = {"id": "m2", "model": "claude-sonnet-5", "usage": {"input_tokens": 5, "output_tokens": 11}}
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": f"curl -H 'x: {SECRET}' x"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "200 OK"}]}
    return [
        {"type": "summary", "summary": "other lines are passed over", "message": "no object"},
        said("user", prompt, 0),
        said("assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look."}], 1, **first),
        said("assistant", [call], 2, **first),
        said("user", [result], 5),
        said("assistant", [{"type": "text", "text": answer}], 6, **last),
    ]


def as_lines(entries: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def session(folder: Path, *, summary: bool = True, cwd: str = "/work/project") -> Path:
    """A session's folder with one run, and the run's own folder in it. `cwd` is where its agents worked."""
    run = folder / "subagents" / "workflows" / RUN
    run.mkdir(parents=True)
    (folder / "workflows" / "scripts").mkdir(parents=True)
    (folder / "workflows" / "scripts" / f"find-flaky-{RUN}.js").write_text(SCRIPT)
    started = [{"type": "started", "key": f"v2:{n}", "agentId": f"ag{n}"} for n in (1, 2, 3)]
    results = [{"type": "result", "key": f"v2:{n}", "agentId": f"ag{n}", "result": {"flaky": n}} for n in (1, 2)]
    (run / "journal.jsonl").write_text(as_lines([*started, *results]))
    for n in (1, 2):
        lines = as_lines(conversation(f"Look at {n}", f"found {n}")).replace("/work/project", cwd)
        (run / f"agent-ag{n}.jsonl").write_text(lines)
        (run / f"agent-ag{n}.meta.json").write_text('{"agentType": "Explore", "spawnDepth": 1}')
    if summary:
        (folder / "workflows" / f"{RUN}.json").write_text(json.dumps(whole()))
    return folder


def whole() -> dict[str, Any]:
    states = [("ag1", "done"), ("ag2", "done"), ("ag3", "error")]
    return {
        "runId": RUN, "taskId": "w1", "workflowName": "find-flaky", "status": "completed", "script": SCRIPT,
        "scriptPath": "/work/project/flaky.js", "args": {"path": "tests"}, "result": {"flaky": ["one", "two"]},
        "agentCount": 3, "logs": ["3 suites"], "durationMs": 60_000, "startTime": AT * 1000, "totalTokens": 300,
        "workflowProgress": [
            {"type": "workflow_phase", "index": 1, "title": "Scan"},
            *({"type": "workflow_agent", "agentId": name, "label": f"scan:{name}", "phaseTitle": "Scan",
               "model": "claude-sonnet-5", "state": state, "tokens": 100} for name, state in states),
        ],
    }  # fmt: skip
