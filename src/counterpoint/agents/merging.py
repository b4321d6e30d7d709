"""Branches of agents come into the working branch one at a time, each tried apart from the tree first.

Everything happens in a worktree of the merge's own. A branch that conflicts, or after which the check fails, is left
out and stays as it is; what goes in comes into the user's tree in the end, at once, and only if nobody changed that
tree meanwhile. A tree with uncommitted changes gets the merged changes uncommitted beside its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct, field

from counterpoint.agents.git import GitError, Repository
from counterpoint.agents.workspace import discard, locked, snapshot
from counterpoint.errors import HookError

Status = Literal["merged", "unchanged", "conflict", "check_failed", "missing"]
Check = Callable[[Path], Awaitable[tuple[bool, str]]]
"""Runs the check in a folder: whether it went well, and what it said."""
OUTPUT = 20_000


class Source(Struct, frozen=True):
    """A branch to bring in. `commit` is empty where the agent has none."""

    agent: str
    label: str
    branch: str = ""
    base: str = ""
    commit: str = ""
    path: str = ""
    files: list[str] = field(default_factory=list[str])


class Branch(Struct, omit_defaults=True):
    """What became of one branch."""

    agent: str
    label: str
    branch: str
    status: Status
    files: list[str] = field(default_factory=list[str])
    """What it changes; with a conflict, what conflicts."""
    message: str = ""
    output: str = ""
    """What the check said, where it failed: the end of it."""
    patch: str = ""
    """With a conflict: what the branch changes."""


class Report(Struct):
    """What a merge has done."""

    branches: list[Branch]
    merged: int
    kept: int
    """Branches that are not in, and still there."""
    head: str
    """The commit that has everything that went in."""
    committed: bool
    """The working branch is at `head`; else the changes are in the tree, uncommitted."""


class Merge(Protocol):
    """`merge`, or what acts in its place where nothing may be written."""

    async def __call__(
        self, folder: Path, sources: Sequence[Source], place: Path, check: Check | None, *, all_or_none: bool = False
    ) -> Report: ...


async def merge(
    folder: Path, sources: Sequence[Source], place: Path, check: Check | None, *, all_or_none: bool = False
) -> Report:
    """Brings the branches into the branch of `folder`. `place` is for the merge's own worktree.

    Raises HookError: "MergeError" where one conflicts and it was to be all or none.
    """
    main = await Repository.of(folder)
    head = await main.commit_of("HEAD")
    async with locked(main):
        start = await snapshot(main)
        await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
        await main.run("worktree", "add", "--quiet", "--detach", str(place), start)
    own = Repository(await asyncio.to_thread(_git_dir, place), main.common_dir, place)
    try:
        branches = [await _bring_in(own, source, check) for source in sources]
        final = await own.commit_of("HEAD")
    finally:
        async with locked(main):
            await main.run("worktree", "remove", "--force", "--force", str(place))
    conflict = next((branch for branch in branches if branch.status == "conflict"), None)
    if all_or_none and conflict is not None:
        files = ", ".join(conflict.files[:20])
        raise HookError("MergeError", f"{conflict.branch} conflicts in {files}; nothing was merged.")
    if final != start:
        async with locked(main):
            await _into_the_tree(main, start, final, clean=start == head)
    committed = start == head
    if committed:
        await _clean_up(main, sources, branches)
    merged = sum(branch.status == "merged" for branch in branches)
    kept = sum(branch.status in ("conflict", "check_failed") for branch in branches)
    return Report(branches, merged, kept, final, committed)


def _git_dir(place: Path) -> Path:
    """Of a worktree that we have made just now, and that nobody else has seen."""
    return Path(place.joinpath(".git").read_text(encoding="utf-8").removeprefix("gitdir:").strip())


async def _bring_in(own: Repository, source: Source, check: Check | None) -> Branch:
    made = Branch(source.agent, source.label, source.branch, "merged", source.files)
    if not source.commit:
        made.status, made.message = "missing", "It worked in no worktree, or has not ended."
    elif source.commit == source.base or await own.succeeds("merge-base", "--is-ancestor", source.commit, "HEAD"):
        made.status = "unchanged"
    else:
        await _try(own, source, made, check)
    return made


async def _try(own: Repository, source: Source, made: Branch, check: Check | None) -> None:
    before = await own.commit_of("HEAD")
    message = f"Merge {source.branch}: {source.label[:200]}"
    try:
        await own.run("merge", "--quiet", "--no-ff", "--no-verify", "-m", message, source.commit)
    except GitError as error:
        conflicts = await own.run("diff", "--name-only", "--diff-filter=U")
        made.status, made.files, made.message = (
            "conflict",
            conflicts.splitlines() or made.files,
            error.output.strip()[-2000:],
        )
        made.patch = (await own.run("diff", "--no-ext-diff", "--no-textconv", source.base, source.commit))[:100_000]
        await _back_to(own, before)
        return
    if check is None:
        return
    well, output = await check(own.tree)
    if not well:
        made.status, made.message, made.output = "check_failed", "The check failed after it.", output[-OUTPUT:]
        await _back_to(own, before)


async def _back_to(own: Repository, commit: str) -> None:
    await own.run("reset", "--quiet", "--hard", commit)
    await own.run("clean", "--quiet", "--force", "-d")


async def _into_the_tree(main: Repository, start: str, final: str, *, clean: bool) -> None:
    """Raises HookError("MergeError") where somebody has changed the tree since the merge began."""
    if (await main.run("rev-parse", f"{await snapshot(main)}^{{tree}}")) != await main.run(
        "rev-parse", f"{start}^{{tree}}"
    ):
        await main.run("branch", "--force", "counterpoint/merged", final)
        raise HookError(
            "MergeError",
            f"{main.tree} was changed while branches were merged; nothing was brought in. The merged state is the "
            "branch counterpoint/merged.",
        )
    if clean:
        await main.run("merge", "--quiet", "--ff-only", "--no-verify", final)
        return
    patch = await main.run("diff", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv", start, final)
    await asyncio.to_thread(_write_patch, main.git_dir / "counterpoint.patch", patch)
    try:
        await main.run("apply", "--whitespace=nowarn", str(main.git_dir / "counterpoint.patch"))
    finally:
        await asyncio.to_thread((main.git_dir / "counterpoint.patch").unlink)


def _write_patch(path: Path, patch: str) -> None:
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
        file.write(patch.encode("utf-8", "surrogateescape"))
    Path(file.name).replace(path)


async def _clean_up(main: Repository, sources: Sequence[Source], branches: list[Branch]) -> None:
    """Worktrees of what is in go, with their branches."""
    for source, made in zip(sources, branches, strict=True):
        if made.status == "merged" and source.path:
            async with locked(main):
                with contextlib.suppress(HookError):  # somebody works in it, or has removed it: it is no loss
                    await discard(main, Path(source.path), source.branch)
