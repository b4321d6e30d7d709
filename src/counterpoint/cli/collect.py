"""``gc``: old runs that are over, and worktrees in which nothing would be lost. Nothing else is ever deleted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from counterpoint.agents.git import Repository
from counterpoint.agents.workspace import discard, locked, spare_branch
from counterpoint.cli.arguments import Duration
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.client import Summary
from counterpoint.errors import HookError, MemoryStoreError, RunIsLiveError, StoreError, UsageError
from counterpoint.events import RunStatus
from counterpoint.memory.places import project_store, user_store
from counterpoint.text import duration, one_line

OVER = (
    RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.BUDGET_EXCEEDED, RunStatus.STOPPED,
    RunStatus.REJECTED,
)  # fmt: skip
"""Only these go: whatever waits, is paused or was interrupted is to go on one day."""
LEAST_S = 86400.0
"""Ceilings per day count what the runs of the last day have spent."""


@dataclass(slots=True)
class Haul:
    """What goes, or would go, and what stays although it is old."""

    runs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    worktrees: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    kept: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def freed(self) -> int:
        return sum(row["bytes"] for row in (*self.runs, *self.worktrees))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--older-than", type=Duration(), default="30d", show_default=True, metavar="30d", help="Ended so long ago."
)
@click.option("--keep", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest N that are over.")
@common
@asynchronous
async def gc(dry_run: bool, older_than: float, keep: int, output: Output, state: Path | None) -> int:
    """Delete runs that ended long ago, and worktrees in which nothing would be lost.

    Runs that go on, wait, are paused or were interrupted stay, and so do those that prove a note in force, and work
    that is not merged.
    """
    if older_than < LEAST_S:
        raise UsageError(
            "Runs of the last day stay: ceilings per day count what they spent.", hint="--older-than takes 1d and more."
        )
    haul = Haul()
    async with session(state) as here:
        runs = await here.client.runs()
        proofs = await asyncio.to_thread(_proofs, here.settings.state, {run.cwd for run in runs if run.cwd})
        over = [run for run in runs if run.status in OVER]
        for number, run in enumerate(over):
            if run.run_id in proofs:
                haul.kept.append({"run_id": run.run_id, "reason": f"it proves the note {proofs[run.run_id]}"})
            else:
                await _collect(here, run, time.time() - older_than, number < keep, haul, dry_run=dry_run)
    _tell(haul, output, dry_run=dry_run)
    return 0


def _proofs(state: Path, folders: set[str]) -> dict[str, str]:
    """Runs that notes in force quote, each with one of these notes. A memory that is damaged proves nothing here."""
    found: dict[str, str] = {}
    for memory in [user_store(state), *(project_store(Path(folder)) for folder in folders if Path(folder).is_dir())]:
        with contextlib.suppress(MemoryStoreError):
            for entry in memory.entries(memory.head()).values():
                if entry.active:
                    found |= {anchor.run_id: entry.id for anchor in (*entry.evidence, *entry.counter_evidence)}
    return found


async def _collect(here: Session, run: Summary, before: float, stays: bool, haul: Haul, *, dry_run: bool) -> None:
    """One run that is over; it is held meanwhile, so that nobody resumes it."""
    try:
        if not await _is_old(here, run, before):
            return
        async with contextlib.nullcontext() if dry_run else here.store.held(run.run_id):
            if await _is_old(here, run, before):  # it may have gone on until we held it
                await _collect_held(here, run, stays, haul, dry_run=dry_run)
    except (RunIsLiveError, StoreError, HookError) as error:
        haul.kept.append({"run_id": run.run_id, "reason": str(error)})


async def _is_old(here: Session, run: Summary, before: float) -> bool:
    end = await asyncio.to_thread(here.store.reader(run.run_id).end)
    return end is not None and end[0] in OVER and end[1] < before


async def _collect_held(here: Session, run: Summary, stays: bool, haul: Haul, *, dry_run: bool) -> None:
    place = here.store.folder / "worktrees" / run.run_id
    needed = await _clear_worktrees(run, place, haul, dry_run=dry_run)
    if needed:
        names = ", ".join(path.name for path in needed[:5])
        haul.kept.append({"run_id": run.run_id, "reason": f"work that is not merged, in {place}: {names}"})
    elif not stays:
        folder = here.store.run_folder(run.run_id)
        size = await asyncio.to_thread(_size, folder)
        if not dry_run:
            await here.store.remove(run.run_id)
        haul.runs.append({"run_id": run.run_id, "name": run.name, "status": run.status.value,
                          "created_at": run.created_at, "bytes": size})  # fmt: skip


async def _clear_worktrees(run: Summary, place: Path, haul: Haul, *, dry_run: bool) -> list[Path]:
    """Removes the run's worktrees in which nothing would be lost, and gives the others."""
    worktrees = await asyncio.to_thread(_folders, place)
    if not worktrees:
        return []
    try:
        main = await Repository.of(Path(run.cwd))
    except HookError:  # the repository is gone: what the worktrees hold may be all that is left of it
        return worktrees
    needed: list[Path] = []
    async with locked(main):
        for worktree in worktrees:
            branch = await spare_branch(main, worktree)
            if branch is None:
                needed.append(worktree)
                continue
            size = await asyncio.to_thread(_size, worktree)
            if not dry_run:
                await discard(main, worktree, branch)
            haul.worktrees.append({"run_id": run.run_id, "path": str(worktree), "branch": branch, "bytes": size})
    if not dry_run and not needed:
        await asyncio.to_thread(place.rmdir)
    return needed


def _folders(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.is_dir() else []


def _size(folder: Path) -> int:
    """Bytes of the files below a folder; links count for themselves."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(path, name).lstat().st_size
    return total


def _tell(haul: Haul, output: Output, *, dry_run: bool) -> None:
    if output.json:
        output.document({"dry_run": dry_run, "bytes": haul.freed, "runs": haul.runs, "worktrees": haul.worktrees,
                         "kept": haul.kept})  # fmt: skip
        return
    verb = "would remove" if dry_run else "removed"
    for row in haul.runs:
        age = duration(max(0.0, time.time() - row["created_at"]))
        click.echo(f"{verb} {row['run_id']}  {row['status']:15}  {age:>7} ago  {one_line(row['name'], 40)}")
    for row in haul.worktrees:
        click.echo(f"{verb} worktree {row['path']}")
    for row in haul.kept:
        output.say(f"kept {row['run_id']}: {one_line(row['reason'], 300)}")
    freed = f"{haul.freed / 1e6:,.1f} MB"
    output.say(
        f"{'would free' if dry_run else 'freed'} {freed}: {len(haul.runs)} runs, {len(haul.worktrees)} worktrees"
    )
