"""Commands: under the rules, in the sandbox, and gone with their agent."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC221, ASYNC240 (a test may block its own loop, and the process table has no event)

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoint.errors import DeniedError, ToolError
from counterpoint.tools import jail, shells
from counterpoint.tools.base import Guard, ToolContext
from counterpoint.tools.jail import Cell
from counterpoint.tools.policy import Permissions, Policy
from counterpoint.tools.registry import TOOLS, invoke
from counterpoint.tools.shells import ShellLimits

JAILS: list[jail.Kind] = ["bubblewrap", "landlock"] if jail.found() == "bubblewrap" else ["landlock"]
KINDS: list[jail.Kind] = [*JAILS, "none"]
needs_a_jail = pytest.mark.skipif(jail.found() == "none", reason="this machine has no sandbox")
Bash = Callable[..., Awaitable[str]]
MARK = str(7_000_000_000 + secrets.randbelow(1_000_000_000))
"""How long the commands of this test process sleep: what another one has started is not taken for ours."""


@contextlib.asynccontextmanager
async def agent(
    root: Path,
    *,
    kind: jail.Kind | None = None,
    environ: dict[str, str] | None = None,
    hidden: tuple[Path, ...] = (),
    network: bool = False,
    limits: ShellLimits | None = None,
    allow: tuple[str, ...] = ("Bash",),
    deny: tuple[str, ...] = (),
    read_only: bool = False,
) -> AsyncGenerator[Bash]:
    """An agent that may run every command, unless the rules say otherwise."""
    policy = Policy.of(Permissions(allow=list(allow), deny=list(deny), read_only=read_only))
    environment = jail.environment(os.environ if environ is None else {**os.environ, **environ})
    async with shells.opened(kind or jail.found(), environment, limits, jailed=kind != "none") as opened:
        cell = Cell(root, hidden=hidden, network=network)
        context = ToolContext(root, guard=Guard(policy), shells=opened, cell=cell)

        async def use(command: str = "", name: str = "Bash", **input: Any) -> str:
            return await invoke(TOOLS[name], {"command": command, **input} if command else input, context)

        yield use


def running(mark: str) -> list[int]:
    """Processes whose command line has this mark in it."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def gone(mark: str) -> bool:
    """Whether nothing of this mark runs any more, after a moment."""
    deadline = time.monotonic() + 60
    while running(mark) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return not running(mark)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_says_what_it_says_and_how_it_ended(root: Path, kind: jail.Kind) -> None:
    async with agent(root, kind=kind) as bash:
        assert await bash("echo out; echo err >&2; pwd") == f"out\nerr\n{root}"
        assert await bash("exit 3") == "[exit code 3]"
        assert await bash("true") == "[exit code 0, no output]"
        assert await bash("kill -9 $$") == "[exit code 137]"
        assert await bash("cat; echo $?") == "0"
        await bash("echo hello > made.txt")
    assert (root / "made.txt").read_text() == "hello\n"


async def test_a_long_output_is_cut_in_the_middle_and_the_rest_can_be_had(root: Path) -> None:
    async with agent(root) as bash:
        answer = await bash("for i in $(seq 1 20000); do echo line $i; done")
        assert answer.startswith("line 1\n")
        assert answer.endswith("line 20000")
        assert "[… 178,894 bytes are left out here: BashOutput bash_id=bash_1 offset=10000 shows them.]" in answer
        rest = await bash(name="BashOutput", bash_id="bash_1", offset=10_000)
        assert "line 1500" in rest
        assert "offset=40000" in rest


async def test_an_output_without_end_is_bounded_and_counted(root: Path) -> None:
    async with agent(root, limits=ShellLimits(kept_bytes=100_000)) as bash:
        answer = await bash("head -c 50000000 /dev/zero | tr '\\0' x")
    assert "[49,900,000 more bytes of output were dropped; send long output into a file.]" in answer
    assert len(answer) < 40_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_beyond_its_time_is_ended_with_all_it_has_started(root: Path, kind: jail.Kind) -> None:
    async with agent(root, kind=kind) as bash:
        answer = await bash(f"echo begun; (setsid sleep {MARK} &) ; sleep {MARK}", timeout=400)
        assert answer.endswith("[Ended: it took longer than 0.4 seconds.]")
        assert await gone(MARK)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_command_leaves_running_ends_with_it(root: Path, kind: jail.Kind) -> None:
    async with agent(root, kind=kind) as bash:
        await bash(f"nohup setsid sleep {MARK} >/dev/null 2>&1 & (sleep {MARK} >/dev/null 2>&1 &) ; echo done")
        assert await gone(MARK)


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_in_the_background_are_read_and_ended(root: Path, kind: jail.Kind) -> None:
    async with agent(root, kind=kind) as bash:
        assert "bash_1 runs in the background" in await bash(f"echo one; sleep {MARK}", run_in_background=True)
        text = ""
        while "one" not in text:
            await asyncio.sleep(0.01)
            text = await bash(name="BashOutput", bash_id="bash_1")
        assert text.endswith("[It is running.]")
        assert await bash(name="KillShell", shell_id="bash_1") == "[bash_1 is ended.]"
        assert "[Ended: you ended it.]" in await bash(name="BashOutput", bash_id="bash_1")
        assert await gone(MARK)
        with pytest.raises(ToolError, match="no command 'bash_7'; there are: bash_1"):
            await bash(name="BashOutput", bash_id="bash_7")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_end_of_an_agent_ends_its_commands(root: Path, kind: jail.Kind) -> None:
    async def fail() -> None:
        async with agent(root, kind=kind) as bash:
            await bash(f"setsid sleep {MARK}", run_in_background=True)
            raise RuntimeError("the agent failed")

    with pytest.raises(RuntimeError, match="the agent failed"):
        await fail()
    assert await gone(MARK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 30, 100])
async def test_an_agent_that_is_cancelled_at_any_moment_leaves_nothing(root: Path, kind: jail.Kind, steps: int) -> None:
    async def work() -> None:
        async with agent(root, kind=kind) as bash:
            await bash(f"sleep {MARK}", run_in_background=True)
            await bash(f"sleep {MARK}")

    task = asyncio.ensure_future(work())
    for _ in range(steps):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(MARK)


HOST = f"""
import asyncio, os, sys
from pathlib import Path
from counterpoint.tools import jail, shells
async def main():
    async with shells.opened(sys.argv[2], jail.environment(os.environ)) as opened:
        await opened.start("setsid sleep {MARK} & sleep {MARK}", jail.Cell(Path(sys.argv[1])), lambda: None)
        print("begun", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_outlives_a_host_that_is_killed(root: Path, kind: jail.Kind) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, str(root), kind], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "begun\n"
    while len(running(f"sleep\x00{MARK}")) < 2:
        await asyncio.sleep(0.01)
    host.send_signal(signal.SIGKILL)
    host.communicate()
    assert await gone(f"sleep\x00{MARK}")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_that_becomes_too_many_processes_is_ended(root: Path, kind: jail.Kind) -> None:
    # Never a real fork bomb here: it took the whole machine, and every other test on it, down more than once.
    async with agent(root, kind=kind, limits=ShellLimits(processes=60)) as bash:
        answer = await bash(f"for n in $(seq 200); do sleep {MARK} & sleep 0.01; done; wait", timeout=30_000)
        assert "[Ended: it had become" in answer
        assert await gone(MARK)


async def test_a_command_that_eats_memory_is_ended(root: Path) -> None:
    async with agent(root, limits=ShellLimits(memory_bytes=150 << 20)) as bash:
        answer = await bash(f"x=$(head -c 400000000 /dev/zero | tr '\\0' x); sleep {MARK}", timeout=30_000)
    assert "MiB; at most 150 are allowed" in answer


@pytest.mark.parametrize("kind", KINDS)
async def test_secrets_in_the_environment_are_not_there(root: Path, kind: jail.Kind) -> None:
    secrets = {
        "ANTHROPIC_API_KEY": "hush-1",
        "AWS_SECRET_ACCESS_KEY": "hush-2",
        "GITHUB_TOKEN": "hush-3",
        "X": "hush-4",
    }
    async with agent(root, kind=kind, environ=secrets) as bash:
        assert "hush" not in await bash("env; cat /proc/self/environ /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")


# --- the rules -----------------------------------------------------------------------------------------------------


async def test_a_command_that_no_rule_allows_is_not_run(root: Path) -> None:
    async with agent(root, allow=("Bash(echo *)",)) as bash:
        assert await bash("echo hi && echo ho") == "hi\nho"
        for command in ("touch x", "echo hi; touch x", "echo $(touch x)", "echo hi\ntouch x", "echo hi > x"):
            with pytest.raises(DeniedError):
                await bash(command)
    assert list(root.iterdir()) == []


async def test_output_goes_only_to_files_that_may_be_written(root: Path) -> None:
    (root / "out").mkdir()
    async with agent(
        root,
        allow=(
            "Bash(echo *)",
            "Edit(out/**)",
        ),
    ) as bash:
        await bash("echo hi > out/a")
        for command in ("echo hi > a", "echo hi >> out/../a", "echo hi > out/$X"):
            with pytest.raises(DeniedError):
                await bash(command)
        with pytest.raises(ToolError, match="leads outside"):
            await bash("echo hi > ../a")
    assert [path.name for path in root.iterdir()] == ["out"]


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_an_agent_that_may_only_read_cannot_write_by_any_command(root: Path, kind: jail.Kind) -> None:
    (root / "a.txt").write_text("as it was\n")
    async with agent(root, kind=kind, read_only=True) as bash:
        assert await bash("cat a.txt") == "as it was"
        for command in (
            "echo x > a.txt", "rm -f a.txt", "mv a.txt b.txt", "sed -i s/as/is/ a.txt", "ln -s a.txt l", "mkdir d",
            "chmod 777 a.txt; echo x >> a.txt", f"{sys.executable} -c \"open('a.txt', 'w')\"", "touch new",
            "cp a.txt b",
            "mount -o remount,rw . ; echo x > a.txt",
            "unshare -rm sh -c 'mount -o remount,rw,bind . && echo x > a.txt'",
            "truncate -s 0 a.txt", "dd if=/dev/zero of=a.txt count=1", f"echo x > {root}/../{root.name}/a.txt",
            "echo x > /proc/self/cwd/a.txt",
        ):  # fmt: skip
            await bash(command)
    assert (root / "a.txt").read_text() == "as it was\n"
    assert [path.name for path in root.iterdir()] == ["a.txt"]


async def test_without_a_sandbox_an_agent_that_may_only_read_runs_no_commands(root: Path) -> None:
    async with agent(root, kind="none", read_only=True) as bash:
        with pytest.raises(DeniedError, match="no sandbox"):
            await bash("cat a.txt")


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_files_that_may_not_be_read_are_empty_and_others_stay(root: Path, kind: jail.Kind) -> None:
    (root / "sub").mkdir()
    (root / "sub/.env").write_text("token=hush\n")
    (root / "lock.json").write_text("locked\n")
    async with agent(
        root,
        deny=(
            "Read(.env)",
            "Edit(lock.json)",
        ),
    ) as bash:
        assert "hush" not in await bash("cat sub/.env; cp sub/.env x; cat x; grep -r hush .")
        await bash("echo x > lock.json; rm -f lock.json; mv lock.json other")
    assert (root / "lock.json").read_text() == "locked\n"
    assert (root / "sub/.env").read_text() == "token=hush\n"


# --- ways out ------------------------------------------------------------------------------------------------------


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_nothing_outside_of_the_workspace_can_be_written(root: Path, kind: jail.Kind) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("as it was\n")
    (root / "link").symlink_to(outside)
    async with agent(root, kind=kind) as bash:
        for command in (
            f"echo x > {outside}/file", f"echo x > {outside}/new", "echo x > link/file", "echo x > ../outside/file",
            f"rm -rf {outside}", f"mkdir -p {outside}; echo x > {outside}/file", f"mv {outside} {outside}2",
            f"ln {outside}/file hard; echo x > hard", f"cd /; echo x > .{outside}/file",
            "echo x > /etc/counterpoint-test",
            f"echo x > /proc/1/root{outside}/file", f"echo x > /proc/self/root{outside}/file",
            "touch ~/counterpoint-test",
            f"mount --bind {root} {outside}; echo x > {outside}/file", f"chroot / sh -c 'echo x > {outside}/file'",
            f"unshare -rm sh -c 'mount -o remount,rw,bind / ; umount -l {root.parent}; echo x > {outside}/file'",
            f"nsenter -t 1 -m sh -c 'echo x > {outside}/file'",
            f"nsenter -t {os.getpid()} -m sh -c 'echo x > {outside}/file'",
        ):  # fmt: skip
            await bash(command)
    assert (outside / "file").read_text() == "as it was\n"
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert not Path("/etc/counterpoint-test").exists()
    assert not Path("~/counterpoint-test").expanduser().exists()


KERNEL = """
for f in kernel/core_pattern vm/swappiness kernel/panic net/ipv4/ip_forward
do v=$(cat /proc/sys/$f) && echo "$v" > /proc/sys/$f && echo WROTE $f  # its own value: nothing is set where it can be
done
for d in /dev/[svx]d[a-z] /dev/loop0 /dev/nvme0n1 /dev/kmsg /proc/kcore
do head -c 1 $d && echo READ $d
done
"""


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_the_kernel_is_not_set_and_no_disk_read_also_not_as_root(root: Path, kind: jail.Kind) -> None:
    async with agent(root, kind=kind) as bash:
        answer = await bash(KERNEL)
    assert "core_pattern" in answer
    assert "WROTE" not in answer
    assert "READ" not in answer


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_the_store_and_other_hidden_places_are_not_seen(root: Path, kind: jail.Kind) -> None:
    store = root / "state"
    store.mkdir()
    (store / "journal.db").write_text("hush")
    async with agent(root.parent, kind=kind, hidden=(store,)) as bash:
        assert "hush" not in await bash(f"cat {store}/journal.db; echo x > {store}/journal.db; ls -la {store}")
    assert (store / "journal.db").read_text() == "hush"


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_keys_in_the_home_folder_are_not_seen(
    root: Path, kind: jail.Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_rsa").write_text("hush")
    (home / ".netrc").write_text("hush")
    (home / "plain").write_text("seen")
    monkeypatch.setenv("HOME", str(home))
    async with agent(root, kind=kind) as bash:
        assert "hush" not in await bash("cat ~/.ssh/id_rsa ~/.netrc; ls -laR ~")


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_there_is_no_network_unless_it_is_allowed(root: Path, kind: jail.Kind) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"
    async with server:
        async with agent(root, kind=kind) as bash:
            assert "connected" not in await bash(connect)
            assert "exit code" in await bash(
                f"{sys.executable} -c \"import socket; socket.create_connection(('1.1.1.1', 53), 1)\""
            )
        async with agent(root, kind=kind, network=True) as bash:
            assert "connected" in await bash(connect)


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
async def test_other_processes_cannot_be_seen_or_ended(root: Path, kind: jail.Kind) -> None:
    victim = subprocess.Popen(["sleep", MARK])
    try:
        async with agent(root, kind=kind) as bash:
            answer = await bash(f"kill -9 {victim.pid}; kill -9 {os.getpid()}; kill -9 -1 & ps ax; ls /proc")
            assert MARK not in answer
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@needs_a_jail
@pytest.mark.parametrize("kind", JAILS)
@pytest.mark.parametrize("allow", [("Bash",), ("Bash", "Bash(git *)")])
async def test_version_control_keeps_its_hooks_and_settings(
    root: Path, kind: jail.Kind, allow: tuple[str, ...]
) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".claude").mkdir()
    (root / ".claude/settings.json").write_text("{}")
    config = (root / ".git/config").read_text()
    async with agent(root, kind=kind, allow=allow) as bash:
        await bash("touch a; git add a; git -c user.name=a -c user.email=a@b commit -qm a")
        log = await bash("git log --format=%s")
        assert log == "a" if len(allow) > 1 else "does not have any commits" in log
        for command in (
            "git config core.fsmonitor 'touch /tmp/x'", "echo x > .git/hooks/pre-commit", "rm -rf .git/hooks",
            "mv .git/hooks .git/h2; mkdir .git/hooks; echo x > .git/hooks/pre-commit", "rm -rf .git", "mv .git .git2",
            "echo '{\"permissions\":{}}' > .claude/settings.json", "mv .claude c2", "rm .git/config",
        ):  # fmt: skip
            await bash(command)
    assert (root / ".git/config").read_text() == config
    assert not (root / ".git/hooks/pre-commit").exists()
    assert (root / ".claude/settings.json").read_text() == "{}"
