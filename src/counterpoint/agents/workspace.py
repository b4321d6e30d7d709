"""A git worktree for one agent: its own folder and branch, from the present state of the tree or an earlier agent's.

What the agent leaves is committed. A worktree without changes goes, with its branch; one with changes stays until it is
merged. Nothing here ever deletes a branch that has a commit which is nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import weakref
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

from counterpoint.agents.git import GitError, Repository
from counterpoint.agents.task import AgentTask
from counterpoint.events import Workspace

MAX_PATCH = 10 * 1024 * 1024
BRANCHES = "counterpoint"
"""Under which the branches of agents are."""
SNAPSHOT = "Uncommitted changes"
"""Message of the commits that hold the tree as it was when an agent began."""
_locks: weakref.WeakValueDictionary[Path, asyncio.Lock] = weakref.WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Worktree:
    """An agent's worktree under way."""

    repository: Repository
    """Seen from the worktree."""
    branch: str
    base: str
    """The commit that it started from."""
    fresh: bool
    """It was made just now."""
    folder: Path
    """Where the agent works: the same place in the tree as the run's folder in the repository."""
    links: tuple[Path, ...] = ()
    """Ignored files and folders of the main tree that it has links to, to be read."""


async def open_worktree(task: AgentTask, place: Path) -> Worktree:
    """Makes the worktree at `place`; one that is there, of an earlier attempt that was cut off, is taken up.

    Raises HookError("WorkspaceError").
    """
    main = await Repository.of(Path(task.cwd))
    inside = await asyncio.to_thread(_relative, Path(task.cwd), main.tree)
    async with locked(main):
        taken_up = await _take_up(main, place, inside)
        links = await asyncio.to_thread(_linked, main.tree, task.worktree_link)
        if taken_up is not None:
            return replace(taken_up, links=links)
        base = await base_of(task, main)
        branch = await branch_for(main, place)
        await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
        await main.run("worktree", "add", "--quiet", "-b", branch, str(place), base)
        repository = await _seen_from(main, place)
        await repository.run("update-ref", f"refs/counterpoint/base/{branch}", base)
    folder = place / inside
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(_bring, main.tree, place, task.worktree_copy, task.worktree_link)
    return Worktree(repository, branch, base, True, folder, links)


async def close_worktree(worktree: Worktree, label: str) -> Workspace:
    """Commits what is left, and removes the worktree where nothing was changed. Raises GitError."""
    repository, base = worktree.repository, worktree.base
    if not await repository.succeeds("add", "--all", "--ignore-errors", "--", "."):
        await repository.run("add", "--update", "--", ".")
    left = await repository.run("ls-files", "--others", "--exclude-standard", "--directory")  # repositories inside
    if not await repository.succeeds("diff", "--cached", "--quiet"):
        await repository.run("commit", "--quiet", "--no-verify", "--message", f"{label[:200] or worktree.branch}")
    commit = await repository.commit_of("HEAD")
    await repository.run("update-ref", f"refs/heads/{worktree.branch}", commit)  # wherever the agent has gone
    if not left and await repository.succeeds("diff", "--quiet", base, commit):
        async with locked(repository):
            await remove(repository, worktree.branch)
        return Workspace(worktree.branch, base, base)
    return await _made(repository, worktree.branch, base, commit)


async def receive_worktree(main: Repository, place: Path, base: str, bundle: Path, ref: str) -> Workspace:
    """The worktree of an agent that worked elsewhere, as if it had been opened here; its commits come in a bundle.

    What is in the bundle was made by somebody else: git checks it. Raises GitError.
    """
    async with locked(main):
        branch = await branch_for(main, place)
        await main.run(
            "-c", "transfer.fsckObjects=true", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(bundle),
            f"{ref}:refs/heads/{branch}",
        )  # fmt: skip
        commit = await main.commit_of(f"refs/heads/{branch}")
        await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
        await main.run("worktree", "add", "--quiet", str(place), branch)
        repository = await _seen_from(main, place)
        await repository.run("update-ref", f"refs/counterpoint/base/{branch}", base)
    return await _made(repository, branch, base, commit)


async def base_of(task: AgentTask, main: Repository) -> str:
    """The commit that the task's worktree starts from."""
    return task.base or (await snapshot(main) if task.uncommitted else await main.commit_of("HEAD"))


async def branch_for(main: Repository, place: Path) -> str:
    """The name of a branch for the worktree at that place."""
    return await _free_branch(main, f"{BRANCHES}/{place.parent.name}/{place.name}")


async def _made(repository: Repository, branch: str, base: str, commit: str) -> Workspace:
    numbers = await repository.run("diff", "--numstat", "--no-renames", base, commit)
    files, added, removed = _counted(numbers)
    patch = await repository.run("diff", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv", base, commit)
    size = len(patch.encode("utf-8", "surrogateescape"))
    return Workspace(
        branch, base, commit, files, added, removed, str(repository.tree),
        patch.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if size <= MAX_PATCH else "", size,
    )  # fmt: skip


async def discard(main: Repository, place: Path, branch: str) -> None:
    """Removes the worktree at `place`, see `remove`. Raises HookError where there is none."""
    await remove(await _seen_from(main, place), branch)


async def spare_branch(main: Repository, place: Path) -> str | None:
    """The branch of the worktree at `place`, where nothing of it would be lost with both; None: something might be.

    So no file differs from the branch, and a branch of the user's has all its commits. That of another agent counts
    only for one that has added nothing: it may be the next to go.
    """
    try:
        repository = await _seen_from(main, place)
        branch = (await repository.run("symbolic-ref", "--short", "HEAD")).strip()
        base = await repository.commit_of(f"refs/counterpoint/base/{branch}")
        tip = await repository.commit_of(f"refs/heads/{branch}")
        if (await repository.run("status", "--porcelain", "--untracked-files=all")).strip():
            return None
        others = await _branches_with(main, tip, branch)
        if tip == base and not others and (await main.run("log", "-1", "--format=%s", tip)).strip() == SNAPSHOT:
            others = await _branches_with(main, f"{tip}^", branch)
    except (GitError, OSError):
        return None
    mine = f"refs/heads/{BRANCHES}/"
    return branch if any(tip == base or not name.startswith(mine) for name in others) else None


async def _branches_with(main: Repository, commit: str, but: str) -> list[str]:
    names = (await main.run("for-each-ref", "--contains", commit, "--format=%(refname)", "refs/heads")).split()
    return [name for name in names if name != f"refs/heads/{but}"]


async def remove(repository: Repository, branch: str) -> None:
    """Removes the worktree; and its branch, where it has no commit of its own or another branch has them all."""
    tree = repository.tree
    base_ref = f"refs/counterpoint/base/{branch}"
    base = await repository.commit_of(base_ref)
    tip = await repository.commit_of(f"refs/heads/{branch}")
    main = Repository(repository.common_dir, repository.common_dir, repository.common_dir)
    await main.run("worktree", "remove", "--force", "--force", str(tree))
    others = await main.run("for-each-ref", "--contains", tip, "--format=%(refname)", "refs/heads")
    elsewhere = [name for name in others.split() if name != f"refs/heads/{branch}"]
    if tip == base or elsewhere:
        await main.run("update-ref", "-d", f"refs/heads/{branch}", tip)
        await main.run("update-ref", "-d", base_ref)


async def snapshot(main: Repository) -> str:
    """A commit of the tree as it is now, uncommitted and untracked files included; HEAD where it is just that.

    Neither the index nor any branch is touched.
    """
    head = await main.commit_of("HEAD")
    index = main.git_dir / f"counterpoint-index-{os.getpid()}-{id(asyncio.current_task())}"
    environ = {"GIT_INDEX_FILE": str(index)}
    try:
        with contextlib.suppress(FileNotFoundError):
            # With its times: git looks closer at files that are as young as its index.
            await asyncio.to_thread(shutil.copy2, main.git_dir / "index", index)
        await main.run("add", "--all", "--", ":/", environ=environ)
        tree = (await main.run("write-tree", environ=environ)).strip()
    finally:
        index.unlink(missing_ok=True)
    if tree == (await main.run("rev-parse", f"{head}^{{tree}}")).strip():
        return head
    return (await main.run("commit-tree", tree, "-p", head, "-m", SNAPSHOT)).strip()


@contextlib.asynccontextmanager
async def locked(repository: Repository) -> AsyncGenerator[None]:
    """Alone with the repository's worktrees and branches, among the agents of this process and of others."""
    lock = _locks.get(repository.common_dir)
    if lock is None:
        lock = _locks[repository.common_dir] = asyncio.Lock()
    async with lock:
        descriptor = os.open(repository.common_dir / "counterpoint.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


async def _take_up(main: Repository, place: Path, inside: Path) -> Worktree | None:
    if not await asyncio.to_thread(place.is_dir):
        return None
    repository = await _seen_from(main, place)
    branch = (await repository.run("symbolic-ref", "--short", "HEAD")).strip()
    base = await repository.commit_of(f"refs/counterpoint/base/{branch}")
    return Worktree(repository, branch, base, False, place / inside)


async def _seen_from(main: Repository, place: Path) -> Repository:
    """The worktree's own git folder, as the main repository lists it."""
    found = await asyncio.to_thread(_git_folder, main.common_dir, place)
    if found is None:
        raise GitError("The worktree cannot be used", f"{place} is not registered in {main.common_dir}")
    return Repository(found, main.common_dir, place)


def _git_folder(common_dir: Path, place: Path) -> Path | None:
    wanted = Path(os.path.realpath(place)) / ".git"
    for folder in (common_dir / "worktrees").iterdir():
        with contextlib.suppress(OSError):
            if Path(os.path.realpath(folder.joinpath("gitdir").read_text().strip())) == wanted:
                return folder
    return None


def _relative(folder: Path, tree: Path) -> Path:
    return Path(os.path.realpath(folder)).relative_to(os.path.realpath(tree))


async def _free_branch(main: Repository, name: str) -> str:
    taken = (await main.run("for-each-ref", "--format=%(refname:short)", f"refs/heads/{name}*")).split()
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _bring(tree: Path, place: Path, copies: list[str], links: list[str]) -> None:
    """Ignored files that an agent needs: copied, or linked.

    Nothing comes from outside of the tree, or goes outside of the worktree, whatever links an earlier agent has made.
    """
    for names, bring in ((copies, _copy), (links, _link)):
        for name in names:
            source, target = tree / name, place / name
            if ".." in Path(name).parts or not source.exists() or os.path.lexists(target):
                continue
            if not (_lies_in(source, tree) and _lies_in(target.parent, place)):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            bring(source, target)


def _linked(tree: Path, names: list[str]) -> tuple[Path, ...]:
    return tuple(Path(os.path.realpath(tree / name)) for name in names if _lies_in(tree / name, tree))


def _lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _counted(numstat: str) -> tuple[list[str], int, int]:
    files: list[str] = []
    added = removed = 0
    for line in numstat.splitlines():
        plus, minus, name = line.split("\t", 2)
        files.append(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        added += int(plus) if plus.isdigit() else 0
        removed += int(minus) if minus.isdigit() else 0
    return files, added, removed
