"""What the script's process may do: read lines, write lines, compute, end."""

import asyncio
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Program
from tests.sandbox.host import play

from counterpoint.sandbox import process
from counterpoint.sandbox.process import Limits, ScriptProcess

CHILD = Path(process.__file__).parent / "child.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
filtered = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="there is no filter here"
)


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)


def script_processes(parent: int) -> list[int]:
    """The children of a process that run scripts."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"\nPPid:\t{parent}\n" in status(int(folder.name)) and os.fsencode(CHILD) in command:
            found.append(int(folder.name))
    return found


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return bool(status(pid)) and "\nState:\tZ" not in status(pid)


async def look(pid: int, name: str) -> str:
    return await asyncio.to_thread(lambda: Path(f"/proc/{pid}/{name}").read_text())


async def waiting_child() -> tuple[ScriptProcess, int]:
    """A child that has locked itself in and waits for its script."""
    child = await ScriptProcess.spawn(Limits(heap_mb=100, stack_mb=10))
    assert await child.check("return 1") is None
    (pid,) = script_processes(os.getpid())
    return child, pid


@linux
async def test_the_child_has_its_streams_no_privileges_and_an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a secret")
    child, pid = await waiting_child()
    async with child:
        links = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH115, PTH208 - a link to a pipe is no path
        assert set(links) == {"0", "1", "2", "3"}
        assert links["3"] == f"/proc/{pid}/status", "how much memory it has used"
        assert links["2"] == "/dev/null"
        environment = (await look(pid, "environ")).strip("\0").split("\0")
        assert sorted(environment) == ["LC_ALL=C.UTF-8", "PYTHONHASHSEED=0", "TZ=UTC"]
        assert "a secret" not in (await look(pid, "environ"))
        assert "\nNoNewPrivs:\t1\n" in status(pid)
        limits = await look(pid, "limits")
        for name in ("core file size", "file size", "open files", "processes"):
            assert re.search(rf"^Max {name} +0 +0 ", limits, re.M)
        space = (100 * 2 + 10 * 2 + 768) << 20
        assert re.search(rf"^Max address space +{space} +{space} ", limits, re.M)


@filtered
async def test_every_thread_of_the_child_is_under_a_filter_of_system_calls():
    child, pid = await waiting_child()
    async with child:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - their names are what is wanted
        assert len(threads) == 2
        for thread in threads:
            assert "\nSeccomp:\t2\n" in await look(pid, f"task/{thread}/status")


ATTEMPTS = """
import os, socket, sys, threading, time
sys.path.insert(0, {folder!r})
import child
child.lock_down({{"heap": 1 << 28, "stack": 1 << 24}})
for what in (
    lambda: os.open("/etc/hostname", os.O_RDONLY), lambda: os.listdir("/"), lambda: os.stat("/"), lambda: os.chdir("/"),
    lambda: os.unlink("/tmp/none"), lambda: socket.socket(), lambda: os.pipe(), lambda: os.memfd_create("x"),
    lambda: os.fork(), lambda: os.execv("/bin/true", ["true"]), lambda: threading.Thread(target=print).start(),
    lambda: os.kill({victim}, 9), lambda: os.setuid(0), lambda: os.dup(0), lambda: os.sched_setaffinity(0, [0]),
    lambda: os.uname(),
):
    try:
        what()
        os.write(1, b"allowed\\n")
    except (OSError, RuntimeError):
        os.write(1, b"refused\\n")
time.sleep(0.001); time.time(); bytearray(1 << 24); os.getpid()
os.write(1, b"still here\\n")
os._exit(0)
"""


@filtered
def test_under_the_filter_nothing_can_be_opened_started_or_killed():
    code = ATTEMPTS.format(folder=str(CHILD.parent), victim=os.getpid())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == ["refused"] * 16 + ["still here"], done.stderr


WITHOUT_SECCOMP = """
import ctypes, os, struct, sys
allow, refuse = 0x7FFF0000, 0x00050001
program = [(0x20, 0, 0, 0)] + [(0x15, 0, 1, {call}), (0x06, 0, 0, refuse), (0x06, 0, 0, allow)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))) == 0
assert libc.syscall({call}, 1, 0, None) == -1
os.execv(sys.executable, [sys.executable, "-m", "counterpoint", *sys.argv[1:]])
"""


@filtered
def test_where_the_system_refuses_a_filter_scripts_run_all_the_same(cpt: Program):
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    script = cpt.script("try { await agent('x') } finally { log('ran') } return 7")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SECCOMP.format(call=number), "run", script, "--model", "sim", "--json"],
        cwd=cpt.folder, env=cpt.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"result": 7' in done.stdout


@linux
@pytest.mark.parametrize("script", ["await agent('waits'); return 1", "while (true) {}", "for (;;) await null"])
def test_a_killed_parent_leaves_no_child(cpt: Program, script: str):
    parent = cpt.start("run", cpt.script(script), "--model", "sim:latency=60s", COUNTERPOINT_MAX_SYNC_S="50")
    deadline = time.monotonic() + 30
    locked_in: list[int] = []
    while not locked_in and time.monotonic() < deadline and parent.poll() is None:
        begun = any(cpt.state.glob("runs/*/journal.db"))  # before that, a child may be one that only checks the syntax
        locked_in = [pid for pid in script_processes(parent.pid) if begun and "\nNoNewPrivs:\t1\n" in status(pid)]
    parent.kill()
    parent.communicate()
    assert locked_in, "no child was seen"
    while any(alive(pid) for pid in locked_in):
        assert time.monotonic() < deadline, "the child lives on"


# --- a child that does not keep to the protocol -----------------------------------------------------------------------


async def impostor(code: str) -> ScriptProcess:
    """A process that stands where a script's process should be."""
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    return ScriptProcess(stranger, Limits(sync_s=0.3, output_mb=1, pending=100))


def says(what: str) -> str:
    """A process that reads a line, writes this, and waits."""
    return f"import sys, time; sys.stdin.readline(); out = sys.stdout; {what}; out.flush(); time.sleep(60)"


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("", "ScriptCrashedError", "ended unexpectedly (exit status 0)"),
        ("import os; os.abort()", "ScriptCrashedError", "ended unexpectedly (exit status -6)"),
        (says("print('no json')"), "ScriptCrashedError", "malformed line"),
        (says('print(\'{"id": "one"}\')'), "ScriptCrashedError", "malformed line"),
        (says("print('{\"id\": 1, \"arg\": ' + '[' * 100000)"), "ScriptCrashedError", "malformed line"),
        (says("out.buffer.write(b'\\xff\\xfe\\n')"), "ScriptCrashedError", "malformed line"),
        (says("out.write('x' * 3_000_000)"), "ScriptOutputError", "max_output_mb = 1"),
        (says("out.write('x' * 3_000_000 + '\\n')"), "ScriptOutputError", "max_output_mb = 1"),
        (says('out.write(\'{"op": "log"}\\n\' * 1000)'), "ScriptOutputError", "max_pending = 100"),
        (says("out.write('{\"id\": 1}\\n' * 101 + '{\"end\": {}}\\n')"), "ScriptOutputError", "max_pending = 100"),
        ("import time; time.sleep(60)", "ScriptTimeoutError", "max_sync_s = 0.3"),
    ],
)
async def test_a_process_that_says_what_none_says_is_ended(code: str, name: str, message: str):
    stranger = await impostor(code)
    async with stranger:
        turn = await stranger.settle([])
    assert turn.fault is not None
    assert turn.fault.name == name
    assert message in str(turn.fault)


async def test_a_process_that_goes_on_talking_after_its_turn_is_ended_all_the_same():
    stranger = await impostor(says("out.write('{\"end\": {}}\\n' + 'x' * 3_000_000)"))
    async with asyncio.timeout(30), stranger:
        assert (await stranger.settle([])).fault is None
        await asyncio.sleep(0.2)  # more arrives than asyncio keeps: it takes no more out of the pipe


OLD_ENGINE = """
class Context:
    def eval(self, code):
        raise ValueError("TypeError: not a function\\n    at <input>")
    def set_memory_limit(self, limit): ...
    def set_max_stack_size(self, size): ...
"""


async def test_another_engine_under_the_same_name_is_said_to_be_the_wrong_one(tmp_path: Path):
    (tmp_path / "_quickjs.py").write_text(OLD_ENGINE)
    preludes = map(str, process.PRELUDES)
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-B", str(CHILD), str(tmp_path), *preludes,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert stranger.stdin is not None
    stranger.stdin.write(b'{"sync_s": 1, "heap": 1000000, "stack": 1000000}\n')
    async with ScriptProcess(stranger, Limits()) as child:
        turn = await child.settle([])
    assert "quickjs and quickjs-ng overwrite each other" in str(turn.fault)


async def test_the_process_is_gone_when_its_script_broke_a_limit():
    child = await ScriptProcess.spawn(Limits(sync_s=0.2))
    before = len(script_processes(os.getpid())) if sys.platform == "linux" else 0
    await child.close()
    await child.close()
    assert (await play("while (true) {}", limits=Limits(sync_s=0.2))).fault is not None
    if sys.platform == "linux":
        assert (before, script_processes(os.getpid())) == (1, [])
