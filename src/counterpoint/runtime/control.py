"""What people ask of a run, from any process: read from the store, done, with receipts in the journal."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from counterpoint.ceilings import read_ceiling
from counterpoint.errors import CounterpointError, StoreError
from counterpoint.events import BoundsChanged, RequestDelivered, RequestDone, RunEnded, RunStatus, RunTagged
from counterpoint.runtime.job import Change, Said
from counterpoint.runtime.run import Run
from counterpoint.store.requests import Asked
from counterpoint.store.runs import Store
from counterpoint.tags import retagged
from counterpoint.tools.answers import fitting
from counterpoint.view import AgentView, RunView

POLL_S = 0.2


class Refused(CounterpointError):
    """What was asked cannot be done; the message says why."""


async def go_on_counting(store: Store, view: RunView) -> None:
    """Before anything is asked of a run that may have come from another folder: no number twice. Raises StoreError."""
    last = max(view.requests.values(), key=lambda request: request.id, default=None)
    if last is not None:
        earlier = Asked(last.id, last.verb, last.target, b"{}", last.by, last.asked_at)
        await store.requests.go_on_behind(view.run_id, earlier)


class Control:
    """Serves the requests of one run until it is cancelled."""

    def __init__(self, run: Run, store: Store, run_id: str, *, lapsed: int = 0) -> None:
        """`lapsed`: number of the last request that was not meant for this attempt."""
        self._run = run
        self._store = store
        self._run_id = run_id
        self._lapsed = lapsed
        self._last = 0
        self._earlier = {request.id: request.asked_at for request in run.view.requests.values()}

    async def serve(self) -> None:
        await self._run.opened.wait()
        with self._store.news(self._run_id, POLL_S) as news:
            while True:
                for asked in await self._pending():
                    self._last = asked.id
                    self._read(asked)
                await news.wait()

    def _read(self, asked: Asked) -> None:
        """Takes a request that is new."""
        if self._earlier.get(asked.id) == asked.at:
            return
        if asked.id <= self._lapsed:
            self._lapse(asked)
        else:
            self.take(asked)

    async def _pending(self) -> list[Asked]:
        """What is new. A store that cannot be read just now is no end of the run: the journal knows when it is."""
        with contextlib.suppress(StoreError):
            return await self._store.requests.pending(self._run_id, self._last)
        return []

    def _lapse(self, asked: Asked) -> None:
        """A request that nobody read before the last attempt ended is not meant for this one."""
        self._deliver(asked, {})
        self._run.attempt.emit(RequestDone(asked.id, ok=False, message="The run had ended before this was read."))

    def _deliver(self, asked: Asked, body: dict[str, Any]) -> None:
        text = str(body.get("text", ""))
        self._run.attempt.emit(RequestDelivered(asked.id, asked.verb, asked.target, text, asked.at, asked.by))

    def take(self, asked: Asked) -> None:
        """Does one request, with its receipts."""
        emit = self._run.attempt.emit
        body = msgspec.json.decode(asked.body, type=dict[str, Any])
        self._deliver(asked, body)
        try:
            message = self._do(asked, body)
        except CounterpointError as refused:
            emit(RequestDone(asked.id, ok=False, message=refused.message))
        else:
            if message is not None:
                emit(RequestDone(asked.id, message=message))

    def _do(self, asked: Asked, body: dict[str, Any]) -> str | None:
        """What was done; None: it is done later, and says so then."""
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
                agent = self._agent(asked.target)
                return self._acted("skip", agent, run.fleet.skip(agent.id))
            case "retry":
                agent = self._agent(asked.target)
                change = Change(body.get("prompt"), body.get("model"))
                return self._acted("retry", agent, run.fleet.retry(agent.id, change))
            case "steer":
                return self._steer(asked, str(body.get("text", "")))
            case "approve" | "deny":
                return self._answer(asked, body)
            case "bounds":
                return self._change(body)
            case "tag":
                return self._tag(body, asked.by)
            case _:
                raise Refused(f"This release does not know {asked.verb!r}.")

    def _stop(self, asked: Asked, body: dict[str, Any]) -> str:
        ended = RunEnded(RunStatus.STOPPED, message=f"Stopped by {asked.by}.")
        if body.get("drain"):
            self._run.drain(ended)
            return "Agents under way finish; no more start."
        self._run.end(ended)
        return "Stopped."

    def _agent(self, target: str | None) -> AgentView:
        agent = self._run.view.find_agent(target or "")
        if agent is None:
            raise Refused(f"No agent has the id or label {target!r}.")
        return agent

    def _acted(self, verb: str, agent: AgentView, done: bool) -> str:
        if not done:
            raise Refused(f"Agent {agent.id} is {agent.outcome or agent.state}; {verb} needs one that is under way.")
        return f"Agent {agent.id}: {verb}."

    def _steer(self, asked: Asked, text: str) -> None:
        agent = self._agent(asked.target).id if asked.target else None
        if not self._run.fleet.steer(agent, Said(asked.id, text)):
            raise Refused("No agent is under way that could hear it.")

    def _answer(self, asked: Asked, body: dict[str, Any]) -> str:
        denied = asked.verb == "deny"
        gate = self._run.view.gates.get(asked.target or "")
        if gate is None or gate.answered:
            raise Refused(f"No open gate has the id {asked.target!r}.")
        given = None if denied else msgspec.json.encode(fitting(gate, body.get("answer", True)))
        answer = self._run.attempt.journal.value(given) if given is not None else None
        self._run.gates.answer(gate.id, answer, denied=denied, by=asked.by)
        return "Denied." if denied else "Answered."

    def _tag(self, body: dict[str, Any], by: str) -> str:
        tags = retagged(self._run.view.tags, body.get("add", ()), body.get("remove", ()))
        self._run.attempt.emit(RunTagged(tags, by))
        return f"Tags: {', '.join(tags) or 'none'}."

    def _change(self, body: dict[str, Any]) -> str:
        """Sets concurrency and ceilings: ``{"concurrency": 32, "budgets": ["600k", "$9/day"]}``."""
        run, changed = self._run, dict(body)
        if "concurrency" in body:
            run.fleet.scheduler.resize(int(body["concurrency"]))
        ceilings = [read_ceiling(str(text)) for text in changed.pop("budgets", ())]
        run.budget.replace(ceilings)
        rest = [str(ceiling) for ceiling in ceilings if ceiling.scope != "run"]
        changed |= {f"budget_{ceiling.unit}": ceiling.amount for ceiling in ceilings if ceiling.scope == "run"}
        if rest:
            kept = [text for text in run.attempt.bounds["budgets"] if not _same_scope(text, rest)]
            changed["budgets"] = [*kept, *rest]
        run.attempt.emit(BoundsChanged(changed))
        return "Changed: " + ", ".join(f"{name} is {value}" for name, value in changed.items())


def _same_scope(text: str, others: list[str]) -> bool:
    ceiling = read_ceiling(text)
    found = [read_ceiling(other) for other in others]
    return any((c.scope, c.unit, c.phase) == (ceiling.scope, ceiling.unit, ceiling.phase) for c in found)
