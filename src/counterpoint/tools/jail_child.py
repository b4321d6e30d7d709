"""The process between us and a command: shuts itself in, starts the command, and takes everything down with it.

Runs by itself (``python -I -S jail_child.py ORDER COMMAND…``), with the standard library only. It holds one end of a
pipe whose other end is its parent's: when the parent is gone, however it went, the pipe ends, and so does all that the
command has started. What double-forks away comes back to it (it is the *subreaper*), or is in its process namespace.

With `jailed`, it leaves for namespaces of its own (user, processes, network unless allowed, System V) and lets Landlock
forbid every write outside of `writable` and every look into `hidden`. It fails, and starts nothing, where the kernel
gives less than that. With a `profile`, the command runs under macOS' ``sandbox-exec`` instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 38, 36
NEW_NS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 0x1, 0x20, 0x1000, 0x4000, 1 << 18, 1 << 21
ST_RELATIME = 0x1000
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ = 0b1101  # execute, read file, read folder
WRITE = 0x7FF2 & ~READ  # write, remove, make anything, refer, truncate
FILES_ONLY = 0b100_0000_0000_0111  # execute, write, read, truncate: what a single file can be allowed
SCOPES = 0b11  # abstract sockets, signals
FAILED = 125
SANDBOX_EXEC = "/usr/bin/sandbox-exec"
"""Apple's own, not whichever comes first in ``PATH``."""
MAX_FILE = 8 << 30
"""Bytes of the longest file that a command can write."""


@dataclass
class Order:
    """What the child is to do."""

    jailed: bool = True
    processes: int = 512
    """The most there can be at the same time."""
    lifeline: int = -1
    """The descriptor that ends with the parent."""
    network: bool = False
    folder: str = "/"
    writable: list[str] = field(default_factory=list[str])
    readable: list[str] = field(default_factory=list[str])
    """Readable although it lies in something hidden."""
    hidden: list[str] = field(default_factory=list[str])
    masked: list[str] = field(default_factory=list[str])
    """In the workspace, and not to be seen."""
    pinned: list[str] = field(default_factory=list[str])
    """In the workspace, and not to be renamed."""
    kept: list[str] = field(default_factory=list[str])
    """In the workspace, and not to be changed."""
    profile: str = ""
    """The profile under which ``sandbox-exec`` is to run the command, and its parameters."""
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    scratch: str = ""
    """A folder for temporary files, which goes with the command."""


def command(order: Order, arguments: list[str]) -> list[str]:
    """The command line that carries the order out."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(dataclasses.asdict(order)), *arguments]


def main() -> int:
    """Returns the command's exit code; 128 and more for a signal."""
    order, arguments = Order(**json.loads(sys.argv[1])), sys.argv[2:]
    if order.jailed or order.profile:
        order.scratch = os.path.realpath(tempfile.mkdtemp(prefix="counterpoint-"))
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if order.jailed:
            _leave(libc, order)
        elif sys.platform == "linux":
            _call(libc.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except OSError as error:
        print(f"The sandbox could not be set up: {error}.", file=sys.stderr)
        return FAILED
    return _supervise(libc, order, arguments)


def _supervise(libc: ctypes.CDLL, order: Order, arguments: list[str]) -> int:
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(waker)
    child = os.fork()
    if child == 0:
        _become(libc, order, arguments)
    lifelines = [order.lifeline] if order.lifeline >= 0 else []
    status: int | None = None
    while status is None:
        ready, _, _ = select.select([woken, *lifelines], [], [])
        if order.lifeline in ready and not os.read(order.lifeline, 1024):
            _end_all(order, child)
            return FAILED
        if woken in ready:
            os.read(woken, 1024)
            status = _reap(child)
    _end_all(order, child)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _wake(number: int, frame: object) -> None:
    """A handler has to be there; the pipe does the waking."""


def _reap(child: int) -> int | None:
    """Takes leave of all that has ended; the status of `child`, where it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found = ended[1] if ended[0] == child else found
    return found


def _end_all(order: Order, child: int) -> None:
    """Kills what the command has started: its namespace goes with its first process, else all that descends from us."""
    if order.scratch:
        shutil.rmtree(order.scratch, ignore_errors=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    for _ in range(100):
        left = _descendants(os.getpid())
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap(child)


def _descendants(of: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):  # noqa: PTH208 (no imports)
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123 (no imports)
                    parents.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(entry))
    found: list[int] = []
    waiting = [of]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _become(libc: ctypes.CDLL, order: Order, arguments: list[str]) -> None:
    try:
        os.setsid()
        if sys.platform == "linux":  # should the supervisor itself be killed
            _call(libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if order.lifeline >= 0:
            os.close(order.lifeline)
        _limit(order)
        if order.jailed or _leave_as_root(libc):
            _see_only_own_processes(libc)
            _count_processes(order)
        if order.jailed:
            _cover(libc, order)
            _shut(libc, order)
        if order.scratch:
            os.environ["TMPDIR"] = order.scratch
        if os.getpid() == 1:
            _be_the_first_process()
        os.chdir(order.folder)
        arguments = [*_under_profile(order), *arguments]
        os.execvp(arguments[0], arguments)  # noqa: S606 (the command itself)
    except OSError as error:
        print(f"The command could not be started: {error}.", file=sys.stderr)
    os._exit(FAILED)


def _under_profile(order: Order) -> list[str]:
    """What has macOS run a command under the order's profile."""
    if not order.profile:
        return []
    parameters = {**order.parameters, "SCRATCH": order.scratch}.items()
    return [SANDBOX_EXEC, "-p", order.profile, *(f"-D{name}={value}" for name, value in parameters), "--"]


def _be_the_first_process() -> None:
    """The command becomes a child; the namespace's first process stays, which no signal from inside ends."""
    _go_on_in_a_child()


def _go_on_in_a_child() -> None:
    """Returns in a child; what is here waits for it and ends as it does."""
    child = os.fork()
    if child == 0:
        return
    status = None
    while status is None:
        ended, how = os.waitpid(-1, 0)
        status = how if ended == child else None
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _limit(order: Order) -> None:
    """No core files, no file without end, not before others; processes by number, where we are not root.

    For root the kernel does not count them so (see `_count_processes`).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    os.nice(5)
    if os.getuid() != 0 and os.path.isdir("/proc"):  # noqa: PTH112 (without it, the user's others cannot be counted)
        most = _own_threads() + order.processes
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 (no imports)
        file.write("500")


def _own_threads() -> int:
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  (paths of /proc, in a child without pathlib)
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():  # noqa: PTH116 (no imports)
                count += len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208  (paths of /proc, in a child without pathlib)
    return count


def _count_processes(order: Order) -> None:
    """A ceiling for the whole namespace, where the kernel (6.14 and later) knows one."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as file:  # noqa: PTH123 (no imports)
        file.write(str(max(order.processes, 301)))  # the least it takes


# --- namespaces ---------------------------------------------------------------------------------------------------


def _leave(libc: ctypes.CDLL, order: Order) -> None:
    uid, gid = os.getuid(), os.getgid()
    _call(libc.unshare, NEW_USER | NEW_NS | NEW_PID | NEW_IPC | (0 if order.network else NEW_NET))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 (no imports)
            file.write(text)


def _leave_as_root(libc: ctypes.CDLL) -> bool:
    """A namespace of processes for a command that is not jailed by us, so that none of them can get away."""
    if sys.platform != "linux" or os.getuid() != 0:
        return False
    probe = os.fork()
    if probe == 0:  # in a container it may be that only the last step fails, and then there is no way back
        try:
            _leave_for_own_processes(libc)
            _see_only_own_processes(libc)
        except OSError:
            os._exit(FAILED)
        os._exit(0)
    if os.waitpid(probe, 0)[1]:
        return False
    _leave_for_own_processes(libc)
    return True


def _leave_for_own_processes(libc: ctypes.CDLL) -> None:
    _call(libc.unshare, NEW_NS | NEW_PID)
    _go_on_in_a_child()


def _see_only_own_processes(libc: ctypes.CDLL) -> None:
    _call(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    _call(libc.mount, b"proc", b"/proc", b"proc", 0b1110, None)
    _call(libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _cover(libc: ctypes.CDLL, order: Order) -> None:
    """Mounts over what the workspace has and Landlock, which knows no exceptions inside of a folder, could not keep."""
    for path in order.masked:
        if os.path.isdir(path):  # noqa: PTH112 (no imports)
            _call(libc.mount, b"tmpfs", os.fsencode(path), b"tmpfs", MS_RDONLY, None)
        else:
            _call(libc.mount, b"/dev/null", os.fsencode(path), None, MS_BIND, None)
    for path in sorted([*order.pinned, *order.kept], key=len):
        place = os.fsencode(path)
        _call(libc.mount, place, place, None, MS_BIND | MS_REC, None)
        if path in order.kept:
            _call(libc.mount, None, place, None, MS_BIND | MS_REMOUNT | MS_RDONLY | _locked_flags(path), None)


def _locked_flags(path: str) -> int:
    """Flags that the mount has and that must not be dropped."""
    have = os.statvfs(path).f_flag
    return (have & 0b1110) | (have & 0xC00) | (MS_RELATIME if have & ST_RELATIME else 0)


# --- Landlock -----------------------------------------------------------------------------------------------------


def _shut(libc: ctypes.CDLL, order: Order) -> None:
    """Forbids what is not allowed, for this process and all that it will start."""
    abi = libc.syscall(CREATE_RULESET, None, 0, 1)
    if abi < 4:
        raise OSError(f"Landlock is of version {abi}; 4 is needed")
    handled = READ | WRITE | (0x8000 if abi >= 5 else 0)
    scoped = SCOPES if abi >= 6 else 0
    attributes = struct.pack("QQQ", handled, 0 if order.network else 0b11, scoped)[: 24 if abi >= 6 else 16]
    ruleset = _call(libc.syscall, CREATE_RULESET, attributes, len(attributes), 0)
    for path in [*_siblings(order.hidden), *order.readable]:
        _allow(libc, ruleset, path, READ)
    for path in [*order.writable, order.scratch]:
        _allow(libc, ruleset, path, READ | WRITE)
    for path in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"):
        _allow(libc, ruleset, path, 0b110)
    _call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(libc.syscall, RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _siblings(hidden: list[str]) -> Iterator[str]:
    """Everything there is but what is hidden: rules only ever allow."""
    waiting = ["/"]
    while waiting:
        folder = waiting.pop()
        inner = [path for path in hidden if path == folder or path.startswith(folder.rstrip("/") + "/")]
        if folder in hidden:
            continue
        if not inner:
            yield folder
            continue
        with contextlib.suppress(OSError):
            waiting += [entry.path for entry in os.scandir(folder) if not entry.is_symlink()]


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 (no imports)
            access &= FILES_ONLY
        rule = struct.pack("=Qi", access, descriptor)
        _call(libc.syscall, ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(descriptor)


def _call(function: Callable[..., int], *arguments: object) -> int:
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    sys.exit(main())
