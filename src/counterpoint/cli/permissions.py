"""The options that say what agents may do, and the rules that come together from flags, settings and files."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output
from counterpoint.errors import UsageError, nearest
from counterpoint.settings import ADDING, Settings, misspelt
from counterpoint.text import safe
from counterpoint.tools import jail, policy, project
from counterpoint.tools.registry import ELSEWHERE, TOOLS


def permission_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them among its flags, by the names of the settings."""

    @click.option(
        "--allow", multiple=True, metavar="RULE", help="What agents may do: Edit, 'Edit(src/**)', 'Bash(make *)'."
    )
    @click.option("--ask", multiple=True, metavar="RULE", help="What a person is asked about first.")
    @click.option("--deny", multiple=True, metavar="RULE", help="What agents may never do.")
    @click.option("--network", is_flag=True, help="Commands of agents reach the network.")
    @click.option("--no-sandbox", is_flag=True, help="Commands of agents run without a sandbox.")
    @click.option("--trust-project", is_flag=True, help="Take the project's own allow rules and MCP servers as well.")
    @functools.wraps(command)
    def wrapped(*args: Any, allow: tuple[str, ...], ask: tuple[str, ...], deny: tuple[str, ...], network: bool,
                no_sandbox: bool, trust_project: bool, **kwargs: Any) -> Any:  # fmt: skip
        for rule in (*allow, *ask, *deny):
            check_rule(rule)
        given = {"allow": allow or None, "ask": ask or None, "deny": deny or None, "network": network or None,
                 "sandbox": "off" if no_sandbox else None, "trust_project": trust_project or None}  # fmt: skip
        return command(*args, **kwargs, **given)

    return wrapped


def check_rule(text: str) -> None:
    """Raises UsageError for a rule that cannot be read, or that is about no tool."""
    rule = policy.parse(text)
    known = {*TOOLS, *ELSEWHERE}
    if rule.tool not in known and "*" not in rule.tool and not rule.tool.startswith("mcp__"):
        raise UsageError(
            f"The rule {text!r} is about no tool{nearest(rule.tool, known)}", hint=f"The tools are {', '.join(TOOLS)}."
        )


def in_force(settings: Settings, cwd: Path, output: Output) -> Settings:
    """The settings with the rules of Claude Code's files; says what agents may do, where that is more than reading."""
    for rule in (*settings.allow, *settings.ask, *settings.deny):
        check_rule(rule)
    found = project.rules_of(cwd, trusted=settings.trust_project)
    for sentence in misspelt(os.environ):
        output.say(f"warning: {safe(sentence)}")
    for name, path in settings.withheld.items():
        output.say(f"{name} of {path} is not in force: --trust-project.")
    for note in found.notes:
        output.say(note)
    settings = dataclasses.replace(
        settings,
        allow=_joined(settings.allow, found.allow),
        ask=_joined(settings.ask, found.ask),
        deny=_joined(settings.deny, found.deny),
    )
    if settings.allow or settings.ask:
        _tell(settings, cwd, output)
    return settings


def added(flags: Mapping[str, Any], settings: Settings, recorded: Mapping[str, Any], cwd: Path,
          output: Output) -> dict[str, Any]:  # fmt: skip
    """The bounds that a resume with these flags changes: its rules, with those in force now, add to the recorded ones.

    Without any flag a run goes on under the rules that it has.
    """
    if all(value is None for value in flags.values()):
        return {}
    had = {**Settings().bounds(), **recorded}
    rules = {name: _joined(tuple(had[name]), list(getattr(settings, name))) for name in sorted(ADDING)}
    ways = {name: flags.get(name) or had[name] for name in ("network", "sandbox", "trust_project")}
    found = in_force(dataclasses.replace(settings, **rules, **ways), cwd, output)
    return {name: getattr(found, name) for name in (*rules, *ways)}


def _joined(first: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *more)))


def _tell(settings: Settings, cwd: Path, output: Output) -> None:
    output.say(f"Agents may read below {cwd}, and: {', '.join(settings.allow) or 'nothing else'}")
    for name, rules in (("asked about", settings.ask), ("never", settings.deny)):
        if rules:
            output.say(f"  {name}: {', '.join(rules)}")
    if any(policy.parse(rule).tool in ("Bash", "*") for rule in (*settings.allow, *settings.ask)):
        output.say(f"  commands: {_sandbox(settings)}")


def _sandbox(settings: Settings) -> str:
    if settings.sandbox == "off":
        return "WITHOUT a sandbox: they can read and write whatever you can (--no-sandbox)"
    kind = jail.found()
    if kind == "none":
        return "there is NO sandbox on this machine: a person is asked, once, and with nobody to ask they are denied"
    return f"in a sandbox ({kind}), {'with' if settings.network else 'without'} network"
