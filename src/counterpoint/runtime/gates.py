"""``counterpoint.checkpoint``: a person decides. Never a model; a deadline brings the default, where there is one."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import msgspec
from msgspec import Raw, Struct

from counterpoint.errors import HookError
from counterpoint.events import GateAnswered, GateOpened, Value
from counterpoint.runtime.attempt import Attempt
from counterpoint.sandbox.frames import Call

ABSENT = Raw(b"")
NOBODY = "default: nobody to ask"
ENDED = "default: the run has ended"


class _Question(Struct, frozen=True, rename="camel"):
    question: str
    options: list[Any] | None = None
    schema: dict[str, Any] | None = None
    timeout_ms: float | None = None
    default: Raw = ABSENT


class Gates:
    """The open questions of one attempt."""

    def __init__(self, attempt: Attempt, *, anyone_to_ask: bool) -> None:
        self._attempt = attempt
        self._anyone_to_ask = anyone_to_ask
        self._open: dict[str, tuple[int, str]] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._permits: dict[str, asyncio.Future[bool]] = {}
        """Questions of the rules; agents wait for them, not the script."""

    def open(self, call: Call) -> None:
        """Answers ``checkpoint(question, options)``: from the record, by the default, or when a person does."""
        asked = msgspec.json.decode(call.arg, type=_Question)
        key = self._attempt.identities.call("checkpoint", asked.question, asked.options)
        answered = self._attempt.replay.effect(key)
        if answered is not None:
            return self._attempt.answer_recorded(call.id, key, answered)
        gate = self._gate_id(key)
        default = self._attempt.journal.value(bytes(asked.default)) if asked.default is not ABSENT else None
        deadline = time.time() + asked.timeout_ms / 1000 if asked.timeout_ms is not None else None
        self._attempt.emit(GateOpened(gate, key, asked.question, asked.options, asked.schema, deadline, default))
        self._open[gate] = (call.id, key)
        if default is not None and deadline is None and not self._anyone_to_ask:
            self.answer(gate, default, by=NOBODY)
        elif asked.timeout_ms is not None:
            self._set_deadline(gate, asked.timeout_ms, default)
        return None

    async def permit(self, rule: str, question: str) -> bool:
        """Asks a person whether agents may do what `rule` speaks of: once, however many of them want it."""
        return await self._permit(f"permission:{rule}", f"{question} For this run: {rule}")

    async def permit_unjailed(self) -> bool:
        """Whether commands may run although this machine has no sandbox for them."""
        host = socket.gethostname()
        return await self._permit(
            f"sandbox:{host}",
            f"There is no sandbox for commands of agents on this machine ({host}): they could read and write whatever "
            "you can, and reach the network. May they run all the same, for this run?",
        )

    async def _permit(self, key: str, question: str) -> bool:
        gate = self._gate_id(key)
        known = self._attempt.view.gates.get(gate)
        if known is not None and known.answered and not (known.by in (NOBODY, ENDED) and self._anyone_to_ask):
            return _is_yes(known.denied, known.answer)
        if gate not in self._permits:
            self._permits[gate] = asyncio.get_running_loop().create_future()
            self._attempt.emit(GateOpened(gate, key, question, ["yes", "no"]))
            if not self._anyone_to_ask:
                return not self.answer(gate, None, denied=True, by=NOBODY)
        return await asyncio.shield(self._permits[gate])

    def _permitted(self, gate: str, permit: asyncio.Future[bool], answer: Value | None, denied: bool, by: str) -> bool:
        self._attempt.emit(GateAnswered(gate, self._attempt.view.gates[gate].key, answer, denied, by))
        permit.set_result(_is_yes(denied, answer))
        return True

    def answer(self, gate: str, answer: Value | None, *, denied: bool = False, by: str) -> bool:
        """A person's answer. False where the gate is not open."""
        permit = self._permits.pop(gate, None)
        if permit is not None:
            return self._permitted(gate, permit, answer, denied, by)
        found = self._open.pop(gate, None)
        if found is None:
            return False
        handle = self._deadlines.pop(gate, None)
        if handle is not None:
            handle.cancel()
        call, key = found
        recorded = self._attempt.emit(GateAnswered(gate, key, answer, denied, by))
        error = HookError("DeniedError", f"Denied by {by}.") if denied else None
        self._attempt.answer(call, recorded, answer, error=error)
        return True

    def only_these(self, calls: set[int]) -> bool:
        """Whether nothing but questions without a deadline is open."""
        waiting = {call for gate, (call, _) in self._open.items() if gate not in self._deadlines}
        return bool(waiting) and calls <= waiting

    def close(self) -> None:
        for handle in self._deadlines.values():
            handle.cancel()
        self._deadlines.clear()
        for gate in [*self._permits]:
            self.answer(gate, None, denied=True, by=ENDED)

    def _gate_id(self, key: str) -> str:
        gates = self._attempt.view.gates
        earlier = next((gate.id for gate in gates.values() if gate.key == key), None)
        return earlier or f"g{len(gates) + 1}"

    def _set_deadline(self, gate: str, timeout_ms: float, default: Value | None) -> None:
        loop = asyncio.get_running_loop()
        self._deadlines[gate] = loop.call_later(max(0.0, timeout_ms) / 1000, self._timed_out, gate, default)

    def _timed_out(self, gate: str, default: Value | None) -> None:
        del self._deadlines[gate]
        if default is not None:
            self.answer(gate, default, by="default: nobody answered in time")
        else:
            self.answer(gate, None, denied=True, by="nobody in time, and there is no default")


def _is_yes(denied: bool, answer: Value | None) -> bool:
    return not denied and (answer is None or answer.json not in (Raw(b'"no"'), Raw(b"false")))
