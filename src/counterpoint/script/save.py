"""Saved workflows are written: a copy of a script, or a new one to begin with."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

import platformdirs

from counterpoint.errors import UsageError
from counterpoint.script.find import project_root, saved_in

FOLDER = Path(".counterpoint", "workflows")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
STARTER = Path(__file__).parent / "starter.js"


def project_folder(cwd: Path) -> Path:
    """The nearest folder of saved workflows from `cwd` up to the repository's root, else that of the root."""
    root = project_root(cwd)
    for folder in [cwd, *cwd.parents]:
        if (folder / FOLDER).is_dir() or folder == root:
            return folder / FOLDER
    return cwd / FOLDER


def user_folder() -> Path:
    """Where workflows of the user are saved."""
    return Path(platformdirs.user_config_dir("counterpoint")) / "workflows"


def save(text: str, name: str, folder: Path, *, replace: bool = False) -> Path:
    """Writes a script under the name that it has, whole or not at all, and gives its path.

    Raises UsageError where something of this name is there (unless `replace`), or where a link leads elsewhere.
    """
    target = folder / f"{_file_name(name)}.js"
    for path in (folder.parent, folder, target):
        if path.is_symlink():
            raise UsageError(f"{path} is a link; nothing is saved through links.")
    taken = _holder(name, folder) or (target if target.exists() else None)
    if taken is not None and not replace:
        raise UsageError(
            f"{taken} is there already.", hint="Replace it with --force, or give your script another name."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(text, taken or target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.") from error
    return taken or target


def starter(name: str) -> str:
    """A script to begin with. Raises UsageError for a name that would be none."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a workflow.", hint="Use letters, digits, '-', '_' and '.'.")
    return STARTER.read_text(encoding="utf-8").replace("'starter'", f"'{name}'")


def _file_name(name: str) -> str:
    """A meta's name as a file's, which may hold anything."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "workflow"


def _holder(name: str, folder: Path) -> Path | None:
    """The file in the folder that has this name in its meta."""
    return next((saved.path for saved in saved_in(folder, "") if saved.name == name), None)


def _write(text: str, target: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(text)
        Path(temporary).chmod(0o644)
        os.replace(temporary, target)  # noqa: PTH105 - as one does
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
