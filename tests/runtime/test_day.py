"""A day's ceiling counts what other runs have consumed since midnight, as their journals have it."""

import asyncio
from pathlib import Path

import counterpoint
from counterpoint import Workflow


async def test_two_runs_share_the_ceiling_of_the_day(tmp_path: Path):
    text = Workflow(
        "export const meta = { name: 'day', description: 'a test' }\n"
        "return (await parallel(Array.from({ length: 10 }, (_, i) => () => agent(`n ${i}`)))).filter(Boolean).length"
    )
    first = await counterpoint.run(text, model="sim:tokens=100", budget="1500/day", state=tmp_path)
    second = await counterpoint.run(text, model="sim:tokens=100", budget="1500/day", state=tmp_path)
    assert (first.value, second.value) == (10, 5)
    assert second.status is counterpoint.RunStatus.BUDGET_EXCEEDED
    assert first.ok


async def test_without_a_ceiling_of_the_day_other_runs_do_not_count(tmp_path: Path):
    text = Workflow("export const meta = { name: 'day', description: 'a test' }\nreturn await agent('x')")
    results = await asyncio.gather(
        *(counterpoint.run(text, model="sim:tokens=100", budget="150", state=tmp_path) for _ in range(3))
    )
    assert all(result.ok for result in results)
