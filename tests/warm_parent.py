"""The parent of the processes that `tests.warm` starts: has imported the program once, and forks for each.

Runs by itself. Each message on its socket is one start: the descriptors of what is to be started (see `main`), and of
the pipe that its exit code goes to. It ends when the socket does. What it has forked is a process like any other, with
arguments, environment, folder and streams of its own; only the imports have been made already.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any

PROVIDERS = (
    "pydantic_ai.models.anthropic", "pydantic_ai.providers.anthropic", "pydantic_ai.models.openai",
    "pydantic_ai.providers.openai", "aiohttp", "httpx2", "genai_prices.data", "counterpoint.models.providers",
    "counterpoint.models.transport", "counterpoint.models.vendors",
)  # fmt: skip
"""What a run with a provider imports besides: imported for the first that names one."""
WEB = ("counterpoint.web.app", "counterpoint.web.serve", "uvicorn.protocols.http.auto", "uvicorn.loops.auto")
OWN = ("agents", "cli", "lead", "models", "runtime", "sandbox", "script", "store", "tools", "workers")
"""Rooms that a run needs."""
LATE = ("models.providers", "models.transport", "models.vendors", "models.exchange", "models.wire", "sandbox.child")

ended_with: list[int] = []
"""The exit code of this process, where it was forked and its program has ended."""


def main(listening: socket.socket) -> None:
    """Starts what it is told to, until nobody tells it anything more."""
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(waker)
    codes: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([listening, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(codes)
        if listening in ready:
            message, descriptors, _, _ = socket.recv_fds(listening, 64, 8)
            if not message:
                return
            order, code = descriptors[0], descriptors[4]
            told: dict[str, Any] = json.loads(os.pread(order, 1 << 30, 0))
            _import_for(told)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
                _become(told, descriptors[1:4])
            codes[pid] = code
            for descriptor in descriptors[:4]:
                os.close(descriptor)
            listening.send(str(pid).encode())


def _wake(number: int, frame: object) -> None:
    """A handler has to be there; the pipe does the waking."""


def _reap(codes: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = codes.pop(ended[0])
            with contextlib.suppress(BrokenPipeError):  # nobody wants to know it any more
                os.write(code, str(os.waitstatus_to_exitcode(ended[1])).encode())
            os.close(code)


def _import_for(told: dict[str, Any]) -> None:
    """What this start needs besides, so that the next one finds it."""
    named = " ".join([*told["arguments"], told["environment"].get("COUNTERPOINT_MODEL", "")])
    wanted = set[str]()
    if any(f"{name}:" in named for name in ("anthropic", "openai", "openai-compatible")):
        wanted |= set(PROVIDERS)
    if told["arguments"][:1] == ["serve"]:
        wanted |= set(WEB)
    if wanted - set(sys.modules):
        for name in sorted(wanted):
            importlib.import_module(name)
        gc.collect()
        gc.freeze()


def _become(told: dict[str, Any], streams: list[int]) -> None:
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    random.seed()
    sys.argv = ["counterpoint", *told["arguments"]]
    sys.path[0] = told["folder"]
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    buffering = 1 if os.environ.get("PYTHONUNBUFFERED") else -1
    sys.stdout = os.fdopen(1, "w", buffering, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", closefd=False)
    code: Any = 0
    try:
        runpy.run_module("counterpoint", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
        code = 1
    ended_with.append(code if isinstance(code, int) else int(code is not None))
    sys.exit()


def _leave() -> None:
    """Ends one of those that were forked at once: to take every imported module apart takes longer than many a test."""
    if not ended_with:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(ended_with[0])


def _imports() -> None:
    package = importlib.import_module("counterpoint")
    for found in pkgutil.walk_packages(package.__path__, "counterpoint."):
        room, _, rest = found.name.removeprefix("counterpoint.").partition(".")
        late = found.name.removeprefix("counterpoint.") in LATE or rest.endswith("_child")
        if (room in OWN or not rest) and not late and room not in ("__main__", "testing", "tui", "web", "mcp"):
            importlib.import_module(found.name)
    importlib.import_module("asyncio.subprocess")
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    atexit.register(_leave)  # before everybody else, so that it comes last
    _imports()
    main(socket.socket(fileno=int(sys.argv[1])))
