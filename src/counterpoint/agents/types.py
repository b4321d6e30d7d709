"""Agent types: instructions, tools and a model under a name. Some are built in, others stand in Markdown files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import platformdirs

from counterpoint.agents.frontmatter import FrontMatterError, Values, split
from counterpoint.errors import HookError, nearest
from counterpoint.memory.recall import Wants
from counterpoint.models.messages import Effort
from counterpoint.text import at_commas

READ_ONLY = ("Read", "Grep", "Glob", "LS")
MAX_FILE_BYTES = 256 * 1024
HONOURED = frozenset({
    "name", "description", "tools", "disallowedtools", "model", "maxturns", "effort", "color", "skills", "mcpservers",
    "isolation", "permissionmode", "omitclaudemd", "background", "memory", "pool",
})  # fmt: skip
"""Keys that have an effect, or need none: every agent runs beside the script."""
SPELLED = {"permissionmode": "permissionMode", "initialprompt": "initialPrompt", "mcpservers": "mcpServers"}
"""Keys as people know them, where that is not in small letters."""
_SERVER = re.compile(r"[\w.-]+")
_POOL = re.compile(r"[\w.-]{1,64}")
FOLDERS = (Path(".counterpoint/agents"), Path(".claude/agents"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentType:
    """What `agentType` names. Fields that are None leave the matter to the call and the settings."""

    name: str
    description: str
    system: str = ""
    tools: list[str] | None = None
    disallowed: list[str] | None = None
    model: str | None = None
    effort: Effort | None = None
    max_turns: int | None = None
    instructed: bool = True
    """Its agents get AGENTS.md and CLAUDE.md."""
    skills: tuple[str, ...] = ()
    """Skills that its agents know from the start."""
    servers: list[str] | None = None
    """MCP servers whose tools its agents may have; None: all."""
    memory: Wants | None = None
    """Whose notes about this type its agents get; None: all."""
    isolated: bool = False
    """Its agents work in worktrees."""
    read_only: bool = False
    """Its agents can change nothing, whatever tools and rules they have."""
    pool: str = ""
    """The workers that its agents need, where they are carried out on a cluster; empty: the run's."""
    source: str = "built-in"
    unsupported: tuple[str, ...] = ()
    """Keys of its file that have no effect here."""


BUILT_IN = {
    kind.name: kind
    for kind in (
        AgentType(name="general-purpose", description="Any task, with all tools."),
        AgentType(
            name="explore",
            description="Finds its way through files and reports; changes nothing.",
            system=(
                "You explore files to answer a question; you change nothing. Search broadly first (Glob, Grep), then "
                "read what matters. Report what you found with paths and line numbers, and say where you did not look."
            ),
            tools=list(READ_ONLY),
            read_only=True,
            instructed=False,
        ),
        AgentType(
            name="plan",
            description="Designs how to carry something out; changes nothing.",
            system=(
                "You plan; you change nothing. Read the code that the work touches before you decide. Give the steps "
                "in order, the files each one touches, what could go wrong, and how to tell that it worked."
            ),
            tools=list(READ_ONLY),
            read_only=True,
            instructed=False,
        ),
        AgentType(
            name="reviewer",
            description="Looks for what is wrong, and tries to refute; changes nothing.",
            system=(
                "You review as an adversary; you change nothing. Assume that the work or claim is wrong and look for "
                "the proof in the files themselves. Report only what you can show, with path and line and how it "
                "fails; rank by damage. If you find nothing, say so: do not fill up."
            ),
            tools=list(READ_ONLY),
            read_only=True,
        ),
    )
}
ALIASES = {"code-reviewer": "reviewer", "general": "general-purpose", "workflow-subagent": "general-purpose"}


def resolve(name: str, known: Mapping[str, AgentType]) -> AgentType:
    """The type of that name, upper and lower case being the same; `known` comes before the built-in ones.

    Raises HookError("UnknownAgentTypeError"), which lists what there is.
    """
    wanted = name.strip().lower()
    types = {**BUILT_IN, **{key.lower(): kind for key, kind in known.items()}}
    found = types.get(wanted) or types.get(ALIASES.get(wanted, ""))
    if found is None:
        names = sorted(kind.name for kind in types.values())
        message = f"There is no agent type {name!r}{nearest(name, names)} Known are {', '.join(names)}."
        raise HookError("UnknownAgentTypeError", message, known=names)
    return found


def load_types(cwd: Path, home: Path | None = None) -> tuple[dict[str, AgentType], list[str]]:
    """The types that files define, by name, the nearest definition winning; and what is wrong with files, as sentences.

    Files are looked for in `cwd` and the folders above it up to the repository's root, then in the user's own folders.
    """
    known: dict[str, AgentType] = {}
    wrong: list[str] = []
    for folder in _folders(cwd, home or Path.home()):
        for path in sorted(folder.glob("*.md")):
            try:
                kind = read_type(path)
            except FrontMatterError as error:
                wrong.append(f"{path}: {error}")
                continue
            known.setdefault(kind.name.lower(), kind)
    return known, wrong


def _folders(cwd: Path, home: Path) -> Iterable[Path]:
    for folder in (cwd, *cwd.parents):
        yield from (folder / name for name in FOLDERS)
        if (folder / ".git").exists():
            break
    yield Path(platformdirs.user_config_dir("counterpoint")) / "agents"
    yield Path(os.environ.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "agents"


def checked(kind: AgentType, skills: Iterable[str], servers: Iterable[str]) -> AgentType:
    """The type with a word on each skill and server that it names and that is not here."""
    absent = [f"skills {name}{nearest(name, skills).removesuffix('.')}" for name in kind.skills if name not in skills]
    absent += [f"mcpServers {name}" for name in kind.servers or () if name not in servers]
    return replace(kind, unsupported=(*kind.unsupported, *absent)) if absent else kind


def read_type(path: Path) -> AgentType:
    """The definition in one file. Raises FrontMatterError with what is wrong."""
    values, body = split(_text(path))
    name = _one(values, "name") or path.stem
    return AgentType(
        name=name,
        description=_one(values, "description") or "",
        system=body.strip(),
        tools=_names(values, "tools"),
        disallowed=_names(values, "disallowedtools"),
        model=_model(values),
        effort=_effort(values),
        max_turns=_count(values, "maxturns"),
        instructed=(_one(values, "omitclaudemd") or "").lower() != "true",
        skills=tuple(_names(values, "skills") or ()),
        servers=_servers(values),
        memory=_memory(values),
        isolated=_isolation(values),
        read_only=_one(values, "permissionmode") == "plan",
        pool=_pool(values),
        source=str(path),
        unsupported=_unsupported(values),
    )


def _servers(values: Values) -> list[str] | None:
    """Names of servers; one that a definition describes itself is none that the user has allowed."""
    given = _names(values, "mcpservers")
    return given if given is None else [name for name in given if _SERVER.fullmatch(name)]


def _isolation(values: Values) -> bool:
    given = _one(values, "isolation")
    if given not in (None, "worktree"):
        raise FrontMatterError(f"isolation is {given!r}; the only kind is 'worktree'.")
    return given == "worktree"


def _pool(values: Values) -> str:
    given = _one(values, "pool") or ""
    if given and not _POOL.fullmatch(given):
        raise FrontMatterError(f"pool is {given[:80]!r}; it takes the name of a pool of workers, such as docker.")
    return given


def _memory(values: Values) -> Wants | None:
    given = _one(values, "memory")
    known: tuple[Wants, ...] = get_args(Wants)
    for wants in known:
        if wants == given:
            return wants
    if given is not None:
        raise FrontMatterError(f"memory is {given!r}; it takes {', '.join(known)}.")
    return None


def _unsupported(values: Values) -> tuple[str, ...]:
    """Keys without effect; and a mode that would give more than the run's rules, which no definition can."""
    mode = _one(values, "permissionmode")
    without = {SPELLED.get(key, key) for key in values if key not in HONOURED}
    if mode not in (None, "plan", "default"):
        without.add(f"permissionMode {mode}")
    if len(_servers(values) or ()) < len(_names(values, "mcpservers") or ()):
        without.add("mcpServers described inline")
    return tuple(sorted(without))


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise FrontMatterError(f"it is no regular file of at most {MAX_FILE_BYTES // 1024} KiB.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FrontMatterError(f"it cannot be read: {error}.") from error


def _one(values: Values, key: str) -> str | None:
    value = values.get(key)
    return " ".join(value) if isinstance(value, list) else value or None


def _names(values: Values, key: str) -> list[str] | None:
    """A list, or names apart by commas. ``[]`` is none at all; an empty entry says nothing."""
    value = values.get(key)
    if value is None or value == "":
        return None
    names = value if isinstance(value, list) else at_commas(value)
    return [name.strip() for name in names if name.strip()]


def _model(values: Values) -> str | None:
    model = _one(values, "model")
    return None if model in (None, "inherit", "default") else model


def _effort(values: Values) -> Effort | None:
    given = (_one(values, "effort") or "").lower()
    known: tuple[Effort, ...] = get_args(Effort)
    for effort in known:
        if effort == given:
            return effort
    if given:
        raise FrontMatterError(f"effort is {given!r}; it takes {', '.join(known)}.")
    return None


def _count(values: Values, key: str) -> int | None:
    given = _one(values, key)
    if given is None:
        return None
    if not given.isdecimal() or int(given) < 1:
        raise FrontMatterError(f"{key} is {given!r}; it must be a whole number of at least 1.")
    return int(given)
