"""A host for one script: starts its process and answers its calls, without journal, gate or models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from counterpoint.errors import HookError
from counterpoint.events import Fault
from counterpoint.sandbox.frames import Call, Delivery, Done, Init
from counterpoint.sandbox.process import Limits, ScriptProcess

START_MS = 1_700_000_000_000.0
Answer = Callable[[Any], Any]
"""From the argument of a call to its value. May raise HookError; what it does not answer returns SILENCE."""
SILENCE = object()


@dataclass(slots=True)
class Played:
    """What a script did."""

    done: Done | None = None
    fault: Fault | None = None
    """The limit that it broke."""
    calls: list[Call] = field(default_factory=list[Call])
    told: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])

    @property
    def result(self) -> Any:
        assert self.fault is None, self.fault
        assert self.done is not None, "the script waits"
        assert self.done.ok, self.done.error
        return msgspec.json.decode(self.done.value)

    @property
    def error(self) -> Fault:
        assert self.done is not None, self.fault
        assert self.done.error is not None, bytes(self.done.value)[:1000]
        return self.done.error

    @property
    def log(self) -> list[str]:
        return [value["text"] for op, value in self.told if op == "log"]

    def asked(self, op: str) -> list[Any]:
        """Arguments of the calls of one hook."""
        return [msgspec.json.decode(call.arg) for call in self.calls if call.op == op]


def echo(arg: Any) -> Any:
    """An agent that says what it was asked."""
    return arg["prompt"]


async def play(
    script: str,
    *,
    args: Any = SILENCE,
    limits: Limits | None = None,
    children: dict[str, str] | None = None,
    turns: int = 100_000,
    strict: bool = False,
    portable: bool = False,
    budget: int | None = None,
    max_items: int = 4096,
    max_log_lines: int = 10_000,
    agent: Answer = echo,
    tool: Answer = lambda arg: arg,
    checkpoint: Answer = lambda arg: arg,
) -> Played:
    """Runs a script as long as there is something to answer. Timers come due at once, and its clock goes on by them."""
    answers = {"agent": agent, "tool": tool, "checkpoint": checkpoint}
    clock, played = START_MS, Played()
    async with await ScriptProcess.spawn(limits or Limits()) as process:
        turn = await process.start(
            Init(
                script=script, args=msgspec.UNSET if args is SILENCE else Raw(msgspec.json.encode(args)), seed=42,
                at=START_MS,
                budget_total=budget, usd_total=None, shares={}, portable=portable, strict=strict, max_items=max_items,
                max_log_lines=max_log_lines, run={"id": "wf_1", "name": "played", "cwd": "/", "model": "none"},
            )
        )  # fmt: skip
        for _ in range(turns):
            batch: list[Delivery] = []
            for call in turn.calls:
                if not call.id:
                    played.told.append((call.op, msgspec.json.decode(call.arg)))
                    if call.op == "workflow_done":
                        batch.append(_leave(msgspec.json.decode(call.arg), clock))
                    continue
                played.calls.append(call)
                arg = msgspec.json.decode(call.arg)
                if call.op == "timer":
                    clock += arg["ms"]
                    batch.append(Delivery(call.id, True, Raw(b"null"), clock, 0))
                elif call.op == "workflow":
                    text = (children or {})[arg["ref"]]
                    load = {"script": text, "name": arg["ref"]} | ({"args": arg["args"]} if "args" in arg else {})
                    batch.append(Delivery(call.id, True, Raw(msgspec.json.encode(load)), clock, 0, load=True))
                else:
                    batch += _answer(call.id, arg, answers[call.op], clock)
            played.done = played.done or turn.done
            if turn.fault is not None:
                played.fault = Fault(turn.fault.name, turn.fault.message, turn.fault.line, turn.fault.column)
            if turn.fault is not None or not batch:
                break
            turn = await process.settle(batch)
    return played


def _answer(call: int, arg: Any, answer: Answer, clock: float) -> list[Delivery]:
    try:
        value = answer(arg)
    except HookError as error:
        body = msgspec.json.encode({**error.detail, "name": error.name, "message": error.message})
        return [Delivery(call, False, Raw(body), clock, 0)]
    return [] if value is SILENCE else [Delivery(call, True, Raw(msgspec.json.encode(value)), clock, 0)]


def _leave(arg: Any, clock: float) -> Delivery:
    body = arg["value"] if arg["ok"] else {"name": arg["error"]["name"], "message": arg["error"]["message"]}
    return Delivery(arg["id"], arg["ok"], Raw(msgspec.json.encode(body)), clock, 0)
