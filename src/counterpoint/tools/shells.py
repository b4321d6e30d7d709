"""The commands of one agent: started in its cell, watched, and ended with it at the latest.

What a command says goes into a file without a name, up to a limit; what is beyond is counted and dropped. A watcher
ends commands that become too many processes or take too much memory, whoever they run as.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from counterpoint.errors import ToolError
from counterpoint.tools import jail
from counterpoint.tools.jail import Cell

CHUNK = 1 << 16
WATCH_S = 0.25
PATIENCE_S = 5.0
"""How long what supervises a command may take to end it."""
KEPT = 50
"""Commands whose output can be read after they have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellLimits:
    """What one command may take."""

    kept_bytes: int = 32 * 1024 * 1024
    """Output that is kept."""
    processes: int = 512
    memory_bytes: int = 8 * 1024**3
    """Resident, of all its processes together."""
    at_once: int = 8
    """Commands of one agent at the same time."""


@dataclass(slots=True, eq=False)
class Shell:
    """One command, under way or ended."""

    id: str
    command: str
    output: int
    """Descriptor of the file that has what it said."""
    size: int = 0
    """Bytes that are kept."""
    dropped: int = 0
    """Bytes beyond the limit."""
    told: int = 0
    """Up to where the agent has seen it."""
    code: int | None = None
    """Exit code, once it has ended; negative for a signal."""
    why: str = ""
    """Why it was ended before its time."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def text(self, start: int, length: int) -> str:
        """Output from byte `start` on."""
        return os.pread(self.output, length, start).decode("utf-8", "replace")

    def end(self, why: str) -> None:
        """Asks for its end; `over` is set when nothing of it runs any more."""
        if not self.over.is_set() and not self.why:
            self.why = why
            self.stop.set()

    def keep(self, data: bytes, limit: int) -> None:
        room = max(0, limit - self.size)
        os.pwrite(self.output, data[:room], self.size)
        self.size += min(room, len(data))
        self.dropped += max(0, len(data) - room)


class Shells:
    """All commands of one agent; made by `opened`."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        kind: jail.Kind,
        environment: dict[str, str],
        limits: ShellLimits,
        *,
        jailed: bool,
    ) -> None:
        self._group = group
        self._environment = environment
        self._limits = limits
        self._shells: dict[str, Shell] = {}
        self._started = 0
        self.kind: jail.Kind = kind
        self.jailed = jailed
        """Commands run in a sandbox or not at all; else the user has said that they may run without."""

    async def start(self, command: str, cell: Cell, alive: Callable[[], None]) -> Shell:
        """Starts a command; `alive` is called when it says something. Raises ToolError where it cannot start."""
        running = [shell for shell in self._shells.values() if not shell.over.is_set()]
        if len(running) >= self._limits.at_once:
            raise ToolError(f"{len(running)} of your commands are running, the most there can be: end one (KillShell).")
        self._forget()
        self._started += 1
        shell = Shell(f"bash_{self._started}", command, _nameless_file())
        ours, theirs = _pipe()
        cell = replace(cell, processes=self._limits.processes)
        arguments = jail.shut_in([_shell_program(), "-c", command], cell, self.kind, theirs)
        spawning = asyncio.ensure_future(_spawned(arguments, cell, self._environment, theirs))
        try:
            process = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            os.close(ours)  # what was being started ends at once, since nobody would know of it
            process = await spawning
            await process.communicate()
            os.close(shell.output)
            raise
        except OSError as error:
            os.close(ours)
            os.close(shell.output)
            raise ToolError(f"The command could not be started: {error}.") from error
        self._shells[shell.id] = shell
        self._group.create_task(self._follow(shell, process, ours, alive))
        return shell

    @property
    def latest(self) -> Shell | None:
        """The command that was started last."""
        return self._shells.get(f"bash_{self._started}")

    def get(self, id: str) -> Shell:
        """Raises ToolError where there is none of that name."""
        shell = self._shells.get(id)
        if shell is None:
            known = ", ".join(self._shells) or "none"
            raise ToolError(f"You have no command {id!r}; there are: {known}.")
        return shell

    def close(self) -> None:
        """Asks all commands to end."""
        for shell in self._shells.values():
            shell.end("the agent has ended")

    def release(self) -> None:
        """Lets go of what the commands said."""
        for shell in self._shells.values():
            os.close(shell.output)
        self._shells.clear()

    def _forget(self) -> None:
        ended = [shell for shell in self._shells.values() if shell.over.is_set()]
        for shell in ended[: max(0, len(ended) - KEPT)]:
            os.close(shell.output)
            del self._shells[shell.id]

    # --- one command under way ---------------------------------------------------------------------------------------

    async def _follow(self, shell: Shell, process: Process, lifeline: int, alive: Callable[[], None]) -> None:
        """Keeps what the command says until it is over, or has to be ended."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(self._watch(shell, process.pid)), group.create_task(shell.stop.wait())]
                reading = group.create_task(self._read(shell, process, alive))
                waiting = group.create_task(process.wait())
                await asyncio.wait([waiting, watching[1]], return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    await _take_down(process, lifeline)
                    lifeline = -1
                for task in watching:
                    task.cancel()
                await asyncio.wait([reading], timeout=PATIENCE_S)
                reading.cancel()
        finally:
            if process.returncode is None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(shell, process, alive))  # a full pipe would never close
                    await _take_down(process, lifeline)
                lifeline = -1
            if lifeline >= 0:
                os.close(lifeline)
            shell.code = process.returncode
            shell.over.set()

    async def _read(self, shell: Shell, process: Process, alive: Callable[[], None]) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        while data := await process.stdout.read(CHUNK):
            shell.keep(data, self._limits.kept_bytes)
            alive()

    async def _watch(self, shell: Shell, pid: int) -> None:
        limits = self._limits
        while True:
            await asyncio.sleep(WATCH_S)
            count, memory = _consumption(pid)
            if count > limits.processes * 0.9:  # where the kernel keeps to the limit, there are never more
                shell.end(f"it had become {count:,} processes; at most {limits.processes:,} are allowed")
            elif memory > limits.memory_bytes:
                shell.end(f"its processes took {memory >> 20:,} MiB; at most {limits.memory_bytes >> 20:,} are allowed")


async def _take_down(process: Process, lifeline: int) -> None:
    """Ends the command and all that it has started."""
    if lifeline >= 0:
        os.close(lifeline)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _spawned(arguments: list[str], cell: Cell, environment: dict[str, str], lifeline: int) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *arguments,
            cwd=cell.root,
            env=environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
    finally:
        os.close(lifeline)


@contextlib.asynccontextmanager
async def opened(
    kind: jail.Kind, environment: dict[str, str], limits: ShellLimits | None = None, *, jailed: bool = True
) -> AsyncGenerator[Shells]:
    """An agent's commands; nothing of them runs any more when the block is left."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        shells = Shells(group, kind, environment, limits or ShellLimits(), jailed=jailed)
        try:
            yield shells
        except Exception as error:  # a task group would wrap it
            failure = error
        finally:
            shells.close()
    shells.release()
    if failure is not None:
        raise failure


def _shell_program() -> str:
    return "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"  # noqa: PTH110 (asked once a command)


def _nameless_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _pipe() -> tuple[int, int]:
    """The end that we hold, and the one that ends with us."""
    theirs, ours = os.pipe()
    os.set_inheritable(theirs, True)
    return ours, theirs


# --- how much runs ------------------------------------------------------------------------------------------------

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_seen: tuple[float, dict[int, list[int]], dict[int, int]] = (0.0, {}, {})


def _consumption(pid: int) -> tuple[int, int]:
    """Processes that descend from one, and their resident bytes; nothing where there is no ``/proc``."""
    children, resident = _processes()
    count = memory = 0
    waiting = [pid]
    while waiting:
        following = children.get(waiting.pop(), [])
        count += len(following)
        memory += sum(resident[each] for each in following)
        waiting += following
    return count, memory


def _processes() -> tuple[dict[int, list[int]], dict[int, int]]:
    """All processes by their parent, and resident bytes of each; looked up once for all who ask at about that time."""
    global _seen
    at, children, resident = _seen
    if time.monotonic() - at > WATCH_S / 2:
        children, resident = dict[int, list[int]](), dict[int, int]()
        with contextlib.suppress(OSError), os.scandir("/proc") as entries:
            for entry in entries:
                if entry.name.isdigit():
                    _look_at(entry.name, children, resident)
        _seen = (time.monotonic(), children, resident)
    return children, resident


def _look_at(pid: str, children: dict[int, list[int]], resident: dict[int, int]) -> None:
    with contextlib.suppress(OSError, IndexError, ValueError):
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
        resident[int(pid)] = int(fields[21]) * _PAGE
        children.setdefault(int(fields[1]), []).append(int(pid))
