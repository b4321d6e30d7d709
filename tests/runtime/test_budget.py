import asyncio

import pytest

from counterpoint.ceilings import Ceiling, read_ceiling
from counterpoint.errors import HookError, SettingsError
from counterpoint.events import Usage
from counterpoint.runtime.budget import Budget, Grant, shares
from counterpoint.workers.executor import Claim, Cost


def free(usage: Usage) -> float | None:
    return 0.0


def dear(usage: Usage) -> float | None:
    """Ten dollars for a million tokens in, a hundred for a million out."""
    return (usage.input_tokens * 10 + usage.output_tokens * 100) / 1_000_000


def claim(agent: str = "a1", phase: str | None = None, *, input_tokens: int = 0, cost: Cost = free) -> Claim:
    return Claim(agent, phase, input_tokens, cost)


def budget(*texts: str, share_of: dict[str, float] | None = None) -> Budget:
    return Budget([read_ceiling(text) for text in texts], share_of)


async def spend(spent_on: Budget, tokens: int, asked: Claim | None = None) -> int:
    asked = asked or claim()
    grant = await spent_on.reserve(asked)
    await asyncio.sleep(0)
    used = tokens if grant.max_tokens is None else min(tokens, grant.max_tokens)
    consumed = Usage(input_tokens=asked.input_tokens, output_tokens=used)
    spent_on.settle(grant, Usage(consumed.input_tokens, 0, used, 1, asked.cost(consumed)))
    return used


def refused(results: list[int | BaseException]) -> int:
    return sum(isinstance(result, HookError) for result in results)


async def test_without_a_ceiling_nothing_is_reserved():
    assert await Budget().reserve(claim()) == Grant()


async def test_a_hundred_agents_of_500_never_pass_a_ceiling_of_10_000():
    ceiling = budget("10k")
    results = await asyncio.gather(*(spend(ceiling, 500) for _ in range(100)), return_exceptions=True)
    assert sum(result for result in results if isinstance(result, int)) == 10_000
    assert refused(results) == 80


async def test_money_is_kept_by_the_price_of_question_and_answer():
    ceiling = budget("$1")
    ask = claim(input_tokens=1_000, cost=dear)  # a cent for the question, five for the answer
    results = await asyncio.gather(*(spend(ceiling, 500, ask) for _ in range(100)), return_exceptions=True)
    assert sum(result == 500 for result in results) == 16
    assert (
        sum(result for result in results if isinstance(result, int)) * 100 / 1e6 + 0.01 * (100 - refused(results)) <= 1
    )


async def test_a_ceiling_of_each_agent_ends_that_agent_alone():
    ceiling = budget("600/agent")
    assert await spend(ceiling, 500, claim("a1")) == 500
    assert await spend(ceiling, 500, claim("a1")) == 100
    with pytest.raises(HookError, match="agent a1"):
        await spend(ceiling, 500, claim("a1"))
    assert await spend(ceiling, 500, claim("a2")) == 500


async def test_a_ceiling_of_one_phase_leaves_the_others_alone():
    ceiling = budget("300/phase:Find")
    assert await spend(ceiling, 500, claim(phase="Find")) == 300
    with pytest.raises(HookError, match="'Find'"):
        await spend(ceiling, 1, claim(phase="Find"))
    assert await spend(ceiling, 500, claim(phase="Check")) == 500


async def test_what_other_runs_spent_today_counts():
    ceiling = budget("1k/day")
    ceiling.set_elsewhere(900, 0)
    assert await spend(ceiling, 500) == 100
    with pytest.raises(HookError, match="Today"):
        await spend(ceiling, 1)


async def test_early_phases_leave_a_reserve_for_the_later_ones():
    ceiling = budget("1k", share_of=shares(["Find", "Check", "Report"], 0.2))
    assert await spend(ceiling, 5_000, claim(phase="Find")) == 800
    with pytest.raises(HookError, match="kept for the phases after 'Find'"):
        await spend(ceiling, 1, claim(phase="Find"))
    assert await spend(ceiling, 5_000, claim(phase="Check")) == 100
    assert await spend(ceiling, 5_000, claim(phase="Report")) == 100


async def test_one_phase_alone_keeps_nothing_back():
    assert shares(["Only"], 0.2) == {}


async def test_one_who_waits_and_is_cancelled_leaves_nothing_reserved():
    ceiling = budget("5k")
    first = await ceiling.reserve(claim())
    waiter = asyncio.ensure_future(ceiling.reserve(claim()))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.sleep(0)
    ceiling.settle(first, Usage(output_tokens=10))
    assert (await ceiling.reserve(claim())).max_tokens == 4_096
    assert (await ceiling.reserve(claim())).max_tokens == 5_000 - 10 - 4_096


async def test_raising_the_ceiling_wakes_those_who_wait():
    ceiling = budget("4096")
    await ceiling.reserve(claim())
    waiter = asyncio.ensure_future(ceiling.reserve(claim()))
    await asyncio.sleep(0)
    ceiling.replace([Ceiling(100_000, "tokens")])
    assert (await waiter).max_tokens == 4_096


async def test_a_request_that_failed_gives_back_what_it_held():
    ceiling = budget("1k")
    ceiling.settle(await ceiling.reserve(claim()), None)
    assert await spend(ceiling, 5_000) == 1_000


async def test_what_earlier_attempts_spent_counts():
    ceiling = budget("1k")
    ceiling.add_spent("a1", None, Usage(output_tokens=1_000))
    refusal = ceiling.refusal("a2", None)
    assert refusal is not None
    assert refusal.name == "BudgetExceededError"


@pytest.mark.parametrize(
    ("text", "ceiling"),
    [
        ("500k", Ceiling(500_000, "tokens")),
        ("$5", Ceiling(5, "usd")),
        ("+1.5m", Ceiling(1_500_000, "tokens")),
        ("20k/agent", Ceiling(20_000, "tokens", "agent")),
        ("$20/day", Ceiling(20, "usd", "day")),
        ("100k/phase", Ceiling(100_000, "tokens", "phase")),
        ("$1/phase:Second look", Ceiling(1, "usd", "phase", "Second look")),
    ],
)
def test_ceilings_are_read_and_written(text: str, ceiling: Ceiling):
    assert read_ceiling(text) == ceiling
    assert read_ceiling(str(ceiling)) == ceiling


@pytest.mark.parametrize("text", ["", "a lot", "5€", "$5/week", "5k/agent:x", "-5"])
def test_what_is_no_ceiling_is_refused(text: str):
    with pytest.raises(SettingsError):
        read_ceiling(text)
