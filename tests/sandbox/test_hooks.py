"""What the hooks do inside of the script's process."""

import pytest
from tests.sandbox.host import SILENCE, START_MS, Played, play

from counterpoint.errors import HookError


def refuse(name: str, **detail: object):
    def answer(arg: object) -> object:
        raise HookError(name, f"{name} it is", **detail)

    return answer


# --- agent -----------------------------------------------------------------------------------------------------------


async def test_a_hook_rejects_with_the_name_and_the_details_of_the_host():
    played = await play(
        "try { await agent('x') } catch (e) { return [e.name, e.message, e.rawText, e instanceof Error, String(e)] }",
        agent=refuse("StructuredOutputError", rawText="not JSON"),
    )
    name = "StructuredOutputError"
    assert played.result == [name, f"{name} it is", "not JSON", True, f"{name}: {name} it is"]


async def test_an_uncaught_rejection_points_at_the_call():
    played = await play("const a = 'é'\n\nawait  agent(a)", agent=refuse("AgentCapError"))
    assert (played.error.name, played.error.line, played.error.column) == ("AgentCapError", 3, 8)


async def test_the_phase_is_that_of_the_call_and_the_option_wins():
    played = await play("""
        phase('A'); const first = agent('1'); phase('B')
        agent('2'); agent('3', {phase: 'C'}); agent('4', {phase: undefined})
        await first
    """)
    assert [arg["phase"] for arg in played.asked("agent")] == ["A", "B", "C", "B"]


async def test_options_cross_as_json_and_undefined_counts_as_absent():
    played = await play(
        "await agent('p', {label: 'l', model: undefined, tools: ['Read'], stallMs: 5, schema: {type: 'object'}})"
    )
    assert played.asked("agent") == [
        {
            "prompt": "p",
            "opts": {"label": "l", "tools": ["Read"], "stallMs": 5, "schema": {"type": "object"}},
            "phase": None,
        }
    ]  # fmt: skip
    assert played.log == []


async def test_an_unknown_option_is_a_warning_once_with_the_nearest_name():
    played = await play("await agent('a', {modle: 'm'}); await agent('b', {modle: 'm', zzzzzzzzz: 1})")
    assert played.log == [
        "agent(): unknown option 'modle'; did you mean 'model'? It is ignored.",
        "agent(): unknown option 'zzzzzzzzz'. It is ignored.",
    ]


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ("{a: [1, null]}", '{"a":[1,null]}'),
        ("[1, 'b']", '[1,"b"]'),
        ("undefined", ""),
        ("null", "null"),
        ("5", "5"),
        ("12n", "12"),
        ("Symbol('s')", "Symbol(s)"),
        ("true", "true"),
        ("'lone \\ud800 half'", "lone \ufffd half"),
    ],
)
async def test_any_prompt_becomes_a_text_with_a_warning(given: str, prompt: str):
    played = await play(f"return await agent({given})")
    assert played.result == prompt
    assert [("not a string" in line) for line in played.log] == ([] if "lone" in given else [True])


@pytest.mark.parametrize("options", ["'label'", "[1]", "5", "Symbol()", "() => 1", "{toJSON() { return 1 }}"])
async def test_options_that_are_no_object_are_ignored_with_a_warning(options: str):
    played = await play(f"return await agent('x', {options})")
    assert played.result == "x"
    assert played.asked("agent")[0]["opts"] == {}
    assert "they are ignored" in played.log[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{get label() { throw new Error('no') }}", "no"),
        ("new Proxy({}, {ownKeys() { throw new Error('trap') }})", "trap"),
        ("(() => { const o = {schema: {}}; o.schema.again = [o]; return o })()", "opts.schema.again[0] refers back"),
        ("{schema: {n: 1n}}", "opts.schema.n is a BigInt"),
        ("{schema: (() => { let d = {}; for (let i = 0; i < 1e5; i++) d = {d}; return d })()}", "is nested too deeply"),
        ("new Proxy({}, {get() { throw new Error('read') }})", "read"),
    ],
)
async def test_options_that_cannot_be_json_reject_the_call_alone(options: str, message: str):
    played = await play(f"try {{ await agent('x', {options}) }} catch (e) {{ return e.message }}")
    assert message in played.result
    assert played.calls == []


# --- parallel and pipeline -------------------------------------------------------------------------------------------


async def test_parallel_starts_all_keeps_order_and_gives_null_for_what_failed():
    played = await play("""
        return await parallel([
            () => agent('a'), async () => { throw new Error('later') }, () => { throw new Error('now') }, () => 4])
    """)
    assert played.result == ["a", None, None, 4]
    failed = [value for op, value in played.told if op == "slot_failed"]
    assert [(value["hook"], value["index"], value["fault"]["message"]) for value in failed] == [
        ("parallel", 2, "now"),
        ("parallel", 1, "later"),
    ]
    assert not [op for op, _ in played.told if op == "script_error"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("parallel('x')", "parallel() takes functions: () => agent(…), in an array. It got a string."),
        ("parallel()", "parallel() takes functions: () => agent(…), in an array. It got undefined."),
        ("parallel([() => 1, 7])", "parallel() takes functions: () => agent(…). Item 1 is a number."),
        ("parallel([Promise.resolve()])",
         "parallel() takes functions: () => agent(…). Item 0 is a promise: its agent has already been started."),
        ("pipeline(5, (x) => x)",
         "pipeline() takes an array of items, then functions: pipeline(items, (item) => agent(…)). It got a number."),
        ("pipeline([1])", "pipeline() takes at least one stage: pipeline(items, (item) => agent(…))"),
        ("pipeline([1], (x) => x, 'y')", "pipeline() takes functions as stages; stage 2 is a string."),
    ],
)  # fmt: skip
async def test_a_wrong_argument_is_a_type_error_that_says_what_is_taken(call: str, message: str):
    played = await play(f"try {{ await {call} }} catch (e) {{ return [e.name, e.message] }}")
    assert played.result == ["TypeError", message]


@pytest.mark.parametrize(
    "call", ["parallel(Array(6).fill(() => agent('x')))", "pipeline(Array(6).fill(1), () => agent('x'))"]
)
async def test_too_many_items_start_nothing(call: str):
    played = await play(
        f"try {{ await {call} }} catch (e) {{ return [e.name, /at most 5/.test(e.message)] }}", max_items=5
    )
    assert played.result == ["RangeError", True]
    assert played.calls == []


async def test_pipeline_has_no_barrier_and_every_stage_sees_item_and_index():
    def answer(arg: dict[str, str]) -> object:
        return SILENCE if arg["prompt"] == "one 0" else arg["prompt"].upper()

    played = await play(
        "await pipeline(['a', 'b'], (p, item, i) => agent(`one ${i}`), (p, item, i) => agent(`two ${p} ${item} ${i}`))",
        agent=answer,
    )
    assert [arg["prompt"] for arg in played.asked("agent")] == ["one 0", "one 1", "two ONE 1 b 1"]


async def test_a_stage_that_gives_null_ends_its_item_and_undefined_flows_on():
    played = await play("""
        return await pipeline(Promise.resolve([1, 2, 3]),
            (p, item) => item === 1 ? null : item === 2 ? undefined : Promise.reject(new Error('x')), (p) => typeof p)
    """)
    assert played.result == [None, "undefined", None]
    assert [value["stage"] for op, value in played.told if op == "slot_failed"] == [1]


async def test_a_mistake_of_the_script_is_told_with_line_and_column():
    played = await play("return await parallel([\n  () => agent('fine'),\n  async () => {\n    undefinedName.x }])")
    assert played.result == ["fine", None]
    (error,) = [value for op, value in played.told if op == "script_error"]
    assert (error["fault"]["name"], error["fault"]["line"], error["fault"]["column"]) == ("ReferenceError", 4, 5)


async def test_a_mistake_of_the_script_is_fatal_when_strict():
    played = await play("return await parallel([() => null.x])", strict=True)
    assert (played.error.name, played.error.line) == ("TypeError", 1)


# --- rejections, timers, clock and chance ----------------------------------------------------------------------------


async def test_rejections_that_nobody_hears_are_lines_in_the_log_and_nothing_else():
    played = await play(
        "Promise.reject(new Error('one'));\n(async () => { await null; null.x })(); agent('dies')\n"
        "await agent('lives'); return 1",
        agent=lambda arg: refuse("StalledError")(arg) if arg["prompt"] == "dies" else "ok",
    )
    assert played.result == 1
    assert played.log == [
        "Unhandled rejection: Error: one (1:16)",
        "Unhandled rejection: TypeError: cannot read property 'x' of null (2:28)",
        "Unhandled rejection: StalledError: StalledError it is (2:41)",
    ]


async def test_a_rejection_that_is_heard_late_is_not_told():
    text = """
        const p = agent('dies'); p.catch(() => 0); const q = Promise.reject(1)
        await agent('dies').catch(() => 0)
        try { await q } catch (e) { return e }
    """
    played = await play(text,
                        agent=refuse("StalledError"))  # fmt: skip
    assert (played.result, played.log) == (1, [])


async def test_a_script_that_waits_for_ever_says_what_nobody_heard():
    played = await play("(async () => { throw new Error('the reason') })(); await new Promise(() => {})")
    assert played.done is None
    assert played.log == ["Unhandled rejection: Error: the reason (1:22)"]


async def test_timers_fire_in_order_pass_arguments_and_can_be_cleared():
    played = await play("""
        const seen = [], never = setTimeout(() => seen.push('never'), 5)
        setTimeout((a, b) => seen.push(a + b), 20, 'x', 'y'); clearTimeout(never); clearTimeout(99); clearTimeout()
        setTimeout(() => { throw new Error('in a timer') })
        await new Promise((resolve) => setTimeout(resolve, 30))
        return [seen, Date.now(), new Date().getTime(), performance.now(), counterpoint.now()]
    """)
    assert played.result == [["xy"], START_MS + 55, START_MS + 55, 55, START_MS + 55]
    assert played.log == ["setTimeout(): the callback threw Error: in a timer (4:34)"]


async def test_clearing_a_timer_cannot_lose_an_agent():
    played = await play("const p = agent('x'); for (let i = 0; i < 10; i++) clearTimeout(i); return await p")
    assert played.result == "x"


async def test_chance_and_time_are_those_of_the_record():
    text = """
        return [Math.random(), Math.random(), Date.now(), new Date().toISOString(),
            typeof Date(), new Date(5).getTime(), Date.UTC(2020, 1)]
    """
    first, second = await play(text), await play(text)
    assert first.result == second.result
    assert first.result[2:] == [START_MS, "2023-11-14T22:13:20.000Z", "string", 5, 1580515200000]
    assert 0 <= first.result[0] < 1
    assert first.result[0] != first.result[1]


async def test_the_constructor_of_a_date_leads_to_the_recorded_clock():
    played = await play(
        "const {constructor} = new Date(0)\n"
        "return [new constructor().getTime(), constructor.now(), new (class extends Date {})().getTime()]"
    )
    assert played.result == [START_MS] * 3


# --- what there is and what there is not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["require", "process", "Buffer", "fetch", "fs", "XMLHttpRequest", "WebAssembly", "SharedArrayBuffer", "Atomics",
     "WeakRef", "setInterval", "std", "os", "print", "module", "__hooks", "__patterns"],
)  # fmt: skip
async def test_what_is_absent_is_a_plain_reference_error(name: str):
    played = await play(
        f"const kind = typeof {name}; try {{ {name} }} catch (e) {{ return [kind, e.name, e.message] }}"
    )
    assert played.result == ["undefined", "ReferenceError", f"{name} is not defined"]


@pytest.mark.parametrize(
    "code",
    ["eval('1')", "(0, eval)('1')", "globalThis.eval('1')", "new Function('return 1')()", "Function('return 1')()",
     "(() => {}).constructor('return 1')()", "(async () => {}).constructor('1')", "(function* () {}).constructor('1')",
     "(async function* () {}).constructor('1')", "Reflect.construct((() => {}).constructor, ['1'])",
     "agent.constructor('1')"],
)  # fmt: skip
async def test_code_from_text_throws(code: str):
    played = await play(f"try {{ return {code} }} catch (e) {{ return [e.name, e instanceof EvalError] }}")
    assert played.result == ["EvalError", True]


async def test_args_are_undefined_when_none_were_given_and_else_as_they_are():
    assert (await play("return [typeof args, 'args' in globalThis]")).result == ["undefined", False]
    assert (await play("return args", args={"a": [1, "é", None]})).result == {"a": [1, "é", None]}
    assert (await play("return args === null", args=None)).result is True


@pytest.mark.parametrize(
    ("args", "warned"), [('{"a": 1}', True), ("[]", True), ("plain", False), ("5", False), ({}, False)]
)
async def test_a_text_that_holds_json_is_warned_about(args: object, warned: bool):
    played = await play("return args", args=args)
    assert played.result == args
    assert bool(played.log) is warned


async def test_everything_on_the_console_becomes_narration():
    played = await play("""
        console.log('a', 1, {b: [2]}, null, undefined, new Error('e')); console.warn('w'); console.error('x')
        console.info(); console.table([1]); console.assert(true, 'no'); console.assert(false, 'yes')
        console.count('n'); console.count('n'); console.group('g'); console.groupEnd()
        console.time('t'); console.timeEnd('t'); console.debug(() => 1); console.trace(Symbol('s'))
        log({o: {toJSON() { throw 1 }}})
    """)
    assert played.log == [
        'a 1 {"b":[2]} null undefined Error: e', "w", "x", "", "[1]", "Assertion failed", "yes", "n: 1", "n: 2", "g",
        "t: 0 ms", "() => 1", "Symbol(s)", "[object Object]",
    ]  # fmt: skip
    levels = [value.get("level") for op, value in played.told if op == "log"]
    assert levels[:4] == [None, "warning", "error", None]


async def test_budget_is_an_object_of_three_that_cannot_be_changed():
    played = await play("""
        const {usd} = counterpoint.budget
        try { budget.total = 5 } catch (e) {
            return [Object.keys(budget), budget.total, budget.remaining(), budget.spent(), e.name,
                Object.keys(counterpoint.budget), usd.total, usd.remaining()]
        }
    """, budget=1000)  # fmt: skip
    assert played.result == [["total", "spent", "remaining"], 1000, 1000, 0, "TypeError", ["usd", "tokens"], None, None]


async def test_a_portable_script_has_no_global_of_ours():
    played = await play("return [typeof counterpoint, typeof agent]", portable=True)
    assert played.result == ["undefined", "function"]


async def test_the_hash_is_sha_256_of_sorted_json():
    played = await play("return [counterpoint.hash({b: [1, 'é'], a: undefined}), counterpoint.hash(null)]")
    assert played.result == [
        "2036c0afe21dd033f1d543fadf2de8560092aada6365f5d98d69d3fca3308cc4",
        "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
    ]


# --- child workflows -------------------------------------------------------------------------------------------------


CHILD = "export const meta = {name: 'child', description: 'a child'}\n"


async def child(text: str, call: str = "return await workflow('child', {n: 2})") -> Played:
    return await play(call, children={"child": CHILD + text})


async def test_a_child_has_its_own_args_and_phase_and_gives_its_result():
    played = await child(
        "phase('inner'); return [args, await agent('in')]",
        "phase('outer'); const r = await workflow('child', {n: 2}); await agent('out'); return r",
    )
    assert played.result == [{"n": 2}, "in"]
    assert [(call.w, arg["phase"]) for call, arg in zip(played.calls[1:], played.asked("agent"), strict=True)] == [
        (1, "inner"),
        (0, "outer"),
    ]


async def test_a_child_that_throws_rejects_and_its_places_are_its_own():
    played = await child("\nawait null\nthrow new RangeError('inside')", "\n\n\n\nawait workflow('child')")
    (left,) = [value for op, value in played.told if op == "workflow_done"]
    assert (left["error"]["line"], left["error"]["column"], left["error"]["stack"]) == (
        4,
        7,
        "at <anonymous> (child:4:7)",
    )
    assert (played.error.name, played.error.message, played.error.line) == ("RangeError", "inside", 5)


async def test_a_child_that_does_not_compile_is_a_workflow_error():
    played = await child(
        "const = 1", "try { await workflow('child') } catch (e) { return [e.name, e.message.includes('child')] }"
    )
    assert played.result == ["WorkflowError", True]


async def test_children_of_one_text_are_told_apart():
    played = await child(
        "return await agent('n' + args.n)", "return await Promise.all([1, 2, 3].map((n) => workflow('child', {n})))"
    )
    assert played.result == ["n1", "n2", "n3"]
    assert [call.w for call in played.calls if call.op == "agent"] == [1, 2, 3]


# --- marks and questions ---------------------------------------------------------------------------------------------


async def test_a_mark_names_the_agent_by_its_result_or_its_label():
    answers: dict[str, object] = {"v": {}, "t": "text", "l": "x" * 5000}
    played = await play("""
        const value = await agent('v'), text = await agent('t'), long = await agent('l')
        counterpoint.fail(value, 'empty'); counterpoint.fail(text, 'short'); counterpoint.fail(long, 'long')
        counterpoint.fail('a label', 'why'); counterpoint.fail(null)
    """, agent=lambda arg: answers[arg["prompt"]])  # fmt: skip
    marks = [(value["call"], value["reason"]) for op, value in played.told if op == "mark"]
    assert marks == [(1, "empty"), (2, "short"), (3, "long"), (None, "why"), (None, "")]


async def test_questions_and_tools_cross_and_resolve():
    played = await play(
        "return [await counterpoint.checkpoint('ok?', {options: ['a'], default: 'a'}), "
        "await counterpoint.tool('Read', {file_path: 'f'})]"
    )
    assert played.result == [
        {"question": "ok?", "options": ["a"], "default": "a"},
        {"name": "Read", "input": {"file_path": "f"}},
    ]


async def test_run_says_which_run_it_is():
    assert (await play("return counterpoint.run")).result == {
        "id": "wf_1",
        "name": "played",
        "cwd": "/",
        "model": "none",
    }
