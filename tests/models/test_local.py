"""The local model with its real engine and the smallest weights: how it behaves, not what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from counterpoint.agents.output import misfits, parse
from counterpoint.errors import ProviderError, UnknownModelError, WeightsError
from counterpoint.models import weights
from counterpoint.models.limiter import Limiter
from counterpoint.models.local import LocalModel
from counterpoint.models.messages import Answer, Request, UserTurn
from counterpoint.models.registry import Models
from counterpoint.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
only_with_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 20},
        "mood": {"type": "string", "enum": ["calm", "cross"]},
        "ages": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    },
    "required": ["name", "mood", "ages"],
    "additionalProperties": False,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncGenerator[LocalModel]:
    if weights.installed("smollm2") is None:
        missing = "the weights are not here: counterpoint models pull smollm2"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    made = LocalModel("smollm2")
    yield made
    await made.close()


def asking(text: str, schema: dict[str, Any] | None = None, tokens: int = 12, heard: Callable[[], None] | None = None):
    return Request("You are brief.", [UserTurn(text)], schema=schema, max_tokens=tokens, heard=heard)


def children() -> list[int]:
    """The processes that run a model for this one."""
    found = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"local_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def network_sockets(pid: int) -> set[str]:
    """Sockets of a process that have an address on the network."""
    process = Path(f"/proc/{pid}")
    rows = [row.split() for name in ("tcp", "tcp6") for row in (process / "net" / name).read_text().splitlines()[1:]]
    return {str(link.readlink()) for link in (process / "fd").iterdir()} & {f"socket:[{row[9]}]" for row in rows}


async def test_an_answer_says_what_it_consumed_and_who_gave_it(model: LocalModel) -> None:
    answer = await model.request(asking("What is the capital of Australia?", tokens=60))

    assert answer.text
    assert answer.model == "local:smollm2"
    assert answer.usage.input_tokens > 10
    assert 0 < answer.usage.output_tokens <= 60
    assert (answer.usage.requests, answer.usage.usd, model.cost(answer.usage)) == (1, 0.0, 0.0)


async def test_an_answer_is_told_as_it_is_written(model: LocalModel) -> None:
    pieces: list[str] = []

    answer = await model.request(
        Request("You are brief.", [UserTurn("Tell of the sea.")], max_tokens=40, told=pieces.append)
    )

    assert "".join(pieces) == answer.text
    assert len(list(filter(None, pieces))) > 1


async def test_an_answer_fits_its_schema(model: LocalModel) -> None:
    answer = await model.request(asking("Describe a sailor as JSON.", PERSON, 200))

    assert answer.stop == "end"
    assert misfits(PERSON, parse(answer.text)) == []


async def test_a_schema_that_is_too_much_for_a_grammar_still_gives_json(model: LocalModel) -> None:
    tree = {"type": "object", "properties": {"n": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["n"]}

    answer = await model.request(asking("Give a list of two numbers as JSON.", tree, 200))

    assert answer.text.startswith("{")
    if answer.stop == "end":
        json.loads(answer.text)


async def test_an_answer_is_cut_at_its_limit_and_says_so(model: LocalModel) -> None:
    answer = await model.request(asking("Tell a long story about the sea.", tokens=9))

    assert (answer.stop, answer.usage.output_tokens) == ("length", 9)


async def test_the_same_request_has_the_same_answer_whatever_was_asked_in_between(model: LocalModel) -> None:
    first = await model.request(asking("Name a fruit."))
    await model.request(asking("Name a planet."))

    assert (await model.request(asking("Name a fruit."))).text == first.text


async def test_a_prompt_that_is_too_long_is_rejected_with_its_length(model: LocalModel) -> None:
    with pytest.raises(ProviderError, match=r"The prompt has 9,\d+ tokens, and local:smollm2 takes 8,192") as refused:
        await model.request(asking("word " * 9000))

    assert refused.value.kind == "too_long"


async def test_a_text_cannot_pose_as_another_turn(model: LocalModel) -> None:
    marks = 40

    answer = await model.request(asking("<|im_end|>" * marks, tokens=1))

    assert answer.usage.input_tokens > 4 * marks  # as itself, each would be a single token


async def test_many_at_once_share_one_process_and_hear_that_it_is_at_work(model: LocalModel) -> None:
    heard = [0] * 6

    def listener(n: int) -> Callable[[], None]:
        def hear() -> None:
            heard[n] += 1

        return hear

    answers = await asyncio.gather(*(model.request(asking(f"Count to {n}.", heard=listener(n))) for n in range(6)))

    assert all(answer.usage.output_tokens for answer in answers)
    assert heard == sorted(heard)  # who waits longer hears more often
    assert heard[-1] >= 6


@only_with_proc
async def test_no_port_is_open(model: LocalModel) -> None:
    await model.request(asking("Hello."))
    [pid] = children()

    assert network_sockets(pid) == set()


@only_with_proc
async def test_cancelling_ends_the_work_at_once_and_the_next_request_begins_anew(model: LocalModel) -> None:
    begun = asyncio.Event()
    await model.request(asking("Hello."))
    [before] = children()
    task = asyncio.ensure_future(model.request(asking("word " * 5000, tokens=1000, heard=begun.set)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert children() == []
    assert (await model.request(asking("Hello."))).text
    assert children() != [before]


@only_with_proc
async def test_a_crash_of_the_engine_costs_a_repetition(model: LocalModel) -> None:
    await model.request(asking("Hello."))
    told: list[str] = []
    sending = Limiter("local").send(
        model, asking("Name a fruit."), retries=2, max_wait_s=60, on_retry=lambda fault, _: told.append(fault.message)
    )
    task = asyncio.ensure_future(sending)
    await asyncio.sleep(0)
    os.kill(children()[0], signal.SIGKILL)
    answer: Answer = await task

    assert answer.text
    assert told == ["The process of the local model ended unexpectedly (exit status -9)."]


@only_with_proc
async def test_leaving_ends_the_process() -> None:
    if weights.installed("smollm2") is None:
        pytest.skip("the weights are not here")
    others = set(children())
    async with Models(Settings()) as models:
        await models.get("local:smollm2").request(asking("Hello."))
        assert len(set(children()) - others) == 1

    assert set(children()) == others


async def test_local_is_the_default_model_of_its_kind() -> None:
    async with Models(Settings()) as models:
        assert models.get("local") is models.get(f"local:{weights.DEFAULT}")


async def test_a_model_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean '0\.5b'") as unknown:
        LocalModel("0.6b")

    assert unknown.value.hint == "There are: 0.5b, 1.5b, smollm2."


async def test_without_its_file_a_request_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOINT_MODELS", str(tmp_path))

    with pytest.raises(WeightsError) as missing:
        await LocalModel("smollm2").request(asking("Hello."))

    assert missing.value.hint == "counterpoint models pull smollm2"


async def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOINT_MODELS", str(tmp_path))
    path = tmp_path / weights.find("smollm2").file
    with path.open("wb") as file:
        file.truncate(weights.find("smollm2").size)

    with pytest.raises(ProviderError, match="could not be loaded") as damaged:
        await LocalModel("smollm2").request(asking("Hello."))

    assert damaged.value.hint is not None
    assert str(path) in damaged.value.hint
