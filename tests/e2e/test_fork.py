"""Forks, tags, and verbs for several, from the command line."""

from __future__ import annotations

import json

from tests.e2e.conftest import Program

FLOW = """
phase('One')
const way = await counterpoint.checkpoint('Which way?', { options: ['left', 'right'], default: 'left' })
const found = await parallel([1, 2, 3].map((n) => () => agent(`find ${n} ${way}`, { label: `find ${n}` })))
phase('Two')
return [args, await agent(`join ${found.length}`)]
"""


def test_a_fork_is_made_from_the_command_line_and_every_form_of_it_can_be_exported(cpt: Program):
    parent = cpt.run(FLOW, "--args", "1", "--tag", "nightly").json["run_id"]
    lines = cpt("export", parent, "--jsonl").lines
    seq = next(line["seq"] for line in lines if line["type"] == "phase_entered" and line["title"] == "Two")
    ended = cpt("fork", parent, "--at", str(seq), "--args", "2", "--json")

    assert (ended.code, ended.json["result"][0], ended.json["agents"]["reused"]) == (0, 2, 3)
    assert "reuses 3, runs 1" in ended.err
    assert ended.json["tags"] == ["nightly"]
    assert f"fork {ended.json['run_id']} goes on from event {seq}" in cpt("show", parent).out
    for form in ("--jsonl", "--perfetto", "--otlp"):
        assert cpt("export", ended.json["run_id"], form).code == 0, form
    traced = json.loads(cpt("export", ended.json["run_id"], "--perfetto").out)["traceEvents"]
    assert {row["args"]["agent"] for row in traced if "agent" in row.get("args", {})} == {"a4"}
    assert cpt("fork", parent, "--at", "999").code == 2


def test_a_fork_with_arguments_that_do_not_fit_is_refused(cpt: Program):
    meta = "{ name: 'x', description: 'y', args: { type: 'object', properties: { n: { type: 'integer' } } } }"
    (cpt.folder / "x.js").write_text(f"export const meta = {meta}\nreturn args", "utf-8")
    parent = cpt("run", "x.js", "--args", '{"n": 1}', "--model", "sim", "--json").json["run_id"]
    refused = cpt("fork", parent, "--args", '{"n": "one"}', "--json")
    assert (refused.code, "$.n: must be integer" in refused.err + refused.out) == (2, True)
    assert cpt("fork", parent, "--args", '{"n": 2}', "--json").json["result"] == {"n": 2}


def test_several_agents_and_runs_are_asked_at_once_each_with_a_receipt(cpt: Program):
    text = "return await parallel([1, 2, 3, 4].map((n) => () => agent(`work ${n}`)))"
    started = cpt("run", cpt.script(text), "--model", "sim:latency=900s", "--tag", "long", "--detach").out.strip()
    while cpt("show", started, "--json").json["agents"]["total"] < 4:
        pass
    skipped = cpt("skip", started, "a1", "a2", "a9", "--json")
    stopped = cpt("stop", "tag:long", "--json")

    assert [(row["target"], row["ok"]) for row in skipped.json["receipts"]] == [
        ("a1", True),
        ("a2", True),
        ("a9", False),
    ]
    assert (skipped.code, stopped.code, stopped.json["ok"]) == (1, 0, True)
    assert [run["run_id"] for run in cpt("ps", "--all", "--tag", "long", "--json").json["runs"]] == [started]
