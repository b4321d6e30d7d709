"""The limiter on a clock that jumps: what it does in an hour takes no time, and always the same."""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest

from counterpoint.errors import ProviderError, ProviderErrorKind
from counterpoint.events import NO_USAGE, Fault, Usage
from counterpoint.models.limiter import SIGN_S, Limiter
from counterpoint.models.messages import Answer, Request


class JumpingClock(asyncio.SelectorEventLoop):
    """Where nothing is left to do but to wait, the time is over at once."""

    def __init__(self) -> None:
        self._jumped = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._jumped

    def jump(self, seconds: float) -> None:
        self._jumped += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: JumpingClock) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self._loop.jump(timeout)
        return super().select(0 if timeout is not None else None)


def on_the_clock(work: Coroutine[Any, Any, None]) -> None:
    loop = JumpingClock()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


class Provider:
    """A model that takes `takes` seconds and then does what `reply` says of the request's number."""

    spec = "test:model"
    output: Literal["native", "tool"] = "native"
    tools = False
    simulated = False

    def __init__(self, reply: Callable[[int], ProviderError | None] = lambda _: None, takes: float = 1.0) -> None:
        self._reply = reply
        self._takes = takes
        self.sent: list[tuple[float, str]] = []
        """When, and whose."""
        self.at_once = 0
        self.most_at_once = 0

    def cost(self, usage: Usage) -> float | None:
        return None

    async def request(self, request: Request) -> Answer:
        number = len(self.sent)
        self.sent.append((now(), request.identity))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self._takes)
        finally:
            self.at_once -= 1
        error = self._reply(number)
        if error is not None:
            raise error
        return Answer(f"answer to {request.identity}", [], NO_USAGE, self.spec)


class Watch:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def held(self, provider: str, until: float, message: str) -> None:
        self.heard.append(f"{provider} held: {message}")

    def released(self, provider: str) -> None:
        self.heard.append(f"{provider} released")


def limiter() -> Limiter:
    return Limiter("test", random.Random(7))


def request(name: str = "a", heard: Callable[[], None] | None = None) -> Request:
    return Request("", [], identity=name, heard=heard)


async def send(
    gate: Limiter, provider: Provider, name: str = "a", *, retries: int = 4, max_wait_s: float = 60.0,
    told: list[tuple[Fault, float]] | None = None, heard: Callable[[], None] | None = None,
) -> Answer:  # fmt: skip
    def on_retry(fault: Fault, wait: float) -> None:
        if told is not None:
            told.append((fault, wait))

    return await gate.send(provider, request(name, heard), retries=retries, max_wait_s=max_wait_s, on_retry=on_retry)


def refuses(kind: ProviderErrorKind = "rate_limited", retry_after: float | None = None, status: int | None = None):
    return ProviderError(kind, f"It is {kind}.", retry_after=retry_after, status=status)


def first(count: int, error: ProviderError) -> Callable[[int], ProviderError | None]:
    return lambda number: error if number < count else None


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "dropped", "malformed", "timeout", "unreachable"])
def test_what_may_pass_is_tried_again_as_often_as_was_allowed(kind: ProviderErrorKind):
    async def work() -> None:
        told: list[tuple[Fault, float]] = []
        patient = Provider(first(3, refuses(kind)))
        answer = await send(limiter(), patient, retries=3, told=told)
        assert answer.text == "answer to a"
        assert [fault.kind for fault, _ in told] == [kind] * 3

        refusing = Provider(first(99, refuses(kind)))
        with pytest.raises(ProviderError) as raised:
            await send(limiter(), refusing, retries=3)
        assert len(refusing.sent) == 4
        assert raised.value.kind == ("quota" if kind == "rate_limited" else kind)

    on_the_clock(work())


@pytest.mark.parametrize("kind", ["quota", "auth", "rejected", "refusal"])
def test_what_will_not_pass_is_not_tried_again(kind: ProviderErrorKind):
    async def work() -> None:
        provider = Provider(first(99, refuses(kind)))
        with pytest.raises(ProviderError, match=kind):
            await send(limiter(), provider)
        assert len(provider.sent) == 1

    on_the_clock(work())


def test_back_off_grows_is_spread_and_has_an_end():
    async def work() -> None:
        provider = Provider(first(9, refuses("dropped")), takes=0)
        await send(limiter(), provider, retries=9)
        times = [at for at, _ in provider.sent]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        for n, wait in enumerate(waits):
            longest = min(30.0, 0.5 * 2**n)
            assert longest / 2 <= wait <= longest
        assert len({round(wait / 2**n, 6) for n, wait in enumerate(waits[:5])}) == 5

    on_the_clock(work())


def test_a_retry_after_holds_back_every_request_and_no_longer_than_it_must():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses(retry_after=30)))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(gate, provider, "early"))
            await asyncio.sleep(2)
            for name in "bcd":
                group.create_task(send(gate, provider, name))
        times = [at for at, _ in provider.sent]
        assert times[0] == 0
        assert all(at >= 31 for at in times[1:])
        assert times[1] <= 32

    on_the_clock(work())


def test_after_a_hold_one_request_finds_out_and_then_the_gate_widens():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(20, refuses(retry_after=10)))
        async with asyncio.TaskGroup() as group:
            for n in range(100):
                group.create_task(send(gate, provider, str(n)))
        refused_at = 1.0
        after = [at for at, _ in provider.sent if at > refused_at]
        assert provider.most_at_once == 100
        assert sum(at < after[0] + 1 for at in after) == 1
        assert sum(at < after[0] + 2 for at in after) == 3
        assert len(after) == 20
        return

    on_the_clock(work())


def test_a_provider_that_refuses_again_is_asked_by_one_at_a_time():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(13, refuses(retry_after=5)))
        async with asyncio.TaskGroup() as group:
            for n in range(10):
                group.create_task(send(gate, provider, str(n)))
        times = [at for at, _ in provider.sent]
        assert times[:10] == [0] * 10
        for earlier, later in itertools.pairwise(times[9:14]):
            assert later - earlier >= 6

    on_the_clock(work())


def test_a_wait_longer_than_can_be_borne_is_a_quota_at_once_for_all():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses(retry_after=61)))
        with pytest.raises(ProviderError) as raised:
            await send(gate, provider, max_wait_s=60)
        assert raised.value.kind == "quota"
        assert raised.value.retry_after is not None
        assert 61 <= raised.value.retry_after <= 62
        assert now() == 1
        with pytest.raises(ProviderError) as raised:
            await send(gate, provider, max_wait_s=60)
        assert raised.value.kind == "quota"
        assert (now(), len(provider.sent)) == (1, 1)

    on_the_clock(work())


def test_who_waits_already_hears_at_once_of_a_wait_that_is_too_long():
    async def work() -> None:
        replies = [refuses(retry_after=30), refuses(retry_after=3600)]
        gate, provider = limiter(), Provider(lambda n: replies[n] if n < 2 else None)
        ends: list[tuple[str, float]] = []

        async def one(name: str) -> None:
            with pytest.raises(ProviderError, match="rate_limited"):
                await send(gate, provider, name)
            ends.append((name, now()))

        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(one(name))
        assert [name for name, _ in ends] == ["b", "a"]
        assert {at for _, at in ends} == {1.0}

    on_the_clock(work())


def test_a_wait_as_long_as_can_be_borne_is_borne():
    async def work() -> None:
        provider = Provider(first(1, refuses(retry_after=60)))
        assert (await send(limiter(), provider, max_wait_s=60)).text
        assert 61 <= provider.sent[1][0] <= 63

    on_the_clock(work())


def test_short_waits_that_never_end_are_too_long_together():
    async def work() -> None:
        provider = Provider(first(999, refuses(retry_after=9)), takes=0)
        with pytest.raises(ProviderError) as raised:
            await send(limiter(), provider, retries=999, max_wait_s=60)
        assert raised.value.kind == "quota"
        assert 60 <= now() <= 80

    on_the_clock(work())


@pytest.mark.parametrize("retry_after", [0.0, 0.001])
def test_a_retry_after_of_nothing_is_no_invitation_to_hammer(retry_after: float):
    async def work() -> None:
        provider = Provider(first(4, refuses(retry_after=retry_after)), takes=0)
        await send(limiter(), provider)
        assert now() >= 0.25 + 0.5 + 1 + 2

    on_the_clock(work())


@pytest.mark.parametrize("error", [refuses("overloaded", status=529), refuses("overloaded", 5, status=503)])
def test_an_overloaded_provider_holds_back_all_but_counts_as_a_failure(error: ProviderError):
    async def work() -> None:
        gate, provider = limiter(), Provider(first(99, error))
        with pytest.raises(ProviderError, match="overloaded"):
            await send(gate, provider, retries=1)
        started = now()
        with pytest.raises(ProviderError, match="overloaded"):
            await send(gate, provider, "b", retries=0)
        assert provider.sent[-1][0] > started

    on_the_clock(work())


def test_one_s_own_failure_holds_back_nobody_and_takes_no_place_while_it_waits():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses("dropped")))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(gate, provider, "unlucky"))
            await asyncio.sleep(1.01)
            group.create_task(send(gate, provider, "other"))
        assert [name for _, name in provider.sent] == ["unlucky", "other", "unlucky"]
        assert provider.sent[1][0] == pytest.approx(1.01)  # pyright: ignore[reportUnknownMemberType]  (pytest leaves it untyped)

    on_the_clock(work())


def test_who_waits_is_served_in_order():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses(retry_after=5)))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(gate, provider, "probe"))
            await asyncio.sleep(1.5)
            for name in "abcdef":
                group.create_task(send(gate, provider, name))
        assert [name for _, name in provider.sent if len(name) == 1] == list("abcdef")

    on_the_clock(work())


def test_who_waits_shows_that_it_does():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses(retry_after=50)), takes=100)
        signs: list[float] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(send(gate, provider, "probe"))
            await asyncio.sleep(101)
            for name in "ab":
                group.create_task(send(gate, provider, name, heard=lambda: signs.append(now())))
        quiet = [later - earlier for earlier, later in itertools.pairwise(signs)]
        assert max(quiet) <= 100 + SIGN_S
        assert sum(gap <= SIGN_S for gap in quiet) >= 8

    on_the_clock(work())


def test_those_who_watch_hear_when_a_provider_is_held_and_when_it_answers_again():
    async def work() -> None:
        gate, provider = limiter(), Provider(lambda n: refuses(retry_after=5) if n in (1, 2) else None, takes=1)
        watch = Watch()
        gate.watchers = [watch]
        slow = Provider(takes=3)
        async with asyncio.TaskGroup() as group:
            group.create_task(send(gate, slow, "sent before, answered while it is held"))
            for name in "abc":
                group.create_task(send(gate, provider, name))
        held = [line for line in watch.heard if "held" in line]
        assert held
        assert watch.heard == [*held, "test released"]

    on_the_clock(work())


@pytest.mark.parametrize("after", [0.5, 3.0, 6.5])
def test_a_request_that_is_cancelled_leaves_its_place_to_others(after: float):
    """While it is sent, while the provider is held, and while it stands in the queue."""

    async def work() -> None:
        gate, provider = limiter(), Provider(first(3, refuses(retry_after=5)), takes=1)
        tasks = [asyncio.ensure_future(send(gate, provider, name)) for name in "abc"]
        await asyncio.sleep(after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        answers = await asyncio.gather(*(send(gate, Provider(), str(n)) for n in range(50)))
        assert len(answers) == 50
        probe = Provider()
        await asyncio.gather(*(send(gate, probe, str(n)) for n in range(50)))
        assert probe.most_at_once > 10

    on_the_clock(work())


def test_a_place_given_to_one_who_is_cancelled_at_that_moment_goes_on():
    async def work() -> None:
        gate, provider = limiter(), Provider(first(1, refuses(retry_after=5)), takes=1)
        waiting = [asyncio.ensure_future(send(gate, provider, str(n))) for n in range(4)]
        for _ in range(400):
            await asyncio.sleep(0.05)
            for task in waiting[:3]:
                if not task.done() and now() > 6.9:
                    task.cancel()
        assert (await waiting[3]).text == "answer to 3"
        assert (await send(gate, provider, "later")).text == "answer to later"

    on_the_clock(work())


def test_a_thousand_requests_against_a_provider_that_serves_fifty_a_minute_all_get_through():
    async def work() -> None:
        served: dict[int, int] = {}

        def reply(_: int) -> ProviderError | None:
            minute = int(now() // 60)
            if served.get(minute, 0) >= 50:
                return refuses(retry_after=60 - now() % 60)
            served[minute] = served.get(minute, 0) + 1
            return None

        gate, provider = limiter(), Provider(reply, takes=5)
        width = asyncio.Semaphore(16)

        async def one(n: int) -> Answer:
            async with width:
                return await send(gate, provider, str(n))

        answers = await asyncio.gather(*(one(n) for n in range(1000)))
        assert len(answers) == 1000
        assert now() < 60 * 35
        assert len(provider.sent) < 1000 * 1.2

    on_the_clock(work())
