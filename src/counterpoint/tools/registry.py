"""Which tools there are, and which of them an agent gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from counterpoint.errors import HookError, nearest
from counterpoint.text import at_commas
from counterpoint.tools.base import Tool, ToolContext, ToolError
from counterpoint.tools.edit import Edit, Write
from counterpoint.tools.files import LS, Glob, Read
from counterpoint.tools.guard import patiently
from counterpoint.tools.mcp import McpTool
from counterpoint.tools.policy import Access, Kind
from counterpoint.tools.schema import problems
from counterpoint.tools.search import Grep
from counterpoint.tools.shell import Bash, BashOutput, KillShell
from counterpoint.tools.todo import TodoWrite
from counterpoint.tools.web import WebFetch
from counterpoint.tools.websearch import NOT_HERE

TOOLS: dict[str, Tool] = {
    tool.spec.name: tool
    for tool in (
        Read(),
        Grep(),
        Glob(),
        LS(),
        Write(),
        Edit(),
        Bash(),
        BashOutput(),
        KillShell(),
        TodoWrite(),
        WebFetch(),
    )
}
ALIASES = {
    "view": "Read", "cat": "Read", "list": "LS", "search": "Grep", "rg": "Grep", "find": "Glob", "multiedit": "Edit",
    "killbash": "KillShell", "shell": "Bash",
}  # fmt: skip
ELSEWHERE = frozenset({
    "NotebookEdit", "NotebookRead", "PowerShell", "WebSearch", "TodoRead", "Skill", "Memory",
    "ToolSearch", "EnterWorktree", "ExitWorktree", "Monitor", "TaskStop", "SendMessage", "Artifact", "Agent", "Task",
    "Workflow", "SlashCommand", "AskUserQuestion", "EnterPlanMode", "ExitPlanMode", "StructuredOutput",
})  # fmt: skip
"""Tools of Claude Code that are not built here, or made where an agent works: named in a list, they are no error."""
MADE_HERE = frozenset({"WebSearch", "Memory", "Skill", "ToolSearch"})
"""Those of them that agents get where there is something behind them."""
ABSENT = {
    "WebSearch": NOT_HERE,
    "Memory": "There are no notes from earlier sessions, so there is no tool Memory.",
}
"""What is said to somebody who calls a tool that is there only under conditions."""
ALL = frozenset({"*", "all tools", "all"})
_MCP = re.compile(r"mcp__.+")


def select(
    names: Iterable[str] | None, disallowed: Iterable[str] = (), own: frozenset[str] = frozenset()
) -> list[Tool]:
    """The tools of an agent that are built in: `names`, or all, less `disallowed`.

    A name with a restriction, such as ``Bash(git log *)``, gives the tool, and disallowed takes nothing: both are rules
    (see `restrictions`). `own` are tools that the run's program has given: named, they are no error. Raises
    HookError("UnknownToolError") for a name that is no tool's anywhere.
    """
    chosen = None if names is None else tuple(names)
    return list(_select(chosen, tuple(disallowed), own))


@lru_cache(maxsize=256)
def _select(names: tuple[str, ...] | None, disallowed: tuple[str, ...], own: frozenset[str]) -> tuple[Tool, ...]:
    chosen = set(TOOLS) if names is None else set[str]()
    for name in names or ():
        if plain(name) not in own:
            chosen |= set(TOOLS) if name.strip().lower() in ALL else _allowed(name, own)
    for name in disallowed:
        chosen -= set(TOOLS) if name.strip() == "*" else {canonical(name) or ""}
    return tuple(tool for name, tool in TOOLS.items() if name in chosen)


def plain(name: str) -> str:
    """A tool's name without what stands in parentheses behind it."""
    return name.partition("(")[0].strip()


def _allowed(name: str, own: frozenset[str]) -> set[str]:
    found = canonical(name.partition("(")[0])
    if found in TOOLS:
        return {found}
    if _known_elsewhere(name):
        return set()
    known = sorted([*TOOLS, *own])
    raise HookError(
        "UnknownToolError", f"There is no tool {name!r}{nearest(name, known)} The tools are {', '.join(known)}."
    )


def restrictions(names: Iterable[str] | None) -> list[str]:
    """The rules that stand in a list of tools: ``Bash(git log *)``, unless the tool stands there whole as well."""
    given = [name.strip() for name in names or ()]
    whole = {canonical(name) for name in given if "(" not in name}
    found: list[str] = []
    for name in given:
        plain, bracket, rest = name.partition("(")
        tool = canonical(plain) or plain.strip()
        if bracket and tool not in whole and not ALL.intersection(given):
            found += [f"{tool}({part})" for part in at_commas(rest.rstrip().removesuffix(")"))]
    return found


def canonical(name: str) -> str | None:
    """The tool's own name for any way to write it, without a restriction; None where it is no tool."""
    lower = name.strip().lower()
    return _by_lower().get(lower) or ALIASES.get(lower)


@lru_cache(maxsize=1)
def _by_lower() -> dict[str, str]:
    return {name.lower(): name for name in TOOLS}


def _known_elsewhere(name: str) -> bool:
    return plain(name) in ELSEWHERE or bool(_MCP.match(plain(name)))


def missing(names: Iterable[str] | None, own: frozenset[str] = frozenset()) -> list[str]:
    """Those of `names` that give no tool here, though they would elsewhere: for a warning to the author."""
    named = {name: plain(name) for name in names or ()}
    return [
        name
        for name, tool in named.items()
        if tool.lower() not in ALL and canonical(tool) not in TOOLS and tool not in own and not _MCP.match(tool)
    ]


def unknown(names: Iterable[str], own: frozenset[str] = frozenset()) -> list[str]:
    """Those of `names` that are no tool's anywhere, each with the nearest that is one."""
    names = list(names)
    known = sorted([*TOOLS, *own]) if names else []
    return [
        f"{name!r}{nearest(name, known).removesuffix('.')}"
        for name in names
        if plain(name).lower() not in ALL
        and canonical(plain(name)) not in TOOLS
        and plain(name) not in own
        and not _known_elsewhere(name)
    ]


_KINDS: dict[str, Kind] = {
    "Write": "write",
    "Edit": "write",
    "Bash": "command",
    "KillShell": "command",
    "WebFetch": "host",
    "WebSearch": "host",
}
"""What tools do that the rules have to allow."""


def offers(tool: Tool, context: ToolContext) -> bool:
    """Whether a model is told of a tool from the start: not where every call of it would be denied, or on demand."""
    if isinstance(tool, McpTool) and tool.on_demand:
        return False
    kind = _KINDS.get(tool.spec.name)
    if kind is None:
        return tool.spec.name != "BashOutput" or offers(TOOLS["Bash"], context)
    name = "Bash" if kind == "command" else tool.spec.name
    return context.guard.policy.may(Access(name, kind))


async def invoke(tool: Tool, input: dict[str, Any], context: ToolContext) -> str:
    """One call: its input is checked, then the rules, then it is made. The only way to a tool.

    Raises ToolError with a message for the agent, DeniedError where it may not be done.
    """
    wrong = problems(tool.spec.schema, input)
    if wrong:
        members = ", ".join(tool.spec.schema["properties"])
        raise ToolError(f"The input of {tool.spec.name} is wrong: {'; '.join(wrong)}. It takes {members}.")
    action = await tool.prepare(input, context)
    if context.guard.policy.ask:
        await patiently(context.guard.admit(action.accesses), context.alive, context.waits)
        context.waits(f"the tool {tool.spec.name}")
    else:
        await context.guard.admit(action.accesses)
    return await action.run()
