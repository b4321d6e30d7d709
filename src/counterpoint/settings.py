"""Settings: defaults < user's file < project's file < environment < flags, each value with its origin.

One flat frozen dataclass. The files are TOML (``config.toml``) with the field names as keys, ``[aliases]`` as a table;
the environment variable of a field is ``COUNTERPOINT_`` and its name in capitals.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import platformdirs

from counterpoint.ceilings import read_ceiling, read_places, read_windows
from counterpoint.errors import SettingsError, nearest
from counterpoint.text import at_commas

DEFAULTS = "default"


def _default_state() -> Path:
    return Path(platformdirs.user_state_dir("counterpoint"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Sizes and times carry their unit in the name."""

    model: str | None = None
    """``provider:name``, or an alias. None: the first provider with a key, else ``local``."""
    base_url: str | None = None
    """Address of the provider, where it is not the vendor's own."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """What ``haiku``, ``small``, … mean here."""
    state: Path = field(default_factory=_default_state)
    """Folder of runs and their index."""
    database: str | None = None
    """URL of a database that takes the place of the files under `state`."""
    cluster: str | None = None
    """Address of a Temporal server, ``temporal://host:7233/namespace``: agents go to workers elsewhere. Needs
    `database`. None: all agents are carried out in the run's own process."""
    cluster_mode: str = "activity"
    """How Temporal keeps an agent: as an ``activity`` of its own, or, for servers without these, as a ``workflow``."""
    cluster_lease_s: float = 30.0
    """A worker that was silent for so long is lost, and its agents go to others."""
    pool: str = "default"
    """The workers that agents go to, or that a worker belongs to."""
    priority: int = 3
    """Which runs go first where workers are scarce, and get more of a provider's limit: 1 (first) to 5."""

    concurrency: int = 16
    """Agents at work at once in one run, 1 to 1000."""
    max_agents: int = 1000
    """Agents per run, children included."""
    max_items: int = 4096
    """Items of one ``parallel`` or ``pipeline``."""
    max_depth: int = 1
    """Levels of ``workflow()``."""
    budget_tokens: int | None = None
    """Ceiling of output tokens."""
    budget_usd: float | None = None
    """Ceiling of money."""
    budgets: tuple[str, ...] = ()
    """Further ceilings, each with its scope: ``20k/agent``, ``$20/day``, ``100k/phase:Find`` (see `ceilings`)."""
    budget_reserve: float = 0.2
    """Part of the run's ceilings that is kept from the first declared phase for the later ones."""
    allow_unknown_price: bool = False
    """Start under a ceiling of money although the price of the model is unknown."""

    max_sync_s: float = 10.0
    """Seconds a script may compute without yielding."""
    max_heap_mb: int = 256
    """JavaScript heap."""
    max_stack_mb: int = 16
    """JavaScript stack."""
    max_output_mb: int = 64
    """One value that leaves the script: a prompt, an option, the result."""
    max_pending: int = 200_000
    """Calls that a script may have open at once."""
    max_log_lines: int = 10_000
    """Lines of narration that are kept of a script; as many of each other thing that it tells."""

    retries: int = 4
    """Repeats of a failed model request."""
    max_wait_s: float = 60.0
    """A provider that asks for a longer wait pauses the run."""
    max_repairs: int = 2
    """Times an agent is asked to mend its structured output."""
    max_turns: int = 50
    """Model requests of one agent."""
    provider_limits: tuple[str, ...] = ()
    """Requests under way at once at a provider, per key: ``anthropic=40``. With a `database` all processes that use it
    keep to that together, and runs get fair parts."""
    context_windows: tuple[str, ...] = ()
    """Tokens of context that a model takes, where that is not known or other than known: ``ollama:qwen3=32k``; a figure
    alone is for all models. Agents make room in time."""
    run_timeout_s: float | None = None
    """Time of the run in all, over its attempts. None: no cap."""
    agent_timeout_s: float = 3600.0
    """Wall time of one agent."""
    stall_s: float = 180.0
    """Time of one agent without any progress."""
    stall_warn_s: float = 60.0
    """Time without progress after which it is said what an agent waits for."""
    on_stall: str = "end"
    """What a stalled agent does: ``end`` as stalled, or ``retry`` once, from its transcript."""
    allow: tuple[str, ...] = ()
    """What agents may do besides reading below the run's folder: ``Edit(src/**)``, ``Bash(make *)``. Adds up."""
    ask: tuple[str, ...] = ()
    """What a person is asked about first; with nobody there to ask, it is denied. Adds up."""
    deny: tuple[str, ...] = ()
    """What agents may never do. Adds up."""
    worktree_uncommitted: bool = True
    """Worktrees of agents start from the tree as it is, uncommitted changes included; else from HEAD."""
    worktree_copy: tuple[str, ...] = ()
    """Ignored files and folders that each worktree gets a copy of: ``.env``."""
    worktree_link: tuple[str, ...] = ()
    """Those that it gets a link to: ``node_modules``."""
    worktree_setup: str | None = None
    """A command that is run in each new worktree first."""
    instructions: tuple[str, ...] = ("AGENTS.md", "CLAUDE.md")
    """Files that agents with tools are told, from the repository's root down to the run's folder."""
    private: bool = False
    """Dreams do not read the run."""
    memory: bool = True
    """Agents are told notes from earlier sessions, where there are any."""
    memory_tokens: int = 1500
    """How much of each prompt they may take."""
    trust_project: bool = False
    """Take the project's own allow rules (.claude/settings.json) and MCP servers (.mcp.json) as well."""
    sandbox: str = "auto"
    """Commands of agents: ``auto`` in a sandbox or not at all, ``off`` without one."""
    network: bool = False
    """Commands of agents reach the network."""
    env: tuple[str, ...] = ()
    """Environment variables that commands of agents see besides the harmless ones."""
    search_url: str | None = None
    """Address of the service that WebSearch asks; its key is in COUNTERPOINT_SEARCH_KEY. None: the provider of an
    agent's model searches, if it can."""
    search_kind: str = "searxng"
    """In which form it is asked: ``searxng``, ``brave`` or ``tavily``."""
    unknown_agents: str = "reject"
    """What an agentType without a definition does: ``reject`` or ``general``."""
    approve: str = "ask"
    """What the lead may run unasked: ``ask`` (nothing), or what stays under a ceiling at worst: ``$2``."""
    strict: bool = False
    """A script error ends the run."""
    portable: bool = False
    """Refuse what Claude Code would refuse."""

    notify: str = ""
    """Whom to tell when a run needs somebody or is over: ``bell; desktop; command:…; https://…``."""

    trace: str = "off"
    """Send the run's trace to the OpenTelemetry collector of ``OTEL_…`` while it goes on: ``off``, ``on``, or with
    prompts and answers ``content``."""

    origins: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """Field → where its value comes from; a field that is absent has its default."""
    withheld: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """Field → the project's file that sets it, which may not without `trust_project`."""

    def __post_init__(self) -> None:
        self._check_range("concurrency", 1, 1000)
        for name in (
            "max_agents",
            "max_items",
            "max_heap_mb",
            "max_stack_mb",
            "max_output_mb",
            "max_pending",
            "max_log_lines",
            "max_turns",
            "memory_tokens",
        ):
            self._check_range(name, 1)
        for name in ("max_depth", "retries", "max_repairs"):
            self._check_range(name, 0)
        for name in ("max_sync_s", "max_wait_s", "agent_timeout_s", "stall_s", "stall_warn_s"):
            self._check_range(name, 0.001)
        self._check_range("cluster_lease_s", 1)
        self._check_range("priority", 1, 5)
        for name in ("run_timeout_s", "budget_usd"):
            self._check_range(name, 0.001)
        self._check_range("budget_tokens", 1)
        self._check_range("budget_reserve", 0, 0.9)
        for text in self.budgets:
            read_ceiling(text)
        read_windows(self.context_windows)
        read_places(self.provider_limits)
        if self.approve != "ask":
            read_ceiling(self.approve)
        if self.sandbox not in ("auto", "off"):
            raise SettingsError(f"sandbox is {self.sandbox!r}; it takes 'auto' or 'off'.")
        if self.model is not None and not self.model.strip():
            raise SettingsError("model is empty; name one, as anthropic:NAME, or leave it out.")
        if self.cluster_mode not in ("activity", "workflow"):
            raise SettingsError(f"cluster_mode is {self.cluster_mode!r}; it takes 'activity' or 'workflow'.")
        if self.search_kind not in ("searxng", "brave", "tavily"):
            raise SettingsError(f"search_kind is {self.search_kind!r}; it takes 'searxng', 'brave' or 'tavily'.")
        if self.search_url and not self.search_url.startswith(("http://", "https://")):
            raise SettingsError("search_url is no address of a service; it starts with http:// or https://.")
        if self.trace not in ("off", "on", "content"):
            raise SettingsError(f"trace is {self.trace!r}; it takes 'off', 'on' or 'content'.")
        if self.on_stall not in ("end", "retry"):
            raise SettingsError(f"on_stall is {self.on_stall!r}; it takes 'end' or 'retry'.")
        if self.unknown_agents not in ("reject", "general"):
            raise SettingsError(f"unknown_agents is {self.unknown_agents!r}; it takes 'reject' or 'general'.")

    def _check_range(self, name: str, low: float, high: float = math.inf) -> None:
        value: float | None = getattr(self, name)
        if value is None or low <= value <= high:
            return
        origin = self.origins.get(name, "flag")
        where = {"flag": "", "environment": f"COUNTERPOINT_{name.upper()}: "}.get(origin, f"{origin}: ")
        bounds = f"between {low:g} and {high:g}" if high != math.inf else f"at least {low:g}"
        raise SettingsError(f"{where}{name} is {value:g}; it must be {bounds}.")

    def bounds(self) -> dict[str, Any]:
        """The settings that shape a run, as its journal keeps them."""
        return {name: getattr(self, name) for name in BOUNDS}


ADDING = frozenset({"allow", "ask", "deny"})
"""Settings whose values from all sources hold together."""
BOUNDS = (
    "concurrency", "max_agents", "max_items", "max_depth", "budget_tokens", "budget_usd", "budgets", "budget_reserve",
    "allow_unknown_price", "max_sync_s", "max_heap_mb", "max_stack_mb", "max_output_mb", "max_pending", "max_log_lines",
    "retries", "max_wait_s", "max_repairs", "max_turns", "context_windows",
    "run_timeout_s", "agent_timeout_s", "stall_s", "stall_warn_s",
    "on_stall", "allow", "ask",
    "deny", "sandbox", "network", "env",
    "worktree_uncommitted", "worktree_copy", "worktree_link", "worktree_setup", "instructions",
    "memory", "memory_tokens", "private",
    "trust_project", "search_url", "search_kind",
    "unknown_agents", "strict", "portable", "trace",
    "cluster", "cluster_mode", "cluster_lease_s", "pool", "priority",
)  # fmt: skip
SCRIPT_LIMITS = (
    "max_items", "max_depth", "max_sync_s", "max_heap_mb", "max_stack_mb", "max_output_mb", "max_pending",
    "max_log_lines",
)  # fmt: skip
"""The bounds that a script's own doings can break."""


OTHERS = frozenset({"COUNTERPOINT_SEARCH_KEY", "COUNTERPOINT_MODELS"})
"""Variables that are no settings: a key is never in a file, and the weights are for all projects."""
WIDENING = (
    "allow", "network", "sandbox", "trust_project", "approve", "base_url", "search_url", "search_kind", "env",
    "worktree_setup", "database", "cluster", "trace",
)  # fmt: skip
"""What a project's file may set only where the user trusts the project: what agents may do and see, what is run, and
whom keys and journals go to.
Otherwise whoever can write into a folder, an agent's command among others, could loosen the rules of the next run."""


def load(*, cwd: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings in force for `cwd`. `flags` hold only what was given; `environ` defaults to the process's own.

    Raises SettingsError with the file, key and what is wrong.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(source: Mapping[str, Any], origin: str) -> None:
        for name, value in source.items():
            if name == "aliases":
                values["aliases"] = {**values.get("aliases", {}), **value}
            elif name in ADDING:
                values[name] = tuple(dict.fromkeys((*values.get(name, ()), *value)))
            else:
                values[name] = value
            origins[name] = origin

    given = {k: v for k, v in (flags or {}).items() if v is not None}
    for name in given:
        if name not in _fields():
            raise SettingsError(f"There is no setting {name!r}{nearest(name, _fields())}")
    users, projects = _users_file(), _projects_file(cwd)
    surroundings = _read_environment(environ)
    if users is not None:
        take(_read_file(users), str(users))
    trusted = {**values, **surroundings, **given}.get("trust_project", False)
    withheld: dict[str, str] = {}
    if projects is not None:
        found = _read_file(projects)
        withheld = {name: str(projects) for name in WIDENING if name in found and not trusted}
        take({name: value for name, value in found.items() if name not in withheld}, str(projects))
    take(surroundings, "environment")
    take(given, "flag")
    return Settings(**values, origins=origins, withheld=withheld)


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that was meant for a setting and has no effect."""
    known = [name.upper() for name in _fields()]
    ours = sorted(name for name in environ.keys() - OTHERS if name.startswith("COUNTERPOINT_"))
    given = [name.removeprefix("COUNTERPOINT_") for name in ours]
    close = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.75) for name in given if name not in known}
    sentence = "COUNTERPOINT_{} has no effect; did you mean COUNTERPOINT_{}?"
    return [sentence.format(name, found[0]) for name, found in close.items() if found]


def _users_file() -> Path | None:
    path = Path(platformdirs.user_config_dir("counterpoint")) / "config.toml"
    return path if path.is_file() else None


def _projects_file(cwd: Path) -> Path | None:
    """The nearest one, up to the repository's root."""
    for folder in [cwd, *cwd.parents]:
        candidate = folder / ".counterpoint" / "config.toml"
        if candidate.is_file():
            return candidate
        if (folder / ".git").exists():
            return None
    return None


def _fields() -> dict[str, Any]:
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in dataclasses.fields(Settings) if f.name not in ("origins", "withheld")}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    known = _fields()
    result: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known:
            raise SettingsError(f"{path}: unknown setting {name!r}{nearest(name, known)}")
        result[name] = _convert(name, value, known[name], str(path), strict=True)
    return result


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, type_ in _fields().items():
        variable = f"COUNTERPOINT_{name.upper()}"
        if name != "aliases" and environ.get(variable):
            result[name] = _convert(name, environ[variable], type_, variable, strict=False)
    return result


def _convert(name: str, value: Any, type_: Any, origin: str, *, strict: bool) -> Any:
    if Path in (type_, *get_args(type_)):
        return Path(str(value)).expanduser()
    if isinstance(value, str) and get_origin(type_) is tuple:
        value = at_commas(value)
    try:
        return msgspec.convert(value, dict[str, str] if name == "aliases" else type_, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {name} is {value!r}: {error}") from error
