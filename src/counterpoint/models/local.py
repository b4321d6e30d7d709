"""`local`: a small real language model on this machine's processor, for whoever has no key.

llama.cpp does the work, in a child process (`local_child.py`): a fault of native code, a grammar without end or a lack
of memory ends that process and not the run, and so does a request that is cancelled. The next one starts another.

One request is under way at a time, first come, first served; a processor gains nothing from two. As long as the model
is at work, all that wait are told, so that their patience does not run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import msgspec

from counterpoint.errors import ProviderError, UsageError, WeightsError
from counterpoint.events import Usage
from counterpoint.models import weights
from counterpoint.models.messages import Answer, AssistantTurn, Message, Request, ToolTurn, UserTurn

CHILD = Path(__file__).with_name("local_child.py")
CONTEXT = 8192
"""Tokens of prompt and answer together."""
LONGEST = 1024
"""Tokens of one answer, whatever is asked for: a small model that does not stop by itself never will."""
LINE = 1 << 20
"""Bytes of one answer as the child sends it."""

Heard = Callable[[], None]
Told = Callable[[str], None]


class LocalModel:
    """One local model; ``name`` is that of its weights. Its process starts with the first request."""

    output: Literal["native", "tool"] = "native"
    tools = False
    simulated = False

    def __init__(self, name: str) -> None:
        """Raises UnknownModelError, and UsageError where the engine is not installed."""
        self.name = name
        self.spec = f"local:{name}"
        self._weights = weights.find(name)
        self._engine_folder = _engine_folder()
        self._turn = asyncio.Lock()
        self._engine: Engine | None = None
        self._waiting: list[Heard] = []
        """Of the request under way, and of all that wait for theirs."""

    def cost(self, usage: Usage) -> float:
        return 0.0

    async def request(self, request: Request) -> Answer:
        """Answers when it is this request's turn. Raises ProviderError."""
        heard = request.heard or _nothing
        self._waiting.append(heard)
        try:
            async with self._turn:
                said = await self._ask(_order(request), request.told or _nobody)
        finally:
            self._waiting.remove(heard)
        usage = Usage(said.input, 0, said.output, 1, 0.0)
        return Answer(said.text, [], usage, self.spec, "length" if said.stop == "length" else "end")

    async def close(self) -> None:
        """Ends the model's process."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def _ask(self, order: dict[str, Any], told: Told) -> _Said:
        try:
            engine = self._engine = self._engine or await self._start()
            said = await engine.ask(order, self._beat, told)
        except BaseException:
            await self.close()
            raise
        return said if said.refused is None else await self._refused(order, told, said)

    async def _refused(self, order: dict[str, Any], told: Told, said: _Said) -> _Said:
        """Asks again with a plainer grammar where the schema was too much for one, which the agent then checks."""
        if said.tokens:
            raise ProviderError(
                "too_long",
                f"The prompt has {said.tokens:,} tokens, and {self.spec} takes {CONTEXT:,}, its answer included.",
                hint="Give each agent less text, or use a model with a longer context.",
            )
        if order.get("response_format", {}).get("type") == "json_schema":
            return await self._ask({**order, "response_format": {"type": "json_object"}}, told)
        raise ProviderError("rejected", f"{self.spec} cannot answer this request: {(said.refused or '')[:500]}")

    async def _start(self) -> Engine:
        path = weights.installed(self.name)
        if path is None:
            raise WeightsError(
                f"The file of {self.spec} is not here ({self._weights.size / 1e6:,.0f} MB).",
                hint=f"counterpoint models pull {self.name}",
            )
        return await Engine.start(self._engine_folder, path)

    def _beat(self) -> None:
        for heard in self._waiting:
            heard()


class _Said(msgspec.Struct):
    """A line of the child. Neither `ready` nor `beat` (with the text since the last) nor `refused`: it is an answer."""

    ready: bool = False
    beat: bool = False
    text: str = ""
    stop: str = ""
    input: int = 0
    output: int = 0
    refused: str | None = None
    tokens: int = 0
    """Of the prompt, where it is refused for its length."""


class Engine:
    """The child process with a model in it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, folder: str, model: Path) -> Engine:
        """Loads the model. Raises ProviderError where it cannot be loaded."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", str(CHILD), folder, str(model), str(CONTEXT), str(cores())),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=LINE, start_new_session=True, env=_environment(),
        )  # fmt: skip
        engine = cls(process)
        try:
            first = await engine._line(
                "The local model's process ended while it was loaded: too little memory, perhaps"
            )
            if not first.ready:
                raise ProviderError(
                    "unreachable",
                    f"The local model could not be loaded: {(first.refused or '')[:500]}",
                    hint=f"If it is damaged, delete {model}; `counterpoint models pull` fetches it again.",
                )
        except BaseException:
            await engine.close()
            raise
        return engine

    async def ask(self, order: dict[str, Any], beat: Heard, told: Told) -> _Said:
        """One answer. Whoever cancels this must close the engine."""
        assert self._process.stdin is not None, "the child was started with pipes"  # noqa: S101  (for the type checker; it cannot fail)
        with contextlib.suppress(ConnectionError):  # its end is found out in reading
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            await self._process.stdin.drain()
        length = 0
        while (said := await self._line("The process of the local model ended unexpectedly")).beat:
            beat()
            told(said.text)
            length += len(said.text)
        beat()
        told(said.text[length:])
        return said

    async def close(self) -> None:
        """Ends the process, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()

    async def _line(self, otherwise: str) -> _Said:
        assert self._process.stdout is not None, "the child was started with pipes"  # noqa: S101  (for the type checker; it cannot fail)
        try:
            return msgspec.json.decode(await self._process.stdout.readuntil(b"\n"), type=_Said)
        except asyncio.IncompleteReadError:
            status = await self._process.wait()
            raise ProviderError("dropped", f"{otherwise} (exit status {status}).") from None
        except (asyncio.LimitOverrunError, msgspec.DecodeError) as error:
            raise ProviderError(
                "malformed", f"The process of the local model cannot be understood: {error}."
            ) from error


def cores() -> int:
    """Physical cores that we may use: two threads of one core only wait for each other."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    usable = os.sched_getaffinity(0)
    return max(1, min(len({_core_of(n) for n in usable}), _quota()))


def _core_of(processor: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(processor)


def _quota() -> int:
    """Whole processors that a container is allowed."""
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(most) // int(period)
    except (OSError, ValueError):
        return os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """Threads that wait for each other sleep, where they would spin: on a busy machine that is ten times as fast."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {"OMP_WAIT_POLICY": "passive", "LC_ALL": "C.UTF-8", **kept}


def _engine_folder() -> str:
    found = find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise UsageError("The local model needs the extra `local`.", hint="pip install 'counterpoint[local]'")
    return str(Path(found.origin).parent.parent)


def _order(request: Request) -> dict[str, Any]:
    """The request as llama.cpp takes it. The same request has the same answer: nothing is sampled or remembered."""
    system = request.system
    order: dict[str, Any] = {
        "max_tokens": min(request.max_tokens or LONGEST, LONGEST), "temperature": 0, "seed": 0, "cache_prompt": False,
        "tell": request.told is not None,
    }  # fmt: skip
    if request.schema is not None:
        system += f"\n\nThe schema: {msgspec.json.encode(request.schema).decode()}"
        order["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": request.schema}}
    order["messages"] = [{"role": "system", "content": _plain(system)}, *map(_message, request.messages)]
    return order


def _message(message: Message) -> dict[str, str]:
    match message:
        case UserTurn(text):
            return {"role": "user", "content": _plain(text)}
        case AssistantTurn(text):
            return {"role": "assistant", "content": _plain(text)}
        case ToolTurn(results, text):
            return {"role": "user", "content": _plain("\n\n".join([*(result.content for result in results), text]))}


def _plain(text: str) -> str:
    """The text without marks like ``<|im_end|>``, with which it could pose as another turn of the conversation."""
    return re.sub(r"<\|(\w+)\|>", r"<| \1 |>", text)


def _nothing() -> None:
    pass


def _nobody(text: str) -> None:
    pass
