"""The process that a script runs in. Started as a file, with nothing of ours imported: reads lines, writes lines.

    python -I -S -B child.py FOLDER-OF-THE-ENGINE PRELUDE...

The first line it reads are the limits. Then its rights go (see `lock_down`), and for each further line it gives the
script what the line says, runs every job that follows, and answers: one line a call, and one that ends the turn.
Between two answers of the host nothing is run but the script, so what it writes depends on what it read alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import struct
import sys
import threading
import time
from functools import partial

TYPE_CHECKING = False  # what only types need, and pathlib, would be a third of the time that this process starts in
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    Fault = dict[str, Any]

REPORT_S = 30.0
"""CPU seconds to put a turn's calls together, after the script's own time."""
GRACE_S = 1.0
"""CPU seconds over a limit before the system ends the process: native code of the engine does not look at the clock."""
BASE = 600_000
"""The prelude is evaluated behind that many newlines: a frame below it is the script's."""


class Broken(Exception):
    """The script broke a limit; carries the fault that ends it."""

    def __init__(self, name: str, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.fault: Fault = {"name": name, "message": message, "line": line, "column": column}


class Engine:
    """QuickJS with our prelude: what it does is what the script does."""

    def __init__(self, quickjs: Any, prelude: str, limits: dict[str, Any]) -> None:
        self.peak = PeakMemory()
        self.limits = limits
        self.context: Any = quickjs.Context()
        self.context.set_memory_limit(limits["heap"])
        self.context.set_max_stack_size(limits["stack"])
        self.context.set("__hooks", self.context.eval("\n" * BASE + prelude))
        hooks = [self.context.eval(f"__hooks[{n}]") for n in range(8)]
        self.compile, self.configure, self.start, self.feed, self.step, self.drain, self.outcome, rejections = hooks
        self.context.eval("delete globalThis.__hooks; 0")
        self.rejections = Rejections(quickjs, self.context, rejections)
        self.deadline = 0.0
        self.lines: list[str] = []

    def check(self, source: str) -> None:
        """Raises what is wrong with a script's syntax."""
        self.lines = source.split("\n")
        self.compile(source)

    def begin(self, init: dict[str, Any]) -> None:
        """Compiles and starts the script; a syntax error is its end."""
        args = json.dumps(init.pop("args")) if "args" in init else None
        self.lines = init["script"].split("\n")
        script = self.configure(json.dumps(init))
        self.start(script, args)
        self.run_jobs()

    def take(self, line: str) -> None:
        """Applies each delivery by itself, with all that follows from it."""
        self.feed(line)
        while self.step():
            self.run_jobs()

    def run_jobs(self) -> None:
        while self.context.execute_pending_job():
            if time.process_time() > self.deadline:
                raise self.too_slow()

    def turn(self, work: Callable[[], None]) -> str:
        """Runs `work` under the limits and gives the lines of the turn."""
        self.deadline = time.process_time() + self.limits["sync_s"]
        self.allow(self.limits["sync_s"])
        fault = None
        try:
            work()
        except Broken as broken:
            fault = broken.fault
        except MemoryError:
            fault = self.out_of_memory().fault
        except Exception as error:
            fault = self.explain(str(error))
        return self.report(fault)

    def allow(self, seconds: float) -> None:
        """CPU time from now on. Time that a busy machine gives to others does not count."""
        self.context.set_time_limit(seconds)
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_PROF, seconds + GRACE_S)

    def report(self, fault: Fault | None) -> str:
        self.allow(REPORT_S)
        try:
            self.rejections.count = 0
            calls, done = self.drain(fault is not None), self.outcome()
        except Exception as error:
            calls, done, fault = "", "null", fault or self.explain(str(error))
        if fault is None and self.broke_memory(done):
            fault = self.out_of_memory(json.loads(done)["error"]).fault
        end = f'{{"end":{{"done":{done if fault is None else "null"},"fault":{json.dumps(fault)}}}}}\n'
        return (calls + "\n" if calls else "") + end

    def broke_memory(self, done: str) -> bool:
        if not done.startswith('{"ok":false'):
            return False
        error = json.loads(done)["error"]
        said = (error["name"], error["message"])
        full = self.peak.read() > 0.7 * self.limits["heap"]
        return said == ("InternalError", "out of memory") or (error["message"] == "null" and full)

    def explain(self, text: str) -> Fault:
        """The fault that an error of the engine stands for: its text is ``Name: message``, then frames."""
        first = text.partition("\n")[0]
        name, colon, message = first.partition(": ")
        if not colon:
            name, message = "Error", first
        line, column = self.place(text)
        if name == "InternalError" and "interrupted" in message:
            return self.too_slow(line, column).fault
        if text.startswith("null") or first == "InternalError" or (name == "InternalError" and "memory" in message):
            return self.out_of_memory({"line": line, "column": column}).fault
        return {"name": name, "message": message, "line": line, "column": column}

    def place(self, text: str) -> tuple[int | None, int | None]:
        """Line and column (in UTF-16 units) of the script in an engine's message, or None twice."""
        for found in re.findall(r"<input>:(\d+):(\d+)", text):
            line, column = int(found[0]) - 1, int(found[1])
            if (
                len(self.lines) < line <= len(self.lines) + 2
            ):  # in what we put behind the script: the script ends too early
                return len(self.lines), len(self.lines[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1
            if 1 <= line <= len(self.lines):
                before = self.lines[line - 1].encode("utf-8", "surrogatepass")[: column - 1]
                return line, len(before.decode("utf-8", "replace").encode("utf-16-le")) // 2 + 1
        return None, None

    def too_slow(self, line: int | None = None, column: int | None = None) -> Broken:
        seconds = self.limits["sync_s"]
        return Broken(
            "ScriptTimeoutError",
            f"The script computed for {seconds:g} s without waiting for anything "
            "(an endless loop? its clock stands still meanwhile). "
            f"The limit is max_sync_s = {seconds:g}; raise it with COUNTERPOINT_MAX_SYNC_S or in config.toml.",
            line,
            column,
        )

    def out_of_memory(self, at: Fault | None = None) -> Broken:
        megabytes = self.limits["heap"] >> 20
        at = at or {}
        return Broken(
            "ScriptMemoryError",
            f"The script's values need more than {megabytes} MB. "
            f"The limit is max_heap_mb = {megabytes}; raise it with COUNTERPOINT_MAX_HEAP_MB or in config.toml.",
            at.get("line"),
            at.get("column"),
        )


class PeakMemory:
    """The most bytes that this process has used; QuickJS throws `null` when it cannot even make an error.

    On Linux the figure of `getrusage` is no use: a process begins with that of the one that started it. The kernel's
    page about us says it; it is opened while files can still be opened.
    """

    def __init__(self) -> None:
        self._status: int | None = None
        with contextlib.suppress(OSError):
            self._status = os.open("/proc/self/status", os.O_RDONLY)

    def read(self) -> int:
        """Bytes; 0 where nobody tells."""
        if self._status is not None:
            os.lseek(self._status, 0, os.SEEK_SET)
            found = re.search(rb"VmHWM:\s+(\d+) kB", os.read(self._status, 8192))
            return int(found[1]) * 1024 if found else 0
        with contextlib.suppress(Exception):
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return 0


# --- rejections that nobody listens to ------------------------------------------------------------------------------


class Value(ctypes.Structure):
    """A JSValue of the engine, where pointers have 64 bits."""

    _fields_ = (("payload", ctypes.c_uint64), ("tag", ctypes.c_int64))


class Rejections:
    """Writes down rejected promises without a listener, for the prelude to tell: ``[promise, reason, heard, …]``.

    The binding has no door for it, but the engine inside has; where that cannot be reached (another layout, another
    platform), such rejections go unnoticed, and nothing else changes.
    """

    def __init__(self, quickjs: Any, context: Any, target: Any) -> None:
        self.count = 0
        """Entries in the list, which the prelude empties at the end of each turn."""
        self.context, self.target = context, target
        with contextlib.suppress(Exception):
            self.listen(quickjs)

    def listen(self, quickjs: Any) -> None:
        head, pointer = object.__basicsize__, ctypes.sizeof(ctypes.c_void_p)
        known = (head + 64, head + 24) if pointer == 8 else None
        if (quickjs.Context.__basicsize__, quickjs.Object.__basicsize__) != known:
            return
        self.library = ctypes.CDLL(quickjs.__file__)
        runtime = ctypes.c_void_p.from_address(id(self.context) + head)
        self.list = Value.from_address(id(self.target) + head + pointer)
        self.library.JS_DupValue.restype = Value
        self.library.JS_DupValue.argtypes = (ctypes.c_void_p, Value)
        self.library.JS_GetException.restype = Value
        self.library.JS_GetException.argtypes = (ctypes.c_void_p,)
        self.library.JS_FreeValue.argtypes = (ctypes.c_void_p, Value)
        self.library.JS_DefinePropertyValueUint32.argtypes = (
            ctypes.c_void_p,
            Value,
            ctypes.c_uint32,
            Value,
            ctypes.c_int,
        )
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, Value, Value, ctypes.c_bool, ctypes.c_void_p)
        self.callback = kind(self.take)  # kept: the engine calls it as long as it lives
        self.library.JS_SetHostPromiseRejectionTracker.argtypes = (ctypes.c_void_p, kind, ctypes.c_void_p)
        self.library.JS_SetHostPromiseRejectionTracker(runtime, self.callback, None)

    def take(self, context: int, promise: Value, reason: Value, heard: bool, _: int) -> None:
        boolean, everything_allowed = 1, 7
        for value in (promise, reason, Value(heard, boolean)):
            copy = self.library.JS_DupValue(context, value)
            if self.library.JS_DefinePropertyValueUint32(context, self.list, self.count, copy, everything_allowed) < 0:
                self.library.JS_FreeValue(context, self.library.JS_GetException(context))  # out of memory
            self.count += 1


# --- locked in ------------------------------------------------------------------------------------------------------


def lock_down(limits: dict[str, Any]) -> None:
    """Gives up what the platform lets us give up. Every step may be missing; the parent's kill is always there."""
    if sys.platform == "win32":
        return
    import resource

    space = limits["heap"] * 2 + limits["stack"] * 2 + (768 << 20)
    for kind, most in (("CORE", 0), ("FSIZE", 0), ("NOFILE", 0), ("NPROC", 0), ("AS", space)):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
    if sys.platform == "linux":
        for step in (die_with_parent, forbid_system_calls):
            with contextlib.suppress(Exception):
                step()


def die_with_parent() -> None:
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)


# What Python and QuickJS still need, with the kernel's numbers on x86_64 and on aarch64.
SYSTEM_CALLS = {
    # the two pipes
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57), "fstat": (5, 80),
    "lseek": (8, 62),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233),
    # signals, received
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    # threads and locks
    "sched_yield": (24, 124), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "getpid": (39, 172),
    "gettid": (186, 178),
    # clocks, and what the process used and may use
    "gettimeofday": (96, 169), "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "getrusage": (98, 165), "getrandom": (318, 278), "setitimer": (38, 103),
    # the end
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
# Machine → its number in a filter, its call `seccomp`, its column above.
MACHINES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}


def forbid_system_calls() -> None:
    """A seccomp filter for every thread: the calls above are allowed, every other one fails with EPERM."""
    if struct.calcsize("P") != 8:  # other numbers, whatever the kernel calls the machine
        return
    architecture, seccomp, column = MACHINES[os.uname().machine]
    allowed = [numbers[column] for numbers in SYSTEM_CALLS.values()]
    load_word, jump_if_equal, ret = 0x20, 0x15, 0x06
    program = [struct.pack("HBBI", load_word, 0, 0, 4), struct.pack("HBBI", jump_if_equal, 1, 0, architecture)]
    program += [struct.pack("HBBI", ret, 0, 0, 0x80000000), struct.pack("HBBI", load_word, 0, 0, 0)]
    program += [struct.pack("HBBI", jump_if_equal, len(allowed) - n, 0, call) for n, call in enumerate(allowed)]
    program += [struct.pack("HBBI", ret, 0, 0, 0x00050001), struct.pack("HBBI", ret, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(program))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_filter, every_thread = 38, 1, 1
    libc.prctl(no_new_privileges, 1, 0, 0, 0)
    libc.syscall(seccomp, set_filter, every_thread, filter_)


def serve(quickjs: Any, prelude: str, limits: dict[str, Any]) -> None:
    """Reads lines to the end of the input."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    try:
        engine = Engine(quickjs, prelude, limits)
    except Exception as error:
        answer(target, json.dumps({"end": {"fault": wrong_engine(error)}}) + "\n")
        os._exit(1)
    lock_down(limits)
    for line in source:
        init = json.loads(line)
        if "check" not in init:
            answer(target, engine.turn(partial(engine.begin, init)))
            break
        answer(target, engine.turn(partial(engine.check, init["check"])))
    for line in source:
        answer(target, engine.turn(partial(engine.take, line.decode("utf-8"))))
    os._exit(0)


def wrong_engine(error: Exception) -> Fault:
    said = str(error).partition("\n")[0]
    return {
        "name": "ScriptCrashedError",
        "message": f"The JavaScript engine that is installed is not the one that scripts need ({said}). "
        "The packages quickjs and quickjs-ng overwrite each other: uninstall both, then install quickjs-ng.",
    }


def answer(target: BinaryIO, lines: str) -> None:
    target.write(lines.encode("utf-8", "surrogatepass"))
    target.flush()


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  (see the imports)
        return file.read()


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    import _quickjs

    prelude = ";\n".join(map(read, sys.argv[2:]))
    for codec in ("utf-16-le", "utf-8"):  # loaded while files can still be opened
        "".encode(codec)
    limits = json.loads(sys.stdin.buffer.readline())
    threading.stack_size(limits["stack"] + (8 << 20))
    thread = threading.Thread(target=serve, args=(_quickjs, prelude, limits))
    thread.start()
    thread.join()
    os._exit(3)


if __name__ == "__main__":
    main()
