"""What the tools of the MCP server do, free of the protocol. Runs go on in processes of their own when it ends."""

from __future__ import annotations

import asyncio
import getpass
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from counterpoint import settings
from counterpoint.background import execute_apart
from counterpoint.ceilings import read_budgets, read_ceiling
from counterpoint.client import Client, Otherwise, load_script, read_script
from counterpoint.errors import UsageError
from counterpoint.events import RunStatus
from counterpoint.mcp.questions import Answer
from counterpoint.models.registry import Models
from counterpoint.script import Script
from counterpoint.script.find import find, listing
from counterpoint.script.parse import parse
from counterpoint.store.runs import Store
from counterpoint.version import VERSION
from counterpoint.view import RunView

Verb = Literal["stop", "pause", "resume", "skip", "retry", "steer", "approve", "deny", "budget"]
STEP_S = 0.2
RECEIPT_S = 5.0
MOST_RUNS = 50
PART = 20_000
"""Characters of one part of a result."""
LINES = 20
"""Of the log, and of agents that did not end well, in a status."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The runs of one store, seen from one folder."""

    store: Store
    cwd: Path
    state: Path

    @property
    def client(self) -> Client:
        return Client(self.store)

    # --- starting ----------------------------------------------------------------------------------------------------

    async def start(self, workflow: str, script: str, args: Any, model: str, budget: str) -> dict[str, Any]:
        """Records a run and starts its process. Raises UsageError, ScriptRefused."""
        flags: dict[str, Any] = {"state": self.state, "model": model or None}
        if budget:
            ceiling = read_ceiling(budget)
            plain = ceiling.scope == "run"
            flags |= {f"budget_{ceiling.unit}": ceiling.amount} if plain else {"budgets": (str(ceiling),)}
        chosen = settings.load(cwd=self.cwd, flags=flags)
        text = await self._script(workflow, script)
        encoded = None if args is None else msgspec.json.encode(args)
        async with Models(chosen) as models:
            run_id = await self.client.submit(
                text, settings=chosen, models=models, cwd=self.cwd, args=encoded, version=VERSION
            )
        await execute_apart(self.store, run_id)
        return {"run_id": run_id, "name": text.meta.name, "status": "started"}

    async def fork(self, run: str, at: int, script: str, args: Any, model: str, budget: str) -> dict[str, Any]:
        """Records a run that goes another way from an event of this one, and starts its process.

        Raises UsageError, ScriptRefused.
        """
        view = await self.view(run)
        edited = None
        if script:
            edited = await read_script(script, view.script, portable=bool(view.bounds.get("portable")))
        otherwise = Otherwise(
            script=edited,
            args=None if args is None else msgspec.json.encode(args),
            model=model or None,
            bounds=dict(read_budgets([budget] if budget else [])),
        )
        run_id = await self.client.fork(view.run_id, at or None, otherwise=otherwise, by=asker(), version=VERSION)
        await execute_apart(self.store, run_id)
        parent = (await self.client.view(run_id)).parent
        return {"run_id": run_id, "parent": view.run_id, "at": parent.seq if parent else at, "status": "started"}

    async def _script(self, workflow: str, script: str) -> Script:
        if bool(workflow) == bool(script):
            raise UsageError("Give either a workflow (its name or path) or a script (its text).")
        if script:
            return parse(script, "mcp.js")
        return await load_script(await asyncio.to_thread(find, workflow, self.cwd))

    # --- looking -----------------------------------------------------------------------------------------------------

    async def workflows(self) -> list[dict[str, Any]]:
        saved = await asyncio.to_thread(listing, self.cwd)
        return [
            {"name": each.name, "description": each.description, "origin": each.origin, "error": each.error}
            for each in saved
        ]

    async def runs(self) -> list[dict[str, Any]]:
        return [
            {"run_id": run.run_id, "name": run.name, "status": run.status.value, "created_at": run.created_at,
             "cwd": run.cwd}
            for run in (await self.client.runs())[:MOST_RUNS]
        ]  # fmt: skip

    async def view(self, run: str) -> RunView:
        return await self.client.view(await self.client.find(run))

    async def status(self, view: RunView) -> dict[str, Any]:
        """How a run goes, in few words: what ended badly, what is asked, what was said last."""
        document = await self.client.document(view)
        kept = ("run_id", "name", "status", "message", "error", "agents", "coverage", "usage", "phases", "gates")
        shown: dict[str, Any] = {name: document[name] for name in kept if name in document}
        if await self.begins(view):
            shown["status"] = "starting"
        shown["seq"] = view.last_seq
        shown["log"] = document["log"][-LINES:]
        shown["not_ok"] = [
            {"id": agent.id, "label": agent.label, "outcome": agent.outcome.value if agent.outcome else None,
             "why": agent.fault.message if agent.fault else ""}
            for agent in view.not_ok()[:LINES]
        ]  # fmt: skip
        return shown

    async def result(self, run: str, offset: int) -> dict[str, Any]:
        """A part of what a run returned, as JSON text."""
        view = await self.view(run)
        value = await self.client.value(view.run_id, view.result)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        document: dict[str, Any] = {
            "run_id": view.run_id,
            "status": view.shown_status().value,
            "coverage": dict(zip(("ok", "of"), view.coverage(), strict=True)),
            "characters": len(text),
        }
        if len(text) <= PART and not offset:
            return document | {"result": value}
        part = text[offset : offset + PART]
        following = offset + len(part)
        return document | {"text": part, "next_offset": following if following < len(text) else None}

    async def begins(self, view: RunView) -> bool:
        """Whether its process has yet to come so far."""
        young = time.time() - view.created_at < RECEIPT_S * 2
        return view.attempt == 0 and young and not view.ended

    async def follow(self, run_id: str, seconds: float) -> AsyncIterator[RunView]:
        """The run as it goes, until it is over, asks something, or the time is up. The last one is as it then was."""
        until = time.monotonic() + seconds
        while True:
            view = await self.client.view(run_id)
            yield view
            at_rest = view.shown_status() is not RunStatus.RUNNING and not await self.begins(view)
            if at_rest or view.open_gates() or time.monotonic() >= until:
                return
            await asyncio.sleep(STEP_S)

    # --- steering ----------------------------------------------------------------------------------------------------

    async def answer(self, view: RunView, gate: str, answer: Answer) -> dict[str, Any]:
        """Hands a person's answer to the run, or records it for one at rest. Raises UsageError where it is refused."""
        if gate not in {each.id for each in view.open_gates()}:
            raise UsageError(f"Run {view.run_id} has no open question {gate!r}.")
        if await self.client.is_live(view.run_id):
            verb = "deny" if answer.denied else "approve"
            body = {} if answer.denied else {"answer": answer.value}
            receipt = await self.ask(view.run_id, verb, gate, **body)
            if receipt.get("ok") is False:
                raise UsageError(str(receipt["message"]))
            return receipt
        await self.client.answer(view.run_id, gate, answer.value, denied=answer.denied, by=asker())
        return {"recorded": True, "next": "control resume goes on with it"}

    async def control(
        self, view: RunView, verb: Verb, agent: str, text: str, budget: str, prompt: str, model: str
    ) -> dict[str, Any]:
        """Asks something of a run, approve and deny apart. Raises UsageError for what makes no sense."""
        live = not view.ended and await self.client.is_live(view.run_id)
        if verb == "resume" and not live:
            await self._let_go(view.run_id)
            await execute_apart(self.store, view.run_id)
            return {"run_id": view.run_id, "status": "started"}
        if not live:
            raise UsageError(
                f"Run {view.run_id} is {view.shown_status().value}: no process executes it.",
                hint="control resume goes on with it; what ended well is not asked again.",
            )
        match verb:
            case "skip" | "retry" if not agent:
                raise UsageError(f"{verb} needs an agent, by id or label.")
            case "steer" if not text.strip():
                raise UsageError("steer needs a text.")
            case "budget" if not budget:
                raise UsageError("budget needs a ceiling, as 500k or $5.")
            case "steer":
                return await self.ask(view.run_id, verb, agent or None, text=text)
            case "retry":
                return await self.ask(view.run_id, verb, agent, prompt=prompt or None, model=model or None)
            case "budget":
                return await self.ask(view.run_id, "bounds", None, budgets=[str(read_ceiling(budget))])
            case "stop":
                return await self.ask(view.run_id, verb, None, drain=False)
            case "pause":
                return await self.ask(view.run_id, verb, None, stay=True)
            case "resume":
                return await self.ask(view.run_id, "continue", None)
            case _:
                return await self.ask(view.run_id, verb, agent or None)

    async def _let_go(self, run_id: str) -> None:
        """Waits for the process of an ended attempt, which holds the run a moment longer. Raises RunIsLiveError."""
        until = time.monotonic() + RECEIPT_S
        while time.monotonic() < until and await self.client.is_live(run_id):  # noqa: ASYNC110 (another process's lease)
            await asyncio.sleep(STEP_S / 4)
        await self.client.refuse_resume(run_id)

    async def ask(self, run_id: str, verb: str, target: str | None, **body: Any) -> dict[str, Any]:
        """Leaves a request and waits a little for its receipt."""
        number = await self.client.ask(run_id, verb, target, by=asker(), **body)
        until = time.monotonic() + RECEIPT_S
        while True:
            view = await self.client.view(run_id)
            found = view.requests.get(number)
            if (found is not None and found.done_at is not None) or view.ended or time.monotonic() > until:
                break
            await asyncio.sleep(STEP_S / 4)
        receipt: dict[str, Any] = {"request": number, "delivered": found is not None}
        if found is not None and found.done_at is not None:
            receipt |= {"ok": found.ok, "message": found.message}
        return receipt


def asker() -> str:
    """Who asks, as the journal keeps it."""
    return f"{getpass.getuser()}@{socket.gethostname()} (mcp)"
