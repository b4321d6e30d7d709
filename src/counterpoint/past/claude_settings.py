"""Claude Code's settings as ours: what maps, and what does not, with the reason. Pure but for reading the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from counterpoint.past.files import document
from counterpoint.text import one_line
from counterpoint.tools.policy import RuleError, parse

NAMES = frozenset({"settings.json", "settings.local.json"})
RULES = ("allow", "ask", "deny")
NOT_OURS = {
    "hooks": "programs of Claude Code's; none of them is run here",
    "env": "those of workflows were looked at, no other is copied: they may be keys",
    "apiKeyHelper": "keys come from the environment: counterpoint doctor names the variables",
    "enabledPlugins": "there are no plugins here",
    "statusLine": "it is Claude Code's own",
    "outputStyle": "it is Claude Code's own",
    "enableAllProjectMcpServers": "a project's MCP servers are started with --trust-project",
    "enabledMcpjsonServers": "agents get the servers that an allow rule names: --allow mcp__NAME",
    "disabledMcpjsonServers": "agents get the servers that an allow rule names: --allow mcp__NAME",
    "workflowSizeGuideline": "it is advice to a lead; here a ceiling holds: max_agents",
    "disableWorkflows": "whoever does not want workflows does not start them",
}


@dataclass(slots=True)
class Mapped:
    """Our settings, by their names, and a line for each of theirs that has no effect here."""

    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    left: list[str] = field(default_factory=list[str])

    def toml(self) -> str:
        """The settings as our ``config.toml`` has them."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in self.settings.items())


def read_settings(path: Path) -> Mapped:
    """Maps one settings file. Blocking. Raises ImportRefusedError."""
    mapped = Mapped()
    for name, value in document(path, dict[str, Any]).items():
        taken = _TAKEN.get(name)
        if taken is not None:
            taken(mapped, value)
        if name in NOT_OURS:
            mapped.left.append(f"{name}: {NOT_OURS[name]}")
        elif taken is None:
            mapped.left.append(f"{one_line(name, 60)}: nothing here corresponds to it")
    return mapped


def _permissions(mapped: Mapped, given: Any) -> None:
    permissions = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    for kind in RULES:
        rules: list[str] = []
        for rule in cast("list[Any]", permissions.get(kind)) if isinstance(permissions.get(kind), list) else []:
            try:
                parse(str(rule))
                rules.append(str(rule))
            except RuleError as error:
                mapped.left.append(f"permissions.{kind}: {one_line(error.message, 200)}")
        if rules:
            mapped.settings[kind] = rules
    for name in permissions.keys() - set(RULES):
        why = 'use allow = ["Edit"]' if permissions[name] in ("acceptEdits", "bypassPermissions") else "no effect here"
        mapped.left.append(f"permissions.{one_line(name, 60)}: {why}")


def _model(mapped: Mapped, given: Any) -> None:
    if isinstance(given, str) and given.startswith("claude-"):
        mapped.settings["model"] = f"anthropic:{given}"
    else:
        mapped.left.append(f"model: {one_line(str(given), 60)} is an alias; map it under [aliases] in config.toml")


def _environment(mapped: Mapped, given: Any) -> None:
    variables = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    for theirs, ours in (
        ("CLAUDE_CODE_WORKFLOW_MAX_CONCURRENT_AGENTS", "concurrency"),
        ("MAX_STRUCTURED_OUTPUT_RETRIES", "max_repairs"),
    ):
        number = str(variables.get(theirs, ""))
        if number.isascii() and number.isdigit() and len(number) < 6:
            mapped.settings[ours] = int(number)


def _worktree(mapped: Mapped, given: Any) -> None:
    if isinstance(given, dict) and cast("dict[str, Any]", given).get("baseRef") == "head":
        mapped.settings["worktree_uncommitted"] = False
    else:
        mapped.left.append(
            "worktree: worktrees of agents start from the tree as it is; worktree_uncommitted says otherwise"
        )


_TAKEN: dict[str, Callable[[Mapped, Any], None]] = {
    "permissions": _permissions,
    "model": _model,
    "env": _environment,
    "worktree": _worktree,
    "$schema": lambda mapped, given: None,
}


def _toml(value: Any) -> str:
    """A value of ours in TOML: JSON's form is one, for texts, numbers and lists of them."""
    return json.dumps(value, ensure_ascii=True)
