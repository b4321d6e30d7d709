"""The process that a script runs in. Started as a file, with nothing of ours imported: reads lines, writes lines.

    python -I -S -B child.py FOLDER-OF-THE-ENGINE PRELUDE...

The first line it reads are the limits. Then its rights go (see `lock_down`), and for each further line it gives the
script what the line says, runs every job that follows, and answers: one line a call, and one that ends the turn.
Between two answers of the host nothing is run but the script, so what it writes depends on what it read alone.
"""

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

Fault = dict[str, Any]
BASE = 1_000_000
"""The prelude is evaluated behind that many newlines: a frame below it is the script's."""
TAIL = "\n})"
JOBS_BETWEEN_LOOKS = 256


class Broken(Exception):
    """The script broke a limit; carries the fault that ends it."""

    def __init__(self, name: str, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.fault: Fault = {"name": name, "message": message, "line": line, "column": column}


class Engine:
    """QuickJS with our prelude: what it does is what the script does."""

    def __init__(self, quickjs: Any, preludes: list[str], limits: dict[str, Any]) -> None:
        self.limits = limits
        self.context: Any = quickjs.Context()
        self.context.set_memory_limit(limits["heap"])
        self.context.set_max_stack_size(limits["stack"])
        for prelude in preludes[:-1]:
            self.context.eval(prelude)
        self.context.set("__hooks", self.context.eval("\n" * BASE + preludes[-1]))
        hooks = [self.context.eval(f"__hooks[{n}]") for n in range(6)]
        self.configure, self.start, self.feed, self.step, self.drain, self.outcome = hooks
        self.context.eval("delete globalThis.__hooks; 0")
        self.deadline = 0.0
        self.lines: list[str] = []
        self.ascii = True

    def begin(self, init: dict[str, Any]) -> None:
        """Compiles and starts the script; a syntax error is its end."""
        source = init.pop("script")
        args = init.pop("args")
        lines = None if source.isascii() else source.split("\n")
        head = self.configure(json.dumps({**init, "lines": lines}))
        script = self.compile(source, head)
        self.start(script, None if args is None else json.dumps(args))
        self.run_jobs()

    def compile(self, source: str, head: str = '(() => async () => {"use strict";\n') -> Any:
        """The script as a function that was not called."""
        self.lines = source.split("\n")
        self.ascii = source.isascii()
        return self.context.eval(head + blank_export(source) + TAIL)

    def take(self, line: str) -> None:
        """Applies each delivery by itself, with all that follows from it."""
        self.feed(line)
        while self.step():
            self.run_jobs()

    def run_jobs(self) -> None:
        count = 0
        while self.context.execute_pending_job():
            count += 1
            if count % JOBS_BETWEEN_LOOKS == 0 and time.monotonic() > self.deadline:
                raise self.too_slow()

    def turn(self, work: Callable[[], None]) -> str:
        """Runs `work` under the limits and gives the lines of the turn."""
        self.deadline = time.monotonic() + self.limits["sync_s"]
        self.context.set_time_limit(self.limits["sync_s"])
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

    def report(self, fault: Fault | None) -> str:
        self.context.set_time_limit(30)
        try:
            calls, done = self.drain(), self.outcome()
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
        full = peak_memory() > 0.7 * self.limits["heap"]
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
        if text.startswith("null") or (name == "InternalError" and "memory" in message):
            return self.out_of_memory({"line": line, "column": column}).fault
        return {"name": name, "message": message, "line": line, "column": column}

    def place(self, text: str) -> tuple[int | None, int | None]:
        """Line and column (in UTF-16 units) of the script in an engine's message, or None twice."""
        for found in re.findall(r"<input>:(\d+):(\d+)", text):
            line, column = int(found[0]) - 1, int(found[1])
            if len(self.lines) < line < BASE - 1:  # in what we put behind the script: the script ends too early
                return len(self.lines), len(self.lines[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1
            if 1 <= line < BASE - 1:
                if not self.ascii:
                    before = self.lines[line - 1].encode("utf-8", "surrogatepass")[: column - 1]
                    column = len(before.decode("utf-8", "replace").encode("utf-16-le")) // 2 + 1
                return line, column
        return None, None

    def too_slow(self, line: int | None = None, column: int | None = None) -> Broken:
        seconds = self.limits["sync_s"]
        return Broken(
            "ScriptTimeoutError",
            f"The script computed for {seconds:g} s without waiting for anything (an endless loop?). "
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


def peak_memory() -> int:
    """The most bytes that this process has used; QuickJS throws `null` when it cannot even make an error."""
    with contextlib.suppress(Exception):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0


BEFORE_META = re.compile(r"(?:\ufeff|\s|//[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)


def blank_export(script: str) -> str:
    """The script with its one legal `export` as blanks, so that no column moves."""
    before = BEFORE_META.match(script)
    start = before.end() if before else 0
    if script.startswith("export", start):
        return script[:start].replace("\ufeff", " ") + "      " + script[start + 6 :]
    return script


def lock_down(limits: dict[str, Any]) -> None:
    """Gives up what the platform lets us give up. Every step may be missing; the parent's kill is always there."""
    with contextlib.suppress(Exception):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        space = limits["heap"] * 2 + limits["stack"] * 2 + (768 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
    if sys.platform == "linux":
        with contextlib.suppress(Exception):
            forbid_system_calls()


# What Python and QuickJS still need: memory, the two pipes, locks, clocks, signals, the end; numbers of the kernel.
X86_64 = (
    0,
    1,
    3,
    5,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    24,
    25,
    28,
    35,
    39,
    60,
    96,
    98,
    131,
    186,
    202,
    228,
    229,
    230,
    231,
    234,
    273,
    318,
    334,
)
AARCH64 = (
    57,
    62,
    63,
    64,
    66,
    80,
    93,
    94,
    98,
    99,
    101,
    113,
    114,
    115,
    124,
    131,
    132,
    134,
    135,
    139,
    165,
    169,
    172,
    178,
    214,
    215,
    216,
    222,
    226,
    233,
    278,
    293,
)
TABLES = {"x86_64": (0xC000003E, 317, X86_64), "aarch64": (0xC00000B7, 277, AARCH64)}


def forbid_system_calls() -> None:
    """A seccomp filter for every thread: the calls above are allowed, every other one fails with EPERM."""
    import ctypes
    import platform
    import struct

    architecture, seccomp, allowed = TABLES[platform.machine()]
    load_word, jump_if_equal, ret = 0x20, 0x15, 0x06
    program = [struct.pack("HBBI", load_word, 0, 0, 4), struct.pack("HBBI", jump_if_equal, 1, 0, architecture)]
    program += [struct.pack("HBBI", ret, 0, 0, 0x80000000), struct.pack("HBBI", load_word, 0, 0, 0)]
    program += [struct.pack("HBBI", jump_if_equal, len(allowed) - n, 0, call) for n, call in enumerate(allowed)]
    program += [struct.pack("HBBI", ret, 0, 0, 0x00050001), struct.pack("HBBI", ret, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(program))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    die_with_parent, no_new_privileges, set_filter, every_thread = 1, 38, 1, 1
    libc.prctl(die_with_parent, 9, 0, 0, 0)
    libc.prctl(no_new_privileges, 1, 0, 0, 0)
    libc.syscall(seccomp, set_filter, every_thread, filter_)


def serve(quickjs: Any, preludes: list[str], limits: dict[str, Any]) -> None:
    """Reads lines to the end of the input."""
    lock_down(limits)
    engine = Engine(quickjs, preludes, limits)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    for line in source:
        init = json.loads(line)
        if "check" not in init:
            answer(target, engine.turn(partial(engine.begin, init)))
            break
        answer(target, engine.turn(partial(engine.compile, init["check"])))
    for line in source:
        answer(target, engine.turn(partial(engine.take, line.decode("utf-8"))))
    os._exit(0)


def answer(target: BinaryIO, lines: str) -> None:
    target.write(lines.encode("utf-8", "surrogatepass"))
    target.flush()


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    import _quickjs

    preludes = [Path(path).read_text(encoding="utf-8") for path in sys.argv[2:]]
    for codec in ("utf-16-le", "utf-8"):  # loaded while files can still be opened
        "".encode(codec)
    limits = json.loads(sys.stdin.buffer.readline())
    threading.stack_size(limits["stack"] + (8 << 20))
    thread = threading.Thread(target=serve, args=(_quickjs, preludes, limits))
    thread.start()
    thread.join()
    os._exit(3)


if __name__ == "__main__":
    main()
