"""Dreaming over MCP: what it would cost, to begin it, where it stands. What it proposes is a person's to accept."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

import msgspec

from counterpoint import settings
from counterpoint.background import dream_apart
from counterpoint.ceilings import read_budgets
from counterpoint.dream.prepare import Wish
from counterpoint.dream.standing import standing
from counterpoint.dreaming import price
from counterpoint.errors import UsageError
from counterpoint.mcp.desk import Desk
from counterpoint.memory.places import project_store
from counterpoint.models.registry import Models

Step = Literal["price", "run", "status"]
SHOWN = 20
"""Things seen that a price names."""


async def dreamt(desk: Desk, step: Step, budget: str, model: str) -> dict[str, Any]:
    """Carries one step out. Raises UsageError for a dream without a ceiling, and while another goes on."""
    memory = await asyncio.to_thread(project_store, desk.cwd)
    now = await asyncio.to_thread(standing, memory)
    if step == "status":
        return now
    chosen = settings.load(cwd=desk.cwd, flags={"state": desk.state, "model": model or None})
    if step == "price":
        async with Models(chosen) as models:
            priced = await price(
                desk.store, models, chosen, Wish(), folder=desk.cwd, memory=memory, now=time.time()
            )  # fmt: skip
        document: dict[str, Any] = msgspec.to_builtins(priced)
        return {**document, "left_out": len(priced.left_out), "hits": list(priced.hits[:SHOWN])}
    if not budget:
        raise UsageError("A dream needs a ceiling.", hint="budget, as 50k or 2usd; `dream price` says what is likely.")
    read_budgets([budget])
    if now["dreaming"]:
        raise UsageError("A dream is going on here already.", hint="`dream status` says how it goes.")
    await asyncio.to_thread(dream_apart, desk.state, desk.cwd, budget, model)
    return {"status": "started", "next": "dream status"}
