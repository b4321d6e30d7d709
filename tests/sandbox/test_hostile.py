"""Scripts that want to hang, to fill the memory, or to fool their host. Each ends in its own error; the host lives."""

import asyncio
import time

import pytest
from tests.sandbox.host import SILENCE, Played, play

from counterpoint.sandbox.process import Limits

TIGHT = Limits(sync_s=0.3, heap_mb=32)


async def under_limits(script: str, limits: Limits = TIGHT) -> Played:
    """Plays a script while a second task watches that the loop goes on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    played = await play(script, limits=limits)
    ticking.cancel()
    assert ticks > (time.monotonic() - started) * 5, "the event loop stood still"
    return played


@pytest.mark.parametrize(
    "script",
    [
        "while (true) {}",
        "for (;;) { try { while (true) {} } catch {} finally { continue } }",
        "(function again() { Promise.resolve().then(again) })(); await new Promise(() => {})",
        "for (;;) await null",
        "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "const text = 'a'.repeat(5e6); for (;;) text.lastIndexOf('b'.repeat(10))",
        "const list = Array.from({length: 3e5}, (_, i) => i * 7919 % 300007); for (;;) list.sort()",
        "return {get member() { for (;;) {} }}",
        "return {toJSON() { for (;;) {} }}",
        "await agent({toString() { for (;;) {} }, toJSON() { for (;;) {} }})",
        "throw {get message() { for (;;) {} }}",
        "await agent('a'); while (true) {}",
        "setTimeout(() => { for (;;) {} }, 1); await new Promise(() => {})",
        "const end = Date.now() + 1; while (Date.now() < end) {}",
        "return await parallel([() => { for (;;) {} }])",
    ],
)
async def test_what_never_ends_is_ended_and_the_limit_is_named(script: str):
    played = await under_limits(script)
    assert played.fault is not None
    assert played.fault.name == "ScriptTimeoutError"
    assert "max_sync_s = 0.3; raise it with COUNTERPOINT_MAX_SYNC_S" in played.fault.message


async def test_the_function_that_never_ends_is_named_by_its_line():
    played = await under_limits("const a = 1\n\nfunction spin() { while (true) {} }\nspin()")
    assert played.fault is not None
    assert played.fault.line == 3


@pytest.mark.parametrize(
    "script",
    [
        "const all = []; for (;;) all.push(new Array(1e5).fill(1))",
        "const all = []; for (;;) all.push('x'.repeat(1e6) + all.length)",
        "const all = []; for (;;) all.push(new Uint8Array(1e7).fill(1))",
        "const all = new Map(); for (let i = 0; ; i++) all.set(i, {i})",
        "return new Array(2 ** 32 - 1).fill(0)",
        "return 'x'.repeat(2 ** 29).split('')",
        "const all = []; for (;;) all.push(agent('x'))",
        "for (;;) setTimeout(() => {}, 1)",
    ],
)
async def test_what_fills_the_memory_is_ended_and_the_limit_is_named(script: str):
    played = await under_limits(script, Limits(sync_s=20, heap_mb=32))
    assert played.fault is not None
    assert played.fault.name == "ScriptMemoryError"
    assert "max_heap_mb = 32; raise it with COUNTERPOINT_MAX_HEAP_MB" in played.fault.message


@pytest.mark.parametrize(
    "bomb",
    [
        "all.push(new Array(1e5).fill(1))",
        "all.push(all.concat(all), 'x'.repeat(1e7))",
        "all.push((async () => { await new Promise(() => {}) })())",
    ],
)
async def test_a_bomb_that_catches_every_error_is_ended_all_the_same(bomb: str):
    played = await under_limits(f"const all = []; for (;;) {{ try {{ for (;;) {bomb} }} catch {{}} }}")
    assert played.fault is not None
    assert played.fault.name in ("ScriptTimeoutError", "ScriptMemoryError")


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("function f() { return f() + 1 } return f()", "RangeError"),
        ("async function f() { await f() } return await f()", "RangeError"),
        ("return JSON.parse('['.repeat(1e6) + ']'.repeat(1e6))", "RangeError"),
        ("let d = []; for (let i = 0; i < 1e5; i++) d = [d]; return d", "TypeError"),
        ("let n = 2n; for (;;) n = n * n", "RangeError"),
        ("let s = 'x'; for (;;) s += s", "InternalError"),
        ("return new ArrayBuffer(2 ** 40)", "RangeError"),
    ],
)
async def test_what_the_engine_refuses_is_an_error_that_can_be_caught(script: str, name: str):
    limits = Limits(sync_s=5, heap_mb=64)
    assert (await under_limits(script, limits)).error.name == name
    caught = f"try {{ await (async () => {{ {script} }})() }} catch (e) {{ return e.name }}"
    assert (await under_limits(caught, limits)).done is not None


# --- floods -----------------------------------------------------------------------------------------------------------


async def test_a_flood_of_narration_is_cut_off_with_a_warning():
    played = await play("for (let i = 0; i < 100000; i++) log('line ' + i); return 1", max_log_lines=50)
    assert played.result == 1
    assert len(played.log) == 51
    assert played.log[49] == "line 49"
    assert played.log[50] == "More than 50 events of the kind 'log'; the rest is not kept (max_log_lines)."


async def test_a_long_line_of_narration_is_cut():
    played = await play("log('x'.repeat(1e6)); phase('y'.repeat(1e6)); return 1")
    assert played.log == ["x" * 16384 + "… (983616 characters more)"]
    assert [len(value["title"]) for op, value in played.told if op == "phase"] == [
        500 + len("… (999500 characters more)")
    ]


async def test_other_things_that_are_told_are_bounded_too():
    played = await play(
        "for (let i = 0; i < 100; i++) {"
        " phase('p' + i); counterpoint.fail('x'); await parallel([() => { null.x }]) } return 1",
        max_log_lines=10,
    )
    ops = [op for op, _ in played.told]
    assert {op: ops.count(op) for op in set(ops)} == {
        "phase": 10,
        "mark": 10,
        "script_error": 10,
        "slot_failed": 10,
        "log": 4,
    }


async def test_a_hundred_thousand_calls_may_be_open_at_once():
    script = "return (await Promise.all(Array.from({length: 1e5}, (_, i) => agent('n' + i)))).length"
    played = await under_limits(script, Limits(sync_s=60))
    assert played.result == 100_000


async def test_more_open_calls_than_the_limit_end_the_script():
    played = await play("for (let i = 0; i < 20; i++) agent('x'); await new Promise(() => {})",
                        limits=Limits(pending=15), agent=lambda arg: SILENCE)  # fmt: skip
    assert played.fault is not None
    assert played.fault.name == "ScriptOutputError"
    assert "max_pending = 15; raise it with COUNTERPOINT_MAX_PENDING" in played.fault.message


async def test_timers_that_are_set_and_cleared_are_not_open():
    timer = "clearTimeout(setTimeout(() => {}, 5))"
    for script in (f"{{ {timer} }} await agent('x')", f"{{ {timer}; await agent('x') }}"):
        played = await play(f"for (let i = 0; i < 100; i++) {script}; return 1", limits=Limits(pending=15))
        assert played.result == 1


async def test_a_value_larger_than_the_limit_ends_the_script():
    for script in (
        "return 'x'.repeat(3e6)",
        "await agent('x'.repeat(3e6))",
        "await agent('x', {label: 'x'.repeat(3e6)})",
    ):
        played = await play(script, limits=Limits(output_mb=2))
        assert played.fault is not None
        assert played.fault.name == "ScriptOutputError"
        assert "max_output_mb = 2; raise it with COUNTERPOINT_MAX_OUTPUT_MB" in played.fault.message
    assert len((await play("return 'x'.repeat(3e6)", limits=Limits(output_mb=3))).result) == 3_000_000


# --- deceit -----------------------------------------------------------------------------------------------------------


POISON = [
    "Array.prototype.toJSON = String.prototype.toJSON = Number.prototype.toJSON = () => 'bad'",
    "Object.defineProperty(Array.prototype, 0, {set() { throw new Error('set') }, get() { return 'got' }})",
    "Object.prototype.get = () => 'bad'; Object.prototype.set = () => {}",
    "Object.prototype.writable = Object.prototype.enumerable = false",
    "globalThis.JSON = globalThis.Promise = globalThis.Map = globalThis.Error = globalThis.Array = null",
    "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => 'bad'",
    "Promise.prototype.then = () => { throw new Error('then') }; Promise.prototype.catch = null",
    "Promise.resolve = Promise.all = Promise.reject = () => { throw new Error('static') }",
    "Map.prototype.get = Map.prototype.set = Map.prototype.delete = () => 'bad'; Set.prototype.has = () => true",
    "RegExp.prototype.exec = () => null; String.prototype.slice = String.prototype.split = null",
    "Array.prototype[Symbol.iterator] = Array.prototype.join = Array.prototype.push = Array.prototype.sort = null",
    "Error.prepareStackTrace = () => { throw 1 }; Error.stackTraceLimit = 0",
    "Object.defineProperty(Error.prototype, 'stack', {get() { throw 1 }, configurable: true})",
    "Object.keys = Object.defineProperty = Object.freeze = Object.getPrototypeOf = Reflect.apply = null",
    "String.prototype.isWellFormed = String.prototype.toWellFormed = String.prototype.charCodeAt = null",
    "Symbol.prototype.toString = Object.prototype.toString = Object.prototype.valueOf = Number.isFinite = null",
    "for (const c of [Number, String, TypeError]) Object.defineProperty(c, Symbol.hasInstance, {value: () => true})",
    "Object.prototype.id = 7; Object.prototype.name = Object.prototype.message = Object.prototype.value = 'bad'",
]


@pytest.mark.parametrize("poison", POISON)
async def test_what_a_script_does_to_the_language_is_not_felt_by_its_hooks(poison: str):
    played = await play(f"""
        const Waiting = Promise
        {poison}
        phase('p')
        const options = {{label: 'l', schema: {{type: 'object'}}}}
        const rows = await parallel([() => agent('a', options), () => {{ throw 'thrown' }}])
        const flow = await pipeline([1], (n) => agent('b'), (text) => text)
        log('done')
        await new Waiting((resolve) => setTimeout(resolve, 1))
        return rows[0] + rows[1] + flow[0] + counterpoint.hash(1)
    """)
    assert played.asked("agent") == [
        {"prompt": "a", "opts": {"label": "l", "schema": {"type": "object"}}, "phase": "p"},
        {"prompt": "b", "opts": {}, "phase": "p"},
    ]
    assert played.log == ["done"]
    assert played.result == "anullb6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


async def test_a_json_of_its_own_making_spoils_what_a_script_says_and_nothing_else():
    played = await play("Object.prototype.toJSON = () => 'bad'; phase('p'); await agent('x', {label: 'l'}); return {}")
    assert played.result == "bad"
    assert played.asked("agent") == [{"prompt": "x", "opts": {}, "phase": "p"}]
    assert played.log == ["agent(): the options are not a plain object; they are ignored."]


@pytest.mark.parametrize(
    "script",
    [
        "}); globalThis.out = 1; (async () => {",
        "}, (() => { globalThis.out = 1 })(), async () => {",
        "} } globalThis.out = 1; class B { async b() {",
        "} static { globalThis.out = 1 } async b() {",
        "return 1 /* }) */ }); //",
        "return `${1}",
        "return 1 /*",
    ],
)
async def test_a_script_cannot_close_what_holds_it(script: str):
    played = await play(script)
    assert played.fault is not None
    assert played.fault.name == "SyntaxError"


@pytest.mark.parametrize(
    "script", ["return 1 //", "return 1 /* x */", "return `a\n@\n})`.length && 1", "return 1\n// @", "return 1 <!-- 2"]
)
async def test_a_script_may_end_as_it_likes(script: str):
    assert (await play(script)).result == 1


async def test_lines_cannot_be_forged_from_inside_of_texts():
    forged = '"}\\n{"end":{"done":{"ok":true,"value":"forged"}}}\\n{"id":1,"op":"agent'
    played = await play(f"""
        const text = {forged!r}
        await agent(text, {{label: text, [text]: 1}}); log(text); phase(text); counterpoint.fail(text, text)
        try {{ throw new Error(text) }} catch (e) {{ await agent(e.stack + e.message) }}
        return [text]
    """)
    assert played.result == [forged]
    assert len(played.asked("agent")) == 2


async def test_agents_may_be_called_when_the_script_has_returned():
    played = await play("agent('a').then(() => agent('b')).then(() => { throw new Error('late') }); return 1")
    assert played.result == 1
    assert [arg["prompt"] for arg in played.asked("agent")] == ["a", "b"]
    assert played.log == ["Unhandled rejection: Error: late (1:54)"]


@pytest.mark.parametrize(
    ("thrown", "message"),
    [
        ("'a text'", "a text"),
        ("null", "null"),
        ("undefined", "undefined"),
        ("{a: 1}", '{"a":1}'),
        ("Symbol('s')", "Symbol(s)"),
        ("{get message() { throw 1 }}", "[an error that cannot be read]"),
        ("new Proxy({}, {get() { throw 1 }, getPrototypeOf() { throw 1 }})", "[an error that cannot be read]"),
        ("Object.assign(new Error('m'), {name: {toString() { throw 1 }}})", "m"),
        ("Object.assign(new Error('x'.repeat(1e5)), {stack: 'at f (<input>:999:9)'.repeat(1e5)})",
         "x" * 20000 + "… (80000 characters more)"),
        ("new Error('lone \\ud800')", "lone \ufffd"),
    ],
)  # fmt: skip
async def test_whatever_is_thrown_can_be_told(thrown: str, message: str):
    assert (await play(f"throw {thrown}")).error.message == message
    played = await play(f"return await parallel([() => {{ throw {thrown} }}])")
    assert played.result == [None]
    assert [value["fault"]["message"] for op, value in played.told if op == "slot_failed"] == [message]
