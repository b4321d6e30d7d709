"""What a resume reuses, and in which order: from events alone."""

from __future__ import annotations

from msgspec import Raw

from counterpoint.events import (
    AgentFinished,
    AgentMarked,
    AgentQueued,
    AgentReused,
    AgentStarted,
    AnswerReused,
    AnyEvent,
    BoundsChanged,
    CallRefused,
    Fault,
    GateAnswered,
    Outcome,
    Recorded,
    RunEnded,
    RunStarted,
    RunStatus,
    TimerFired,
    ToolCalled,
    Value,
    WorkflowEntered,
    WorkflowLeft,
)
from counterpoint.runtime.replay import Replay, Reuse, entrance
from counterpoint.runtime.totals import Total, Totals


def history(*events: AnyEvent) -> list[Recorded]:
    return [Recorded(seq, 100.0 + seq, event) for seq, event in enumerate(events, 1)]


def attempt(number: int, reuse: Reuse = "calls") -> RunStarted:
    return RunStarted(number, 1, "host", number, reuse)


def queued(agent: str, call: int = 0) -> AgentQueued:
    return AgentQueued(agent, f"key {agent}", Value(), call=call or int(agent[1:]))


def ok(agent: str) -> AgentFinished:
    return AgentFinished(agent, Outcome.OK, Value(json=Raw(b'"%s"' % agent.encode())))


def died(agent: str, outcome: Outcome = Outcome.FAILED) -> AgentFinished:
    return AgentFinished(agent, outcome)


def order(replay: Replay, *keys: str) -> list[str]:
    """The keys in the order of their places."""
    places = {key: replay.place(key) for key in keys}
    assert None not in places.values(), places
    return sorted(keys, key=lambda key: places[key] or 0)


def test_an_answer_that_was_good_is_reused_with_its_time_and_every_other_call_runs():
    replay = Replay(history(attempt(1), *map(queued, ("a1", "a2", "a3")), died("a2"), ok("a1")))
    answered = replay.answer("key a1")
    assert answered is not None
    assert (answered.agent, answered.at, answered.value) == ("a1", 106.0, Value(json=Raw(b'"a1"')))
    assert [replay.answer(f"key {agent}") for agent in ("a2", "a3", "a4")] == [None, None, None]
    assert len(replay) == 1
    assert replay.agent_ids == {"key a1": "a1", "key a2": "a2", "key a3": "a3"}


def test_an_agent_that_failed_later_or_was_marked_runs_again():
    events = [attempt(1), *map(queued, ("a1", "a2", "a3")), *map(ok, ("a1", "a2", "a3")), AgentMarked("a2", "wrong")]
    replay = Replay(history(*events, attempt(2), died("a3")))
    assert [replay.answer(f"key a{n}") is None for n in (1, 2, 3)] == [False, True, True]


def test_where_one_agent_alone_is_to_run_again_all_others_keep_the_ends_that_they_have():
    agents = ("a1", "a2", "a3", "a4", "a5", "a6")
    ends = [ok("a1"), died("a2"), ok("a3"), AgentMarked("a3", "wrong"), died("a4", Outcome.CANCELLED), died("a5")]
    cut = [attempt(1), *map(queued, agents), *ends]

    def left(*events: AnyEvent) -> list[str]:
        replay = Replay(history(*events), only=frozenset({"a1"}))
        return [agent for agent in agents if replay.answer(f"key {agent}") is not None]

    assert left(*cut, RunEnded(RunStatus.STOPPED)) == ["a2", "a3", "a5"]
    assert left(*cut, RunEnded(RunStatus.PARTIAL, Value())) == ["a2", "a3", "a4", "a5"]
    assert left(*cut, RunEnded(RunStatus.PARTIAL, Value()), attempt(2), queued("a5")) == ["a2", "a3"]


def test_the_order_is_that_in_which_the_answers_came():
    events = [
        attempt(1),
        *map(queued, ("a1", "a2")),
        TimerFired("timer", 5),
        ok("a2"),
        ToolCalled("tool", "Glob"),
        ok("a1"),
    ]
    assert order(Replay(history(*events)), "key a1", "key a2", "timer", "tool") == ["timer", "key a2", "tool", "key a1"]


def test_a_resume_that_was_heard_to_its_end_keeps_the_order():
    first = [attempt(1), *map(queued, ("a1", "a2")), ok("a1"), TimerFired("timer", 5), ok("a2")]
    second = [attempt(2), AgentReused("a1"), AnswerReused("timer"), AgentReused("a2")]
    keys = ["key a1", "timer", "key a2"]
    assert order(Replay(history(*first)), *keys) == keys
    assert order(Replay(history(*first, *second)), *keys) == keys
    assert order(Replay(history(*first, *second, *second)), *keys) == keys


def test_what_a_killed_resume_had_not_heard_yet_comes_after_what_it_had():
    first = [attempt(1), *map(queued, ("a1", "a2", "a3", "a4")), ok("a3"), ok("a1"), ok("a4"), ok("a2")]
    second = [attempt(2), AgentReused("a3"), AgentReused("a1")]
    assert order(Replay(history(*first, *second)), "key a1", "key a2", "key a3", "key a4") == [
        "key a3", "key a1", "key a4", "key a2",
    ]  # fmt: skip


def test_a_new_answer_has_its_place_by_how_many_were_heard_before_and_not_by_when_it_was_recorded():
    """In the second attempt a3 ended while recorded answers were still on their way; they were heard first."""
    first = [attempt(1), *map(queued, ("a1", "a2", "a3")), ok("a1"), ok("a2"), died("a3")]
    second = [attempt(2), queued("a3"), AgentReused("a1"), ok("a3"), AgentReused("a2", behind=0)]
    assert order(Replay(history(*first, *second)), "key a1", "key a2", "key a3") == ["key a1", "key a2", "key a3"]
    third = [attempt(2), queued("a3"), AgentReused("a1"), ok("a3"), AgentReused("a2", behind=1)]
    assert order(Replay(history(*first, *third)), "key a1", "key a2", "key a3") == ["key a1", "key a3", "key a2"]


def test_a_new_answer_that_nobody_is_known_to_have_heard_waits_for_the_recorded_ones():
    first = [attempt(1), *map(queued, ("a1", "a2", "a3")), ok("a1"), ok("a2")]
    second = [attempt(2), queued("a3"), AgentReused("a1"), ok("a3")]
    assert order(Replay(history(*first, *second)), "key a1", "key a2", "key a3") == ["key a1", "key a2", "key a3"]


def test_what_follows_from_the_script_alone_keeps_its_place():
    fault = Fault("SchemaError", "bad")
    begins, refused, ends = WorkflowEntered("child", "c"), CallRefused("bad", fault, call=2), WorkflowLeft("child", "c")
    first = [attempt(1), begins, queued("a1"), refused, ok("a1"), ends, queued("a2", 3), ok("a2")]
    second = [
        attempt(2),
        begins,
        refused,
        AnswerReused(entrance("child")),
        AnswerReused("bad"),
        AgentReused("a1"),
        ends,
    ]
    second += [AnswerReused("child"), AgentReused("a2")]
    keys = [entrance("child"), "bad", "key a1", "child", "key a2"]
    assert order(Replay(history(*first)), *keys) == keys
    assert order(Replay(history(*first, *second)), *keys) == keys
    assert order(Replay(history(*first, *second[:7])), *keys) == keys


def test_nothing_but_good_effects_is_reused():
    denied = GateAnswered("g1", "gate", denied=True)
    failed = ToolCalled("tool", "Bash", fault=Fault("ToolError", "no"))
    replay = Replay(history(attempt(1), denied, failed, TimerFired("timer", 1)))
    assert (replay.effect("gate"), replay.effect("tool")) == (None, None)
    assert replay.effect("timer") is not None
    answered = Replay(
        history(attempt(1), denied, attempt(2), GateAnswered("g1", "gate", Value(json=Raw(b"1"))))
    ).effect("gate")
    assert answered is not None
    assert answered.value == Value(json=Raw(b"1"))


def test_prefix_ends_at_the_first_call_that_differs_or_has_no_answer():
    calls = [queued("a1"), queued("a2"), CallRefused("bad", Fault("E", "m"), call=3), queued("a3", 4), queued("a4", 5)]
    events = [attempt(1), *calls, ok("a1"), ok("a2"), ok("a3"), ok("a4"), TimerFired("timer", 1)]

    def reused(*keys: str) -> list[bool]:
        replay = Replay(history(*events), "prefix")
        return [replay.answer(key) is not None for key in keys]

    assert reused("key a1", "key a2", "bad", "key a3", "key a4") == [True, True, False, True, True]
    assert reused("key a1", "other", "bad", "key a3") == [True, False, False, False]
    assert reused("key a2", "key a1") == [False, False]
    replay = Replay(history(*events, died("a2")), "prefix")
    assert replay.effect("timer") is not None
    assert [replay.answer(f"key a{n}") is not None for n in (1, 2, 3)] == [True, False, False]
    assert replay.effect("timer") is None


def test_prefix_goes_by_the_calls_of_the_attempt_before():
    first = [attempt(1), queued("a1"), queued("a2"), queued("a3"), ok("a1"), ok("a2"), ok("a3")]
    second = [attempt(2), AgentReused("a1", call=1), queued("a4", 2), queued("a3", 3), ok("a4"), ok("a3")]
    replay = Replay(history(*first, *second), "prefix")
    assert [replay.answer(key) is not None for key in ("key a1", "key a4", "key a3")] == [True, True, True]


def test_none_starts_afresh():
    events = [attempt(1), queued("a1"), AgentStarted("a1"), ok("a1"), TimerFired("timer", 1)]
    replay = Replay(history(*events), "none")
    assert (replay.answer("key a1"), replay.effect("timer"), replay.place("timer"), replay.cut_off) == (
        None,
        None,
        None,
        set(),
    )
    assert replay.attempts == {"a1": 1}
    again = Replay(history(*events, attempt(2, "none"), queued("a1"), TimerFired("timer", 1), ok("a1")))
    assert order(again, "key a1", "timer") == ["timer", "key a1"]


def test_a_child_workflow_is_known_with_its_text_unless_the_script_was_edited():
    events = history(attempt(1), WorkflowEntered("child", "c", Value(blob="d")))
    assert Replay(events).workflows["child"].source == Value(blob="d")
    assert Replay(events, edited=True).workflows == {}


def test_a_script_reads_the_ceilings_that_held_when_its_last_answer_was_recorded():
    changed = [BoundsChanged({"budget_tokens": 900}), ok("a1"), BoundsChanged({"concurrency": 3, "budget_usd": 2.0})]
    created = RunStarted(1, 1, "host", 1, bounds={"budget_tokens": 500})
    totals = Totals(history(created, queued("a1"), *changed, attempt(2)))
    assert totals.first == totals.at(2) == Total(500)
    assert totals.at(4) == Total(900)
    assert totals.at(5) == totals.at(99) == Total(900, 2.0)
    totals.take(Recorded(7, 107.0, RunStarted(3, 1, "host", 3, bounds={"budget_tokens": 700})))
    assert totals.first == totals.at(4) == totals.at(99) == Total(700, 2.0)
