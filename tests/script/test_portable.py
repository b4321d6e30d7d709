"""`--portable`: what Claude Code would refuse is refused, and nothing else."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Program
from tests.script.conftest import META, Check, Checked, place, whole

REFUSED = [
    "return ▶Math.random()",
    "return [1].sort(▶Math.random)",
    "const m = ▶Math['random']; return m()",
    "const { random } = ▶Math; return random()",
    "return ▶Date.now()",
    "return ▶new Date()",
    "return ▶new Date",
    "return ▶Date()",
    "return ▶performance.now()",
    "return ▶counterpoint.run",
    "if (args) return ▶counterpoint.run",
    "if (typeof counterpoint === 'undefined') return ▶counterpoint.run",
    "return typeof counterpoint === 'undefined' ? ▶counterpoint.run : 1",
    "return typeof counterpoint !== 'undefined' || ▶counterpoint.run",
    "if (typeof counterpoint !== 'undefined') log('x'); return ▶counterpoint.run",
    "const log2 = () => ▶counterpoint.now(); return log2()",
]
ALLOWED = [
    "return 'Math.random() and Date.now() in a text' // and new Date() in a comment",
    "return [new Date(5).getTime(), Date.UTC(2020, 1), Date.parse('2020-01-01'), Math.max(1, 2)]",
    "return typeof counterpoint",
    "if (typeof counterpoint !== 'undefined') return counterpoint.run",
    "if (typeof counterpoint === 'undefined') return 1; return counterpoint.run",
    "if (typeof counterpoint === 'undefined') { log('no'); return 1 } return counterpoint.run",
    "return typeof counterpoint !== 'undefined' ? counterpoint.run : null",
    "return typeof counterpoint !== 'undefined' && counterpoint.run",
    "return typeof counterpoint === 'undefined' || counterpoint.run",
    "return 'undefined' != typeof counterpoint && args && counterpoint.run",
    "if (typeof counterpoint === 'object' && args) return counterpoint.run",
    "if (!(typeof counterpoint === 'undefined')) return counterpoint.run",
    "const ours = typeof counterpoint !== 'undefined'; return ours ? counterpoint.run : null",
    "const ours = typeof counterpoint !== 'undefined' ? counterpoint : null; return ours?.run",
    "if (typeof counterpoint === 'undefined') { log('no') } else { return counterpoint.run }",
    "for (const x of [1]) { if (typeof counterpoint === 'undefined') continue; log(counterpoint.now()) }",
    "const random = () => 4; return random()",
    "const Math2 = { random: () => 1 }; return Math2.random()",
    "const f = (counterpoint) => counterpoint.x; return f({ x: 1 })",
]


@pytest.fixture(scope="module")
def checked(check: Check) -> Checked:
    return check([whole(text) for text in REFUSED + ALLOWED], "--portable")


@pytest.mark.parametrize("text", REFUSED)
def test_clock_chance_and_our_own_names_are_refused_at_their_place(checked: Checked, text: str):
    (row,) = checked.rows(whole(text), "errors")
    assert (row["rule"], row["line"], row["column"]) == ("portable", *place(whole(text)))


@pytest.mark.parametrize("text", ALLOWED)
def test_what_is_guarded_or_harmless_is_portable(checked: Checked, text: str):
    assert checked.rows(whole(text), "errors") == []


def test_without_the_flag_nothing_of_it_is_said(check: Check):
    texts = [whole(text) for text in REFUSED]
    checked = check(texts)
    assert [row for text in texts for row in checked.rows(text, "errors")] == []


def test_a_portable_run_has_no_global_of_ours_and_refuses_hidden_clocks(cpt: Program):
    text = META + (
        "const told = [typeof counterpoint]\n"
        "for (const f of [() => globalThis.Date.now(), () => new globalThis.Date(), () => globalThis.Math.random()])\n"
        "  try { f() } catch (e) { told.push(e.message) }\n"
        "return told"
    )
    advice = "is not portable: pass the value in through args"
    assert cpt.run(text, "--portable").json["result"] == [
        "undefined",
        f"Date.now() {advice}",
        f"new Date() without an argument {advice}",
        f"Math.random() {advice}",
    ]
    assert cpt.run("return Math.random()", "--portable").code == 2
