"""The OS sandbox that commands of agents run in: what they may write, see and reach.

Inside: the workspace can be written (or, for agents that may only read, not), everything else is read-only, folders
that hold keys and this program's own state are empty, there is no network unless it was allowed, other processes cannot
be seen, and everything that a command leaves running ends with it. The environment is made anew from a short list.

Two ways to get that on Linux: bubblewrap where it is installed and works, else Landlock with namespaces of our own
(`jail_child`). On macOS there is sandbox-exec (`seatbelt`). Where a rule names git, an agent can write what commits
need, but not hooks and configuration, which would run outside later. Elsewhere there is no jail, and people are asked.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from counterpoint.tools import jail_child, seatbelt
from counterpoint.tools.policy import GUARDED
from counterpoint.tools.seatbelt import Ground

Kind = Literal["bubblewrap", "landlock", "seatbelt", "none"]

KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "JAVA_HOME", "GOPATH",
    "GOROOT",
    "CARGO_HOME", "RUSTUP_HOME", "NVM_DIR", "PYENV_ROOT", "SYSTEMROOT", "COMSPEC", "PATHEXT",
)  # fmt: skip
"""Variables that a command sees, ``LC_*`` besides; none of them holds a secret anywhere we know of."""
SET = {
    "TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0", "CI": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
SECRETS = (
    ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".netrc", ".npmrc", ".pypirc", ".git-credentials",
    ".pgpass",
    ".config/gcloud", ".config/gh", ".config/counterpoint", ".config/op", ".local/share/keyrings", ".claude",
    ".claude.json", ".codex", ".gemini", ".password-store", ".mozilla", ".config/google-chrome", ".bash_history",
    ".zsh_history", ".python_history", ".cargo/credentials", ".cargo/credentials.toml", ".m2/settings.xml",
    ".gem/credentials", ".terraform.d", ".vault-token",
)  # fmt: skip
"""In the home folder; not shown in the jail."""
KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs")
"""Of ``/proc``: what the kernel is set by. Root may write it without any capability, and for the whole machine."""
KERNEL_HIDDEN = ("kcore", "keys", "timer_list", "sched_debug")
"""Of ``/proc``: what the kernel tells root of everybody."""
EMPTIED = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 (they are made anew)
GIT_GUARDED = ("config", "config.worktree", "hooks", "info", "commondir", "gitdir", "modules", "objects/info")


@dataclass(frozen=True, slots=True)
class Cell:
    """What one agent's commands may reach."""

    root: Path
    """The workspace."""
    writable: bool = True
    network: bool = False
    more_writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    """Seen even where it lies in something that is not."""
    processes: int = 512
    """The most there can be at the same time."""
    git: bool = False
    """Version control can be written, but for hooks and configuration; else it stays as it is."""
    hidden: tuple[Path, ...] = ()
    """Files and folders that are not there."""
    kept: tuple[Path, ...] = ()
    """Files and folders in the workspace that cannot be changed."""


def environment(environ: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, str]:
    """What a command sees of the environment; `more` names variables that the user lets through."""
    names = {*KEPT, *more}
    return {name: value for name, value in environ.items() if name in names or name.startswith("LC_")} | SET


async def available() -> Kind:
    """The best jail that works here; tried once."""
    return found() if found.cache_info().currsize else await asyncio.to_thread(found)


@lru_cache(maxsize=1)
def found() -> Kind:
    """Like `available`, for those who may block."""
    bwrap = bubblewrap()
    if bwrap is not None and _works([bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "/bin/true"]):
        return "bubblewrap"
    if sys.platform == "linux" and _works(jail_child.command(jail_child.Order(), ["/bin/true"])):
        return "landlock"
    if sys.platform == "darwin" and _works(shut_in(["/usr/bin/true"], Cell(Path("/private/tmp")), "seatbelt")):
        return "seatbelt"
    return "none"


def bubblewrap() -> str | None:
    """Path of ``bwrap``, where it lies in a folder of the system: one that agents can write would be no wall."""
    found = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin")
    return os.path.realpath(found) if found else None


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, env={}, check=False).returncode == 0  # noqa: S603 (ours)
    except (OSError, subprocess.TimeoutExpired):
        return False


def shut_in(command: list[str], cell: Cell, kind: Kind, lifeline: int = -1) -> list[str]:
    """The command line that runs `command` in the cell, in the workspace.

    `lifeline` is a descriptor, inherited, that ends when we do; what then still runs is ended.
    """
    order = jail_child.Order(jailed=False, folder=str(cell.root), lifeline=lifeline, processes=cell.processes)
    match kind:
        case "bubblewrap":
            return jail_child.command(order, [*_bubblewrap(cell), "--", *command])
        case "landlock":
            return jail_child.command(_order(cell, lifeline), command)
        case "seatbelt":
            order.profile, order.parameters = seatbelt.profile(_grounds(cell), network=cell.network)
            return jail_child.command(order, command)
        case "none":
            return jail_child.command(order, command)


def secrets_of(home: Path) -> Iterator[Path]:
    """What is hidden in a home folder."""
    yield from (home / name for name in SECRETS)


# --- bubblewrap ---------------------------------------------------------------------------------------------------


def _bubblewrap(cell: Cell) -> list[str]:
    options = [bubblewrap() or "bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc"]
    options += ["--unshare-uts", "--unshare-cgroup-try", "--cap-drop", "ALL"]
    options += [] if cell.network else ["--unshare-net"]
    options += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for name in KERNEL:
        options += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in KERNEL_HIDDEN:
        options += ["--ro-bind", "/dev/null", f"/proc/{name}"] if Path("/proc", name).exists() else []
    for _, mount in sorted(_mounts(cell), key=lambda item: len(item[0].parts)):  # what lies deeper comes later
        options += mount
    return [*options, "--chdir", str(cell.root)]


def _mounts(cell: Cell) -> Iterator[tuple[Path, list[str]]]:
    for name in EMPTIED:
        if Path(name).is_dir() and not Path(name).is_symlink():
            yield Path(name), ["--tmpfs", name]
    for path in (*secrets_of(Path.home()), *cell.hidden):
        real = os.path.realpath(path)  # a link leads to what is hidden then
        if path.is_dir():
            yield Path(real), ["--tmpfs", real]
        elif path.exists():
            yield Path(real), ["--ro-bind", "/dev/null", real]
    if cell.network:  # names are looked up by what /run may hold
        resolver = Path(os.path.realpath("/etc/resolv.conf"))
        if resolver.is_relative_to("/run") and resolver.exists():
            yield resolver, ["--ro-bind", str(resolver), str(resolver)]
    root = str(cell.root)
    yield cell.root, ["--bind" if cell.writable else "--ro-bind", root, root]
    for path in cell.more_writable if cell.writable else ():
        yield path, ["--bind", str(path), str(path)]
    for path in cell.readable:
        yield path, ["--ro-bind-try", str(path), str(path)]
    if cell.writable:
        for path in _pinned(cell):
            yield path, ["--bind", str(path), str(path)]
        for path in _kept(cell):
            yield path, ["--ro-bind", str(path), str(path)]


def _pinned(cell: Cell) -> Iterator[Path]:
    """Folders that can be written but not renamed, since they are mounted: what is kept in them stays in its place."""
    if cell.git and (cell.root / ".git").is_dir():
        yield cell.root / ".git"


def _kept(cell: Cell) -> Iterator[Path]:
    """What exists in the workspace and must stay as it is."""
    return (path for path in _to_keep(cell) if path.exists() and not path.is_symlink())


def _to_keep(cell: Cell) -> Iterator[Path]:
    """What must stay as it is, or not come into being."""
    names = [*sorted(GUARDED), *([] if cell.git and (cell.root / ".git").is_dir() else [".git"])]
    yield from (cell.root / name for name in names)
    if cell.git:
        for folder in (cell.root / ".git", *cell.more_writable):
            yield from (folder / name for name in GIT_GUARDED)
    yield from cell.kept


# --- sandbox-exec -------------------------------------------------------------------------------------------------


def _grounds(cell: Cell) -> list[Ground]:
    hidden = [*secrets_of(Path.home()), *cell.hidden, Path("/tmp"), Path("/var/tmp")]  # noqa: S108 (hidden)
    found = [Ground(_real(cell.root), "writable" if cell.writable else "readable")]
    found += [Ground(_real(path), "hidden") for path in hidden]
    found += [Ground(_real(path), "readable") for path in cell.readable]
    if cell.writable:
        found += [Ground(_real(path), "writable") for path in cell.more_writable]
        found += [Ground(_real(path), "pinned") for path in _pinned(cell)]
        found += [Ground(_real(path.parent) / path.name, "kept") for path in _to_keep(cell)]
    return found


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


# --- Landlock -----------------------------------------------------------------------------------------------------


def _order(cell: Cell, lifeline: int) -> jail_child.Order:
    emptied = [Path(name) for name in ("/run", "/tmp", "/var/tmp", "/dev")]  # noqa: S108 (hidden; /dev: root reads disks)
    hidden = [*secrets_of(Path.home()), *cell.hidden, *emptied]
    writable = [cell.root, *cell.more_writable] if cell.writable else []
    inside = [path for path in cell.hidden if path.is_relative_to(cell.root) and path != cell.root]
    return jail_child.Order(
        jailed=True,
        lifeline=lifeline,
        processes=cell.processes,
        network=cell.network,
        folder=str(cell.root),
        writable=[str(path) for path in writable],
        readable=[str(cell.root), *(str(path) for path in cell.readable)],
        hidden=sorted({os.path.realpath(path) for path in hidden if path not in inside}),
        masked=[str(path) for path in inside if path.exists()],
        pinned=[str(path) for path in _pinned(cell)] if cell.writable else [],
        kept=[str(path) for path in _kept(cell)] if cell.writable else [],
    )
