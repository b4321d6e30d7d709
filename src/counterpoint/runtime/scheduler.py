"""The concurrency gate of one run: first in, first out, its width changeable while it works.

Jobs wait as plain values, not as tasks, so that a hundred thousand of them cost little; a task exists only for a job
that is under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Scheduler(Generic[Job]):
    """Starts `work(job)` for each submitted job, at most `width` at once, in order of submission."""

    def __init__(self, group: asyncio.TaskGroup, width: int, work: Callable[[Job], Awaitable[None]]) -> None:
        self._group = group
        self._width = width
        self._work = work
        self._queue: deque[Job] = deque()
        self._tasks: dict[asyncio.Task[None], Job] = {}
        self._held = False
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        self._start()

    def put_back(self, job: Job) -> None:
        """Queues a job again, before all that wait."""
        self._queue.appendleft(job)
        self._start()

    def resize(self, width: int) -> None:
        """From now on at most `width` at once; what is under way is left alone."""
        self._width = width
        self._start()

    def hold(self) -> None:
        """Starts nothing more until `go_on`."""
        self._held = True

    def go_on(self) -> None:
        self._held = False
        self._start()

    @property
    def held(self) -> bool:
        return self._held

    def waiting(self) -> list[Job]:
        """Jobs in the queue, in order."""
        return list(self._queue)

    @property
    def running(self) -> list[Job]:
        """Jobs under way, in order of their start."""
        return list(self._tasks.values())

    @property
    def empty(self) -> bool:
        """Nothing waits, nothing is under way."""
        return not self._queue and not self._tasks

    def cancel(self, job: Job) -> None:
        """Cancels the job's task where it is under way."""
        for task, running in self._tasks.items():
            if running is job:
                task.cancel()

    def cancel_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def drop_waiting(self) -> list[Job]:
        """Takes every job that has not started out of the queue."""
        dropped = list(self._queue)
        self._queue.clear()
        return dropped

    def drop(self, job: Job) -> bool:
        """Takes one job out of the queue; False where it no longer waits."""
        try:
            self._queue.remove(job)
        except ValueError:
            return False
        return True

    async def drained(self) -> None:
        """Returns when nothing is under way."""
        await self._idle.wait()

    def _start(self) -> None:
        while self._queue and not self._held and len(self._tasks) < self._width:
            job = self._queue.popleft()
            task = self._group.create_task(self._run(job))
            self._tasks[task] = job
            self._idle.clear()
            task.add_done_callback(self._ended)

    async def _run(self, job: Job) -> None:
        await self._work(job)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._start()
        if not self._tasks:
            self._idle.set()
