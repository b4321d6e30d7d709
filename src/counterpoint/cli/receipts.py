"""A request to a run that another process executes, and the wait for its receipt."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence
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
    if not await here.client.is_live(run_id):
        view = await here.client.view(run_id)
        raise UsageError(
            f"Run {run_id} is {view.shown_status().value}: no process executes it.",
            hint=f"Go on with: counterpoint resume {run_id}",
        )
    number = await here.client.ask(run_id, verb, target, by=me(), **body)
    receipt = await _receipt(here, run_id, number)
    if receipt is None and (view := await here.client.view(run_id)).ended and not await here.client.is_live(run_id):
        raise UsageError(
            f"Run {run_id} is {view.status.value}: it ended before it had read request {number}.",
            hint=f"Go on with: counterpoint resume {run_id}",
        )
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


async def ask_each(
    here: Session, verb: str, asked: Sequence[tuple[str, str | None]], output: Output, **body: Any
) -> int:
    """Asks the same of several runs or agents, each with a receipt of its own. Exits with 1 when one was refused."""
    if len(asked) == 1:
        return await ask(here, asked[0][0], verb, asked[0][1], output, **body)
    numbers = [
        await here.client.ask(run_id, verb, target, by=me(), **body) if await here.client.is_live(run_id) else None
        for run_id, target in asked
    ]
    rows = [
        _row(run_id, target, number, await _receipt(here, run_id, number) if number is not None else None)
        for (run_id, target), number in zip(asked, numbers, strict=True)
    ]
    if output.json:
        output.document({"receipts": rows})
    for row in rows:
        output.say(safe(f"{row['run_id']} {verb} {row['target'] or ''}: {row['message']}"))
    return 0 if all(row["ok"] is not False for row in rows) else 1


def _row(run_id: str, target: str | None, number: int | None, receipt: RequestView | None) -> dict[str, Any]:
    """One receipt among several; of a run that nobody executes, why it has none."""
    if number is None:
        said, ok = "No process executes this run.", False
    elif receipt is None:
        said, ok = f"Asked (request {number}), and not read yet.", None
    else:
        said, ok = receipt.message or "delivered", receipt.ok if receipt.done_at is not None else None
    return {"run_id": run_id, "target": target, "request": number, "ok": ok, "message": said}


async def _receipt(here: Session, run_id: str, number: int) -> RequestView | None:
    found: RequestView | None = None
    for _ in range(int(RECEIPT_S / STEP_S)):
        view = await here.client.view(run_id)
        found = view.requests.get(number)
        if found is not None and found.done_at is not None:
            return found
        if view.ended and not await here.client.is_live(run_id):
            return found
        await asyncio.sleep(STEP_S)
    return found
