"""What people ask of a run, from any process: read from the store, done, with receipts in the journal."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from counterpoint.events import BoundsChanged, RequestDelivered, RequestDone, RunEnded, RunStatus
from counterpoint.runtime.run import Run
from counterpoint.store.requests import Asked, Requests

POLL_S = 0.2


class Refused(Exception):
    """What was asked cannot be done; the message says why."""


class Control:
    """Serves the requests of one run until it is cancelled."""

    def __init__(self, run: Run, requests: Requests, run_id: str) -> None:
        self._run = run
        self._requests = requests
        self._run_id = run_id
        self._last = max(run.view.requests, default=0)

    async def serve(self) -> None:
        while True:
            for asked in await self._requests.pending(self._run_id, self._last):
                self._last = asked.id
                self.take(asked)
            await asyncio.sleep(POLL_S)

    def take(self, asked: Asked) -> None:
        """Does one request, with its receipts."""
        emit = self._run.attempt.emit
        body = msgspec.json.decode(asked.body, type=dict[str, Any])
        text = str(body.get("text", ""))
        emit(RequestDelivered(asked.id, asked.verb, asked.target, text, asked.at, asked.by))
        try:
            message = self._do(asked, body)
        except Refused as refused:
            emit(RequestDone(asked.id, ok=False, message=str(refused)))
        else:
            emit(RequestDone(asked.id, message=message))

    def _do(self, asked: Asked, body: dict[str, Any]) -> str:
        run = self._run
        match asked.verb:
            case "stop":
                return self._stop(asked, body)
            case "pause":
                run.pause("user", f"Paused by {asked.by}.", None, stay=bool(body.get("stay")))
                return "No more agents start."
            case "continue":
                run.go_on()
                return "The run goes on."
            case "skip":
                return self._agent("skip", run.skip, asked.target)
            case "retry":
                return self._agent("retry", run.retry, asked.target)
            case "steer":
                return self._steer(asked.target, str(body.get("text", "")))
            case "approve" | "deny":
                return self._answer(asked, body)
            case "bounds":
                return self._change(body)
            case _:
                raise Refused(f"This release does not know {asked.verb!r}.")

    def _stop(self, asked: Asked, body: dict[str, Any]) -> str:
        ended = RunEnded(RunStatus.STOPPED, message=f"Stopped by {asked.by}.")
        if body.get("drain"):
            self._run.drain(ended)
            return "Agents under way finish; no more start."
        self._run.end(ended)
        return "Stopped."

    def _agent(self, verb: str, act: Any, target: str | None) -> str:
        agent = self._run.view.find_agent(target or "")
        if agent is None:
            raise Refused(f"No agent has the id or label {target!r}.")
        if not act(agent.id):
            raise Refused(f"Agent {agent.id} is {agent.outcome or agent.state}; {verb} needs one that is under way.")
        return f"Agent {agent.id}: {verb}."

    def _steer(self, target: str | None, text: str) -> str:
        agent = self._run.view.find_agent(target) if target else None
        if target and agent is None:
            raise Refused(f"No agent has the id or label {target!r}.")
        heard = self._run.steer(agent.id if agent else None, text)
        if not heard:
            raise Refused("No agent is under way that could hear it.")
        return f"Left for {heard} agents; each hears it at its next tool boundary."

    def _answer(self, asked: Asked, body: dict[str, Any]) -> str:
        denied = asked.verb == "deny"
        answer = None if denied else self._run.attempt.journal.value(msgspec.json.encode(body.get("answer", True)))
        if not self._run.gates.answer(asked.target or "", answer, denied=denied, by=asked.by):
            raise Refused(f"No open gate has the id {asked.target!r}.")
        return "Denied." if denied else "Answered."

    def _change(self, body: dict[str, Any]) -> str:
        run = self._run
        if "concurrency" in body:
            run.scheduler.resize(int(body["concurrency"]))
        if "budget_tokens" in body:
            run.budget.raise_to(body["budget_tokens"])
        run.attempt.emit(BoundsChanged(body))
        return "Changed: " + ", ".join(f"{name} is {value}" for name, value in body.items())
