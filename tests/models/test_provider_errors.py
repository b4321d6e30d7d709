"""What goes wrong at a provider, by kind: the kind decides what happens next."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import socket
import time
from typing import Any

import pytest
from tests.fakes import protocols
from tests.fakes.replies import Asked, Breaks, Fails, Reply, Says, Sends, Waits
from tests.fakes.server import Fake
from tests.models.conftest import CLAUDE, GEMINI, GPT, KEY, KEYS, MISTRAL, READ, SERVER, ask, model

from counterpoint.errors import MissingKeyError, ProviderError, UnknownModelError, UsageError
from counterpoint.models import transport
from counterpoint.models.registry import Models
from counterpoint.settings import Settings

THREE = [CLAUDE, GPT, SERVER]


async def failure(fake: Fake, spec: str, *replies: Reply, **options: Any) -> ProviderError:
    fake.will(*replies)
    async with model(fake, spec) as asked:
        with pytest.raises(ProviderError) as raised:
            await asked.request(ask(**options))
    return raised.value


@pytest.mark.parametrize("spec", THREE)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "rejected"),
        (401, "auth"),
        (402, "quota"),
        (403, "auth"),
        (404, "rejected"),
        (408, "overloaded"),
        (409, "overloaded"),
        (413, "too_long"),
        (422, "rejected"),
        (429, "rate_limited"),
        (500, "overloaded"),
        (502, "overloaded"),
        (503, "overloaded"),
        (504, "overloaded"),
        (529, "overloaded"),
    ],
)
async def test_a_status_means_the_same_in_every_protocol(fake: Fake, spec: str, status: int, kind: str):
    error = await failure(fake, spec, *[Fails(status, "because of this")] * 2)

    assert (error.kind, error.status, error.retry_after) == (kind, status, None)
    assert "because of this" in error.message
    assert spec.partition(":")[0] in error.message


@pytest.mark.parametrize(
    ("spec", "reply", "kind"),
    [
        (GPT, Fails(429, "You exceeded your current quota.", "insufficient_quota"), "quota"),
        (SERVER, Fails(429, "You exceeded your current quota.", "insufficient_quota"), "quota"),
        (CLAUDE, Fails(400, "Your credit balance is too low to access the API."), "quota"),
        (CLAUDE, Fails(429, "Number of request tokens has exceeded your rate limit."), "rate_limited"),
        (CLAUDE, Fails(400, "prompt is too long: 200001 tokens > 200000 maximum"), "too_long"),
        (CLAUDE, Fails(400, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"), "too_long"),
        (
            GPT,
            Fails(400, "Your input exceeds the context window of this model.", "context_length_exceeded"),
            "too_long",
        ),
        (SERVER, Fails(400, "This model's maximum context length is 8192 tokens."), "too_long"),
        (SERVER, Fails(400, "the request exceeds the available context size, try increasing it"), "too_long"),
        (SERVER, Fails(400, "This model's maximum prompt length is 131072 but it contains 537812 tokens."), "too_long"),
        ("azure:gpt", Fails(429, "Requests have exceeded the call rate limit.", "429"), "rate_limited"),
    ],
)
async def test_what_a_provider_says_counts_more_than_the_status(fake: Fake, spec: str, reply: Fails, kind: str):
    assert (await failure(fake, spec, reply)).kind == kind


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0"}, 0, 0),
        ({"retry-after": "1.5"}, 1.5, 1.5),
        ({"retry-after-ms": "250"}, 0.25, 0.25),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25, 0.25),
    ],
)
@pytest.mark.parametrize("spec", THREE)
async def test_how_long_to_wait_is_read_in_all_its_forms(
    fake: Fake, spec: str, headers: dict[str, str], least: float, most: float
):
    error = await failure(fake, spec, Fails(429, headers=headers))

    assert error.retry_after is not None
    assert least <= error.retry_after <= most


@pytest.mark.parametrize(("seconds", "least", "most"), [(300, 200, 300), (-300, 0, 0)])
@pytest.mark.parametrize("spec", THREE)
async def test_a_date_says_how_long_to_wait(fake: Fake, spec: str, seconds: int, least: float, most: float):
    until = email.utils.formatdate(time.time() + seconds, usegmt=True)
    error = await failure(fake, spec, Fails(429, headers={"retry-after": until}))

    assert error.retry_after is not None
    assert least <= error.retry_after <= most


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", "1e400", ""])
async def test_a_wait_that_makes_no_sense_is_none(fake: Fake, value: str):
    assert (await failure(fake, CLAUDE, Fails(503, headers={"retry-after": value}))).retry_after is None


@pytest.mark.parametrize("spec", THREE)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"42",
        b'"text"',
        b"<html>busy</html>",
        b"{}",
        b'{"content": null, "choices": null, "output": null}',
        b'{"content": [{"type": "text"}], "choices": [], "output": [{"type": "message"}]}',
        b"\xff\xfe\x00",
        b'{"choices": [{"message": 5}], "content": 5, "output": 5}',
    ],
)
async def test_an_answer_that_is_none_is_malformed(fake: Fake, spec: str, body: bytes):
    error = await failure(fake, spec, Sends(body))

    assert error.kind == "malformed"
    assert len(error.message) < 800


async def test_an_answer_that_takes_liberties_with_the_protocol_is_an_answer(fake: Fake):
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]}
    choices = [{"index": 0, "message": said, "logprobs": None}]
    body = {"id": "", "object": "chat.completion", "created": None, "model": "q", "choices": choices, "more": 1}
    fake.will(Sends(json.dumps(body).encode()))

    async with model(fake, SERVER) as asked:
        answer = await asked.request(ask())

    assert (answer.text, answer.stop, answer.model) == ("Hello.", "end", "openai-compatible:q")


@pytest.mark.parametrize("spec", THREE)
async def test_a_page_of_a_proxy_is_malformed(fake: Fake, spec: str):
    error = await failure(fake, spec, Sends(b"<html>Sign in</html>", "text/html"))

    assert error.kind == "malformed"


@pytest.mark.parametrize("spec", THREE)
@pytest.mark.parametrize("midway", [False, True])
async def test_a_connection_that_breaks_is_dropped(fake: Fake, spec: str, midway: bool):
    assert (await failure(fake, spec, Breaks(midway=midway))).kind == "dropped"


async def test_a_stream_that_breaks_is_dropped(fake: Fake):
    assert (await failure(fake, CLAUDE, Breaks(midway=True), effort="high")).kind == "dropped"


async def test_a_stream_that_ends_before_its_end_is_dropped(fake: Fake):
    whole = list(protocols.anthropic_events(Says("It ends here."), Asked("/v1/messages", {}, {"model": "c"}, 0.0)))
    events = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in whole[:4]).encode()

    error = await failure(fake, CLAUDE, Sends(events, "text/event-stream"), effort="high")

    assert error.kind == "dropped"


@pytest.mark.parametrize("body", [b"", b"data: {nonsense\n\n", b"event: message_start\ndata: {}\n\n"])
async def test_a_stream_of_nonsense_is_no_answer(fake: Fake, body: bytes):
    error = await failure(fake, CLAUDE, Sends(body, "text/event-stream"), effort="high")

    assert error.kind in ("malformed", "dropped")


async def test_an_error_within_a_stream_has_its_own_kind(fake: Fake):
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'

    error = await failure(fake, CLAUDE, Sends(event, "text/event-stream"), effort="high")

    assert (error.kind, error.status) == ("overloaded", 529)


async def test_an_endless_answer_is_given_up(fake: Fake):
    error = await failure(fake, SERVER, Sends(b" " * (transport.MAX_ANSWER + 1)))

    assert error.kind == "malformed"
    assert "32 MB" in error.message


async def test_a_compressed_answer_is_refused_for_what_it_may_unfold_to(fake: Fake):
    bomb = gzip.compress(b"0" * 10_000_000)

    error = await failure(fake, SERVER, Sends(bomb, headers={"content-encoding": "gzip"}))

    assert error.kind == "malformed"
    assert fake.asked[0].headers["accept-encoding"] == "identity"


async def test_a_redirect_is_not_followed_because_the_key_would_go_along(fake: Fake):
    with Fake() as elsewhere:
        away = Sends(b"", status=307, headers={"location": f"{elsewhere.url}/v1/messages"})
        error = await failure(fake, CLAUDE, away)

    assert elsewhere.asked == []
    assert error.kind == "rejected"
    assert "redirects" in error.message
    assert "--base-url" in (error.hint or "")


@pytest.mark.parametrize("spec", THREE)
async def test_a_key_is_never_shown_even_where_the_provider_repeats_it(fake: Fake, spec: str):
    error = await failure(fake, spec, Fails(401, f"Incorrect API key provided: {KEY}. Bearer {KEY} is wrong."))

    assert error.kind == "auth"
    assert KEY not in f"{error.message} {error.hint} {error!r} {error.__cause__!r}"
    assert "_API_KEY" in (error.hint or "")


async def test_a_long_complaint_is_cut_and_on_one_line(fake: Fake):
    error = await failure(fake, CLAUDE, Fails(400, "no\n" * 10_000))

    assert len(error.message) < 700
    assert "\n" not in error.message


@pytest.mark.parametrize("spec", [*THREE, MISTRAL, GEMINI])
async def test_a_server_that_refuses_connections_is_unreachable_and_named(spec: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with Models(Settings(model=spec, base_url=address), KEYS) as models:
            with pytest.raises(ProviderError) as raised:
                await models.get(spec).request(ask())

    assert raised.value.kind == "unreachable"
    assert address in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("spec", THREE)
async def test_a_host_that_does_not_exist_is_unreachable(spec: str):
    async with Models(Settings(model=spec, base_url="http://nobody.invalid/v1"), KEYS) as models:
        with pytest.raises(ProviderError) as raised:
            await models.get(spec).request(ask())

    assert raised.value.kind == "unreachable"
    assert "nobody.invalid" in raised.value.message


async def test_a_server_without_tls_where_it_is_wanted_is_unreachable(fake: Fake):
    address = fake.url.replace("http:", "https:")
    async with Models(Settings(model=CLAUDE, base_url=address), KEYS) as models:
        with pytest.raises(ProviderError) as raised:
            await models.get(CLAUDE).request(ask())

    assert raised.value.kind == "unreachable"
    assert fake.asked == []


async def test_a_server_that_does_not_speak_http_is_malformed():
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Models(Settings(model=CLAUDE, base_url=address), KEYS) as models:
            with pytest.raises(ProviderError) as raised:
                await models.get(CLAUDE).request(ask())

    assert raised.value.kind in ("malformed", "dropped")


@pytest.mark.parametrize("spec", [*THREE, GEMINI])
async def test_a_request_that_is_cancelled_closes_its_connection_at_once(fake: Fake, spec: str):
    fake.will(Waits(asyncio.Event(), Says("too late")))
    async with model(fake, spec) as asked:
        request = asyncio.ensure_future(asked.request(ask()))
        await asyncio.to_thread(fake.arrived.acquire)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

        assert await asyncio.to_thread(fake.abandoned.acquire, timeout=20)


async def test_a_stream_that_is_cancelled_closes_its_connection_at_once(fake: Fake):
    fake.will(Waits(asyncio.Event(), Says("too late")))
    async with model(fake, CLAUDE) as asked:
        request = asyncio.ensure_future(asked.request(ask(effort="high")))
        await asyncio.to_thread(fake.arrived.acquire)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

        assert await asyncio.to_thread(fake.abandoned.acquire, timeout=20)


async def test_a_server_that_says_nothing_times_out(fake: Fake):
    fake.will(Waits(asyncio.Event(), Says("too late")))
    async with transport.client(secure=False) as client:
        with pytest.raises(transport.Broken) as raised:
            await client.post(f"{fake.url}/v1/messages", json={}, timeout=0.2)

    assert raised.value.fault.kind == "timeout"


# --- before anything is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY"),
        ("openai:gpt", "OPENAI_API_KEY"),
        ("google:gemini", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("groq:llama", "GROQ_API_KEY"),
    ],
)
def test_a_missing_key_is_named(spec: str, names: str):
    with pytest.raises(MissingKeyError, match=names):
        Models(Settings(model=spec), {}).get(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("antropic:claude", "did you mean 'anthropic'"),
        ("claude-sonnet-5-5", "did you mean 'anthropic:claude-sonnet-5-5'"),
        ("gpt-6.1-terra", "did you mean 'openai:gpt-6.1-terra'"),
        ("anthropic:", "names no model"),
        ("nonsense:x", "There is no provider 'nonsense'"),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_name(spec: str, said: str):
    with pytest.raises(UnknownModelError) as raised:
        Models(Settings(model=spec), KEYS).get(spec)
    assert said in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://host", "https://", "http://[::1", "http://h:99999999"])
def test_an_address_that_is_none_is_refused(address: str):
    with pytest.raises(UsageError, match="http"):
        Models(Settings(model=CLAUDE, base_url=address), KEYS).get(CLAUDE)


@pytest.mark.parametrize("address", [f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}"])
def test_a_key_in_an_address_is_refused_and_not_repeated(address: str):
    with pytest.raises(UsageError) as raised:
        Models(Settings(model=SERVER, base_url=address), KEYS).get(SERVER)
    assert KEY not in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize("spec", ["openai-compatible:x", "azure:gpt", "foundry:claude"])
def test_a_provider_without_an_address_of_its_own_asks_for_one(spec: str):
    with pytest.raises(UsageError, match="needs an address"):
        Models(Settings(model=spec), KEYS).get(spec)


def test_vertex_asks_for_a_project():
    with pytest.raises(UsageError, match="GOOGLE_CLOUD_PROJECT"):
        Models(Settings(model="vertex:gemini-3.8-flash"), {}).get("vertex:gemini-3.8-flash")


async def test_what_a_library_wants_configured_is_said_once_and_not_as_a_failure_of_the_model():
    async with Models(Settings(model="azure:gpt", base_url="https://one.example/openai"), KEYS) as models:
        with pytest.raises(UsageError, match=r"azure:gpt cannot be used: .*version"):
            await models.ready("azure:gpt")


def test_a_key_that_was_copied_badly_is_refused_without_showing_it():
    with pytest.raises(UsageError) as raised:
        Models(Settings(model=CLAUDE), {"ANTHROPIC_API_KEY": "sk-ant-\u200bsecret"}).get(CLAUDE)
    assert "secret" not in raised.value.message


def test_the_first_provider_with_a_key_gives_the_model():
    assert Models(Settings(), {}).default() == "local"
    assert Models(Settings(), {"OPENAI_API_KEY": "k"}).default().startswith("openai:")
    assert Models(Settings(), {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}).default().startswith("anthropic:")
    assert Models(Settings(), {"AZURE_OPENAI_API_KEY": "k", "OPENAI_COMPATIBLE_API_KEY": "k"}).default() == "local"
    assert Models(Settings(aliases={"mine": "groq:x"}), {}).default("mine") == "groq:x"


def test_what_a_call_asks_for_is_had_or_replaced_with_a_warning_that_names_both():
    models = Models(Settings(model="sim", aliases={"haiku": "sim:seed=1"}), {"ANTHROPIC_API_KEY": KEY})

    assert models.resolve("haiku", "sim") == ("sim:seed=1", None)
    assert models.resolve("inherit", "sim") == ("sim", None)
    assert models.resolve("anthropic:claude-opus-5-5", "sim") == ("anthropic:claude-opus-5-5", None)
    for asked in ("opus", "openai:gpt", "nobody:x", "sim:nonsense=1"):
        got, warning = models.resolve(asked, "sim")
        assert got == "sim"
        assert warning is not None
        assert asked in warning
        assert "sim" in warning


async def test_an_address_is_that_of_the_run_s_provider_and_no_other_key_goes_there(fake: Fake):
    settings = Settings(model=CLAUDE, base_url=fake.url)
    async with Models(settings, KEYS) as models:
        assert models.limiter_of(models.get(CLAUDE)) is models.limiter_of(models.get("anthropic:claude-opus-5-5"))
        assert models.limiter_of(models.get(CLAUDE)) is not models.limiter_of(models.get(GPT))
        await models.get(CLAUDE).request(ask())
        with pytest.raises(UsageError, match="needs an address"):
            models.get(SERVER)

    assert json.dumps(READ.schema) not in str(fake.asked)
    assert len(fake.asked) == 1
