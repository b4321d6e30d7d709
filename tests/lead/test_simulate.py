"""A simulation says beforehand what a run will need, spends nothing and leaves nothing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from tests.e2e.conftest import Program


def simulated(cpt: Program, text: str, *arguments: str, code: int = 0, model: str = "sim") -> Any:
    ended = cpt("simulate", cpt.script(text), "--json", "--model", model, *arguments)
    assert ended.code == code, ended.out + ended.err
    return ended.json


LIST = "{type: 'array', items: {type: 'string'}}"
FINDINGS = f"{{type: 'object', required: ['findings'], properties: {{findings: {LIST}}}}}"
DONE = "{type: 'object', required: ['ok'], properties: {ok: {type: 'boolean'}}}"


def test_the_estimate_holds_what_the_run_then_uses(cpt: Program):
    text = f"""
    phase('Find')
    const found = await agent('What is wrong?', {{ schema: {FINDINGS} }})
    phase('Check')
    const checked = await parallel((found?.findings ?? []).map((f) => () => agent(`Is it so? ${{f}}`)))
    return checked.filter(Boolean).length
    """
    estimate = simulated(cpt, text)
    run = cpt.run(text).json
    used = {**run["usage"], "agents": run["agents"]["total"]}
    for name in ("agents", "input_tokens", "output_tokens", "usd"):
        assert estimate[name]["low"] <= used[name] <= estimate[name]["high"], name
    ranges = {phase["title"]: phase["agents"] for phase in estimate["phases"]}
    for phase in run["phases"]:
        assert ranges[phase["title"]]["low"] <= phase["agents"] <= ranges[phase["title"]]["high"]


def test_a_loop_that_never_ends_is_found(cpt: Program):
    text = f"""
    let done = false
    while (!done) done = (await agent('Finished?', {{ schema: {DONE} }})).ok
    return 'done'
    """
    estimate = simulated(cpt, text, "--max-agents", "40", code=1)
    assert any("has no bound" in problem for problem in estimate["problems"])
    assert estimate["agents"]["high"] == 40
    assert estimate["against_caps"]


def test_a_script_that_computes_without_end_is_tried_once(cpt: Program):
    (cpt.folder / ".counterpoint").mkdir()
    (cpt.folder / ".counterpoint" / "config.toml").write_text("max_sync_s = 0.3\n", "utf-8")
    estimate = simulated(cpt, "while (true) {}", code=1)
    assert any("ScriptTimeoutError" in problem for problem in estimate["problems"])
    assert len(estimate["simulations"]) == 1


def test_a_mistake_that_needs_an_empty_list_is_found_with_its_line(cpt: Program):
    text = f"""const a = await agent('Find.', {{ schema: {FINDINGS} }})
    return a.findings[0].length"""
    estimate = simulated(cpt, text, code=1)
    assert any(
        "nothing is found" in problem and "line 3" in problem and "TypeError" in problem
        for problem in estimate["problems"]
    )


def test_what_breaks_when_agents_fail_is_a_weak_point_and_no_problem(cpt: Program):
    text = f"return (await agent('Find.', {{ schema: {FINDINGS} }})).findings.length"
    estimate = simulated(cpt, text)
    assert estimate["sound"]
    assert any("every agent fails" in point and "TypeError" in point for point in estimate["weak_points"])


def test_nothing_is_recorded_and_nothing_is_changed(cpt: Program):
    text = """
    await counterpoint.tool('Write', {file_path: 'made.txt', content: 'x'})
    await counterpoint.tool('Bash', {command: 'touch made.txt'})
    return [await agent('a'), await counterpoint.tool('Glob', {pattern: '*.js'})]
    """
    estimate = simulated(cpt, text)
    assert cpt("ps", "--all", "--json").json == {"runs": []}
    assert not (cpt.folder / "made.txt").exists()
    assert {"Write", "Bash(touch made.txt)", "Glob"} <= set(estimate["tools"])
    assert estimate["paths"] == ["made.txt"]


def test_a_wait_of_hours_is_in_the_estimate_and_not_in_the_simulation(cpt: Program):
    estimate = simulated(cpt, "await new Promise((r) => setTimeout(r, 7_200_000)); return await agent('a')")
    assert 7200 <= estimate["wall_s"]["low"] < 7300


def test_agents_in_parallel_take_the_time_of_one_and_in_a_row_that_of_all(cpt: Program):
    many = "return (await parallel(Array.from({length: 10}, (_, i) => () => agent(`n${i}`)))).length"
    row = "for (let i = 0; i < 10; i++) await agent(`n${i}`); return 10"
    side_by_side = simulated(cpt, many, model="anthropic:claude-sonnet-5")
    one_by_one = simulated(cpt, row, model="anthropic:claude-sonnet-5")
    assert one_by_one["wall_s"]["likely"] > 5 * side_by_side["wall_s"]["likely"]
    assert one_by_one["output_tokens"]["likely"] == side_by_side["output_tokens"]["likely"] > 1000


def test_past_runs_of_the_workflow_are_learned_from(cpt: Program):
    text = "return (await parallel(args.map((n) => () => agent(`n${n}`)))).length"
    before = simulated(cpt, text, "--args", "[1, 2]")
    assert before["past_runs"] == 0
    for args in ("[1, 2]", "[1, 2, 3, 4, 5]"):
        ended = cpt("run", cpt.script(text), "--args", args, "--model", "sim:tokens=700", "--json")
        assert ended.code == 0, ended.err
    after = simulated(cpt, text, "--args", "[1, 2]")
    assert (after["past_runs"], after["past_runs_alike"]) == (2, 1)
    assert (after["output_tokens"]["likely"], after["agents"]["likely"]) == (1400, 2)
    other = simulated(cpt, text, "--args", "[1, 2, 3]")
    assert (other["past_runs"], other["past_runs_alike"]) == (2, 0)
    assert other["agents"]["likely"] == 3


def test_people_are_asked_in_the_real_run_and_the_simulation_says_what(cpt: Program):
    text = """
    const go = await counterpoint.checkpoint('Delete them all?', {options: ['keep', 'delete']})
    return go === 'keep' ? await agent('keep') : await agent('delete')
    """
    assert simulated(cpt, text)["gates"] == ["Delete them all?"]


def test_the_worst_case_is_held_against_the_budget(cpt: Program):
    text = "return (await parallel(Array.from({length: 9}, (_, i) => () => agent(`n${i}`)))).length"
    estimate = simulated(cpt, text, "--budget", "9000", model="anthropic:claude-sonnet-5")
    assert any("9000" in caution for caution in estimate["against_caps"])


def test_the_picture_shows_phases_and_fan_outs_and_escapes_what_it_is_given(cpt: Program):
    text = """export const meta = { name: '<b>x</b>', description: 'y',
      phases: [{title: 'Read & <think>'}, {title: 'Write'}] }
    const read = (item) => agent(`Read ${item}`, {phase: 'Read & <think>', label: `read ${item}`})
    const texts = await pipeline(['a', 'b'], read)
    return await agent('Write.', {phase: 'Write', label: 'writer'})
    """
    path = cpt.folder / "picture.svg"
    estimate = simulated(cpt, text, "--svg", str(path))
    assert [(c["phase"], c["kind"], c["around"]) for c in estimate["shape"]] == [
        ("Read & <think>", "agent", ["pipeline"]),
        ("Write", "agent", []),
    ]
    drawn = " ".join(ElementTree.fromstring(path.read_text("utf-8")).itertext())
    assert "<b>x</b>" in drawn
    assert "Read & <think>" in drawn
    assert "2 agents" in drawn
    shown = cpt("simulate", cpt.script(text), "--model", "sim").out
    assert "agent “read …” × n (pipeline)" in shown


def test_a_simulation_that_is_cut_says_so_and_is_not_in_the_ranges(cpt: Program):
    text = f"""
    const found = await agent('What is wrong?', {{ schema: {FINDINGS} }})
    if (found?.findings.length > 6) while (true) await new Promise((r) => setTimeout(r, 1000))
    return 1
    """
    estimate = simulated(cpt, text, "--runs", "1", code=1)
    cut = [one for one in estimate["simulations"] if one["cut"]]
    assert [one["status"] for one in cut] == ["stopped"]
    assert any("every list is long" in one and "cut" in one for one in estimate["problems"])
    assert estimate["wall_s"]["high"] < 1000 < cut[0]["wall_s"]
