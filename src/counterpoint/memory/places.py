"""Where memories lie: a project's beside its settings, the user's beside the runs, other programs' in their folders.

A project is its repository, so all worktrees of one share a memory, and it moves with its folder. Blocking.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from counterpoint.errors import MemoryStoreError, UnknownMemoryError
from counterpoint.memory import files
from counterpoint.memory.recall import Owner, Recall, Source
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.utility import utilities
from counterpoint.memory.versions import Use

MEMORY = Path(".counterpoint/memory")
"""In a project."""
FOREIGN_LINES = 200
FOREIGN_BYTES = 25_000
"""What is read of the index of another program: as much as that program itself reads."""


def project_root(cwd: Path) -> Path:
    """The folder of the project that `cwd` lies in: its repository's main checkout; without one, `cwd` itself, or the
    nearest folder above that has a memory already."""
    cwd = cwd.resolve()
    for folder in (cwd, *cwd.parents):
        if (folder / ".git").is_dir():
            return folder
        if (folder / ".git").is_file():
            return _main_checkout(folder)
    home = Path.home().resolve()
    above = (folder for folder in (cwd, *cwd.parents) if folder != home and folder.parent != folder)
    return next((folder for folder in above if (folder / MEMORY / "HEAD").is_file()), cwd)


def _main_checkout(worktree: Path) -> Path:
    """The main checkout of a worktree, if that knows the worktree as its own; else the folder itself."""
    try:
        named = re.fullmatch(r"gitdir: (.+)", (worktree / ".git").read_text(encoding="utf-8").strip())
        admin = (worktree / named[1]).resolve() if named else worktree
        if admin.parent.name != "worktrees" or admin.parent.parent.name != ".git":
            return worktree
        back = Path((admin / "gitdir").read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return worktree
    return admin.parent.parent.parent if back.resolve() == (worktree / ".git").resolve() else worktree


def project_store(cwd: Path) -> MemoryStore:
    """The memory of the project that a folder lies in. Raises MemoryStoreError where a link leads out of the project:
    another project's notes are not for this one."""
    root = project_root(cwd)
    folder = root / MEMORY
    if not folder.resolve().is_relative_to(root.resolve()):
        raise MemoryStoreError(f"{folder} leads out of the project, to {folder.resolve()}.", hint="Remove the link.")
    return MemoryStore(folder)


def memory_folders(cwd: Path) -> tuple[Path, ...]:
    """Where notes lie that agents in `cwd` are told of, and do not read as files: those of the project, and a copy in a
    worktree. Where a link leads out of the project there is no memory. Blocking."""
    found = [(root, root / MEMORY) for root in (project_root(cwd), cwd)]
    return tuple(dict.fromkeys(path for root, path in found if path.resolve().is_relative_to(root.resolve())))


def user_store(state: Path) -> MemoryStore:
    """The user's own memory, for all projects."""
    return MemoryStore(state / "memory")


def foreign_folder(root: Path, home: Path | None = None) -> Path:
    """Where Claude Code keeps what it remembers of a project."""
    own = Path(os.environ.get("CLAUDE_CONFIG_DIR") or (home or Path.home()) / ".claude")
    return own / "projects" / re.sub(r"[^A-Za-z0-9]", "-", str(root)) / "memory"


def open_recall(
    cwd: Path,
    state: Path,
    *,
    workflow: str,
    tokens: int,
    at: float,
    pinned: dict[str, str] | None = None,
    home: Path | None = None,
) -> tuple[Recall, list[str]]:
    """What a run in `cwd` remembers, and what is wrong with it, as sentences.

    `at` is when the run began; `pinned` are the versions by owner that it began with, None: it begins now. A memory
    that cannot be read is one that says nothing: the run goes on without it, and is told.
    """
    sources: list[Source] = []
    wrong: list[str] = []
    known: list[Use] = []
    root = project_root(cwd)
    stores: list[tuple[Owner, Callable[[], MemoryStore]]] = [
        ("user", lambda: user_store(state)), ("project", lambda: project_store(root)),
    ]  # fmt: skip
    for owner, opened in stores:
        try:
            store = opened()
            version = store.head() if pinned is None else pinned.get(owner)
            if version is not None:
                sources.append(Source(owner, str(store.folder), version, store.entries(version)))
                known += store.uses()
        except (MemoryStoreError, UnknownMemoryError) as error:
            wrong.append(f"memory: {error.message}")
    foreign = _foreign(foreign_folder(root, home)) if pinned is None or "foreign" in pinned else None
    if foreign is not None:
        sources.append(foreign)
    return Recall(sources, tokens=tokens, known=utilities(known), workflow=workflow, at=at), wrong


def _foreign(folder: Path) -> Source | None:
    """The index that another program keeps; None: there is none, or it is no file to be read."""
    try:
        data = files.read(folder / "MEMORY.md")
    except MemoryStoreError:
        return None
    if not data:
        return None
    lines = data[:FOREIGN_BYTES].decode("utf-8", "replace").splitlines()[:FOREIGN_LINES]
    return Source("user", str(folder), hashlib.sha256(data).hexdigest(), text="\n".join(lines))
