"""The stall watch: says, once for each wait, which agent shows no progress and what it waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from counterpoint.events import AgentSlow
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.job import Job

LOOKS_PER_WAIT = 4
"""How often the agents are looked at within the time after which one counts as slow."""


async def watch_stalls(attempt: Attempt, running: Callable[[], list[Job]]) -> None:
    """Writes an AgentSlow for each agent without progress for `stall_warn_s` seconds, until cancelled."""
    warn_s: float = attempt.bounds["stall_warn_s"]
    while True:
        await asyncio.sleep(warn_s / LOOKS_PER_WAIT)
        now = time.monotonic()
        for job in running():
            if not job.slow and job.started and now - job.since >= warn_s:
                job.slow = True
                attempt.emit(AgentSlow(job.task.id, job.waits_for, round(now - job.since, 1)))
