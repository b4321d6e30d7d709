"""One limit of a provider, kept by all that use one database: a real PostgreSQL, and a server that counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.e2e.conftest import Program
from tests.fakes.postgres import Postgres
from tests.fakes.replies import Asked, Reply, Says, Waits
from tests.fakes.server import Fake

import counterpoint
from counterpoint import Workflow

MANY = """export const meta = { name: 'many', description: 'a test' }
const numbers = Array.from({ length: args.n }, (_, i) => i)
return (await parallel(numbers.map((i) => () => agent(`${args.name} ${i}`)))).filter(Boolean).length
"""
MODEL = "openai-compatible:m"


class Counting(Fake):
    """Takes its time, and knows how many requests it had at once."""

    takes_s = 0.02
    at_once = most_at_once = 0

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(self.takes_s)
            return await super()._handle(request)
        finally:
            self.at_once -= 1

    @property
    def heard(self) -> Counter[str]:
        """Name of a run → requests."""
        return Counter(str(asked.body["messages"][-1]["content"]).split()[0] for asked in self.asked)


@pytest.fixture
def provider() -> Iterator[Counting]:
    fake = Counting()
    with fake:
        yield fake


async def run(name: str, n: int, provider: Fake, folder: Path, database: str, **options: Any) -> int:
    result = await counterpoint.run(
        Workflow(MANY), args={"n": n, "name": name}, model=MODEL, base_url=f"{provider.url}/v1",
        state=folder / name, database=database, concurrency=1000, memory=False, **options,
    )  # fmt: skip
    assert result.status is counterpoint.RunStatus.COMPLETED, result.document
    return result.value


async def test_many_drivers_of_one_database_keep_to_one_limit(tmp_path: Path, provider: Counting, database: str):
    names = [f"r{n}" for n in range(6)]
    answered = await asyncio.gather(
        *(run(name, 6, provider, tmp_path, database, provider_limits=["openai-compatible=4"]) for name in names)
    )
    assert answered == [6] * 6
    assert provider.heard == dict.fromkeys(names, 6)
    assert provider.most_at_once == 4


async def test_who_comes_later_gets_a_part_while_the_other_goes_on(
    tmp_path: Path, provider: Counting, postgres: Postgres, database: str
):
    limit = ["openai-compatible=4"]
    first = asyncio.create_task(run("first", 1000, provider, tmp_path, database, provider_limits=limit))
    while len(provider.asked) < 8:
        await asyncio.to_thread(provider.arrived.acquire)
    assert await run("second", 3, provider, tmp_path, database, provider_limits=limit) == 3
    assert not first.done()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert provider.most_at_once == 4
    assert postgres.sql("SELECT count(*) FROM counterpoint.shares", database.rpartition("/")[2]) == "0"


async def test_the_part_of_a_process_that_was_killed_comes_back(
    tmp_path: Path, provider: Counting, cpt: Program, database: str
):
    never = asyncio.Event()

    def reply(asked: Asked) -> Reply:
        return Waits(never, Says()) if "doomed" in str(asked.body["messages"]) else Says("Fine.")

    provider.otherwise = reply
    limit = "openai-compatible=2"
    doomed = cpt.start("run", cpt.script(MANY, "many"), "--args", '{"n": 5, "name": "doomed"}', "--model", MODEL,
                       "--base-url", f"{provider.url}/v1", COUNTERPOINT_DATABASE=database,
                       COUNTERPOINT_PROVIDER_LIMITS=limit)  # fmt: skip
    for _ in range(2):
        assert await asyncio.to_thread(provider.arrived.acquire, True, 60)
    other = asyncio.create_task(run("other", 3, provider, tmp_path, database, provider_limits=[limit]))
    doomed.kill()
    assert await other == 3
    assert provider.heard == {"doomed": 2, "other": 3}
    doomed.communicate()
