"""verify, judge, converge, critic: what they ask, and what they make of the answers."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.sandbox.host import play

from counterpoint.errors import HookError


def votes(*given: Any) -> Callable[[Any], Any]:
    """Skeptics that answer in turn: whether they refute; None: the skeptic dies; an exception: its call rejects."""
    left = list(given)

    def answer(arg: Any) -> Any:
        vote = left.pop(0)
        if isinstance(vote, HookError):
            raise vote
        return None if vote is None else {"refuted": vote, "reason": f"because {vote}"}

    return answer


STALLED = HookError("StalledError", "no progress")


@pytest.mark.parametrize(
    ("cast", "options", "verdict", "count"),
    [
        ([False, False, False], "", "confirmed", 3),
        ([True, True, False], "", "refuted", 3),
        ([False, True, False], "", "confirmed", 3),
        ([False, None, False], "", "confirmed", 2),
        ([True, None, None], "", "unverified", 1),
        ([None, None, None], "", "unverified", 0),
        ([STALLED, STALLED, True], "", "unverified", 1),
        ([True, False, None], "", "unverified", 2),
        ([True, None, None], "quorum: 1", "refuted", 1),
        ([False], "votes: 1", "confirmed", 1),
        ([True, True, False, False], "votes: 4", "unverified", 4),
        ([False] * 5, "lenses: ['a', 'b', 'c', 'd', 'e']", "confirmed", 5),
    ],
)
async def test_a_verdict_needs_a_majority_of_those_cast_and_a_quorum(
    cast: list[Any], options: str, verdict: str, count: int
):
    played = await play(f"return await counterpoint.verify('it holds', {{{options}}})", agent=votes(*cast))
    reasons = [f"because {vote}" for vote in cast if isinstance(vote, bool)]
    assert played.result == {"verdict": verdict, "votes": count, "reasons": reasons}
    assert len(played.calls) == len(cast)


async def test_skeptics_get_the_claim_the_evidence_and_each_its_own_lens():
    played = await play(
        "return await counterpoint.verify({text: 'two is odd'},"
        " {lenses: ['numbers', 'words'], evidence: ['a.txt', 'b.txt'], model: 'haiku', phase: 'Check',"
        " schema: {properties: {line: {type: 'integer'}}, required: ['line']}})",
        agent=lambda arg: {"refuted": True, "reason": "odd", "line": 7},
    )
    asked = played.asked("agent")
    assert all('"two is odd"' in arg["prompt"] and "- a.txt\n- b.txt" in arg["prompt"] for arg in asked)
    assert [re.findall(r"from this side\n(\w+)", arg["prompt"]) for arg in asked] == [
        ["numbers"],
        ["words"],
        ["numbers"],
    ]
    assert [arg["opts"]["label"] for arg in asked] == ["verify 1/3", "verify 2/3", "verify 3/3"]
    assert {arg["opts"]["model"] for arg in asked} == {"haiku"}
    assert {arg["phase"] for arg in asked} == {"Check"}
    assert set(asked[0]["opts"]["schema"]["required"]) == {"refuted", "reason", "line"}
    assert played.result["answers"][0]["line"] == 7


@pytest.mark.parametrize("options", ["votes: 0", "votes: 2.5", "votes: 'x'", "quorum: -1", "lenses: 'a'"])
async def test_verify_refuses_numbers_that_mean_nothing(options: str):
    played = await play(f"try {{ await counterpoint.verify('x', {{{options}}}) }} catch (e) {{ return e.name }}")
    assert played.result == "TypeError"
    assert played.calls == []


def grade(arg: Any) -> Any:
    """A judge that gives each candidate the number in it."""
    found = [int(number) for number in re.findall(r"# Candidate \d+\nworth (\d+)", arg["prompt"])]
    return {"scores": found, "note": " ".join(map(str, found))}


async def test_judges_see_the_candidates_in_other_orders_and_the_scores_come_back_in_theirs():
    played = await play(
        "return await counterpoint.judge(['worth 3', 'worth 9', 'worth 5'], {criteria: ['clear', 'short'], judges: 4})",
        agent=grade,
    )
    assert played.result == {"winner": 1, "scores": [3, 9, 5], "notes": ["3 9 5", "5 9 3", "9 5 3", "3 5 9"]}
    assert all("- clear\n- short" in arg["prompt"] for arg in played.asked("agent"))


async def test_dead_judges_do_not_count_and_without_any_there_is_no_winner():
    def second_dies(arg: Any) -> Any:
        return None if arg["opts"]["label"].startswith("judge 2") else grade(arg)

    played = await play("return await counterpoint.judge(['worth 1', 'worth 2'], {criteria: 'c'})", agent=second_dies)
    assert played.result == {"winner": 1, "scores": [1, 2], "notes": ["1 2", "2 1"]}
    played = await play("return await counterpoint.judge(['worth 1'], {criteria: 'c'})", agent=lambda arg: None)
    assert played.result == {"winner": None, "scores": [None], "notes": []}


@pytest.mark.parametrize(
    "call",
    ["judge([])", "judge('x')", "judge(['a'], {judges: 0})", "converge(5)", "converge(() => [], {quiet: 0})",
     "converge(() => 'x')", "converge(() => [], {maxRounds: 0.5})", "converge(() => [], {key: 'id'})"],
)  # fmt: skip
async def test_what_cannot_be_meant_is_a_type_error(call: str):
    played = await play(f"try {{ await counterpoint.{call} }} catch (e) {{ return e.name }}")
    assert played.result == "TypeError"


async def test_rounds_go_on_until_two_bring_nothing_new():
    played = await play("""
        const brings = [[{id: 1, r: 0}, {id: 2}], [{id: 1, r: 1}], [{id: 3}, null], [{id: 2}], [], [{id: 9}]], seen = []
        const round = async (n, known) => { seen.push([n, known.length]); return brings[n] }
        const found = await counterpoint.converge(round, {key: (x) => x.id})
        return [found, seen]
    """)  # fmt: skip
    assert played.result == [
        [{"id": 1, "r": 0}, {"id": 2}, {"id": 3}],
        [[0, 0], [1, 2], [2, 2], [3, 3], [4, 3]],
    ]


async def test_rounds_are_bounded_and_without_a_key_the_item_counts():
    played = await play("return await counterpoint.converge((n) => [{n}, {n}, 'same', undefined], {maxRounds: 3})")
    assert played.result == [{"n": 0}, "same", {"n": 1}, {"n": 2}]
    played = await play("return await counterpoint.converge((n) => n ? null : ['a'], {quiet: 1})")
    assert played.result == ["a"]


async def test_an_error_of_a_round_ends_the_search():
    played = await play("await counterpoint.converge(() => { throw new RangeError('round') })")
    assert (played.error.name, played.error.message) == ("RangeError", "round")


async def test_the_critic_gives_gaps_and_a_dead_one_says_nothing():
    text = "return await counterpoint.critic({a: 1}, {goal: 'all of it', model: 'opus'})"
    played = await play(text, agent=lambda arg: {"gaps": ["no source", "no date"]})
    assert played.result == ["no source", "no date"]
    (asked,) = played.asked("agent")
    assert "# Goal\nall of it" in asked["prompt"]
    assert asked["opts"]["model"] == "opus"
    assert (await play(text, agent=lambda arg: None)).result is None


async def test_a_child_workflow_asks_its_own_skeptics():
    played = await play(
        "return await workflow('child')",
        children={"child": "return await counterpoint.verify('x', {votes: 1})"},
        agent=votes(False),
    )
    assert played.result["verdict"] == "confirmed"
    assert [call.w for call in played.calls] == [0, 1]
