"""The files that agents on other machines work with, from the side of the run: sent as commits, and so they come back.

The first commit of a run goes as a bundle with its history; of later ones only goes what that does not have.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from counterpoint.agents.desk import Workshop
from counterpoint.agents.git import Repository
from counterpoint.agents.task import AgentTask
from counterpoint.agents.workspace import base_of, branch_for, locked, receive_worktree
from counterpoint.errors import HookError
from counterpoint.events import Workspace
from counterpoint.store.journal import Journal
from counterpoint.tools.policy import Access, Policy
from counterpoint.tools.registry import select
from counterpoint.workers.wire import Checkout

MOST_BYTES = 512 * 1024 * 1024
SENT = "refs/counterpoint/sent"
"""Under which commits are named in bundles that go to workers."""
MADE = "refs/counterpoint/made"
"""And what the agent made, in the bundle that comes back."""
CHANGES = {"Write": Access("Write", "write"), "Edit": Access("Edit", "write"), "Bash": Access("Bash", "command")}


@dataclass(frozen=True, slots=True)
class Shipment:
    """What was sent for an agent, and where what it makes goes."""

    checkout: Checkout
    main: Repository
    place: Path
    """Of its worktree, here."""
    branch: str


def needs_its_run(task: AgentTask, workshop: Workshop) -> bool:
    """Whether an agent with tools must be where its run is executed: for people, tools, or a tree that it shares."""
    policy = Policy.of(task.permissions)
    if task.permissions.ask or workshop.own or (workshop.hub is not None and workshop.hub.offers(policy, task.servers)):
        return True
    if task.isolated:
        return bool(task.worktree_copy or task.worktree_link)  # ignored files, which are in no commit
    if not any((folder / ".git").exists() for folder in [Path(task.cwd), *Path(task.cwd).parents]):
        return True
    names = {tool.spec.name for tool in select(task.tools, task.disallowed)}
    return any(name in names and policy.may(access) for name, access in CHANGES.items())


class Shipping:
    """Packs and unpacks for one run."""

    def __init__(self, worktrees: Path, journal: Journal) -> None:
        self._worktrees = worktrees
        self._journal = journal
        self._first: dict[Path, str] = {}
        """Repository → the first commit that was sent of it."""
        self._bundles: dict[str, str] = {}
        """Commit → the blob of its bundle."""
        self._packing = asyncio.Lock()

    async def pack(self, task: AgentTask) -> Shipment:
        """Raises HookError("WorkspaceError")."""
        main = await Repository.of(Path(task.cwd))
        async with locked(main):
            commit = await base_of(task, main)
        async with self._packing:
            bundles = await self._packed(main, commit)
        inside = await asyncio.to_thread(
            lambda: os.path.relpath(os.path.realpath(task.cwd), os.path.realpath(main.tree))
        )
        return await self.shipment(task, Checkout(commit, bundles, inside))

    async def shipment(self, task: AgentTask, checkout: Checkout) -> Shipment:
        """What was packed, perhaps by an earlier attempt."""
        main = await Repository.of(Path(task.cwd))
        place = self._worktrees / task.id
        return Shipment(checkout, main, place, await branch_for(main, place) if task.isolated else "")

    async def _packed(self, main: Repository, commit: str) -> list[str]:
        first = self._first.setdefault(main.common_dir, commit)
        if first not in self._bundles:
            self._bundles[first] = await self._bundle(main, first, "")
        if commit == first or await main.succeeds("merge-base", "--is-ancestor", commit, first):
            return [self._bundles[first]]
        if commit not in self._bundles:
            self._bundles[commit] = await self._bundle(main, commit, first)
        return [self._bundles[first], self._bundles[commit]]

    async def _bundle(self, main: Repository, commit: str, less: str) -> str:
        """The name of the blob."""
        ref = f"{SENT}/{commit}"
        with tempfile.TemporaryDirectory(prefix="counterpoint-") as folder:
            path = Path(folder) / "bundle"
            await main.run("update-ref", ref, commit)
            try:
                await main.run("bundle", "create", "--quiet", str(path), ref, *([f"^{less}"] if less else []))
            finally:
                await main.run("update-ref", "-d", ref)
            size = (await asyncio.to_thread(path.stat)).st_size
            if size > MOST_BYTES:
                raise HookError(
                    "WorkspaceError",
                    f"The repository {main.tree} takes {size // 2**20} MiB to send to a worker; {MOST_BYTES // 2**20} "
                    "are the most. A clone of less history would be smaller.",
                )
            value = self._journal.value(await asyncio.to_thread(path.read_bytes), apart=True)
        return value.blob or ""

    async def receive(self, shipment: Shipment, bundle: bytes | None) -> Workspace:
        """What the agent made, in a worktree here. None: it made nothing. Raises GitError."""
        base = shipment.checkout.commit
        if bundle is None:
            return Workspace(shipment.branch, base, base)
        with tempfile.TemporaryDirectory(prefix="counterpoint-") as folder:
            path = Path(folder) / "bundle"
            await asyncio.to_thread(path.write_bytes, bundle)
            return await receive_worktree(shipment.main, shipment.place, base, path, MADE)
