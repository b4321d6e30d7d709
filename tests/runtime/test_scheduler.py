import asyncio

from counterpoint.runtime.scheduler import Scheduler


class Work:
    def __init__(self) -> None:
        self.started: list[int] = []
        self.release = asyncio.Event()

    async def __call__(self, job: int) -> None:
        self.started.append(job)
        await self.release.wait()


async def test_jobs_start_in_order_and_never_more_than_the_width():
    work = Work()
    async with asyncio.TaskGroup() as group:
        scheduler = Scheduler(group, 2, work)
        for job in range(5):
            scheduler.submit(job)
        await asyncio.sleep(0)
        assert work.started == [0, 1]
        scheduler.resize(3)
        await asyncio.sleep(0)
        assert work.started == [0, 1, 2]
        work.release.set()
    assert work.started == [0, 1, 2, 3, 4]
    assert scheduler.empty


async def test_a_held_gate_starts_nothing_and_drains():
    work = Work()
    async with asyncio.TaskGroup() as group:
        scheduler = Scheduler(group, 1, work)
        scheduler.submit(1)
        scheduler.submit(2)
        await asyncio.sleep(0)
        scheduler.hold()
        work.release.set()
        await scheduler.drained()
        assert work.started == [1]
        assert scheduler.drop_waiting() == [2]


async def test_a_hundred_thousand_waiting_jobs_are_not_tasks():
    work = Work()
    async with asyncio.TaskGroup() as group:
        scheduler = Scheduler(group, 1, work)
        for job in range(100_000):
            scheduler.submit(job)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 2
        scheduler.drop_waiting()
        work.release.set()
