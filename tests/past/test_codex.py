"""`counterpoint import`: sessions of Codex, as runs with one agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.past.test_import import call, imported, refused, shown


def rollout(folder: Path, *items: tuple[str, dict[str, Any]], session: str = "s-1") -> Path:
    """A session's file: its head, and behind it these lines."""
    head = ("session_meta", {"id": session, "cwd": "/home/ada/project", "cli_version": "0.90.0"})
    path = folder / "2026" / "11" / f"rollout-2026-11-20T08-00-00-{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"timestamp": f"2026-11-20T08:00:{n:02}.000Z", "type": kind, "payload": payload}
        for n, (kind, payload) in enumerate([head, *items])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(role: str, text: str) -> tuple[str, dict[str, Any]]:
    kind = "output_text" if role == "assistant" else "input_text"
    return "response_item", {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def used(total_in: int, total_out: int) -> tuple[str, dict[str, Any]]:
    tokens = {"input_tokens": total_in, "cached_input_tokens": 10, "output_tokens": total_out}
    return "event_msg", {"type": "token_count", "info": {"total_token_usage": tokens}}


KEY = "ghp_" + "a1b2c3d4e5f6a7b8c9d0"
SESSION: tuple[tuple[str, dict[str, Any]], ...] = (
    ("turn_context", {"model": "gpt-6-codex", "cwd": "/home/ada/project"}),
    said("user", "<environment_context>\n<cwd>/home/ada/project</cwd></environment_context>"),
    said("user", "Make the suite green. We use pnpm here."),
    ("event_msg", {"type": "user_message", "message": "Make the suite green. We use pnpm here."}),
    ("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "zzz"}),
    ("response_item", {"type": "function_call", "name": "shell", "call_id": "c1",
                       "arguments": json.dumps({"command": ["npm", "test"]})}),
    ("response_item", {"type": "function_call_output", "call_id": "c1",
                       "output": json.dumps({"output": f"no npm {KEY}", "metadata": {"exit_code": 1}})}),
    used(100, 20),
    ("response_item", {"type": "custom_tool_call", "name": "apply_patch", "call_id": "c2", "input": "*** Begin"}),
    ("response_item", {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done"}),
    said("assistant", "It is green."),
    used(250, 45),
)  # fmt: skip


def test_a_session_of_codex_is_a_run_with_what_was_said_done_and_used(tmp_path: Path) -> None:
    rollout(tmp_path / "sessions", *SESSION)
    (row,) = imported(tmp_path / "sessions", tmp_path / "state")
    run = shown("show", row["run_id"], state=tmp_path / "state")
    agent = shown("show", row["run_id"], "a1", state=tmp_path / "state")

    assert (run["status"], run["result"]) == ("completed", "It is green.")
    assert run["usage"] == {
        "input_tokens": 250, "cached_input_tokens": 10, "output_tokens": 45, "usd": None, "requests": 2,
    }  # fmt: skip
    assert agent["prompt"] == "Make the suite green. We use pnpm here."
    assert agent["model"] == "openai:gpt-6-codex"
    kinds = [message["type"] for message in agent["transcript"]]
    assert kinds == ["user", "assistant", "tools", "assistant", "tools", "assistant"]
    failed = agent["transcript"][2]["results"][0]
    assert (failed["error"], "[exit code 1]" in failed["content"], KEY in failed["content"]) == (True, True, False)
    assert imported(tmp_path / "sessions", tmp_path / "state") == []


def test_what_is_no_session_is_refused_and_odd_lines_do_no_harm(tmp_path: Path) -> None:
    path = rollout(tmp_path, *SESSION)
    path.write_text(path.read_text() + '{"timestamp": 5, "type": []}\n')
    assert f"{path.name}:{len(SESSION) + 2}" in refused(path, tmp_path / "state")

    odd = rollout(
        tmp_path,
        ("response_item", {"type": "function_call_output", "call_id": None, "output": {"content": [{"text": "x"}]}}),
        ("response_item", {"type": "function_call", "name": "f", "call_id": "c", "arguments": "no json"}),
        ("response_item", {"type": "message", "role": "user", "content": 7}),
        ("unheard_of", {"a": 1}),
        said("user", "Hello."),
        session="s-2",
    )
    done = call("import", odd, "--json", state=tmp_path / "state")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["imported"][0]["agents"] == 1
