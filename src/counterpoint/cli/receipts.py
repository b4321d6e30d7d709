"""A request to a run that another process executes, and the wait for its receipt."""

from __future__ import annotations

import asyncio
import getpass
import socket
from typing import Any

from counterpoint.cli.options import Output, Session
from counterpoint.errors import UsageError
from counterpoint.text import safe
from counterpoint.view import RequestView

RECEIPT_S = 5.0
"""How long we wait for the run to say that it has done what was asked."""
STEP_S = 0.05


def me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


async def ask(here: Session, run_id: str, verb: str, target: str | None, output: Output, **body: Any) -> int:
    """Leaves a request and waits for its receipt. Exits with 1 when it was refused."""
    if not await here.store.is_live(run_id):
        view = await here.client.view(run_id)
        raise UsageError(
            f"Run {run_id} is {view.shown_status().value}: no process executes it.",
            hint=f"Go on with: counterpoint resume {run_id}",
        )
    number = await here.client.ask(run_id, verb, target, by=me(), **body)
    receipt = await _receipt(here, run_id, number)
    if output.json:
        output.document(
            {"request": number, "delivered": receipt is not None, "done": bool(receipt and receipt.done_at),
             "ok": receipt.ok if receipt else None, "message": receipt.message if receipt else None}
        )  # fmt: skip
    elif receipt is None:
        output.say(f"Asked (request {number}); the run has not read it within {RECEIPT_S:g} s.")
    elif receipt.done_at is None:
        output.say(
            f"Delivered (request {number}); it is done when an agent has heard it: counterpoint show {run_id} --json"
        )
    else:
        output.say(safe(receipt.message))
    return 1 if receipt is not None and not receipt.ok else 0


async def _receipt(here: Session, run_id: str, number: int) -> RequestView | None:
    found: RequestView | None = None
    for _ in range(int(RECEIPT_S / STEP_S)):
        view = await here.client.view(run_id)
        found = view.requests.get(number)
        if found is not None and found.done_at is not None:
            return found
        if view.ended:
            return found
        await asyncio.sleep(STEP_S)
    return found
