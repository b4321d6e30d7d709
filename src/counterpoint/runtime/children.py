"""``workflow()``: a second script in the same process, with the same gate, caps, budget and journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from counterpoint.errors import HookError, ScriptFault
from counterpoint.events import Fault, Value, WorkflowEntered, WorkflowLeft
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.replay import entrance
from counterpoint.sandbox.frames import Call, Delivery
from counterpoint.script import Script
from counterpoint.tools.arguments import misfits

ABSENT = Raw(b"")
FindWorkflow = Callable[[Any, Path], Script]
"""Looks up a child by name or ``{scriptPath}``. Raises HookError("WorkflowError") with what is wrong."""


class _Reference(Struct, frozen=True):
    ref: Any = None
    args: Raw = ABSENT


class _Left(Struct, frozen=True):
    id: int
    ok: bool
    value: Raw = ABSENT
    error: Fault | None = None


@dataclass(frozen=True, slots=True)
class _Child:
    key: str
    name: str
    depth: int


class Children:
    """The child workflows of one attempt, by the number of the call that opened them."""

    def __init__(self, attempt: Attempt, find: FindWorkflow) -> None:
        self._attempt = attempt
        self._find = find
        self._children: dict[int, _Child] = {}

    def name(self, scope: int) -> str | None:
        """Name of the child that a call came from; None for the script itself."""
        child = self._children.get(scope)
        return child.name if child else None

    def enter(self, call: Call) -> None:
        """Answers ``workflow(ref, args)``: with the child's text, which the script's process then runs."""
        asked = msgspec.json.decode(call.arg, type=_Reference)
        key = self._attempt.identities.call("workflow", asked.ref, bytes(asked.args).decode())
        try:
            depth = self._depth(call)
            name, source = self._text(asked, key)
        except HookError as error:
            return self._attempt.refuse(call, key, "workflow", error)
        self._children[call.id] = _Child(key, name, depth)
        recorded = self._attempt.emit(WorkflowEntered(key, name, source))

        async def make() -> Delivery:
            load: dict[str, Any] = {"script": Raw(await self._attempt.journal.read_value(source)), "name": name}
            if asked.args is not ABSENT:
                load["args"] = asked.args
            body = Raw(msgspec.json.encode(load))
            return Delivery(id=call.id, ok=True, value=body, at=self._attempt.clock_ms, spent=0, load=True)

        return self._attempt.answer_own(entrance(key), recorded, make)

    def leave(self, note: Call) -> None:
        """The child is done: its caller hears the value or the error."""
        left = msgspec.json.decode(note.arg, type=_Left)
        child = self._children.get(left.id)
        if child is None:
            raise ScriptFault(
                "ScriptCrashedError", f"The script's process ended a workflow {left.id} that never began."
            )
        value = self._attempt.journal.value(bytes(left.value)) if left.ok and left.value is not ABSENT else None
        recorded = self._attempt.emit(WorkflowLeft(child.key, child.name, value, left.error))
        error = HookError(left.error.name, left.error.message) if left.error and not left.ok else None
        self._attempt.answer_own(child.key, recorded, lambda: self._attempt.delivery(left.id, value, error=error))

    def _text(self, asked: _Reference, key: str) -> tuple[str, Value]:
        """The child's name and text: as an earlier attempt entered it, else as it is found, if its arguments fit."""
        known = self._attempt.replay.workflows.get(key)
        if known is not None and known.source is not None:
            return known.name, known.source
        script = self._find(asked.ref, self._attempt.cwd)
        wrong = misfits(script, None if asked.args is ABSENT else bytes(asked.args))
        if wrong is not None:
            raise HookError("WorkflowError", wrong)
        return script.meta.name, self._attempt.journal.value(msgspec.json.encode(script.source), apart=True)

    def _depth(self, call: Call) -> int:
        parent = self._children.get(call.w)
        depth = (parent.depth if parent else 0) + 1
        allowed = self._attempt.bounds["max_depth"]
        if depth > allowed:
            raise HookError(
                "WorkflowError",
                f"workflow() would be {depth} levels deep; max_depth is {allowed}: raise it in settings.",
            )
        return depth
