"""`gc`: what is over for long goes, what can go on or is not merged stays."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program

MONTHS = 60 * 86400.0


@pytest.fixture
def repository(cpt: Program) -> Path:
    git(cpt.folder, "init", "-q")
    (cpt.folder / ".gitignore").write_text("/state\n/home\n*.js\n")
    (cpt.folder / "tea.txt").write_text("boil\n")
    git(cpt.folder, "add", "-A")
    git(cpt.folder, "commit", "-qm", "first")
    return cpt.folder


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def ran(cpt: Program, text: str = "return 1", *arguments: str, age_s: float = MONTHS) -> str:
    """A run that was made so long ago."""
    run_id = cpt.run(text, *arguments).json["run_id"]
    with sqlite3.connect(cpt.state / "runs" / run_id / "journal.db") as journal:
        journal.execute("UPDATE events SET at = at - ?", (age_s,))
    journal.close()
    return run_id


def runs(cpt: Program) -> set[str]:
    return {run["run_id"] for run in cpt("ps", "--all", "--json").json["runs"]}


def gone(document: Any) -> set[str]:
    return {run["run_id"] for run in document["runs"]}


def worktree(cpt: Program, repository: Path, run_id: str, name: str = "a1") -> Path:
    """A worktree of an agent that was left behind, as the program makes them."""
    place, branch = cpt.state / "worktrees" / run_id / name, f"counterpoint/{run_id}/{name}"
    place.parent.mkdir(parents=True, exist_ok=True)
    git(repository, "worktree", "add", "-q", "-b", branch, str(place), "HEAD")
    git(repository, "update-ref", f"refs/counterpoint/base/{branch}", "HEAD")
    return place


def test_runs_that_ended_long_ago_go_with_their_folders_and_a_dry_run_only_says_so(cpt: Program) -> None:
    old, young = ran(cpt), ran(cpt, age_s=0)
    said = cpt("gc", "--dry-run", "--json").json
    assert (said["dry_run"], gone(said)) == (True, {old})
    assert said["bytes"] > 0
    assert runs(cpt) == {old, young}
    ended = cpt("gc")
    assert f"removed {old}" in ended.out
    assert "1 runs, 0 worktrees" in ended.err
    assert runs(cpt) == {young}
    assert [path.name for path in (cpt.state / "runs").iterdir()] == [young]
    assert gone(cpt("gc", "--json").json) == set()


def test_the_newest_can_be_kept_and_the_age_be_chosen(cpt: Program) -> None:
    ran_ids = [ran(cpt, age_s=3 * 86400.0) for _ in range(3)]
    assert gone(cpt("gc", "--dry-run", "--json").json) == set()
    assert gone(cpt("gc", "--older-than", "2d", "--keep", "2", "--json").json) == {ran_ids[0]}
    assert runs(cpt) == set(ran_ids[1:])
    refused = cpt("gc", "--older-than", "1h")
    assert refused.code == 2
    assert "ceilings per day" in refused.err


def test_what_can_go_on_stays_however_old_it_is(cpt: Program) -> None:
    waiting = ran(cpt, "return await counterpoint.checkpoint('Go on?', { options: [true, false] })")
    interrupted = ran(cpt)
    with sqlite3.connect(cpt.state / "runs" / interrupted / "journal.db") as journal:
        journal.execute("DELETE FROM events WHERE type = 'run_ended'")
    journal.close()
    stopped = ran(cpt)
    statuses = {run["run_id"]: run["status"] for run in cpt("ps", "--all", "--json").json["runs"]}
    assert statuses == {waiting: "waiting", interrupted: "interrupted", stopped: "completed"}
    assert gone(cpt("gc", "--json").json) == {stopped}
    assert runs(cpt) == {waiting, interrupted}


def test_a_run_that_is_resumed_meanwhile_stays(cpt: Program) -> None:
    old = ran(cpt, "return await agent('x')")
    with sqlite3.connect(cpt.state / "index.db") as index:  # as a process on another machine that has just taken it
        index.execute("UPDATE leases SET released = 0, host = 'elsewhere', heartbeat_at = heartbeat_at + 3600")
    index.close()
    said = cpt("gc", "--json").json
    assert gone(said) == set()
    assert "is being executed by process" in said["kept"][0]["reason"]
    assert runs(cpt) == {old}


def test_worktrees_without_changes_go_with_their_branches(cpt: Program, repository: Path) -> None:
    old = ran(cpt)
    place = worktree(cpt, repository, old)
    said = cpt("gc", "--dry-run", "--json").json
    assert [row["path"] for row in said["worktrees"]] == [str(place)]
    assert place.is_dir()
    cpt("gc")
    assert not place.parent.exists()
    assert git(repository, "branch", "--list", "counterpoint/*") == ""
    assert runs(cpt) == set()


@pytest.mark.parametrize("change", ["a commit", "an edit", "a new file", "the repository is gone"])
def test_work_that_is_not_merged_is_never_deleted_nor_its_run(cpt: Program, repository: Path, change: str) -> None:
    old = ran(cpt)
    spare, place = worktree(cpt, repository, old, "a1"), worktree(cpt, repository, old, "a2")
    (place / ("new.txt" if change == "a new file" else "tea.txt")).write_text("wait\n")
    if change == "a commit":
        git(place, "commit", "-qam", "waits")
    if change == "the repository is gone":
        (repository / ".git").rename(repository / "git-elsewhere")
    said = cpt("gc", "--json").json
    assert gone(said) == set()
    assert [row["run_id"] for row in said["kept"]] == [old]
    assert "not merged" in said["kept"][0]["reason"]
    assert place.is_dir()
    assert spare.is_dir() is (change == "the repository is gone")
    assert runs(cpt) == {old}


def test_what_another_branch_has_is_merged_and_goes(cpt: Program, repository: Path) -> None:
    old = ran(cpt)
    place = worktree(cpt, repository, old)
    (place / "tea.txt").write_text("wait\n")
    git(place, "commit", "-qam", "waits")
    git(repository, "merge", "-q", f"counterpoint/{old}/a1")
    assert gone(cpt("gc", "--json").json) == {old}
    assert not place.exists()
    assert (repository / "tea.txt").read_text() == "wait\n"


def test_of_two_worktrees_that_hold_the_same_work_one_stays(cpt: Program, repository: Path) -> None:
    old = ran(cpt)
    first = worktree(cpt, repository, old, "a1")
    (first / "tea.txt").write_text("wait\n")
    git(first, "commit", "-qam", "waits")
    second, branch = first.with_name("a2"), f"counterpoint/{old}/a2"
    git(repository, "worktree", "add", "-q", "-b", branch, str(second), f"counterpoint/{old}/a1")
    git(repository, "update-ref", f"refs/counterpoint/base/{branch}", branch)
    said = cpt("gc", "--json").json
    assert [row["branch"] for row in said["worktrees"]] == [branch]
    assert git(repository, "show", f"counterpoint/{old}/a1:tea.txt") == "wait\n"
    assert runs(cpt) == {old}


def test_uncommitted_changes_from_which_an_agent_began_are_not_its_work(cpt: Program, repository: Path) -> None:
    old = ran(cpt)
    (repository / "tea.txt").write_text("not committed\n")
    made = git(repository, "stash", "create", "x").strip()
    tree = git(repository, "rev-parse", f"{made}^{{tree}}").strip()
    base = git(repository, "commit-tree", tree, "-p", "HEAD", "-m", "Uncommitted changes").strip()
    place, branch = cpt.state / "worktrees" / old / "a1", f"counterpoint/{old}/a1"
    place.parent.mkdir(parents=True)
    git(repository, "worktree", "add", "-q", "-b", branch, str(place), base)
    git(repository, "update-ref", f"refs/counterpoint/base/{branch}", base)
    assert gone(cpt("gc", "--json").json) == {old}
    assert (repository / "tea.txt").read_text() == "not committed\n"
