"""Warnings of `check`: each at its place, and none for what is fine.

One script a line: doubtful.txt has them under the rule that speaks, the place marked; of innocent.txt nothing is said.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.script.conftest import META, Check, Checked, place, whole

HERE = Path(__file__).parent


def doubtful() -> list[tuple[str, str]]:
    """Rule and text of each case."""
    cases: list[tuple[str, str]] = []
    rule = ""
    for line in HERE.joinpath("doubtful.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            rule = line[2:]
        elif line:
            cases.append((rule, line))
    return cases


INNOCENT = HERE.joinpath("innocent.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def checked(check: Check) -> Checked:
    return check([whole(text) for text in [text for _, text in doubtful()] + INNOCENT])


@pytest.mark.parametrize(("rule", "text"), doubtful())
def test_what_is_doubtful_is_a_warning_at_its_place(checked: Checked, rule: str, text: str):
    row = checked.rows(whole(text), "warnings")[0]
    assert (row["rule"], row["line"], row["column"]) == (rule, *place(whole(text)))


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_fine_is_no_warning(checked: Checked, text: str):
    assert checked.rows(whole(text), "warnings") + checked.rows(whole(text), "errors") == []


PHASES = META.replace("y'", "y', phases: [{ title: 'Read' }, { title: 'Write' }]")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            PHASES + "phase('read'); phase('Write')\n",
            [
                "The phase 'Read' is declared and never used.",
                "The phase 'read' is not in meta.phases; did you mean 'Read'?",
            ],
        ),
        (PHASES + "phase('Read'); await agent('x', { phase: 'Write' })", []),
        (PHASES + "for (const t of ['Read', 'Write']) phase(t)", []),
        (PHASES + "const W = 'Write'; phase('Read'); await agent('x', { phase: W })", []),
        (PHASES + "phase('Read'); await agent('x', { phase: `Round ${1}` })", []),
        (PHASES + "phase('Read'); await agent('x', args)", []),
        (META + "phase('anything')", []),
    ],
)
def test_phases_that_do_not_match_are_told_in_both_directions(check: Check, text: str, messages: list[str]):
    assert [row["message"] for row in check([text]).rows(text, "warnings")] == messages


def test_text_that_reads_differently_from_what_it_does_is_told(check: Check):
    text = whole("return 'a▶\u202eb'")
    (row,) = check([text]).rows(text, "warnings")
    assert (row["rule"], row["line"], row["column"]) == ("hidden-text", *place(text))
