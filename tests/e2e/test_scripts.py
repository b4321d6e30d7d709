"""Scripts of every shape, with simulated agents.

Each file of `scripts/` says in its meta what it is to give: `expect`, and where it matters `agents` (that answered),
`status`, `logs` (lines that must be there) and `groups` (agents by phase); `model` and `flags` are for the run.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program

from counterpoint.script.parse import parse

SCRIPTS = Path(__file__).parent / "scripts"


def shapes() -> dict[str, dict[str, Any]]:
    """What each script says of itself."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.glob("*.js"))}
    return {name: parse(text, name).meta.raw for name, text in texts.items()}


def run(cpt: Program, name: str, *flags: str) -> dict[str, Any]:
    shutil.copytree(SCRIPTS, cpt.folder, dirs_exist_ok=True)
    (cpt.folder / ".claude").mkdir(exist_ok=True)
    shutil.copytree(SCRIPTS / "children", cpt.folder / ".claude" / "workflows", dirs_exist_ok=True)
    ended = cpt("run", name, "--json", *flags)
    assert ended.out, ended.err
    return ended.json


@pytest.mark.parametrize(("name", "meta"), [(name, meta) for name, meta in shapes().items() if "expect" in meta])
def test_a_script_of_this_shape_gives_what_it_says(cpt: Program, name: str, meta: dict[str, Any]):
    document = run(cpt, name, "--model", meta.get("model", "sim"), *meta.get("flags", []))
    assert document["error"] is None
    assert document["script_errors"] == []
    assert document["result"] == meta["expect"]
    assert document["status"] == meta.get("status", "completed")
    if "agents" in meta:
        assert document["agents"]["ok"] == meta["agents"]
    for line in meta.get("logs", []):
        assert any(line in told for told in document["log"]), document["log"]
    if "groups" in meta:
        assert {row["title"]: row["agents"] for row in document["phases"] if row["agents"]} == meta["groups"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (None, {"given": "undefined", "topic": "none", "limit": 3, "rest": {}, "question": None}),
        ('{"topic": "t", "limit": 5, "x": [1]}', {"given": "object", "topic": "t", "limit": 5, "rest": {"x": [1]}}),
        ('"a question"', {"given": "string", "topic": "a question", "limit": 3}),
        ('"{\\"topic\\": \\"in a text\\"}"', {"given": "string", "topic": "in a text"}),
        ('["a", "b"]', {"given": "array", "topic": "a+b"}),
        ("null", {"given": "null", "topic": "none"}),
        ("7", {"given": "number", "topic": "none"}),
        ('{"question": ""}', {"given": "object", "question": ""}),
    ],
)
def test_args_are_what_was_given(cpt: Program, args: str | None, expected: dict[str, Any]):
    flags = [] if args is None else ["--args", args]
    document = run(cpt, "args.js", "--model", "sim", *flags)
    assert document["result"] | expected == document["result"]
    warned = any("args is a text that holds JSON" in line for line in document["log"])
    assert warned == (args is not None and args.startswith('"{'))


def test_a_script_of_250_kilobytes_runs(cpt: Program):
    lines = [f"total += {n} // {'x' * 60}" for n in range(3_300)]
    text = "let total = 0\n" + "\n".join(lines) + "\nawait agent('one'); return [total, nope()]"
    document = cpt.run(text.replace(", nope()", "")).json
    assert (len(text) > 250_000, document["result"]) == (True, [sum(range(3_300))])
    assert cpt.run(text).json["error"]["line"] == 3_303


def test_a_script_whose_agents_say_much_runs(cpt: Program):
    body = "return (await parallel(Array.from({length: 40}, (_, i) => () => agent('x'.repeat(100_000) + i)))).length"
    assert cpt.run(body).json["result"] == 40


def test_every_shape_passes_check_without_an_error(cpt: Program):
    shutil.copytree(SCRIPTS, cpt.folder / "scripts")
    ended = cpt("check", "scripts", "--json")
    assert (ended.code, ended.json["errors"]) == (0, []), json.dumps(ended.json["errors"])
