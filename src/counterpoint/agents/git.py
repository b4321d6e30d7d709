"""Git, called so that nothing in a repository can run or ask anything: no hooks, no monitors, no pager, no prompts.

Where an agent may have written the working tree, the repository is named (`Repository.at`) and not looked for: a
``.git`` that somebody planted is not used.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import HookError

SECONDS = 300.0
_QUIET = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.pager=cat", "commit.gpgSign=false", "tag.gpgSign=false",
    "gc.auto=0", "maintenance.auto=false", "submodule.recurse=false", "diff.external=", "diff.ignoreSubmodules=all",
    "core.quotePath=false", "advice.detachedHead=false", "protocol.ext.allow=never", "merge.conflictStyle=merge",
    "rerere.enabled=false", "core.untrackedCache=false",
)  # fmt: skip
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Counterpoint", "GIT_AUTHOR_EMAIL": "counterpoint@localhost",
    "GIT_COMMITTER_NAME": "Counterpoint", "GIT_COMMITTER_EMAIL": "counterpoint@localhost",
}  # fmt: skip


class GitError(HookError):
    """A git command failed. In the script it is a WorkspaceError."""

    def __init__(self, what: str, output: str) -> None:
        super().__init__("WorkspaceError", f"{what}: {output.strip()[-2000:] or 'git gave no reason'}")
        self.output = output


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, and a working tree of it."""

    git_dir: Path
    common_dir: Path
    """Where branches and objects are; the same as `git_dir` but for added worktrees."""
    tree: Path

    @classmethod
    async def of(cls, folder: Path) -> Repository:
        """The repository that a folder lies in. Raises HookError("WorkspaceError") where it lies in none."""
        names = ("--absolute-git-dir", "--git-common-dir", "--show-toplevel")
        try:
            answer = await _git(["rev-parse", "--path-format=absolute", *names], folder, {})
        except GitError as error:
            message = f"isolation 'worktree' needs a git repository, and {folder} is in none: {error.output.strip()}"
            raise HookError("WorkspaceError", message) from None
        git_dir, common, tree = (Path(line) for line in answer.splitlines())
        return cls(git_dir, common, tree)

    @classmethod
    async def init(cls, folder: Path) -> Repository:
        """A new one; nothing happens where there is one. Raises GitError."""
        await _git(["init", "--quiet"], folder, {})
        return await cls.of(folder)

    async def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """What the command prints. Raises GitError."""
        where = {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.tree), "GIT_COMMON_DIR": str(self.common_dir)}
        return await _git(list(arguments), self.tree, {**where, **(environ or {})})

    async def succeeds(self, *arguments: str) -> bool:
        try:
            await self.run(*arguments)
        except GitError:
            return False
        return True

    async def commit_of(self, name: str) -> str:
        return (await self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")).strip()


async def _git(arguments: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    options = [part for setting in _QUIET for part in ("-c", setting)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = await asyncio.create_subprocess_exec(
            "git", *options, *arguments,
            cwd=folder,
            env={**own, **_IDENTITY, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **environ},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle
        )  # fmt: skip
    except OSError as error:
        raise GitError("git could not be started", str(error)) from error
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise GitError(f"git {arguments[0]}", f"it took longer than {SECONDS:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # what is left in the pipes, so that they close
    if process.returncode != 0:
        raise GitError(f"git {arguments[0]} failed", (err + out).decode("utf-8", "replace"))
    return out.decode("utf-8", "surrogateescape")
