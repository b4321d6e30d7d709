import asyncio

import pytest

from counterpoint.errors import HookError
from counterpoint.runtime.budget import Budget


async def spend(budget: Budget, tokens: int) -> int:
    allowed = await budget.reserve()
    await asyncio.sleep(0)
    used = tokens if allowed is None else min(tokens, allowed)
    budget.settle(allowed, used)
    return used


async def test_without_a_ceiling_nothing_waits():
    budget = Budget(None)
    assert await budget.reserve() is None
    budget.settle(None, 700)
    assert (budget.spent, budget.used_up) == (700, False)


async def test_a_hundred_agents_of_500_never_pass_a_ceiling_of_10_000():
    budget = Budget(10_000)
    results = await asyncio.gather(*(spend(budget, 500) for _ in range(100)), return_exceptions=True)
    assert budget.spent == 10_000
    assert sum(isinstance(result, HookError) for result in results) == 80
    assert budget.reserved == 0


async def test_a_used_up_budget_refuses_by_name():
    budget = Budget(100, spent=100)
    with pytest.raises(HookError) as refused:
        await budget.reserve()
    assert refused.value.name == "BudgetExceededError"


async def test_one_who_waits_and_is_cancelled_leaves_nothing_reserved():
    budget = Budget(5_000)
    first = await budget.reserve()
    waiter = asyncio.ensure_future(budget.reserve())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.sleep(0)
    budget.settle(first, 10)
    assert budget.reserved == 0


async def test_raising_the_ceiling_wakes_those_who_wait():
    budget = Budget(4_096)
    await budget.reserve()
    waiter = asyncio.ensure_future(budget.reserve())
    await asyncio.sleep(0)
    budget.raise_to(100_000)
    assert await waiter == 4_096


async def test_an_answer_that_failed_costs_nothing():
    budget = Budget(1_000)
    budget.settle(await budget.reserve(), 0)
    assert (budget.spent, budget.reserved) == (0, 0)
