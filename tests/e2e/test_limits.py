"""What bounds a script, as its user meets it: the name, the limit, the way to raise it, and nothing lost."""

import json

import pytest
from tests.e2e.conftest import Ended, Program


def limited(cpt: Program, text: str, **bounds: str) -> Ended:
    environment = {f"COUNTERPOINT_{name.upper()}": value for name, value in bounds.items()}
    return cpt("run", cpt.script(text), "--model", "sim", "--json", timeout=60, **environment)


@pytest.mark.parametrize(
    ("body", "bounds", "name", "raised"),
    [
        ("for (;;) await null", {"max_sync_s": "0.3"}, "ScriptTimeoutError", "max_sync_s = 0.3"),
        ("const a = []; for (;;) a.push('x'.repeat(1e6) + a.length)", {"max_heap_mb": "32"}, "ScriptMemoryError",
         "max_heap_mb = 32"),
        ("return 'x'.repeat(2e6)", {"max_output_mb": "1"}, "ScriptOutputError", "max_output_mb = 1"),
        ("await agent('x'.repeat(2e6))", {"max_output_mb": "1"}, "ScriptOutputError", "max_output_mb = 1"),
        ("for (let i = 0; i < 20; i++) agent('x'); return 1", {"max_pending": "10"}, "ScriptOutputError",
         "max_pending = 10"),
        ("await parallel(Array(9).fill(() => agent('x')))", {"max_items": "8"}, "RangeError",
         "at most 8 are allowed (max_items)"),
        ("await pipeline(Array(9).fill(1), () => agent('x'))", {"max_items": "8"}, "RangeError",
         "at most 8 are allowed (max_items)"),
        ("await agent('a'); await agent('b'); await agent('c')", {"max_agents": "2"}, "AgentCapError", "--max-agents"),
        ("for (let i = 0; i < 20_010; i++) agent('x').catch(() => 0); await agent('x')", {"max_agents": "1"},
         "AgentCapError", "20,000 of its calls were refused"),
        ("function f() { f() } f()", {"max_stack_mb": "1"}, "RangeError", "Maximum call stack size exceeded"),
    ],
)  # fmt: skip
def test_a_limit_ends_the_run_by_name_and_says_how_to_raise_it(
    cpt: Program, body: str, bounds: dict[str, str], name: str, raised: str
):
    ended = limited(cpt, body, **bounds)
    assert ended.code == 1, ended.err
    assert ended.json["status"] == "failed"
    assert ended.json["error"]["name"] == name
    assert raised in ended.json["error"]["message"]
    if name.startswith("Script"):
        variable = f"COUNTERPOINT_{next(iter(bounds)).upper()}"
        assert f"raise it with {variable} or in config.toml" in ended.json["error"]["message"]
    assert name in ended.err
    assert "Traceback" not in ended.err


def test_what_was_told_and_done_before_the_limit_is_kept(cpt: Program):
    body = "log('begins'); phase('A'); agent('one'); await agent('two'); log('spins'); while (true) {}"
    document = limited(cpt, body, max_sync_s="0.3").json
    assert document["log"] == ["begins", "spins"]
    assert document["agents"]["ok"] == 2
    assert document["error"]["name"] == "ScriptTimeoutError"


def test_a_limit_that_was_raised_holds_for_the_resume(cpt: Program):
    body = "const a = await agent('x'); for (let i = 0; i < 40; i++) agent('n' + i); return 'through'"
    first = limited(cpt, body, max_pending="30")
    assert first.json["error"]["name"] == "ScriptOutputError"
    again = cpt("resume", "@last", "--json")
    assert again.json["error"]["name"] == "ScriptOutputError"
    raised = cpt("resume", "@last", "--json", COUNTERPOINT_MAX_PENDING="100")
    assert raised.code == 0, raised.err
    assert (raised.json["result"], raised.json["agents"]["reused"], raised.json["agents"]["ok"]) == ("through", 1, 40)


def test_a_flood_of_narration_is_bounded_in_the_journal(cpt: Program):
    script = cpt.script("for (let i = 0; i < 1e6; i++) log('line ' + i); return 1")
    ended = cpt("run", script, "--model", "sim", "--jsonl", COUNTERPOINT_MAX_LOG_LINES="200")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    told = [line["text"] for line in lines if line["type"] == "log_written"]
    assert len(told) == 201
    assert told[200] == "More than 200 events of the kind 'log'; the rest is not kept (max_log_lines)."


def test_nobody_listening_to_a_rejection_is_a_line_and_no_failure(cpt: Program):
    ended = cpt.run("Promise.reject(new Error('lost'))\nagent('x', {schema: {type: 'array'}})\nreturn await agent('y')")
    assert (ended.code, ended.json["status"]) == (0, "completed")
    first, second = ended.json["log"]
    assert first == "Unhandled rejection: Error: lost (2:16)"
    assert second.startswith("Unhandled rejection: SchemaError: ")
    assert second.endswith("(3:1)")


def test_a_deadlock_says_what_may_have_led_to_it(cpt: Program):
    ended = cpt.run(
        "const work = async () => { throw new Error('the worker died') }; work(); await new Promise(() => {})"
    )
    assert (ended.code, ended.json["error"]["name"]) == (1, "DeadlockError")
    assert ended.json["log"] == ["Unhandled rejection: Error: the worker died (2:34)"]


def test_halves_of_characters_become_the_sign_for_them(cpt: Program):
    text = "const t = await agent('a\\ud800b', {label: 'l\\udc00'}); log('\\ud83d'); return ['\\ud800', typeof t]"
    ended = cpt.run(text)
    assert ended.code == 0, ended.err
    assert ended.json["result"] == ["\ufffd", "string"]
    assert ended.json["log"] == ["\ufffd"]
    assert cpt("show", "@last", "--json").json["agent_list"][0]["label"] == "l\ufffd"


ODD_OPTIONS = """
    null | [1, 2] | 'label' | {label: {a: 1}} | {label: Symbol()} | {label: ''} | {phase: [1]} | {phase: null}
    {model: 7} | {model: {}} | {effort: []} | {tools: 'Read'} | {tools: {}} | {disallowedTools: 5} | {timeoutMs: 'x'}
    {timeoutMs: -1} | {stallMs: NaN} | {maxTurns: 1e999} | {maxTurns: 0.5} | {retries: -3} | {key: {a: [1]}}
    {key: null} | {cwd: 5} | {schema: null} | {isolation: null} | {agentType: 7} | {__proto__: {label: 'x'}}
"""


def test_options_of_the_wrong_kind_do_no_harm(cpt: Program):
    options = [row.strip() for line in ODD_OPTIONS.strip().splitlines() for row in line.split("|")]
    calls = ", ".join(f"() => agent('x', {option})" for option in options)
    ended = cpt.run(f"return (await parallel([{calls}])).map((text) => typeof text)")
    assert ended.code == 0, ended.out + ended.err
    assert ended.json["result"] == ["string"] * len(options)


WRONG_CALLS = {
    "agent('x', {schema: 5})": "SchemaError",
    "agent('x', {schema: []})": "SchemaError",
    "agent('x', {schema: {type: 'object', properties: 7}})": "SchemaError",
    "agent('x', {isolation: 'vm'})": "WorkspaceError",
    "agent('x', {from: 7})": "WorkspaceError",
    "agent('x', {cwd: '../..'})": "WorkspaceError",
    "agent('x', {cwd: 'nowhere'})": "WorkspaceError",
    "workflow()": "WorkflowError",
    "workflow(7)": "WorkflowError",
    "workflow({scriptPath: 5})": "WorkflowError",
    "workflow({scriptPath: '/etc/passwd'})": "WorkflowError",
    "counterpoint.tool('Nothing', {})": "ToolError",
    "counterpoint.tool(null)": "ToolError",
    "counterpoint.tool('Read', 5)": "TypeError",
}


def test_what_is_asked_wrongly_rejects_and_can_be_caught(cpt: Program):
    calls = ", ".join(f"{call}.catch((e) => e.name)" for call in WRONG_CALLS)
    ended = cpt.run(f"return await Promise.all([{calls}])")
    assert ended.code == 0, ended.out + ended.err
    assert dict(zip(WRONG_CALLS, ended.json["result"], strict=True)) == WRONG_CALLS
    assert ended.json["agents"]["total"] == 0


def test_a_label_of_any_length_can_be_shown(cpt: Program):
    cpt.run("await agent('x', {label: 'l'.repeat(1e6), phase: 'p'.repeat(1e6)})")
    (agent,) = cpt("show", "@last", "--json").json["agent_list"]
    assert len(agent["label"]) == 500
    assert len(agent["phase"]) < 600


def test_null_is_an_argument_and_a_text_that_holds_json_is_warned_about(cpt: Program):
    assert cpt.run("return args", "--args", "null").json["result"] is None
    assert cpt.run("return [args === null, typeof args]", "--args", "null").json["result"] == [True, "object"]
    ended = cpt.run("return typeof args", "--args", '"{\\"a\\": 1}"')
    assert ended.json["result"] == "string"
    assert "args is a text that holds JSON" in ended.json["log"][0]


def test_a_script_that_closes_what_holds_it_is_refused(cpt: Program):
    ended = cpt.run("}); globalThis.x = 1; (async () => {")
    assert ended.code == 2
    assert ended.json["errors"][0]["line"] == 2


def test_many_agents_at_once_are_answered_while_the_run_can_be_asked(cpt: Program):
    ended = cpt.run("return (await Promise.all(Array.from({length: 3000}, (_, i) => agent('n' + i)))).length",
                    "--max-agents", "5000", "--concurrency", "200")  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["result"] == 3000
    assert ended.json["agents"]["ok"] == 3000


def test_skeptics_and_judges_are_agents_like_any_other(cpt: Program):
    ended = cpt.run("""
        const verdict = await counterpoint.verify('one is one', {votes: 3})
        const judged = await counterpoint.judge(['a', 'b'], {criteria: 'short'})
        const gaps = await counterpoint.critic('an answer', {goal: 'all'})
        const found = await counterpoint.converge(async (n) => [(await agent('find ' + n)).length % 3], {maxRounds: 4})
        return [verdict.votes, verdict.reasons.length, judged.scores.length, judged.winner in ['a', 'b'],
            Array.isArray(gaps), found.length > 0]
    """)
    assert ended.code == 0, ended.err
    assert ended.json["result"] == [3, 3, 2, True, True, True]
    assert ended.json["agents"]["ok"] >= 3 + 3 + 1 + 1
    again = cpt("resume", "@last", "--json").json
    assert again["agents"]["reused"] == ended.json["agents"]["ok"]
    assert again["result"] == ended.json["result"]
