"""Worktrees of agents: their own folder and branch, from the tree as it is, and no work is lost."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from counterpoint.agents.task import AgentTask
from counterpoint.agents.workspace import close_worktree, open_worktree
from counterpoint.errors import HookError


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "sub").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("a\n")
    (root / "sub/b.txt").write_text("b\n")
    (root / ".gitignore").write_text(".env\nnode_modules\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def task(folder: Path, id: str = "a1", **more: object) -> AgentTask:
    return AgentTask(id=id, prompt="p", label=f"task {id}", cwd=str(folder), isolated=True, **more)  # pyright: ignore[reportArgumentType]  (test options by name)


async def test_what_an_agent_changes_is_committed_on_its_branch_and_the_tree_is_untouched(repository: Path) -> None:
    place = repository.parent / "trees/run1/a1"
    worktree = await open_worktree(task(repository), place)
    (worktree.folder / "a.txt").write_text("changed\n")
    (worktree.folder / "new.txt").write_text("1\n2\n")
    (worktree.folder / "sub/b.txt").unlink()
    made = await close_worktree(worktree, "do it")
    assert (made.files, made.insertions, made.deletions) == (["a.txt", "new.txt", "sub/b.txt"], 3, 2)
    assert made.branch == "counterpoint/run1/a1"
    assert git(repository, "log", "--format=%s", made.branch) == "do it\nfirst"
    assert "+changed" in made.patch
    assert Path(made.path) == place
    assert git(repository, "status", "--porcelain") == ""
    assert (repository / "a.txt").read_text() == "a\n"


async def test_without_changes_worktree_and_branch_go(repository: Path) -> None:
    place = repository.parent / "trees/run1/a1"
    worktree = await open_worktree(task(repository), place)
    (worktree.folder / ".env").write_text("ignored")
    made = await close_worktree(worktree, "")
    assert made.commit == made.base
    assert not place.exists()
    assert git(repository, "branch", "--format=%(refname:short)") == "main"
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "for-each-ref", "refs/counterpoint") == ""


async def test_it_starts_from_the_tree_as_it_is_uncommitted_changes_included(repository: Path) -> None:
    (repository / "a.txt").write_text("staged\n")
    git(repository, "add", "a.txt")
    (repository / "a.txt").write_text("edited\n")
    (repository / "untracked.txt").write_text("u\n")
    status = git(repository, "status", "--porcelain")
    worktree = await open_worktree(task(repository), repository.parent / "trees/r/a1")
    assert (worktree.folder / "a.txt").read_text() == "edited\n"
    assert (worktree.folder / "untracked.txt").exists()
    plain = await open_worktree(task(repository, "a2", uncommitted=False), repository.parent / "trees/r/a2")
    assert (plain.folder / "a.txt").read_text() == "a\n"
    assert git(repository, "status", "--porcelain") == status
    assert git(repository, "diff", "--cached", "--stat").strip().endswith("1 deletion(-)")


async def test_a_later_agent_starts_where_an_earlier_one_ended(repository: Path) -> None:
    first = await open_worktree(task(repository), repository.parent / "trees/r/a1")
    (first.folder / "made.txt").write_text("x")
    made = await close_worktree(first, "first")
    second = await open_worktree(task(repository, "a2", base=made.commit), repository.parent / "trees/r/a2")
    assert (second.folder / "made.txt").read_text() == "x"
    again = await close_worktree(second, "second")
    assert again.commit == made.commit


async def test_it_works_in_the_same_place_of_the_tree(repository: Path) -> None:
    worktree = await open_worktree(task(repository / "sub"), repository.parent / "trees/r/a1")
    assert (worktree.folder / "b.txt").exists()
    assert worktree.folder.name == "sub"


async def test_fifty_at_once_are_fifty_branches(repository: Path) -> None:
    async def work(n: int) -> str:
        worktree = await open_worktree(task(repository, f"a{n}"), repository.parent / f"trees/r/a{n}")
        (worktree.folder / "a.txt").write_text(f"by {n}\n")
        return (await close_worktree(worktree, f"agent {n}")).branch

    branches = await asyncio.gather(*(work(n) for n in range(50)))
    assert len(set(branches)) == 50
    for n, branch in enumerate(branches):
        assert git(repository, "show", f"{branch}:a.txt") == f"by {n}"


async def test_one_that_was_cut_off_is_taken_up_with_what_is_in_it(repository: Path) -> None:
    place = repository.parent / "trees/r/a1"
    first = await open_worktree(task(repository), place)
    (first.folder / "half.txt").write_text("half")
    again = await open_worktree(task(repository), place)
    assert (again.folder / "half.txt").read_text() == "half"
    assert (again.branch, again.base, again.fresh) == (first.branch, first.base, False)


async def test_a_branch_that_is_there_is_never_taken_or_moved(repository: Path) -> None:
    git(repository, "branch", "counterpoint/r/a1")
    worktree = await open_worktree(task(repository), repository.parent / "trees/r/a1")
    assert worktree.branch == "counterpoint/r/a1-2"


async def test_what_an_agent_does_to_its_git_file_or_branch_leads_nowhere(repository: Path) -> None:
    worktree = await open_worktree(task(repository), repository.parent / "trees/r/a1")
    evil = repository.parent / "evil"
    git(repository.parent, "init", "-q", str(evil))
    mark = repository.parent / "ran"
    git(evil, "config", "core.fsmonitor", f"touch {mark}; false")
    (worktree.folder / ".git").write_text(f"gitdir: {evil}/.git\n")
    (worktree.folder / "x").write_text("x")
    nested = worktree.folder / "nested"
    git(worktree.folder.parent, "init", "-q", str(nested))
    git(nested, "config", "core.fsmonitor", f"touch {mark}; false")
    hooks = repository / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "post-checkout", "post-commit", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    made = await close_worktree(worktree, "x")
    assert "x" in made.files
    assert not mark.exists()


async def test_ignored_files_are_copied_or_linked(repository: Path) -> None:
    (repository / ".env").write_text("e")
    (repository / "node_modules").mkdir()
    given = task(repository, worktree_copy=[".env", "../x", "missing"], worktree_link=["node_modules"])
    worktree = await open_worktree(given, repository.parent / "trees/r/a1")
    assert (worktree.folder / ".env").read_text() == "e"
    assert (worktree.folder / "node_modules").is_symlink()
    assert (await close_worktree(worktree, "")).files == []


async def test_nothing_is_copied_or_linked_from_outside_or_to_outside_by_a_link(repository: Path) -> None:
    outside = repository.parent / "outside"
    outside.mkdir()
    (outside / "id_rsa").write_text("hush")
    (repository / ".gitignore").write_text("/.env\n/key\n/folder\n/cache\n")
    (repository / "way").symlink_to(outside)  # goes into the worktree, as every link that git knows
    (repository / ".env").symlink_to(outside / "id_rsa")
    (repository / "folder").symlink_to(outside)
    (repository / "key").write_text("k")
    (repository / "cache").mkdir()
    (repository / "cache/link").symlink_to(outside / "id_rsa")
    given = task(
        repository, worktree_copy=[".env", "folder/id_rsa", "way/new", "key", "cache", str(outside)],
        worktree_link=["folder"],
    )  # fmt: skip
    worktree = await open_worktree(given, repository.parent / "trees/r/a1")
    assert not {".env", "folder"} & {path.name for path in worktree.folder.iterdir()}
    assert (worktree.folder / "key").read_text() == "k"
    assert (worktree.folder / "cache/link").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["id_rsa"]


async def test_without_git_it_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(HookError, match="needs a git repository") as refused:
        await open_worktree(task(tmp_path), tmp_path / "trees/a1")
    assert refused.value.name == "WorkspaceError"


async def test_a_repository_without_a_commit_is_an_error(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "x")
    with pytest.raises(HookError) as refused:
        await open_worktree(task(tmp_path / "x"), tmp_path / "trees/a1")
    assert refused.value.name == "WorkspaceError"
