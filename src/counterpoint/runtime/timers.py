"""``setTimeout`` of the script: waits once, and never again on replay."""

from __future__ import annotations

import asyncio

import msgspec

from counterpoint.events import TimerFired
from counterpoint.runtime.attempt import Attempt
from counterpoint.sandbox.frames import Call


class _Timer(msgspec.Struct, frozen=True):
    ms: float


class Timers:
    """The timers of one attempt that have not come due."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._handles: dict[int, asyncio.TimerHandle] = {}

    def set(self, call: Call) -> None:
        ms = max(0.0, msgspec.json.decode(call.arg, type=_Timer).ms)
        key = self._attempt.identities.call("timer", ms)
        answered = self._attempt.replay.effect(key)
        if answered is not None:
            self._attempt.answer_recorded(call.id, key, answered)
        else:
            loop = asyncio.get_running_loop()
            self._handles[call.id] = loop.call_later(ms / 1000, self._fired, call.id, key, ms)

    def clear(self, call_id: int) -> None:
        handle = self._handles.pop(call_id, None)
        if handle is not None:
            handle.cancel()
        self._attempt.open.discard(call_id)

    def close(self) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fired(self, call: int, key: str, ms: float) -> None:
        del self._handles[call]
        self._attempt.answer(call, self._attempt.emit(TimerFired(key, ms)))
