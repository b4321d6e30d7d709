"""Scripted agents: what they say, what goes wrong on purpose, and what a test hears of a run that went otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from counterpoint import Outcome, Workflow
from counterpoint.testing import (
    BAD_JSON,
    NULL,
    RATE_LIMITED,
    TIMEOUT,
    Asked,
    Fault,
    ScriptedModel,
    ScriptMismatch,
    Step,
    Uses,
    run_script,
)

SCHEMA = "{type: 'object', properties: {n: {type: 'integer'}}, required: ['n']}"


def workflow(body: str) -> Workflow:
    return Workflow(f"export const meta = {{ name: 'flow', description: 'a test' }}\n{body}")


async def test_steps_are_taken_in_order_where_nothing_says_otherwise():
    played = await run_script(
        workflow("return [await agent('a'), await agent('b')]"), ScriptedModel(Step("first"), Step("second"))
    )
    played.expect(value=["first", "second"], agents=2, coverage=(2, 2))


async def test_a_step_is_for_the_agent_that_its_prompt_or_label_names():
    text = workflow("""
    return await parallel([
      () => agent('look at b.py', {label: 'b'}), () => agent('look at a.py', {label: 'a:1'}), () => agent('sum up 12')])
    """)
    agents = ScriptedModel(
        Step("of a", label="a:*"), Step("of b", prompt="b.py"), Step("sum", prompt=re.compile(r"sum up \d+"))
    )
    assert (await run_script(text, agents)).value == ["of b", "of a", "sum"]
    assert sorted(str(asked) for asked in agents.asked) == [
        "a:1: look at a.py", "b: look at b.py", "sum up 12: sum up 12",
    ]  # fmt: skip


async def test_a_step_may_be_for_many_and_look_at_what_is_asked():
    def double(asked: Asked) -> dict[str, int]:
        return {"n": 2 * int(asked.prompt)}

    text = workflow(
        f"return (await parallel([1, 2, 3].map((n) => () => agent(n, {{schema: {SCHEMA}}})))).map((a) => a.n)"
    )
    played = await run_script(text, ScriptedModel(Step(double, times=3), Step("never", label="x", times=None)))
    assert played.value == [2, 4, 6]


async def test_a_call_too_many_fails_the_test_and_is_named():
    with pytest.raises(ScriptMismatch, match=r"a call too many \(no step is for it\): late: the second") as caught:
        await run_script(
            workflow("await agent('the first'); return agent('the second', {label: 'late'})"), ScriptedModel(Step("a"))
        )
    assert "late in (no phase): failed" in "".join(caught.value.__notes__)


async def test_steps_left_over_fail_the_test_and_are_named():
    agents = ScriptedModel(Step("a"), Step("b", label="judge", times=2))
    with pytest.raises(ScriptMismatch, match=re.escape("left over (2 times): Step('b', label='judge', times=2)")):
        await run_script(workflow("return agent('a')"), agents)


async def test_turns_that_were_not_taken_fail_the_test():
    with pytest.raises(ScriptMismatch, match="1 of 2 turns were not taken"):
        await run_script(workflow("return agent('a')"), ScriptedModel(Step("a", "b")))


async def test_an_agent_that_asks_again_after_its_last_turn_fails_the_test():
    with pytest.raises(ScriptMismatch, match=r"all turns of Step\(.*\) are taken\): a, turn 2: a"):
        await run_script(workflow(f"return agent('a', {{schema: {SCHEMA}}})"), ScriptedModel(Step(BAD_JSON)))


async def test_without_strictness_the_run_is_what_counts():
    played = await run_script(workflow("return agent('a')"), ScriptedModel(), strict=False)
    played.expect(status="partial", value=None, coverage=(0, 1))


async def test_a_refused_request_is_repeated_and_takes_the_next_turn():
    played = await run_script(workflow("return agent('a')"), ScriptedModel(Step(RATE_LIMITED, "there")))
    played.expect(value="there")
    assert played.view.agents["a1"].retries == 1


async def test_a_request_without_an_answer_is_repeated_too():
    (await run_script(workflow("return agent('a')"), ScriptedModel(Step(TIMEOUT, "there")))).expect(value="there")


async def test_a_dead_agent_is_null_for_the_script():
    played = await run_script(workflow("return [await agent('a')]"), ScriptedModel(Step(NULL)))
    played.expect(status="partial", value=[None])
    assert played.calls[0].outcome is Outcome.FAILED


async def test_bad_json_is_mended_or_ends_as_invalid():
    text = workflow(f"return agent('a', {{schema: {SCHEMA}}})")
    (await run_script(text, ScriptedModel(Step(BAD_JSON, {"n": "no"}, {"n": 3})))).expect(value={"n": 3})
    never = await run_script(text, ScriptedModel(Step(BAD_JSON, BAD_JSON, BAD_JSON)))
    assert never.calls[0].outcome is Outcome.INVALID
    assert never.result.error is not None
    assert never.result.error["name"] == "StructuredOutputError"


async def test_a_used_up_quota_pauses_the_run():
    quota = Fault("quota", "no more today", retry_after=3600)
    played = await run_script(workflow("return agent('a')"), ScriptedModel(Step(quota)))
    played.expect(status="paused")
    assert played.calls[0].outcome is Outcome.LIMITED


async def test_tools_are_really_called_and_their_results_heard(tmp_path: Path):
    (tmp_path / "a.txt").write_text("the word is zebra", "utf-8")
    heard: list[str] = []

    def answer(asked: Asked) -> str:
        heard.extend(asked.results)
        return "done"

    agents = ScriptedModel(Step(Uses("Read", Uses("Glob", pattern="*.txt"), file_path="a.txt"), answer))
    (await run_script(workflow("return agent('look')"), agents, cwd=tmp_path)).expect(value="done")
    assert "the word is zebra" in heard[0]
    assert "a.txt" in heard[1]


async def test_a_budget_ends_the_run_where_its_tokens_do():
    text = workflow("for (let n = 0; n < 9; n++) await agent(`n ${n}`); return 'all'")
    played = await run_script(text, ScriptedModel(Step("a", times=None, tokens=400)), budget="1k")
    played.expect(status="failed", agents=3, max_output_tokens=1000)
    assert played.output_tokens == 1000
    assert played.result.error is not None
    assert played.result.error["name"] == "BudgetExceededError"


async def test_expectations_that_fail_say_all_that_is_otherwise():
    played = await run_script(
        workflow("phase('Find'); log('beginning'); return agent('a', {label: 'one'})"), ScriptedModel(Step("x"))
    )
    played.expect(phases={"Find": 1}, logged="begin")
    assert played.labelled("one").value == "x"
    with pytest.raises(AssertionError) as caught:
        played.expect(
            status="failed", value="y", agents=2, phases={}, coverage=(1, 2), max_output_tokens=0, logged="no"
        )
    for part in ("status is", "value is 'x', and not 'y'", "agents is 1", "phases is", "coverage is (1, 1)",
                 "more than 0", "no line of the log has 'no'", "one in Find: ok"):  # fmt: skip
        assert part in str(caught.value)
    with pytest.raises(AssertionError, match="0 calls have the label 'two'"):
        played.labelled("two")


async def test_what_no_step_is_for_may_go_to_another_model():
    text = workflow("return [await agent('a', {label: 'dies'}), await agent('b')]")
    played = await run_script(text, ScriptedModel(Step(NULL, label="dies"), otherwise=ScriptedModel(Step("other"))))
    assert played.value == [None, "other"]
