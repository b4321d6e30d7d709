"""Where saved workflows are: the project's folders, nearest first, then the user's, then those that come with us."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from counterpoint.errors import ScriptRefused, UsageError, WorkflowNotFoundError, nearest
from counterpoint.script.parse import Script, examine, parse, read, trust

PROJECT_FOLDERS = (".counterpoint/workflows", ".claude/workflows", ".agents/workflows")
SUFFIXES = (".js", ".mjs")
BUNDLED = Path(__file__).parent.parent / "workflows"


@dataclass(slots=True)
class Saved:
    """A saved workflow. `error` says why it could not be run."""

    name: str
    path: Path
    origin: str
    """project, user or bundled."""
    description: str = ""
    shadows: list[Path] = field(default_factory=list[Path])
    error: str | None = None
    outside: bool = False
    """It is a link that leads out of its folder, and is not read."""


def listing(cwd: Path, *, environ: Mapping[str, str] | None = None, home: Path | None = None) -> list[Saved]:
    """Every saved workflow that `cwd` sees, by name; a nearer one shadows a farther one."""
    found: dict[str, Saved] = {}
    looked: set[Path] = set()
    for origin, folder in folders(cwd, environ=environ, home=home):
        if folder.resolve() in looked:
            continue
        looked.add(folder.resolve())
        for saved in saved_in(folder, origin):
            if saved.name in found:
                found[saved.name].shadows.append(saved.path)
            else:
                found[saved.name] = saved
    return sorted(found.values(), key=lambda saved: saved.name)


def saved_in(folder: Path, origin: str) -> list[Saved]:
    """The workflows of one folder, by file name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and not path.is_dir())
    return [_look(path, origin, folder) for path in paths]


def folders(
    cwd: Path, *, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> Iterator[tuple[str, Path]]:
    """Origin and path of each folder that is looked at, the nearest first."""
    environ = os.environ if environ is None else environ
    home = home or Path.home()
    for folder in _upward(cwd):
        for name in PROJECT_FOLDERS:
            yield "project", folder / name
    yield "user", Path(platformdirs.user_config_dir("counterpoint")) / "workflows"
    claude = environ.get("CLAUDE_CONFIG_DIR")
    if claude:
        yield "user", Path(claude).expanduser() / "workflows"
    yield "user", home / ".claude" / "workflows"
    yield "bundled", BUNDLED


def find(name: str, cwd: Path, *, names_only: bool = False) -> Path:
    """The file of a workflow that is named by its name or, unless `names_only`, by its path.

    A name is that of its meta, else that of its file; ``plugin:name`` is `name` where nothing has the whole name.
    Raises WorkflowNotFoundError with the known names, UsageError for one that may not be read.
    """
    if not names_only and _is_path(name, cwd):
        return cwd / name
    known = listing(cwd)
    saved = _named(known, name) or _named(known, name.rpartition(":")[2])
    if saved is not None:
        if saved.outside:
            raise UsageError(saved.error or "")
        return saved.path
    if not names_only and (cwd / name).exists():
        return cwd / name
    names = [saved.name for saved in known]
    raise WorkflowNotFoundError(
        f"There is no workflow {name!r}{nearest(name, names)}",
        hint=f"Known: {', '.join(names)}. Or give a path to a .js file.",
    )


def load(path: Path, *, shown: str | None = None) -> Script:
    """Reads a script whose syntax the engine judges when it runs it. Raises UsageError or ScriptRefused."""
    return parse(read(path), shown or shown_path(path), ask=trust)


def shown_path(path: Path) -> str:
    """A script's path as users know it."""
    return f"bundled:{path.stem}" if path.parent == BUNDLED else str(path)


def project_root(cwd: Path) -> Path:
    """The root of the repository that `cwd` is in, else `cwd`."""
    return list(_upward(cwd))[-1]


def _named(known: list[Saved], name: str) -> Saved | None:
    by_name = (saved for saved in known if saved.name == name)
    by_file = (saved for saved in known if saved.path.stem == name)
    return next(by_name, None) or next(by_file, None)


def _is_path(name: str, cwd: Path) -> bool:
    return name.endswith(SUFFIXES) or os.sep in name or "/" in name or (cwd / name).is_file()


def _upward(cwd: Path) -> Iterator[Path]:
    """`cwd` and its parents up to the repository's root; outside of a repository `cwd` alone."""
    folders = [cwd, *cwd.parents]
    root = next((n for n, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    yield from folders[: root + 1]


def _look(path: Path, origin: str, folder: Path) -> Saved:
    saved = Saved(path.stem, path, origin)
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        saved.outside = True
        saved.error = f"{path} is a link out of its folder; it is not followed."
        return saved
    try:
        examination = examine(read(path), ask=trust)
    except (UsageError, ScriptRefused) as error:
        saved.error = error.message
        return saved
    if examination.meta is not None:
        saved.name, saved.description = examination.meta.name, examination.meta.description
    if examination.findings:
        first = examination.findings[0]
        saved.error = f"{path}:{first.line}:{first.column}: {first.message}"
    return saved
