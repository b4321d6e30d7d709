"""The contract of scripts, through the command line, with simulated agents."""

import pytest
from tests.e2e.conftest import Program


def result(cpt: Program, text: str, *arguments: str):
    ended = cpt.run(text, *arguments)
    assert ended.code == 0, ended.err + ended.out
    return ended.json["result"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", None),
        ("return 7", 7),
        ("return {a: undefined, b: NaN, c: [Infinity, undefined], d: {toJSON() { return 'j' }}}",
         {"b": None, "c": [None, None], "d": "j"}),
        ("return typeof args", "undefined"),
        ("return typeof require + typeof process + typeof fetch + typeof Buffer", "undefined" * 4),
        ("try { eval('1') } catch (e) { return e.name }", "EvalError"),
        ("return await parallel([])", []),
        ("return await parallel([async () => 1, () => 2, () => { throw new Error('x') }])", [1, 2, None]),
        ("return await pipeline([1, 2], (p, item, i) => [p, item, i], (p) => p.length)", [3, 3]),
        ("return await pipeline(Promise.resolve([1]), () => null, () => 5)", [None]),
        ("return await pipeline([1], () => undefined, (p) => typeof p)", ["undefined"]),
        ("try { await parallel([agent('x')]) } catch (e) { return [e.name, e.message.includes('() => agent(')] }",
         ["TypeError", True]),
        ("try { await parallel(new Array(4097).fill(() => 1)) } catch (e) { return e.name }", "RangeError"),
        ("return [budget.total, budget.remaining() === Infinity, budget.spent()]", [None, True, 0]),
        ("try { await workflow('nope') } catch (e) { return e.name }", "WorkflowError"),
        ("try { await agent('x', {schema: {type: 'array'}}) } catch (e) { return e.name }", "SchemaError"),
        ("try { await agent('x', {agentType: 'none'}) } catch (e) { return [e.name, /general-/.test(e.message)] }",
         ["UnknownAgentTypeError", True]),
        ("const a = Math.random(); return a >= 0 && a < 1", True),
        ("return new Date().getTime() === Date.now()", True),
        ("return counterpoint.hash({a: 1, b: [2]}) === counterpoint.hash({b: [2], a: 1})", True),
        ("return structuredClone(new Map([[1, {a: 2}]])).get(1).a", 2),
        ("return new URL('https://a.example/b?c=d').searchParams.get('c')", "d"),
        ("return await new Promise((r) => setTimeout(() => r('late'), 5))", "late"),
    ],
)  # fmt: skip
def test_a_script_of_one_line_gives(cpt: Program, body: str, expected: object):
    assert result(cpt, body) == expected


def test_args_arrive_as_they_are(cpt: Program):
    assert result(cpt, "return args", "--args", '{"a":[1,"é"]}') == {"a": [1, "é"]}
    assert result(cpt, "return args", "--args", '"text"') == "text"


def test_agents_answer_with_text_or_with_what_the_schema_asks(cpt: Program):
    schema = (
        "{type: 'object', properties: {n: {type: 'integer', minimum: 3}, w: {enum: ['a', 'b']}}, required: ['n', 'w']}"
    )
    text, value = result(cpt, f"return [await agent('say'), await agent('count', {{schema: {schema}}})]")
    assert isinstance(text, str)
    assert value["n"] >= 3
    assert value["w"] in ("a", "b")


def test_agents_nobody_awaits_are_finished_and_count(cpt: Program):
    ended = cpt.run("agent('one'); agent('two').then(() => agent('three')); return 1")
    assert ended.json["agents"]["ok"] == 3


def test_a_script_error_in_a_thunk_is_recorded_with_its_place_and_makes_the_run_partial(cpt: Program):
    ended = cpt.run("return await parallel([\n  () => undefined.x,\n  () => agent('fine')])")
    assert ended.code == 4
    assert ended.json["status"] == "partial"
    (error,) = ended.json["script_errors"]
    assert (error["name"], error["line"]) == ("TypeError", 3)
    assert ended.json["result"][0] is None


def test_a_script_error_is_fatal_when_strict(cpt: Program):
    ended = cpt.run("return await parallel([() => undefined.x])", "--strict")
    assert (ended.code, ended.json["status"]) == (1, "failed")


def test_an_uncaught_error_says_where(cpt: Program):
    ended = cpt.run("const a = 1\nthrow new Error('broken')")
    assert ended.code == 1
    assert ended.json["error"] | {"stack": ""} == {
        "name": "Error",
        "message": "broken",
        "line": 3,
        "column": 7,
        "stack": "",
    }


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("while (true) {}", "ScriptTimeoutError"),
        ("const a = []; while (true) a.push(new Array(1e5).fill(1))", "ScriptMemoryError"),
        ("await new Promise(() => {})", "DeadlockError"),
    ],
)
def test_a_script_that_breaks_a_bound_fails_by_name(cpt: Program, body: str, name: str):
    ended = cpt(
        "run", cpt.script(body), "--model", "sim", "--json", COUNTERPOINT_MAX_SYNC_S="1", COUNTERPOINT_MAX_HEAP_MB="64"
    )
    assert ended.code == 1
    assert ended.json["error"]["name"] == name


def test_a_refused_script_starts_nothing(cpt: Program):
    ended = cpt.run("const x: string = 'a'")
    assert ended.code == 2
    assert ended.json["status"] == "rejected"
    assert ended.json["errors"][0]["line"] == 2
    assert cpt("ps", "--json", "--all").json in ([], {"runs": []})


def test_an_agent_that_fails_is_null_and_the_run_partial(cpt: Program):
    script = cpt.script("return await parallel(Array.from({length: 40}, (_, i) => () => agent(`n${i}`)))")
    ended = cpt("run", script, "--model", "sim:fail=0.3,seed=1", "--json")
    assert ended.code == 4
    document = ended.json
    dead = sum(value is None for value in document["result"])
    assert dead > 0
    assert document["agents"]["failed"] == dead
    assert document["coverage"] == {"ok": 40 - dead, "of": 40}


def test_refused_calls_are_no_agents(cpt: Program):
    body = """
    let refused = 0
    for (let i = 0; i < 5; i++) { try { await agent('n' + i) } catch (e) { refused += e.name === 'AgentCapError' } }
    return refused
    """
    ended = cpt.run(body, "--max-agents", "3")
    assert (ended.code, ended.json["result"], ended.json["agents"]["total"]) == (0, 2, 3)


def test_a_child_workflow_shares_the_run(cpt: Program):
    cpt.script("return [args, await agent('inner')]", "child")
    ended = cpt.run("return await workflow({scriptPath: 'child.js'}, {n: 1})")
    assert ended.code == 0, ended.err
    assert ended.json["result"][0] == {"n": 1}
    assert ended.json["agents"]["ok"] == 1


def test_jsonl_and_export_are_equal_line_for_line(cpt: Program):
    live = cpt("run", cpt.script("log('hi'); return await agent('x')"), "--model", "sim", "--jsonl")
    assert live.code == 0, live.err
    exported = cpt("export", "@last", "--jsonl")
    assert live.out == exported.out
    assert [line["seq"] for line in live.lines] == list(range(1, len(live.lines) + 1))


def test_what_show_result_and_run_say_is_the_same(cpt: Program):
    ran = cpt.run("phase('A'); return await agent('x', {label: 'lbl'})").json
    shown = cpt("show", "@last", "--json").json
    assert {**shown, "agent_list": None} | {} == {**shown, **ran, "agent_list": None}
    assert cpt("result", ran["run_id"], "--json").json == ran
    assert shown["agent_list"][0]["label"] == "lbl"
    assert shown["phases"] == [{"title": "A", "agents": 1, "ok": 1}]
