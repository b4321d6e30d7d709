"""Where dreaming stands in a project: the version in force, what waits for a person, the last dreams."""

from __future__ import annotations

from typing import Any

import msgspec

from counterpoint.dream import inbox
from counterpoint.dream.lease import holder
from counterpoint.dream.record import Dreams
from counterpoint.memory.store import MemoryStore

SHOWN = 5


def standing(memory: MemoryStore) -> dict[str, Any]:
    """The JSON of ``dream status``. Blocking."""
    dreams, head = Dreams(memory.folder), memory.head()
    unfinished = dreams.unfinished()
    return {
        "version": head,
        "active": sum(entry.active for entry in memory.entries(head).values()),
        "dreaming": holder(dreams.folder) is not None,
        "read_runs": len(dreams.marks()),
        "unfinished": unfinished.id if unfinished else None,
        "waiting": [proposal.id for proposal in inbox.waiting(memory)],
        "dreams": [msgspec.to_builtins(report) for report in dreams.reports()[:SHOWN]],
    }
