"""What leaves a script as JSON, and the small web standards that it may use. Expected values are those of V8."""

import json
from typing import Any

import pytest
from tests.sandbox.host import play


async def values(table: dict[str, Any]) -> dict[str, Any]:
    """What each expression gives, or the name of the error that it throws."""
    rows = ", ".join(f"[{json.dumps(code)}, () => {code}]" for code in table)
    each = "try { all[code] = get() } catch (e) { all[code] = e.name }"
    return (await play(f"const all = {{}}; for (const [code, get] of [{rows}]) {{ {each} }} return all")).result


# --- results ----------------------------------------------------------------------------------------------------------


RESULTS: list[tuple[str, Any]] = [
    ("undefined", None),
    ("{a: undefined, b: null, c: [undefined, NaN, Infinity, -Infinity], d: -0}",
     {"b": None, "c": [None] * 4, "d": 0}),
    ("{d: new Date(0), u: new URL('https://a/b'), j: {toJSON(key) { return 'key ' + key }}}",
     {"d": "1970-01-01T00:00:00.000Z", "u": "https://a/b", "j": "key j"}),
    ("[Object(1), Object('s'), Object(true), new Map([[1, 2]]), [, 1]]", [1, "s", True, {}, [None, 1]]),
    ("{[Symbol('s')]: 1, '__proto__x': 2, get g() { return 3 }}", {"__proto__x": 2, "g": 3}),
    ("JSON.parse('{\"__proto__\": {\"a\": 1}}')", {"__proto__": {"a": 1}}),
    ("'\\ud83d\\ude00 \\ud83d \\udc00x \\\\ud800'", "😀 \ufffd \ufffdx \\ud800"),
    ("(() => { const o = {a: 1}; return {x: o, y: [o, o]} })()", {"x": {"a": 1}, "y": [{"a": 1}, {"a": 1}]}),
    ("Object.assign(Object.create(null), {a: 1})", {"a": 1}),
    ("1e400 > 0 && 0.1 + 0.2", 0.30000000000000004),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), RESULTS)
async def test_a_result_is_json_by_the_rules_of_the_language(value: str, expected: object):
    assert (await play(f"return {value}")).result == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("() => 1", "result is a function: it must be JSON"),
        ("{a: [1, {'b c': () => 1}]}", 'result.a[1]["b c"] is a function: it must be JSON'),
        ("{a: 1n}", "result.a is a BigInt: it must be JSON"),
        ("[Symbol()]", "result[0] is a symbol: it must be JSON"),
        ("(() => { const o = {a: {}}; o.a.b = [o]; return o })()",
         "result.a.b[0] refers back to a value that contains it: it must be JSON"),
        ("{get a() { throw new Error('from a getter') }}", "from a getter"),
        ("new Proxy({}, {ownKeys() { throw new Error('from a trap') }})", "from a trap"),
        ("{a: {toJSON() { throw new Error('from toJSON') }}}", "from toJSON"),
    ],
)  # fmt: skip
async def test_what_is_no_json_fails_the_run_and_names_its_path(value: str, message: str):
    assert (await play(f"return {value}")).error.message == message


async def test_a_result_may_be_two_hundred_levels_deep_and_no_deeper():
    deep = "let d = 0; for (let i = 0; i < {n}; i++) d = [d]; return d"
    result = (await play(deep.replace("{n}", "200"))).result
    assert json.dumps(result) == "[" * 200 + "0" + "]" * 200
    assert (
        "is nested too deeply: JSON may have 200 levels here" in (await play(deep.replace("{n}", "201"))).error.message
    )


async def test_a_large_result_arrives_whole():
    played = await play("return Array.from({length: 100000}, (_, i) => ({i, text: 'é'.repeat(10)}))")
    assert len(played.result) == 100_000
    assert played.result[-1] == {"i": 99_999, "text": "é" * 10}


# --- web standards ----------------------------------------------------------------------------------------------------


async def test_urls():
    table = {
        "new URL('HTTP://User:Pa%20ss@EXAMPLE.com:80/../a/./b/../c?x=1&y=é#frag é').href":
            "http://User:Pa%20ss@example.com/a/c?x=1&y=%C3%A9#frag%20%C3%A9",
        "new URL('../x', 'https://a/b/c/d').href": "https://a/b/x",
        "new URL('?q', 'https://a/b?c#d').href": "https://a/b?q",
        "new URL('#h', 'https://a/b?c#d').href": "https://a/b?c#h",
        "new URL('//h/p', 'https://a/b').href": "https://h/p",
        "new URL('https:x', 'https://a/b/c').href": "https://a/b/x",
        "new URL('https:///a.b\\\\c').href": "https://a.b/c",
        "new URL('file:///etc/passwd').pathname": "/etc/passwd",
        "new URL('mailto:a@b.c').pathname": "a@b.c",
        "new URL('http://[::1]:3000/x').host": "[::1]:3000",
        "new URL('http://0x7f.1/').hostname": "127.0.0.1",
        "new URL('http://münchen.de/ä').href": "http://xn--mnchen-3ya.de/%C3%A4",
        "new URL('http://a/%2e%2e/b\\'\"<>`{}|?\\'\"<>`#\\'\"<>`').href":
            "http://a/b'%22%3C%3E%60%7B%7D|?%27%22%3C%3E`#'%22%3C%3E%60",
        "new URL('  ht\\ntps://a/\\tb ').href": "https://a/b",
        "new URL('https://a.b:443/').port": "",
        "new URL('blob:https://a/b').origin": "https://a",
        "new URL('foo://Bar:80/x/../y?z').href": "foo://Bar:80/y?z",
        "new URL('http://a?#').href": "http://a/?#",
        "new URL('foo')": "TypeError",
        "new URL('http://')": "TypeError",
        "new URL('http://a:99999')": "TypeError",
        "new URL('http://256.1.1.1')": "TypeError",
        "new URL('http://a b/')": "TypeError",
        "new URL('x', 'mailto:z')": "TypeError",
        "URL.canParse('x')": False,
        "URL.parse('x')": None,
        "(() => { const u = new URL('https://a/b?x=1#h'); u.searchParams.append('y', '2 3'); u.hash = 'z';"
        " u.pathname = '/c d'; u.host = 'q:90'; u.protocol = 'http';"
        " u.port = '80'; u.username = 'me'; u.password = 'p@'; return u.href })()":
            "http://me:p%40@q/c%20d?x=1&y=2+3#z",
        "(() => { const u = new URL('http://a/'); u.port = '8x'; u.protocol = 'foo'; u.host = ''; return u.href })()":
            "http://a:8/",
    }  # fmt: skip
    assert await values(table) == table


async def test_search_parameters():
    table = {
        "String(new URLSearchParams('?x=%20+y&z'))": "x=++y&z=",
        "String(new URLSearchParams({a: 1, b: null}))": "a=1&b=null",
        "String(new URLSearchParams([['a', 'é&='], ['c', '\\'()~!*-._']]))": "a=%C3%A9%26%3D&c=%27%28%29%7E%21*-._",
        "[...new URLSearchParams('a=b=c&&=d&e=%zz%41')]": [["a", "b=c"], ["", "d"], ["e", "%zzA"]],
        "new URLSearchParams([['a']])": "TypeError",
        "(() => { const p = new URLSearchParams('b=2&a=1&b=3'); p.sort(); p.set('b', '9'); p.append('c', 'd');"
        " p.delete('a');"
        " return [String(p), p.get('b'), p.getAll('b'), p.has('c'), p.get('no'), p.size, p.has('b', '8')] })()":
            ["b=9&c=d", "9", ["9"], True, None, 2, False],
    }  # fmt: skip
    assert await values(table) == table


async def test_text_and_bytes():
    table = {
        "[...new TextEncoder().encode('aé€😀\\ud800')]":
            [97, 195, 169, 226, 130, 172, 240, 159, 152, 128, 239, 191, 189],
        "new TextEncoder().encodeInto('aé😀', new Uint8Array(4))": {"read": 2, "written": 3},
        "new TextDecoder().decode(Uint8Array.from([239, 187, 191, 97, 255, 226, 130, 98, 240, 159, 152, 128]))":
            "a\ufffd\ufffdb😀",
        "new TextDecoder('utf-8', {fatal: true}).decode(Uint8Array.from([0xff]))": "TypeError",
        "new TextDecoder('utf-8', {fatal: true}).decode(Uint8Array.from([0xef, 0xbf, 0xbd]))": "\ufffd",
        "(() => { const d = new TextDecoder(), bytes = (...b) => Uint8Array.from(b);"
        " return d.decode(bytes(0xe2, 0x82), {stream: true}) + d.decode(bytes(0xac)) })()": "€",
        "new TextDecoder('latin1')": "RangeError",
        "[btoa(''), btoa('a'), btoa('ab'), btoa('abc'), btoa('ÿ'), btoa(null)]":
            ["", "YQ==", "YWI=", "YWJj", "/w==", "bnVsbA=="],
        "[atob('YQ=='), atob(' Y Q '), atob('YWI'), atob('')]": ["a", "a", "ab", ""],
        "btoa('€')": "InvalidCharacterError",
        "atob('Y')": "InvalidCharacterError",
        "atob('Y$==')": "InvalidCharacterError",
    }  # fmt: skip
    assert await values(table) == table


async def test_structured_clones():
    table = {
        "(() => { const a = {x: 1, d: new Date(5), r: /a/gi, m: new Map([[1, {a: 2}]]), s: new Set([1]), n: [1, , 3]};"
        " a.self = a; const b = structuredClone(a);"
        " return [b !== a, b.self === b, b.d.getTime(), b.r.flags, b.m.get(1).a, b.s.has(1), 1 in b.n] })()":
            [True, True, 5, "gi", 2, True, False],
        "(() => { const e = structuredClone(new RangeError('m', {cause: 1}));"
        " return [e instanceof RangeError, e.message, e.cause] })()": [True, "m", 1],
        "(() => { const u = structuredClone(new Uint8Array([1, 2, 3]).subarray(1));"
        " return [u.length, u[0], u.byteOffset] })()": [2, 2, 1],
        "structuredClone(JSON.parse('{\"__proto__\": {\"x\": 1}}')).x === undefined": True,
        "structuredClone(() => 1)": "DataCloneError",
        "structuredClone({s: Symbol()})": "DataCloneError",
        "structuredClone(Promise.resolve())": "DataCloneError",
        "structuredClone()": "TypeError",
    }  # fmt: skip
    assert await values(table) == table


# --- what people read -------------------------------------------------------------------------------------------------


async def test_words_are_ordered_as_people_order_them():
    words = "b B a résumé resume Resume Z ä _x item10 item9 1 ß st ss я -"
    table = {
        f"'{words}'.split(' ').sort((a, b) => a.localeCompare(b)).join(' ')":
            "_x - 1 a ä b B item10 item9 resume Resume résumé ss ß st Z я",
        "'item10'.localeCompare('item9', undefined, {numeric: true})": 1,
        "'007'.localeCompare('7', 'en', {numeric: true})": 0,
        "'É'.localeCompare('e', 'en', {sensitivity: 'base'})": 0,
        "'a'.localeCompare('A', 'en', {sensitivity: 'accent'})": 0,
        "'a\\u0301'.localeCompare('á')": 0,
    }  # fmt: skip
    assert await values(table) == table


async def test_numbers_and_dates_are_written_as_people_write_them():
    table = {
        "[1234567.891, 0.5, -1234.5678, 1e21, 1e-7, NaN, Infinity, 1.0005, -0].map((n) => n.toLocaleString())":
            ["1,234,567.891", "0.5", "-1,234.568", "1,000,000,000,000,000,000,000", "0", "NaN", "∞", "1.001", "-0"],
        "[0.565, 0.07, 12].map((n) => n.toLocaleString('en', {style: 'percent'}))": ["57%", "7%", "1,200%"],
        "(1234.5).toLocaleString('en-US', {style: 'currency', currency: 'USD'})": "$1,234.50",
        "(99.995).toLocaleString(undefined, {minimumFractionDigits: 2, maximumFractionDigits: 2})": "100.00",
        "(12345678901234567890n).toLocaleString()": "12,345,678,901,234,567,890",
        "new Date(0).toLocaleString()": "1/1/1970, 12:00:00 AM",
        "new Date(1e12).toLocaleDateString()": "9/9/2001",
        "typeof Intl": "undefined",
    }  # fmt: skip
    assert await values(table) == table
