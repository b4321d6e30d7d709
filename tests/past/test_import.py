"""`counterpoint import`: runs and settings that Claude Code has left, as far as they were recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.past import left

import counterpoint
from counterpoint.cli.main import program
from counterpoint.errors import CounterpointError
from counterpoint.tracing.spans import spans


def call(*arguments: str | Path, state: Path) -> Result:
    return CliRunner().invoke(program, [*map(str, arguments), "--state", str(state)])


def imported(path: Path, state: Path) -> list[dict[str, Any]]:
    done = call("import", path, "--json", state=state)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["imported"]


def refused(path: Path, state: Path) -> str:
    done = call("import", path, state=state)
    assert isinstance(done.exception, CounterpointError), done.output
    return done.exception.message


def shown(*arguments: str, state: Path) -> Any:
    done = call(*arguments, "--json", state=state)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_run_is_shown_with_its_agents_results_transcripts_and_unknown_costs(tmp_path: Path):
    state = tmp_path / "state"
    (row,) = imported(left.session(tmp_path / "session"), state)
    assert (row["run_id"], row["name"], row["agents"]) == (left.RUN, "find-flaky", 3)
    run = shown("show", left.RUN, state=state)
    assert (run["status"], run["coverage"]) == ("partial", {"ok": 2, "of": 3})
    assert run["result"] == {"flaky": ["one", "two"]}
    assert run["tags"] == ["imported"]
    assert run["usage"] == {
        "input_tokens": 410, "cached_input_tokens": 180, "output_tokens": 36, "usd": None, "requests": 4,
    }  # fmt: skip
    assert run["duration_s"] == 60.0
    assert [phase["title"] for phase in run["phases"]] == ["Scan", "Judge"]
    assert run["log"] == ["3 suites", "No transcript is there of 1 of 3 agents: what they used is unknown."]
    assert [(a["label"], a["outcome"], a["model"]) for a in run["agent_list"]] == [
        ("scan:ag1", "ok", "anthropic:claude-sonnet-5"),
        ("scan:ag2", "ok", "anthropic:claude-sonnet-5"),
        ("scan:ag3", "failed", "anthropic:claude-sonnet-5"),
    ]
    agent = shown("show", left.RUN, "a1", state=state)
    assert (agent["prompt"], agent["value"], agent["turns"]) == ("Look at 1", {"flaky": 1}, 2)
    assert [turn["type"] for turn in agent["transcript"]] == ["user", "assistant", "tools", "assistant"]
    assert agent["transcript"][1]["text"] == "I look."
    assert agent["transcript"][2]["results"][0]["content"] == "200 OK"
    assert left.SECRET not in json.dumps(agent)
    assert [row["run_id"] for row in shown("ps", "--all", state=state)["runs"]] == [left.RUN]


async def test_the_events_of_an_imported_run_make_a_trace_and_a_page(tmp_path: Path):
    imported_here = tmp_path / "state"
    await asyncio.to_thread(imported, left.session(tmp_path / "session"), imported_here)
    events = [recorded async for recorded in counterpoint.watch(left.RUN, state=imported_here)]
    assert [recorded.seq for recorded in events] == list(range(1, len(events) + 1))
    assert [recorded.at for recorded in events] == sorted(recorded.at for recorded in events)
    trace = json.loads(spans(events))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    names = [span["name"] for span in trace]
    assert names[0] == "invoke_workflow find-flaky"
    assert names.count("execute_tool Bash") == 2
    (tools,) = {(int(s["endTimeUnixNano"]) - int(s["startTimeUnixNano"])) / 1e9 for s in trace if "Bash" in s["name"]}
    assert tools == 3.0


def test_dreaming_reads_it_as_a_run_of_the_project_that_it_worked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    imported(left.session(tmp_path / "session", cwd=str(project)), tmp_path / "state")
    priced = shown("dream", "run", "--dry-run", "--model", "sim", state=tmp_path / "state")
    assert (priced["sessions"], priced["left_out"]) == (1, {})


def test_it_is_never_gone_on_with_and_imported_once(tmp_path: Path):
    state, session = tmp_path / "state", left.session(tmp_path / "session")
    imported(session, state)
    before = shown("show", left.RUN, state=state)
    assert imported(session, state) == []
    for verb in (["resume", left.RUN], ["resume", left.RUN, "--dry-run"], ["fork", left.RUN]):
        done = call(*verb, state=state)
        assert isinstance(done.exception, counterpoint.UsageError), done.output
        assert "was imported from" in done.exception.message
    assert shown("show", left.RUN, state=state) == before


async def test_the_api_does_not_go_on_with_it_either(tmp_path: Path):
    await asyncio.to_thread(imported, left.session(tmp_path / "session"), tmp_path / "state")
    with pytest.raises(counterpoint.UsageError, match="was imported from"):
        await counterpoint.resume(left.RUN, state=tmp_path / "state")


def test_a_run_without_a_summary_says_that_its_end_is_unknown(tmp_path: Path):
    session = left.session(tmp_path / "session", summary=False)
    state = tmp_path / "state"
    (row,) = imported(session / "subagents" / "workflows" / left.RUN, state)
    assert row["name"] == "find-flaky"
    run = shown("show", left.RUN, state=state)
    assert run["status"] == "stopped"
    assert "Nothing was recorded of its end" in run["message"]
    assert run["agents"]["cancelled"] == 1
    assert "No result was recorded" in run["agent_list"][2]["fault"]["message"]


def test_a_conversation_becomes_a_run_with_one_agent(tmp_path: Path):
    path = tmp_path / "0a1b.jsonl"
    path.write_text(left.as_lines(left.conversation("Why is the sky blue?", "It scatters.")))
    (row,) = imported(path, tmp_path / "state")
    run = shown("show", row["run_id"], state=tmp_path / "state")
    assert (run["status"], run["result"]) == ("completed", "It scatters.")
    assert run["agent_list"][0]["label"] == "Why is the sky blue?"
    assert imported(path, tmp_path / "state") == []


def test_a_last_line_that_was_cut_off_is_left_out_and_any_other_is_an_error_with_its_place(tmp_path: Path):
    session = left.session(tmp_path / "session")
    transcript = session / "subagents" / "workflows" / left.RUN / "agent-ag1.jsonl"
    whole = transcript.read_text()
    transcript.write_text(whole + '{"type": "assis')
    assert imported(session, tmp_path / "one")[0]["agents"] == 3
    transcript.write_text(whole.replace('"type": "user"', '"type": ["user"]', 1))
    assert refused(session, tmp_path / "two").startswith(f"{transcript.resolve()}:2: ")
    transcript.write_text(whole.replace("I look.", "I look \\\\ud83d\\ud83d\\ude00 \\ud83d"))
    imported(session, tmp_path / "halves")
    said = shown("show", left.RUN, "a1", state=tmp_path / "halves")["transcript"][1]["text"]
    assert said == "I look \\ud83d\U0001f600 \ufffd"
    transcript.write_text("[" * 100_000 + "\n")
    assert f"{transcript.resolve()}:1: " in refused(session, tmp_path / "three")


def test_values_that_are_nested_beyond_measure_are_refused(tmp_path: Path):
    session = left.session(tmp_path / "session")
    journal = session / "subagents" / "workflows" / left.RUN / "journal.jsonl"
    for depth in (700, 100_000):
        journal.write_text('{"type":"result","agentId":"ag1","result":' + "[" * depth + "]" * depth + "}\n")
        assert "nested too deeply" in refused(session, tmp_path / str(depth))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"type": "started", "agentId": "../../../etc/passwd"}, "is no id of an agent"),
        ({"type": "started", "agentId": 7}, "Expected `str`"),
        ({"type": "result", "agentId": "x" * 100, "result": 1}, "is no id of an agent"),
    ],
)
def test_a_hostile_journal_is_refused_and_nothing_is_imported(tmp_path: Path, entry: dict[str, Any], why: str):
    session = left.session(tmp_path / "session")
    journal = session / "subagents" / "workflows" / left.RUN / "journal.jsonl"
    journal.write_text(left.as_lines([entry]))
    message = refused(session, tmp_path / "state")
    assert f"{journal.resolve()}:1: " in message
    assert why in message
    assert shown("ps", "--all", state=tmp_path / "state")["runs"] == []


def test_links_other_folders_and_summaries_of_other_runs_are_refused(tmp_path: Path):
    session = left.session(tmp_path / "session")
    (tmp_path / "empty").mkdir()
    secret = tmp_path / "id_rsa"
    secret.write_text("secret\n")
    transcript = session / "subagents" / "workflows" / left.RUN / "agent-ag1.jsonl"
    transcript.unlink()
    transcript.symlink_to(secret)
    assert "symbolic link" in refused(session, tmp_path / "state")
    scripted = left.session(tmp_path / "scripted", summary=False)
    script = next((scripted / "workflows" / "scripts").iterdir())
    script.unlink()
    script.symlink_to(secret)
    assert "symbolic link" in refused(scripted, tmp_path / "state")
    linked = tmp_path / "linked"
    (linked / "subagents").mkdir(parents=True)
    (linked / "subagents" / "workflows").symlink_to(scripted / "subagents" / "workflows")
    assert "symbolic link" in refused(linked, tmp_path / "state")
    assert "there is no workflow of Claude Code here" in refused(tmp_path / "empty", tmp_path / "state2")
    other = left.session(tmp_path / "other")
    (other / "workflows" / f"{left.RUN}.json").write_text('{"runId": "wf_ffffffff-fff"}')
    assert "it is of another run" in refused(other, tmp_path / "state3")


def test_a_workflow_is_exported_for_claude_code_only_where_nothing_in_it_is_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "state"
    imported(left.session(tmp_path / "session"), state)
    done = call("workflows", "export", left.RUN, "--json", state=state)
    assert json.loads(done.stdout) == {
        "name": "find-flaky", "path": str(tmp_path / ".claude" / "workflows" / "find-flaky.js"),
    }  # fmt: skip
    assert (tmp_path / ".claude" / "workflows" / "find-flaky.js").read_text() == left.SCRIPT
    ours = tmp_path / "ours.js"
    ours.write_text("export const meta = { name: 'ours', description: 'd' }\nreturn counterpoint.run.model\n")
    refusal = call("workflows", "export", ours, state=state).exception
    assert isinstance(refusal, counterpoint.ScriptRefused)
    assert "not portable" in refusal.message
    assert not (tmp_path / ".claude" / "workflows" / "ours.js").exists()


def test_settings_are_mapped_and_what_is_not_is_said(tmp_path: Path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({
        "$schema": "x",
        "model": "claude-opus-5",
        "permissions": {
            "allow": ["Bash(npm test)", "Edit(src/**)"], "deny": ["Read(.env)"], "defaultMode": "acceptEdits",
        },
        "env": {"CLAUDE_CODE_WORKFLOW_MAX_CONCURRENT_AGENTS": "8", "ANTHROPIC_API_KEY": left.SECRET},
        "hooks": {}, "somethingNew": True,
    }))  # fmt: skip
    config = tmp_path / "p" / ".counterpoint" / "config.toml"
    done = call("import", settings, "-o", config, state=tmp_path / "state")
    assert done.exit_code == 0, done.output
    assert config.read_text() == (
        'model = "anthropic:claude-opus-5"\n'
        'allow = ["Bash(npm test)", "Edit(src/**)"]\n'
        'deny = ["Read(.env)"]\n'
        "concurrency = 8\n"
    )
    for line in ("permissions.defaultMode: use allow", "env: ", "hooks: programs", "somethingNew: nothing here"):
        assert f"left out: {line}" in done.stderr
    assert left.SECRET not in done.output
    again = call("import", settings, "-o", config, state=tmp_path / "state")
    assert isinstance(again.exception, counterpoint.UsageError)
