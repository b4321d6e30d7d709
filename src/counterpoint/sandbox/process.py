"""The parent's side of a script: one child per attempt, driven turn by turn, killed when it breaks a limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from counterpoint.errors import CounterpointError, ScriptFault
from counterpoint.sandbox.frames import Call, Delivery, Done, Init, Line, Turn, encoder, line_decoder

HERE = Path(__file__).parent
PRELUDES = [HERE / "js" / name for name in ("web.js", "locale.js", "patterns.js", "prelude.js")]
ENGINE = "quickjs-ng/0.17"
"""What runs the scripts; texts of errors and stacks depend on it."""
GRACE_S = 5.0
"""Over the time that a turn may take, before a child that does not answer is killed."""
BUSY = 1 if sys.platform == "win32" else 6
"""How often `sync_s` a turn may take where the system itself counts a process's own time: the machine may be busy."""
OVER_TIME = None if sys.platform == "win32" else -signal.SIGPROF
"""Exit status of a child that the system ended because its own time was over."""
CHUNK = 1 << 18
LINES_AT_ONCE = 2000
"""Lines that are decoded before the event loop gets a turn."""
LINES_PER_CALL = 3
"""Lines of one turn, for each call that may be open: a timer is set, fires no more, is cleared."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a script. `pending` is the number of calls that may be open at once."""

    sync_s: float = 10.0
    """Of the process's own time (CPU)."""
    heap_mb: int = 256
    stack_mb: int = 16
    output_mb: int = 64
    pending: int = 200_000

    @property
    def patience_s(self) -> float:
        """Wall time without a sign of life, before the child is killed."""
        return self.sync_s * BUSY + GRACE_S

    def encode(self) -> bytes:
        """What the child has to know of them."""
        return encoder.encode({"sync_s": self.sync_s, "heap": self.heap_mb << 20, "stack": self.stack_mb << 20}) + b"\n"


class ScriptProcess:
    """A script's child process. `start` once, then `settle` until a turn is done; always `close`."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._rest = b""
        self._open = 0
        self._killed = False

    @classmethod
    async def spawn(cls, limits: Limits | None = None) -> ScriptProcess:
        """Starts a child that waits for its script; without limits it waits for those first, see `limit`."""
        engine = find_spec("_quickjs")
        if engine is None or engine.origin is None:
            raise CounterpointError("The JavaScript engine is missing.", hint="pip install quickjs-ng")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-B", str(HERE / "child.py"), str(Path(engine.origin).parent), *map(str, PRELUDES)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        child = cls(process, limits or Limits())
        if limits is not None:
            child.limit(limits)
        return child

    def limit(self, limits: Limits) -> None:
        """Sets the limits, once, of a child that was started without."""
        self._limits = limits
        self._write(limits.encode())

    @property
    def pid(self) -> int:
        """The child's process number."""
        return self._process.pid

    async def __aenter__(self) -> ScriptProcess:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, init: Init) -> Turn:
        """Runs the script until it waits, or breaks a limit."""
        return await self._run(encoder.encode(init))

    async def check(self, script: str) -> ScriptFault | None:
        """What the engine's parser has against a script, or None. To be called before `start`, as often as wanted."""
        fault = (await self._turn(encoder.encode({"check": script}))).fault
        if fault is not None and fault.name == "ScriptCrashedError":
            raise fault
        return fault

    async def settle(self, batch: list[Delivery]) -> Turn:
        """Gives the script these answers, one after the other, and runs it until it waits again."""
        self._open -= sum(not delivery.load for delivery in batch)
        return await self._run(encoder.encode(batch))

    async def _run(self, line: bytes) -> Turn:
        turn = await self._turn(line)
        if turn.fault is not None:
            self._kill()
        return turn

    def _kill(self) -> None:
        if self._process.returncode is None and not self._killed:
            self._killed = True  # once: a second signal would take the exit status from under the one that waits for it
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """Ends the child, whatever it does."""
        self._kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._read_away()
        await self._process.wait()

    async def _read_away(self) -> None:
        """What the child still had to say: asyncio's `wait` ends with the pipe, and a full one is not read on."""
        while self._process.stdout is not None and await self._process.stdout.read(CHUNK):
            pass

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None, "the child was started with pipes"  # noqa: S101  (for the type checker; it cannot fail)
        self._process.stdin.write(line)

    async def _turn(self, line: bytes) -> Turn:
        calls: list[Call] = []
        writing = asyncio.ensure_future(self._send(line + b"\n"))
        try:
            async with asyncio.timeout(self._limits.patience_s) as patience:
                done = await self._read(calls, patience)
            self._count(calls)
        except TimeoutError:
            return Turn(calls, fault=self._too_slow())
        except ScriptFault as fault:
            return Turn(calls, fault=fault)
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writing
        return Turn(calls, done)

    def _count(self, calls: list[Call]) -> None:
        self._open += sum((call.id > 0) - (call.op == "clear") for call in calls)
        if self._open > self._limits.pending:
            raise _over(
                "ScriptOutputError", f"has {self._open:,} calls open at once", "max_pending", self._limits.pending
            )

    async def _send(self, line: bytes) -> None:
        self._write(line)
        assert self._process.stdin is not None, "the child was started with pipes"  # noqa: S101  (for the type checker; it cannot fail)
        await self._process.stdin.drain()

    async def _read(self, calls: list[Call], patience: asyncio.Timeout) -> Done | None:
        """Reads to the end of the turn, adding to `calls`."""
        while True:
            for body in await self._lines(patience):
                line = self._decode(body)
                if line.end is not None:
                    if line.end.fault is not None:
                        fault = line.end.fault
                        raise ScriptFault(fault.name, fault.message, line=fault.line, column=fault.column)
                    return line.end.done
                calls.append(Call(line.id, line.op, line.arg, line.w, line.line, line.column))
                if len(calls) % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            if len(calls) > LINES_PER_CALL * self._limits.pending:
                raise _over("ScriptOutputError", "said more at once", "max_pending", self._limits.pending)

    async def _lines(self, patience: asyncio.Timeout) -> list[bytes]:
        """The next whole lines. Each piece that arrives shows that the child still works."""
        pieces = [self._rest]
        size = len(self._rest)
        while True:
            piece = await self._read_piece()
            patience.reschedule(asyncio.get_running_loop().time() + self._limits.patience_s)
            pieces.append(piece)
            size += len(piece)
            if b"\n" in piece:
                break
            if size > self._limits.output_mb << 20:
                raise _over(
                    "ScriptOutputError", "sent one value that is larger", "max_output_mb", self._limits.output_mb
                )
        *lines, self._rest = b"".join(pieces).split(b"\n")
        if max(map(len, lines)) > self._limits.output_mb << 20:
            raise _over("ScriptOutputError", "sent one value that is larger", "max_output_mb", self._limits.output_mb)
        return lines

    async def _read_piece(self) -> bytes:
        assert self._process.stdout is not None, "the child was started with pipes"  # noqa: S101  (for the type checker; it cannot fail)
        piece = await self._process.stdout.read(CHUNK)
        if piece:
            return piece
        status = await self._process.wait()
        if status == OVER_TIME:
            raise self._too_slow()
        raise ScriptFault(
            "ScriptCrashedError",
            f"The script's process ended unexpectedly (exit status {status}): "
            "out of memory outside of the script's heap, or a fault of the engine.",
        )

    def _decode(self, body: bytes) -> Line:
        try:
            return line_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ScriptFault("ScriptCrashedError", f"The script's process sent a malformed line: {error}.") from error

    def _too_slow(self) -> ScriptFault:
        seconds = self._limits.sync_s
        return _over(
            "ScriptTimeoutError", f"computed for {seconds:g} s without waiting for anything", "max_sync_s", seconds
        )


def _over(name: str, what: str, setting: str, limit: float) -> ScriptFault:
    return ScriptFault(
        name,
        f"The script {what}. The limit is {setting} = {limit:g}; "
        f"raise it with COUNTERPOINT_{setting.upper()} or in config.toml.",
    )


def _environment() -> dict[str, str]:
    environment = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    if os.name == "nt":
        environment["SYSTEMROOT"] = os.environ.get("SYSTEMROOT", "")
    return environment
