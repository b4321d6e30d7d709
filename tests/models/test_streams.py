"""An answer that arrives piece by piece: what is told is the answer, and half an answer is none."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from tests.fakes.replies import Fails, Says, Sends, Stops
from tests.fakes.server import Fake
from tests.models.conftest import CLAUDE, GEMINI, GPT, KEY, READ, SERVER, ask, model

from counterpoint.errors import ProviderError
from counterpoint.models.limiter import Limiter
from counterpoint.models.messages import Answer

TEXT = "It arrives in pieces, and is the same.\nAll of it."
THREE = pytest.mark.parametrize("spec", [CLAUDE, GPT, SERVER])


@pytest.mark.parametrize("spec", [CLAUDE, GPT, SERVER, "foundry:claude-sonnet-5-5", "groq:openai/gpt-oss-120b", GEMINI])
async def test_the_pieces_are_the_answer_and_cost_what_it_costs(fake: Fake, spec: str):
    said = Says(TEXT, thought="Hm.", calls=[("Read", {"file_path": "a.py"})], tokens=(1000, 400, 70))
    fake.will(said, said)
    pieces: list[str] = []

    async with model(fake, spec) as asked:
        streamed = await asked.request(ask(tools=[READ], told=pieces.append))
        whole = await asked.request(ask(tools=[READ]))

    assert "".join(pieces) == streamed.text == TEXT
    assert [bool(request.body.get("stream") or "stream" in request.path) for request in fake.asked] == [True, False]
    assert [(call.name, call.input) for call in streamed.calls] == [("Read", {"file_path": "a.py"})]
    assert (streamed.usage, streamed.stop, streamed.model) == (whole.usage, whole.stop, whole.model)
    assert streamed.usage.output_tokens == 70


@THREE
async def test_text_is_told_while_the_rest_is_still_to_come(fake: Fake, spec: str):
    rest = asyncio.Event()
    fake.will(Stops(Says(TEXT), 6, until=rest, breaks=True), Says(TEXT))
    told, faults, pieces = asyncio.Event(), list[str](), list[str]()

    def hear(piece: str) -> None:
        pieces.append(piece)
        told.set()

    async def send() -> Answer:
        return await Limiter("x").send(
            asked, ask(told=hear), retries=2, max_wait_s=60, on_retry=lambda fault, _: faults.append(fault.kind)
        )

    async with model(fake, spec) as asked:
        task = asyncio.ensure_future(send())
        await asyncio.wait_for(told.wait(), 60)
        assert not task.done()
        fake.release(rest)
        answer = await task

    assert faults == ["dropped"]
    assert answer.text == TEXT
    assert "".join(pieces).endswith(TEXT)
    assert len("".join(pieces)) > len(TEXT)


@THREE
@pytest.mark.parametrize(
    ("tail", "kinds"),
    [
        (b"", {"dropped"}),
        (b"data: {nonsense\n\n", {"dropped", "malformed"}),
        (b'data: {"error": {"message": "no room for KEY", "type": "server_error", "code": "server_error"}}\n\n', None),
        (b"data: [DONE]\n\n", {"dropped", "malformed"}),
    ],
)
async def test_half_an_answer_is_an_error_however_it_ended(fake: Fake, spec: str, tail: bytes, kinds: set[str] | None):
    if spec == CLAUDE and kinds is None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "no room for KEY"}}
        tail = b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    fake.will(Stops(Says(TEXT), 6, tail=tail.replace(b"KEY", KEY.encode())))
    pieces: list[str] = []

    async with model(fake, spec) as asked:
        with pytest.raises(ProviderError) as failed:
            await asked.request(ask(told=pieces.append))

    assert TEXT.startswith("".join(pieces))
    assert "".join(pieces) not in ("", TEXT)
    assert failed.value.kind in (kinds or {"overloaded", "rejected", "malformed"})
    assert KEY not in failed.value.message


@THREE
async def test_a_refusal_before_the_stream_is_what_it_is_without_one(fake: Fake, spec: str):
    fake.will(Fails(429, "slow down", headers={"retry-after": "7"}), Sends(b"<html>Sign in</html>", "text/html"))
    pieces: list[str] = []

    async with model(fake, spec) as asked:
        with pytest.raises(ProviderError) as limited:
            await asked.request(ask(told=pieces.append))
        with pytest.raises(ProviderError) as page:
            await asked.request(ask(told=pieces.append))

    assert (limited.value.kind, limited.value.retry_after) == ("rate_limited", 7)
    assert page.value.kind in ("malformed", "dropped")
    assert pieces == []


@THREE
async def test_a_stream_that_is_cancelled_closes_its_connection(fake: Fake, spec: str):
    fake.will(Stops(Says(TEXT), 6, until=asyncio.Event()))
    told = asyncio.Event()

    async with model(fake, spec) as asked:

        def hear(piece: str) -> None:
            told.set()

        task = asyncio.ensure_future(asked.request(ask(told=hear)))
        await asyncio.wait_for(told.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(_within, fake.abandoned)


def _within(semaphore: threading.Semaphore) -> bool:
    return semaphore.acquire(timeout=60)


async def test_a_server_without_responses_streams_by_chat():
    pieces: list[str] = []
    with Fake("/responses") as fake:
        async with model(fake, GPT) as asked:
            answer = await asked.request(ask(told=pieces.append))

    assert "".join(pieces) == answer.text == "Fine."
    assert [request.path for request in fake.asked] == ["/v1/chat/completions"]
