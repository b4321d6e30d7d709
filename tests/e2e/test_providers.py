"""Whole runs against providers over real HTTP: what a user sees when they answer, and when they do not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended, Program
from tests.fakes.replies import Asked, Breaks, Fails, Gives, Reply, Says, Sends, Waits
from tests.fakes.server import Fake

KEY = "sk-test-0123456789abcdef"
CLAUDE, SERVER = "anthropic:claude-sonnet-5-5", "openai-compatible:qwen3"
FAN_OUT = "return await parallel(Array.from({length: args.n}, (_, i) => () => agent(`task ${i}`)))"


@pytest.fixture
def fake() -> Generator[Fake]:
    with Fake() as server:
        yield server


def run(cpt: Program, fake: Fake, script: str, *arguments: str, model: str = SERVER, **environment: str) -> Ended:
    address = fake.url if model == CLAUDE else f"{fake.url}/v1"
    keys = {"ANTHROPIC_API_KEY": KEY, "OPENAI_COMPATIBLE_API_KEY": KEY, **environment}
    arguments = ("run", cpt.script(script), "--model", model, "--base-url", address, "--json", *arguments)
    return cpt(*arguments, timeout=100, **keys)


def task(asked: Asked) -> str:
    """The prompt of the agent that asks."""
    content = next(message["content"] for message in asked.body["messages"] if message["role"] == "user")
    return content if isinstance(content, str) else content[0]["text"]


def at_first(replies: dict[str, Reply]) -> Callable[[Asked], Reply]:
    """By the task: that reply to the first request, and an answer to those after it."""
    seen: Counter[str] = Counter()

    def reply(asked: Asked) -> Reply:
        seen[task(asked)] += 1
        return replies[task(asked)] if seen[task(asked)] == 1 and task(asked) in replies else Says(f"did {task(asked)}")

    return reply


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_run_on_claude_is_counted_in_tokens_and_money(cpt: Program, fake: Fake):
    fake.otherwise = lambda asked: Says(
        f"did {task(asked)}", tokens=(1000, 400, 50), model="claude-sonnet-5-5-20260901"
    )

    ended = run(cpt, fake, FAN_OUT, "--args", '{"n": 5}', model=CLAUDE)

    assert ended.code == 0, ended.err
    document = ended.json
    assert document["result"] == [f"did task {n}" for n in range(5)]
    usage = document["usage"]
    assert (usage["input_tokens"], usage["cached_input_tokens"], usage["output_tokens"]) == (5000, 2000, 250)
    assert usage["requests"] == 5
    assert usage["usd"] > 0
    assert all(request.headers["x-api-key"] == KEY for request in fake.asked)


def test_an_agent_reads_a_file_and_returns_what_fits_its_schema_after_one_repair(cpt: Program, fake: Fake):
    (cpt.folder / "notes.txt").write_text("three blind mice\n")
    fake.will(
        Says(calls=[("Read", {"file_path": "notes.txt"})]),
        Gives({"count": "three"}),
        Gives({"count": 3}),
    )
    script = """return await agent('Count the mice in notes.txt.', {
      schema: {type: 'object', properties: {count: {type: 'integer'}}, required: ['count']}})"""

    ended = run(cpt, fake, script, model=CLAUDE)

    assert ended.code == 0, ended.err
    assert ended.json["result"] == {"count": 3}
    assert "three blind mice" in json.dumps(fake.asked[1].body)
    assert "does not fit the schema" in json.dumps(fake.asked[2].body)
    assert ended.json["usage"]["requests"] == 3


def test_on_a_server_an_agent_with_tools_gives_its_result_by_a_tool_and_one_without_under_the_schema(
    cpt: Program, fake: Fake
):
    fake.otherwise = lambda _: Gives({"n": 3})
    script = """const schema = {type: 'object', properties: {n: {type: 'integer'}}, required: ['n']}
      return [await agent('with', {schema}), await agent('without', {schema, tools: []})]"""

    ended = run(cpt, fake, script)

    assert ended.json["result"] == [{"n": 3}, {"n": 3}]
    with_tools, without = fake.asked
    assert "StructuredOutput" in with_tools.tools
    assert "response_format" not in with_tools.body
    assert without.tools == []
    assert without.body["response_format"]["json_schema"]["schema"]["required"] == ["n"]


def test_whatever_may_pass_is_tried_again_and_other_refusals_end_one_agent(cpt: Program, fake: Fake):
    passing: list[Reply] = [
        *(Fails(status) for status in (408, 409, 429, 500, 502, 503, 529)),
        Fails(429, headers={"retry-after": "1"}),
        Breaks(),
        Breaks(midway=True),
        Sends(b'{"choices": [{"mess'),
        Sends(b"<html>busy</html>", "text/html"),
    ]
    lasting: list[Reply] = [Fails(status) for status in (400, 404, 413, 422)]
    tries = [*passing, *lasting]
    fake.otherwise = at_first({f"task {n}": reply for n, reply in enumerate(tries)})

    ended = run(cpt, fake, FAN_OUT, "--args", json.dumps({"n": len(tries)}))

    assert ended.code == 4, ended.err
    document = ended.json
    assert document["result"] == [*(f"did task {n}" for n in range(len(passing))), *[None] * len(lasting)]
    requests = Counter(task(asked) for asked in fake.asked)
    assert [requests[f"task {n}"] for n in range(len(tries))] == [2] * len(passing) + [1] * len(lasting)
    assert document["agents"]["failed"] == len(lasting)
    assert document["coverage"] == {"ok": len(passing), "of": len(tries)}


def test_retries_are_counted_and_none_means_one_request(cpt: Program, fake: Fake):
    fake.otherwise = lambda _: Fails(500)
    script = "return await parallel([0, 2].map((retries) => () => agent(`with ${retries}`, {retries})))"

    ended = run(cpt, fake, script)

    assert ended.code == 4
    assert Counter(task(asked) for asked in fake.asked) == {"with 0": 1, "with 2": 3}


def test_a_retry_after_holds_back_every_agent(cpt: Program, fake: Fake):
    fake.will(Fails(429, "Slow down.", headers={"retry-after": "2"}))

    ended = run(cpt, fake, FAN_OUT, "--args", '{"n": 8}', "--concurrency", "1")

    assert ended.code == 0, ended.err
    times = [asked.at for asked in fake.asked]
    assert len(times) == 9
    assert min(times[1:]) - times[0] >= 2
    events = [json.loads(line) for line in cpt("export", "@last", "--jsonl").out.splitlines()]
    assert any(event["type"] == "provider_held" for event in events)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Fails(401, f"Incorrect API key provided: {KEY}."), "Check OPENAI_COMPATIBLE_API_KEY"),
        (Fails(429, "Come back tomorrow.", headers={"retry-after": "7200"}), "Come back tomorrow"),
        (Fails(429, "You exceeded your current quota.", "insufficient_quota"), "quota is used up"),
    ],
)
def test_a_provider_that_serves_no_more_pauses_the_run_and_resume_goes_on(
    cpt: Program, fake: Fake, reply: Fails, says: str
):
    fake.will(Says("did task 0"), Says("did task 1"), reply)

    ended = run(cpt, fake, FAN_OUT, "--args", '{"n": 20}', "--concurrency", "1")

    assert ended.code == 6
    assert ended.json["status"] == "paused"
    assert says in ended.json["message"]
    assert len(fake.asked) == 3
    resumed = cpt("resume", "@last", "--json", OPENAI_COMPATIBLE_API_KEY=KEY)
    assert resumed.code == 0, resumed.err
    assert resumed.json["resumed_from"] == 2
    assert resumed.json["result"] == ["did task 0", "did task 1", *["Fine."] * 18]
    assert len(fake.asked) == 21
    assert KEY.encode() not in everything_in(cpt.state)
    assert KEY not in ended.out + ended.err + resumed.out + resumed.err


def test_a_provider_that_cannot_be_reached_ends_with_6_and_says_where_it_was_looked_for(cpt: Program):
    with Fake() as fake:
        gone = f"{fake.url}/v1"
    script = cpt.script(FAN_OUT)

    ended = cpt("run", script, "--args", '{"n": 3}', "--model", SERVER, "--base-url", gone, COUNTERPOINT_RETRIES="1")

    assert ended.code == 6
    assert gone.removesuffix("/v1") in ended.err
    assert "cannot be reached" in ended.err


def test_what_is_missing_is_said_before_anything_starts(cpt: Program, fake: Fake):
    script = cpt.script("return await agent('x')")
    for model, said in [
        ("anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY"),
        ("antropic:claude", "did you mean 'anthropic'"),
        ("openai-compatible:x", "--base-url"),
    ]:
        ended = cpt("run", script, "--model", model, ANTHROPIC_API_KEY="", OPENAI_API_KEY="")
        assert ended.code == 2
        assert said in ended.err
    assert cpt("ps", "--all", "--json").json in ([], {"runs": []})


def test_models_check_says_what_is_ready_and_what_is_missing_without_showing_a_key(cpt: Program):
    ended = cpt("models", "check", "--json", ANTHROPIC_API_KEY=KEY, OPENAI_API_KEY="")

    state = {row["provider"]: row for row in ended.json["models"]}
    assert ended.code == 0
    assert state["anthropic"]["missing"] is None
    assert "OPENAI_API_KEY" in state["openai"]["missing"]
    assert "address" in state["openai-compatible"]["missing"]
    assert KEY not in ended.out


def test_aliases_fall_back_to_the_run_s_model_with_one_warning_each(cpt: Program, fake: Fake):
    script = """return await parallel(Array.from({length: 6}, (_, i) => () =>
      agent(`task ${i}`, {model: ['haiku', 'opus', 'anthropic:claude-opus-5-5'][i % 3]})))"""

    ended = run(cpt, fake, script, ANTHROPIC_API_KEY="")

    assert ended.code == 0, ended.err
    assert {asked.body["model"] for asked in fake.asked} == {"qwen3"}
    warnings = [line for line in ended.json["log"] if SERVER in line]
    assert len(warnings) == 3
    for name in ("haiku", "opus", "ANTHROPIC_API_KEY"):
        assert any(name in line for line in warnings)


def test_a_silent_provider_is_a_stall_that_the_script_can_catch(cpt: Program, fake: Fake):
    fake.otherwise = lambda _: Waits(asyncio.Event(), Says("never"))
    script = "try { await agent('x', {stallMs: 300}) } catch (e) { return [e.name, e.message.includes('the model')] }"

    ended = run(cpt, fake, script)

    assert ended.json["result"] == ["StalledError", True]


def test_an_agent_that_thinks_hard_is_streamed_and_no_stall_while_something_comes(cpt: Program, fake: Fake):
    fake.will(Says("It depends.", thought="On this and that."))

    ended = run(cpt, fake, "return await agent('Why?', {effort: 'max'})", model=CLAUDE)

    assert ended.code == 0, ended.err
    assert ended.json["result"] == "It depends."
    assert fake.asked[0].body["stream"] is True


def test_stopping_a_run_closes_its_connections_at_once(cpt: Program, fake: Fake):
    fake.otherwise = lambda _: Waits(asyncio.Event(), Says("too late"))
    process = cpt.start(
        "run", cpt.script(FAN_OUT), "--args", '{"n": 3}', "--model", SERVER, "--base-url", f"{fake.url}/v1"
    )
    for _ in range(3):
        assert fake.arrived.acquire(timeout=60)

    assert cpt("stop", "@last").code == 0
    for _ in range(3):
        assert fake.abandoned.acquire(timeout=60)
    process.communicate(timeout=60)

    assert process.returncode == 130
