"""Every refusal of the contract's first chapter, at its exact place, through `check` and `run`."""

from __future__ import annotations

import os
import pty
import select

import pytest
from tests.e2e.conftest import Program
from tests.script.conftest import MARK, META, Check, Checked, place, whole
from tests.warm import start_on

TYPESCRIPT = [
    ("const a▶: string[] = []", "type annotations are TypeScript: remove `: string[]`."),
    ("function f(a▶: number) { return a }", "type annotations are TypeScript: remove `: number`."),
    ("const f = (a▶?: string) => a", "type annotations are TypeScript: remove `?: string`."),
    ("const f = async (a)▶: Promise<void> => a", "type annotations are TypeScript: remove `: Promise<void>`."),
    ("const { a }▶: { a: string } = args", "type annotations are TypeScript: remove `: { a: string }`."),
    ("try { log('x') } catch (e▶: unknown) {}", "type annotations are TypeScript: remove `: unknown`."),
    ("▶interface A { x: string }", "interfaces are TypeScript: remove `interface A { x: string }`."),
    ("▶export interface A { x: string }", "interfaces are TypeScript: remove `export interface A { x: string }`."),
    ("▶type A = 'x' | 'y'", "type aliases are TypeScript: remove `type A = 'x' | 'y'`."),
    ("▶enum A { X }\nlog(A.X)", "enums are TypeScript: use an object instead of `enum A { X }`."),
    ("▶declare const a: string", "declarations without code are TypeScript: remove `declare const a: string`."),
    ("▶namespace A { log('x') }", "namespaces are TypeScript: remove `namespace A { log('x') }`."),
    ("const a = args ▶as string", "type assertions are TypeScript: remove `as string`."),
    ("const a = ['x'] ▶as const", "type assertions are TypeScript: remove `as const`."),
    ("const a = args ▶satisfies B", "type assertions are TypeScript: remove `satisfies B`."),
    ("const a = ▶<string>args", "type arguments are TypeScript: remove `<string>`."),
    ("log(args▶!.x)", "non-null assertions are TypeScript: remove `!`."),
    ("const m = new Map▶<string, number>()", "type arguments are TypeScript: remove `<string, number>`."),
    ("await agent▶<string>('x')", "type arguments are TypeScript: remove `<string>`."),
    ("function f▶<T>(x) { return x }", "type parameters are TypeScript: remove `<T>`."),
    ("class A { ▶private x = 1 }", "modifiers are TypeScript: remove `private`."),
    ("class A { ▶readonly x = 1 }", "modifiers are TypeScript: remove `readonly`."),
    ("class A ▶implements B {}", "implements is TypeScript: remove `implements B`."),
    ("▶abstract class A {}", "modifiers are TypeScript: remove `abstract`."),
    ("function f(▶this: Window, a) { return a }", "this parameters are TypeScript: remove `this: Window,`."),
]
MODULES = [
    "▶import fs from 'node:fs'",
    "▶import 'x'",
    "▶import { a } from 'x'\nlog(a)",
    "▶export const a = 1",
    "▶export default 1",
    "▶export default function f() {}",
    "▶export { a }; var a = 1",
    "▶export * from 'x'",
    "await ▶import('node:fs')",
    "log(▶import.meta.url)",
]
SYNTAX = [
    ("const a = {x: 1 ▶y: 2}", None),
    ("const a = ▶;", None),
    ("const a = 1\nconst ▶a = 2", None),
    ("const ▶a", None),
    ("const f = () => { ▶await agent('x') }", "Write `async` before that function."),
    ("const p = `use `▶code` here`", "A backtick inside of a template literal is written \\`."),
    ("const p = ▶“hi”", "`“` is no quotation mark of JavaScript: write ' or \"."),
    ("const p = ▶'never ends", None),
    ("log('é😀', 1 ▶2)", None),
    ("return 1\n▶}", None),
    ("▶}), (() => async () => {", None),
    ("if (args) {\n  log('x')\n▶", "The `{` of line 2, column 11, is never closed."),
    ("const r = ▶/(/", None),
    ("log(/ok/)\nconst r = ▶/(?<n>a)(?<n>b)/", None),
    ("▶break", None),
    ("▶with (args) {}", None),
    ("const n = ▶010", None),
]
CONTROLS = ["log('a▶\x00b')", "// ▶\x1b[31m", "log(1)▶\rlog(2)", "log('▶\x85')", "log('▶\x7f')", "▶\x0clog(1)"]
META_FAULTS = [
    ("▶log('x')", "The script does not begin with its meta."),
    ("log('x')\n▶export const meta = { name: 'x', description: 'y' }", "meta must be the first statement"),
    ("▶const meta = { name: 'x', description: 'y' }", "The script does not begin with its meta."),
    ("// only a comment\n▶return 1", "The script does not begin with its meta."),
    ("▶export const meta = {}", "meta has no name."),
    ("▶export const meta = { name: 'x' }", "meta has no description."),
    ("export const meta = { name: ▶1, description: 'y' }", "meta.name must be a text."),
    ("export const meta = { name: ▶'', description: 'y' }", "meta.name must be a text."),
    ("export const meta = { name: 'x', description: ▶null }", "meta.description must be a text."),
    ("export const meta = ▶'x'", "meta must be an object literal."),
    ("const a = 1\nexport const meta = { name: a }", "meta must be the first statement"),
    ("export const meta = { name: 'x', description: ▶`a${1}` }", "a template with a substitution"),
    ("export const meta = { name: 'x', description: ▶'a' + 'b' }", "an expression"),
    ("export const meta = { name: 'x', description: ▶args }", "a variable"),
    ("export const meta = { name: 'x', description: ▶String('y') }", "a call"),
    ("export const meta = { name: 'x', description: 'y', ▶...args }", "a spread"),
    ("export const meta = { name: 'x', description: 'y', phases: [▶...args] }", "a spread"),
    ("export const meta = { name: 'x', description: 'y', ▶[args]: 1 }", "a computed key"),
    ("export const meta = { name: 'x', description: 'y', ▶args }", "a variable"),
    ("export const meta = { name: 'x', ▶description() {} }", "a method"),
    ("export const meta = { name: 'x', ▶get description() { return 'y' } }", "a method"),
    ("export const meta = { name: 'x', description: ▶() => 'y' }", "a function"),
    ("export const meta = { name: 'x', description: ▶/y/ }", "a regular expression"),
    ("export const meta = { name: 'x', description: 'y', phases: ▶'z' }", "meta.phases must be a list"),
    ("export const meta = { name: 'x', description: 'y', phases: ▶[{}] }", "meta.phases must be a list"),
]
LISTS = {
    "typescript": [text for text, _ in TYPESCRIPT],
    "module": MODULES,
    "syntax": [text for text, _ in SYNTAX],
    "control-character": CONTROLS,
    "meta": [text for text, _ in META_FAULTS],
}
REFUSED = [(rule, text) for rule, texts in LISTS.items() for text in texts]


@pytest.fixture(scope="module")
def checked(check: Check) -> Checked:
    return check([text if rule == "meta" else whole(text) for rule, text in REFUSED])


def only_error(checked: Checked, text: str):
    (row,) = checked.rows(text, "errors")
    if MARK in text:
        assert (row["line"], row["column"]) == place(text)
    return row


@pytest.mark.parametrize(("text", "hint"), TYPESCRIPT)
def test_typescript_is_refused_and_the_hint_says_what_to_remove(checked: Checked, text: str, hint: str):
    row = only_error(checked, whole(text))
    assert (row["rule"], row["hint"]) == ("typescript", hint)


@pytest.mark.parametrize("text", MODULES)
def test_imports_and_other_exports_are_refused_at_their_first_word(checked: Checked, text: str):
    assert only_error(checked, whole(text))["rule"] == "module"


@pytest.mark.parametrize(("text", "hint"), SYNTAX)
def test_a_syntax_error_is_told_at_the_token_that_is_wrong(checked: Checked, text: str, hint: str | None):
    row = only_error(checked, whole(text))
    assert (row["rule"], row["hint"]) == ("syntax", hint)


@pytest.mark.parametrize("text", CONTROLS)
def test_control_characters_are_refused_wherever_they_stand(checked: Checked, text: str):
    assert only_error(checked, whole(text))["rule"] == "control-character"


@pytest.mark.parametrize(("text", "message"), META_FAULTS)
def test_a_meta_that_is_no_pure_literal_is_refused_at_what_is_none(checked: Checked, text: str, message: str):
    rows = checked.rows(text, "errors")
    assert message in rows[0]["message"]
    if MARK in text:
        assert (rows[0]["line"], rows[0]["column"]) == place(text)


@pytest.mark.parametrize("extra", ["é", "😀", "x"])
def test_a_script_may_have_524288_units_and_not_one_more(check: Check, extra: str):
    units = len(extra.encode("utf-16-le")) // 2
    body = META + "//" + extra * ((524_288 - len(META) - 2) // units)
    checked = check([body, body + "xx"])
    assert checked.rows(body, "errors") == []
    (row,) = checked.rows(body + "xx", "errors")
    assert (row["rule"], row["line"], row["column"]) == ("size", 1, 1)


def test_what_is_nested_too_deeply_is_told_and_breaks_nothing(check: Check):
    meta = "export const meta = { name: 'x', description: 'y', z: " + "[" * 10_000 + "]" * 10_000 + " }"
    body, deep = (
        whole("return " + "[" * 10_000 + "]" * 10_000 + ".length"),
        whole("return " + "[" * 100_000 + "]" * 100_000),
    )
    checked = check([meta, body, deep])
    assert "nested too deeply" in checked.rows(meta, "errors")[0]["message"]
    assert checked.rows(body, "errors") == []
    (row,) = checked.rows(deep, "errors")
    assert (row["line"], row["message"]) == (2, "The script is nested too deeply.")


def test_everything_that_is_wrong_is_told_at_once(check: Check):
    text = (
        "import x from 'y'\n"
        "export const meta = { description: 'y' }\n"
        "const a: string = 'a'\n"
        "const b = {p: 1 q: 2}\n"
        "export const c = 1\n"
        "interface D { x: number }\n"
        "const e = ;\n"
        "log('\x01')\n"
    )
    rows = check([text]).rows(text, "errors")
    assert [(row["line"], row["column"], row["rule"]) for row in rows] == [
        (1, 1, "module"),
        (2, 1, "meta"),
        (3, 8, "typescript"),
        (4, 17, "syntax"),
        (5, 1, "module"),
        (6, 1, "typescript"),
        (7, 11, "syntax"),
        (8, 6, "control-character"),
    ]


def test_what_is_doubtful_is_told_beside_what_is_wrong(check: Check):
    text = whole("const a: string = 'a'\nimport b from 'b'\nlog(a, b)\nagent('x')")
    checked = check([text])
    assert [row["rule"] for row in checked.rows(text, "errors")] == ["typescript", "module"]
    assert [row["rule"] for row in checked.rows(text, "warnings")] == ["missing-await"]


@pytest.mark.parametrize("text", [TYPESCRIPT[0][0], MODULES[0], SYNTAX[0][0], CONTROLS[0], META_FAULTS[5][0]])
def test_run_refuses_with_the_same_findings_and_starts_nothing(cpt: Program, text: str):
    path = cpt.folder / "flow.js"
    path.write_text((text if text in LISTS["meta"] else whole(text)).replace(MARK, ""), encoding="utf-8", newline="")
    ran = cpt("run", "flow.js", "--model", "sim", "--json")
    assert (ran.code, ran.json["status"]) == (2, "rejected")
    assert ran.json["errors"] == cpt("check", str(path), "--json").json["errors"]
    assert cpt("ps", "--all", "--json").json["runs"] == []


def test_a_refusal_shows_the_line_with_a_caret_on_stderr_and_no_colour(cpt: Program):
    ran = cpt("run", cpt.script("const a: string = 'é😀'; const b = 1 2"), "--model", "sim")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"{cpt.folder}/flow.js:2:8: A workflow script is plain JavaScript, and this is TypeScript.",
        "  const a: string = 'é😀'; const b = 1 2",
        "         ^",
        "hint: type annotations are TypeScript: remove `: string`.",
        f"{cpt.folder}/flow.js:2:38: Expecting ';'.",
        "  const a: string = 'é😀'; const b = 1 2",
        "                                       ^",
    ]


@pytest.mark.parametrize(("flags", "colored"), [((), True), (("--no-color",), False)])
def test_a_refusal_has_colour_on_a_terminal_only_where_it_is_wanted(
    cpt: Program, flags: tuple[str, ...], colored: bool
):
    cpt.script("const a: string = 'x'")
    shown = on_a_terminal(cpt, "run", "flow.js", "--model", "sim", *flags)
    assert "flow.js:2:8" in shown
    assert ("\x1b[" in shown) == colored


def on_a_terminal(cpt: Program, *arguments: str) -> str:
    """What the program writes to a terminal."""
    controller, terminal = pty.openpty()
    whole = {key: value for key, value in cpt.environment.items() if key != "NO_COLOR"} | {"TERM": "xterm"}
    process = start_on((terminal, terminal, terminal), arguments, cpt.folder, whole)
    os.close(terminal)
    shown = b""
    while select.select([controller], [], [], 60)[0]:
        try:
            piece = os.read(controller, 1 << 16)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    assert process.wait(60) == 2
    return shown.decode()
