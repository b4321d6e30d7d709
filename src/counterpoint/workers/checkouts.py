"""The repositories of runs on a worker: their commits are unpacked here, and agents work in worktrees of them.

Each run has a repository of its own, so no agent can see the branches of another run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from counterpoint.agents.git import GitError, Repository
from counterpoint.agents.task import AgentTask
from counterpoint.agents.workspace import locked
from counterpoint.errors import HookError
from counterpoint.events import Workspace
from counterpoint.workers.shipping import MADE, SENT
from counterpoint.workers.wire import Checkout

UNUSED_DAYS = 7
Bring = Callable[[str], Awaitable[bytes | None]]
"""Gets a bundle by its name."""


class Checkouts:
    """All of a worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def clean_up(self) -> None:
        """Removes what runs of days ago have left. Blocking."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for run in self._folder.iterdir():
            if run.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
                shutil.rmtree(run, ignore_errors=True)

    def worktrees(self, run_id: str, attempt: str) -> Path:
        """Where worktrees of an agent's attempt are made. The last name is part of their branches'."""
        return self._folder / run_id / attempt / run_id

    async def unpacked(self, run_id: str, checkout: Checkout, bring: Bring) -> Repository:
        """The run's repository, with the commit in it. Raises HookError("WorkspaceError")."""
        folder = self._folder / run_id / "repository"
        async with self._unpacking[run_id]:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
            await asyncio.to_thread(os.utime, folder.parent)
            main = await Repository.init(folder)
            if not await main.succeeds("cat-file", "-e", f"{checkout.commit}^{{commit}}"):
                for name in checkout.bundles:
                    await self._unpack(main, name, bring)
        return main

    async def _unpack(self, main: Repository, name: str, bring: Bring) -> None:
        done = main.git_dir / f"counterpoint-{name}"
        if await asyncio.to_thread(done.exists):
            return
        bundle = await bring(name)
        if bundle is None:
            raise HookError("WorkspaceError", "The files that the run has sent are not there any more.")
        with tempfile.TemporaryDirectory(prefix="counterpoint-") as folder:
            path = Path(folder) / "bundle"
            await asyncio.to_thread(path.write_bytes, bundle)
            await main.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(path), f"+{SENT}/*:{SENT}/*")
        await asyncio.to_thread(done.touch)

    async def placed(self, task: AgentTask, checkout: Checkout, main: Repository) -> AgentTask:
        """The task as it is here: it starts from its commit, or looks at a tree of it. Raises HookError."""
        if task.isolated:
            folder = main.tree / checkout.inside
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            return msgspec.structs.replace(task, cwd=str(folder), base=checkout.commit)
        place = main.tree.parent / "trees" / checkout.commit
        async with locked(main):
            if not await asyncio.to_thread((place / ".git").exists):
                await main.run("worktree", "add", "--quiet", "--detach", str(place), checkout.commit)
        await asyncio.to_thread((place / checkout.inside).mkdir, parents=True, exist_ok=True)
        return msgspec.structs.replace(task, cwd=str(place / checkout.inside))

    async def packed(self, main: Repository, workspace: Workspace) -> bytes | None:
        """What an agent has made, as a bundle; None: nothing. Raises GitError."""
        if not workspace.path:
            return None
        has_all = await main.succeeds("merge-base", "--is-ancestor", workspace.commit, workspace.base)
        less = [] if has_all else [f"^{workspace.base}"]  # an empty bundle is none
        with tempfile.TemporaryDirectory(prefix="counterpoint-") as folder:
            path = Path(folder) / "bundle"
            async with locked(main):
                await main.run("update-ref", MADE, workspace.commit)
                await main.run("bundle", "create", "--quiet", str(path), MADE, *less)
            return await asyncio.to_thread(path.read_bytes)

    async def remove(self, main: Repository, run_id: str, attempt: str) -> None:
        """The worktrees of an attempt, and what is in them."""
        await asyncio.to_thread(shutil.rmtree, self.worktrees(run_id, attempt).parent, ignore_errors=True)
        with contextlib.suppress(GitError):
            async with locked(main):
                await main.run("worktree", "prune")
