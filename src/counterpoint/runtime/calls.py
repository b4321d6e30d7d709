"""What a script asks for, checked: untrusted JSON in, a whole AgentTask or a refusal out."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from counterpoint.agents.output import check_schema
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.types import AgentType, resolve
from counterpoint.ceilings import read_windows
from counterpoint.errors import HookError
from counterpoint.events import Outcome
from counterpoint.models.catalog import PROVIDERS
from counterpoint.models.messages import Effort
from counterpoint.models.registry import Models
from counterpoint.runtime.budget import BUDGET_EXCEEDED
from counterpoint.tools.policy import Permissions, Policy, RuleError
from counterpoint.tools.registry import MADE_HERE, canonical, missing, plain, restrictions, select, unknown

LABEL_LENGTH = 60
"""Of a label that is made of the prompt."""
MOST_OF_A_LABEL = 500
"""Characters of a given label that are kept."""


class AgentArg(msgspec.Struct, frozen=True):
    """The argument of an `agent` call as it crosses."""

    prompt: str
    opts: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    phase: str | None = None
    source: int | None = None
    """The script's number of the call whose answer it gave as `from`."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an agent gets where its options do not say otherwise."""

    model: str
    cwd: Path
    bounds: dict[str, Any]
    types: dict[str, AgentType]
    general_for_unknown: bool
    own_tools: frozenset[str] = frozenset()
    """Names of the tools that the run's program has given."""


def kind_of(arg: AgentArg, defaults: Defaults) -> AgentType:
    """The type of an agent whose call was accepted."""
    return _agent_type(arg.opts, defaults, [])


def label_of(arg: AgentArg) -> str:
    """The label given, else the first words of the prompt."""
    label = arg.opts.get("label")
    if isinstance(label, str) and label:
        return label[:MOST_OF_A_LABEL]
    return " ".join(arg.prompt[:400].split())[:LABEL_LENGTH]


def agent_task(
    arg: AgentArg,
    *,
    agent: str,
    key: str,
    defaults: Defaults,
    models: Models,
    warnings: list[str],
    base: str | None = None,
) -> AgentTask:
    """The whole task of one call. Raises HookError for what is refused before an agent is spawned.

    `base` is the commit of an earlier agent that its worktree starts from.
    """
    opts = arg.opts
    schema = opts.get("schema")
    if schema is not None:
        check_schema(schema)
    kind = _agent_type(opts, defaults, warnings)
    model, warning = models.resolve(_text(opts, "model") or kind.model or defaults.model, defaults.model)
    if warning:
        warnings.append(warning)
    tools, disallowed, permissions = _tools(opts, kind, model, defaults, warnings)
    bounds = defaults.bounds
    isolated = is_isolated(opts, kind, defaults.cwd)
    return AgentTask(
        id=agent,
        key=key,
        prompt=arg.prompt,
        label=label_of(arg),
        phase=arg.phase,
        schema=schema,
        model=model,
        effort=_effort(opts, warnings) or kind.effort,
        system=kind.system,
        tools=tools,
        disallowed=disallowed,
        permissions=permissions,
        sandbox=bounds["sandbox"],
        network=bounds["network"],
        env=list(bounds["env"]),
        instructed=kind.instructed,
        skills=list(kind.skills),
        servers=kind.servers,
        isolated=isolated or base is not None,
        base=base or "",
        uncommitted=bounds["worktree_uncommitted"],
        worktree_copy=list(bounds["worktree_copy"]),
        worktree_link=list(bounds["worktree_link"]),
        worktree_setup=bounds["worktree_setup"] or "",
        cwd=str(_folder(opts, defaults.cwd)),
        pool=kind.pool,
        window=_window(bounds, model),
        max_turns=int(_number(opts, "maxTurns", warnings) or kind.max_turns or bounds["max_turns"]),
        max_repairs=bounds["max_repairs"],
        retries=int(_number(opts, "retries", warnings, least=0, default=bounds["retries"])),
        max_wait_s=bounds["max_wait_s"],
        timeout_s=_seconds(opts, "timeoutMs", bounds["agent_timeout_s"], warnings),
        stall_s=_seconds(opts, "stallMs", bounds["stall_s"], warnings),
    )


def rejection(result: AgentResult) -> HookError | None:
    """What the script's promise rejects with for this end; None: it resolves (to the value, or to null)."""
    message = result.fault.message if result.fault else ""
    if result.fault and result.fault.name == BUDGET_EXCEEDED:
        return HookError(BUDGET_EXCEEDED, message)
    match result.outcome:
        case Outcome.INVALID:
            return HookError("StructuredOutputError", message, rawText=msgspec.json.decode(result.raw or b'""'))
        case Outcome.STALLED:
            return HookError("StalledError", message)
        case Outcome.FAILED if result.fault and result.fault.name == "WorkspaceError":
            return HookError("WorkspaceError", message)
        case Outcome.TIMED_OUT:
            return HookError("TimeoutError", message)
        case _:
            return None


def _agent_type(opts: dict[str, Any], defaults: Defaults, warnings: list[str]) -> AgentType:
    name = _text(opts, "agentType")
    if name is None:
        return resolve("general-purpose", defaults.types)
    try:
        kind = resolve(name, defaults.types)
        if kind.unsupported:
            warnings.append(f"agentType {kind.name!r}: {', '.join(kind.unsupported)}: without effect here.")
        return kind
    except HookError as error:
        if not defaults.general_for_unknown:
            raise
        warnings.append(f"{error.message} It is general-purpose here.")
        return resolve("general-purpose", defaults.types)


def permissions_of(bounds: dict[str, Any]) -> Permissions:
    """The rules of a run."""
    return Permissions(allow=list(bounds["allow"]), ask=list(bounds["ask"]), deny=list(bounds["deny"]))


def _tools(
    opts: dict[str, Any], kind: AgentType, model: str, defaults: Defaults, warnings: list[str]
) -> tuple[list[str] | None, list[str], Permissions]:
    """The tools that are allowed (None: all), those that are not, and the rules. A call can narrow its type, never
    widen it: what stands in parentheses behind a tool's name narrows the run's rules."""
    asked, allowed, bounds = _names(opts, "tools", warnings), kind.tools, defaults.bounds
    disallowed = [*(_names(opts, "disallowedTools", warnings) or ()), *(kind.disallowed or ())]
    named = dict.fromkeys([*(asked or ()), *(allowed or ())])
    absent = [name for name in missing(named, defaults.own_tools) if plain(name) not in MADE_HERE]
    unheard = unknown(disallowed, defaults.own_tools)
    searches = bounds.get("search_url") or _searches(model)
    if not searches and any(plain(name) == "WebSearch" for name in asked or ()):
        warnings.append(
            f"agent(): WebSearch needs a search service (search_url), and none is set, nor has the provider of {model} "
            "one; this one goes without."
        )
    if absent:
        warnings.append(f"agent(): {', '.join(absent)} cannot be given to agents here; this one goes without.")
    if unheard:
        listed = ", ".join(unheard)
        warnings.append(f"agent(): disallowedTools names no tool: {listed}{'' if listed.endswith('?') else '.'}")
    if asked is None:
        tools = None if allowed is None else list(allowed)
    elif allowed is None:
        tools = asked
    else:
        tools = [name for name in asked if _within(name, allowed)]
    select(tools, disallowed, defaults.own_tools)
    rules = permissions_of(bounds)
    permissions = msgspec.structs.replace(
        rules,
        deny=[*rules.deny, *restrictions(disallowed)],
        only=restrictions(asked) + [rule for rule in restrictions(allowed) if rule not in restrictions(asked)],
        read_only=kind.read_only,
    )
    try:
        Policy.of(permissions)
    except RuleError as error:
        raise HookError("UnknownToolError", f"agent(): {error.message} {error.hint or ''}") from error
    return tools, disallowed, permissions


def _window(bounds: dict[str, Any], model: str) -> int:
    """Tokens of the model's context as the settings say; 0: they do not."""
    windows = read_windows(bounds["context_windows"])
    return windows.get(model) or windows.get("", 0)


def _searches(model: str) -> bool:
    provider = PROVIDERS.get(model.partition(":")[0])
    return provider is not None and provider.searches


def _within(name: str, allowed: Iterable[str]) -> bool:
    """Whether a tool, or a server, is among those of a list."""
    asked = canonical(plain(name)) or plain(name)
    for other in allowed:
        given = canonical(plain(other)) or plain(other)
        if asked == given or (given.startswith("mcp__") and asked.startswith(f"{given}__")):
            return True
        if "*" in given and fnmatch.fnmatchcase(asked, given):
            return True
    return False


def _text(opts: dict[str, Any], name: str) -> str | None:
    value = opts.get(name)
    return value if isinstance(value, str) and value else None


def _effort(opts: dict[str, Any], warnings: list[str]) -> Effort | None:
    value = opts.get("effort")
    if value is None:
        return None
    try:
        return msgspec.convert(str(value).lower(), Effort)
    except msgspec.ValidationError:
        warnings.append(f"agent(): effort is {value!r}; it takes {', '.join(get_args(Effort))}. It is ignored.")
        return None


def _names(opts: dict[str, Any], name: str, warnings: list[str]) -> list[str] | None:
    value = opts.get(name)
    if value is None:
        return None
    if isinstance(value, list):
        return [str(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  (untyped JSON)
    warnings.append(f"agent(): {name} must be a list of tool names; it is ignored.")
    return None


def _number(
    opts: dict[str, Any], name: str, warnings: list[str], *, least: float = 1, default: float | None = None
) -> float:
    value = opts.get(name)
    if value is None:
        return default or 0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= least:
        return value
    warnings.append(f"agent(): {name} is {value!r}; it must be a number of at least {least:g}. It is ignored.")
    return default or 0


def _seconds(opts: dict[str, Any], name: str, default: float, warnings: list[str]) -> float:
    milliseconds = _number(opts, name, warnings)
    return milliseconds / 1000 if milliseconds else default


def _folder(opts: dict[str, Any], root: Path) -> Path:
    given = _text(opts, "cwd")
    if given is None:
        return root
    folder = (root / given).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise HookError("WorkspaceError", f"agent(): cwd {given!r} lies outside the run's folder {root}.")
    if not folder.is_dir():
        raise HookError("WorkspaceError", f"agent(): cwd {given!r} is no folder below {root}.")
    return folder


def is_isolated(opts: dict[str, Any], kind: AgentType, root: Path) -> bool:
    """Whether the agent gets a worktree. Raises HookError("WorkspaceError") where there can be none."""
    isolation = opts.get("isolation") or ("worktree" if kind.isolated else None)
    if isolation is None:
        return False
    if isolation != "worktree":
        raise HookError("WorkspaceError", f"agent(): isolation is {isolation!r}; the only kind is 'worktree'.")
    if not any((folder / ".git").exists() for folder in [root, *root.parents]):
        raise HookError(
            "WorkspaceError", f"agent(): isolation 'worktree' needs a git repository, and {root} is in none."
        )
    return True
