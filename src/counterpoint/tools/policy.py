"""What agents and scripts may do: allow, ask and deny rules over tools, paths, commands and hosts.

Pure. A rule is written as in Claude Code: ``Edit``, ``Edit(src/**)``, ``Bash(make *)``,
``WebFetch(domain:example.com)``, ``mcp__github``. Deny goes before ask, ask before allow; what no rule speaks of is
denied, except reading below the working directory and what touches nothing but the agent itself. Rules of a call or an
agent type can only narrow.

``Read(…)`` rules hold for every tool that reads files, ``Edit(…)`` rules for every tool that writes them. Paths are
relative to the working directory and matched as in .gitignore: a name without a slash at any depth, a folder with all
that is in it; ``//`` begins an absolute path, ``~/`` one in the home folder. Rules *against* something are read widely
(any case, any way to start a command), rules *for* something narrowly.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

from msgspec import Struct, field

from counterpoint.errors import UsageError
from counterpoint.tools import commands, globs

Decision = Literal["allow", "ask", "deny"]
Kind = Literal["read", "write", "command", "unjailed", "host", "query", "call", "own"]
"""`query` asks somebody elsewhere, `call` may change something there; `own` touches nothing but the agent itself.
`unjailed` is a command on a machine without a sandbox: no rule speaks of it, people do."""
FAMILIES: dict[str, Kind] = {"Read": "read", "Edit": "write"}
"""Rules of these names hold for every access of the kind."""
VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", ".jj"})
GUARDED = frozenset({".counterpoint", ".claude", ".agents", ".mcp.json"})
"""What a later run takes its rules, servers and scripts from: only a rule that names it lets it be written."""
MEMORY = "/.counterpoint/memory/"
"""Where a project's notes lie. What is read there would look, in a transcript, like something newly found out."""
MAX_SHOWN = 200
_RULE = re.compile(r"\s*([A-Za-z_*][\w*.-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)


class RuleError(UsageError):
    """A permission rule that cannot be read."""


class Permissions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rules that hold for one agent, as they travel with its task."""

    allow: list[str] = field(default_factory=list[str])
    ask: list[str] = field(default_factory=list[str])
    deny: list[str] = field(default_factory=list[str])
    only: list[str] = field(default_factory=list[str])
    """Of a tool that is named here with a restriction, nothing but that."""
    read_only: bool = False
    """Nothing may be changed, whatever the other rules say."""


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that a tool call would do."""

    tool: str
    kind: Kind
    subject: str = ""
    """A path relative to the root, a command, a host, or what the tool is called with."""
    path: str = ""
    """The absolute path, of a file."""

    def __str__(self) -> str:
        subject = self.subject if len(self.subject) <= MAX_SHOWN else f"{self.subject[:MAX_SHOWN]}…"
        return f"{self.tool}({subject})" if subject else self.tool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say to an access. `rule` is the one that decided; empty where none speaks of it."""

    decision: Decision
    reason: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `inside` is what stands in the parentheses; None: everything."""

    text: str
    tool: str
    inside: str | None

    def speaks_of(self, access: Access) -> bool:
        """Whether its name does."""
        if "*" in self.tool:
            return fnmatch.fnmatchcase(access.tool, self.tool)
        if self.tool.startswith("mcp__") and access.tool.startswith(f"{self.tool}__"):
            return True
        return self.tool == access.tool or FAMILIES.get(self.tool) == access.kind

    @property
    def particular(self) -> bool:
        return self.inside is not None


def parse(text: str) -> Rule:
    """Reads one rule. Raises RuleError with what is wrong."""
    found = _RULE.fullmatch(text)
    if not found:
        raise RuleError(
            f"{text[:MAX_SHOWN]!r} is no permission rule.",
            hint="Rules are written like Edit, Edit(src/**), Bash(make *) or WebFetch(domain:example.com).",
        )
    inside = found[2].strip() if found[2] is not None else None
    if inside in ("", "*", "**"):
        inside = None
    if inside is not None and FAMILIES.get(found[1]) is not None:
        try:
            globs.compiled(_anchored(inside))
        except globs.TooManyAlternativesError as error:
            raise RuleError(f"{text[:MAX_SHOWN]!r}: {error}") from error
    return Rule(text.strip(), found[1], inside)


def _of_memory(path: str) -> bool:
    return MEMORY in f"/{path}/"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, read."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    only: tuple[Rule, ...] = ()
    read_only: bool = False

    @classmethod
    def of(cls, permissions: Permissions) -> Policy:
        """Raises RuleError."""
        p = permissions
        return _policy(tuple(p.allow), tuple(p.ask), tuple(p.deny), tuple(p.only), p.read_only)

    def judge(self, access: Access) -> Verdict:
        """What the rules say to an access."""
        if self.read_only and access.kind in ("write", "call"):
            return Verdict("deny", "this agent may only read; nothing can be changed by it")
        if access.kind == "read" and _of_memory(access.subject):
            return Verdict("deny", "notes are not read as files: those that apply are told; the tool Memory has more")
        elsewhere = self._outside_of_only(access)
        if elsewhere is not None:
            return elsewhere
        for rule in self.deny:
            why = _held_up(rule, access)
            if why is not None:
                return Verdict("deny", f"the rule deny {rule.text} {why}", rule.text)
        for rule in self.ask:
            why = _held_up(rule, access)
            if why is not None:
                return Verdict("ask", f"the rule ask {rule.text} {why}", rule.text)
        if access.kind in ("read", "own"):
            return Verdict("allow")
        return self._allowed(access)

    def _allowed(self, access: Access) -> Verdict:
        allow = self.allow
        if access.kind == "write":
            parts = set(access.subject.split("/"))
            if VERSION_CONTROL & parts:
                return Verdict("deny", "version control's own files are not written by tools")
            guarded = GUARDED & parts
            if guarded:  # what is written here would loosen the rules of the next run
                allow = tuple(rule for rule in allow if any(name in (rule.inside or "") for name in guarded))
        found = _let_through(allow, access)
        if found is not None:
            return Verdict("allow", rule=found)
        return Verdict("deny", _unmentioned(self.allow, access))

    def _outside_of_only(self, access: Access) -> Verdict | None:
        only = [rule for rule in self.only if rule.speaks_of(access)]
        if not only or _let_through(only, access) is not None:
            return None
        return Verdict("deny", f"this agent has the tool only as {', '.join(rule.text for rule in only)}")

    def may(self, access: Access) -> bool:
        """Whether anything of that kind could be allowed to this tool."""
        if self.read_only and access.kind in ("write", "call"):
            return False
        if any(rule.speaks_of(access) and not rule.particular for rule in self.deny):
            return False
        return any(rule.speaks_of(access) for rule in (*self.allow, *self.ask))

    def names_host(self, access: Access) -> bool:
        """Whether an allow rule names just this host: the way to addresses of private networks."""
        return any(
            rule.speaks_of(access) and (rule.inside or "").removeprefix("domain:").strip().lower() == access.subject
            for rule in self.allow
        )

    def unrestricted(self, access: Access) -> bool:
        """Whether a rule allows everything of its tool."""
        return any(rule.speaks_of(access) and not rule.particular for rule in self.allow)

    @property
    def names_git(self) -> bool:
        """Whether a rule allows some command of git: only then may commands write its folder."""
        return any(rule.tool == "Bash" and (rule.inside or "").startswith("git") for rule in self.allow)

    @property
    def masks(self) -> bool:
        """Whether there are files that commands must not see or change."""
        return any(FAMILIES.get(rule.tool) and rule.particular for rule in (*self.deny, *self.ask))

    def hides(self, access: Access) -> bool:
        """Whether a rule, not the lack of one, speaks against an access."""
        return any(_held_up(rule, access) is not None for rule in (*self.deny, *self.ask))

    def shown(self) -> list[str]:
        """Every rule as a line for people."""
        named = (("allow", self.allow), ("ask", self.ask), ("deny", self.deny))
        return [f"{name} {rule.text}" for name, rules in named for rule in rules]


@lru_cache(maxsize=256)
def _policy(
    allow: tuple[str, ...], ask: tuple[str, ...], deny: tuple[str, ...], only: tuple[str, ...], read_only: bool
) -> Policy:
    return Policy(_read(allow), _read(ask), _read(deny), _read(only), read_only)


def _read(texts: Iterable[str]) -> tuple[Rule, ...]:
    return tuple(parse(text) for text in texts)


# --- for, narrowly --------------------------------------------------------------------------------------------------


def _let_through(rules: Sequence[Rule], access: Access) -> str | None:
    """The rule that lets an access through."""
    rules = [rule for rule in rules if rule.speaks_of(access)]
    whole = next((rule.text for rule in rules if not rule.particular), None)
    if whole is not None or access.kind != "command":
        return whole or next((rule.text for rule in rules if _fits(rule, access)), None)
    return _command_let_through(rules, access.subject)


def _fits(rule: Rule, access: Access) -> bool:
    inside = rule.inside or ""
    match access.kind:
        case "read" | "write":
            return _path_fits(inside, access)
        case "host":
            return _host_fits(inside, access.subject)
        case _:
            return fnmatch.fnmatchcase(access.subject, inside)


def _command_let_through(rules: Sequence[Rule], command: str) -> str | None:
    """Every simple command of it must fit a rule; a `cd` by itself changes nothing."""
    analysis = commands.analyse(command)
    if analysis.opaque or not analysis.parts:
        return None
    used: list[str] = []
    for part in analysis.parts:
        if not part.words or part.words[0].shown in ("cd", "pwd", "true"):
            continue
        found = next((rule.text for rule in rules if command_fits(rule.inside or "", part.text)), None)
        if found is None:
            return None
        used.append(found)
    return ", ".join(dict.fromkeys(used)) or (rules[0].text if rules else None)


def command_fits(pattern: str, text: str) -> bool:
    """``*`` stands for any text; one at the end, after a space, for none as well. ``make:*`` is ``make *``."""
    pattern = f"{pattern.removesuffix(':*')} *" if pattern.endswith(":*") else pattern
    if pattern.endswith(" *") and "*" not in pattern[:-2] and text == pattern[:-2]:
        return True
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in rest[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])


def _path_fits(pattern: str, access: Access, *, any_case: bool = False) -> bool:
    pattern = _anchored(pattern)
    path = access.path if pattern.startswith("//") else access.subject
    if any_case:
        pattern, path = pattern.casefold(), path.casefold()
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return globs.covers(globs.compiled(pattern), parts or ["."])


def _anchored(pattern: str) -> str:
    """A pattern with ``~/`` and ``./`` resolved; absolute ones start with ``//``, those at the root with ``/``."""
    if pattern.startswith("~/"):
        return f"/{Path.home().as_posix()}/{pattern[2:]}"
    return pattern[1:] if pattern.startswith("./") else pattern.removesuffix("/")


def _host_fits(pattern: str, host: str) -> bool:
    pattern = pattern.removeprefix("domain:").strip().lower().rstrip(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern


# --- against, widely ------------------------------------------------------------------------------------------------


def _held_up(rule: Rule, access: Access) -> str | None:
    """Why a rule against something speaks of this access; None: it does not."""
    if not rule.speaks_of(access):
        return None
    if not rule.particular:
        return "holds for it"
    inside = rule.inside or ""
    match access.kind:
        case "read" | "write":
            return "holds for this path" if _path_fits(inside, access, any_case=True) else None
        case "command":
            return _command_held_up(inside, access.subject)
        case "host":
            return "holds for this host" if _host_fits(inside, access.subject) else None
        case _:
            return "holds for it" if fnmatch.fnmatchcase(access.subject.lower(), inside.lower()) else None


def _command_held_up(pattern: str, command: str) -> str | None:
    analysis = commands.analyse(command)
    for part in analysis.parts:
        for reading in commands.readings(part):
            if reading is None:
                return "cannot be checked: the command runs something that is not written out"
            if command_fits(pattern, reading):
                return "holds for a part of this command"
    return f"cannot be checked: {analysis.opaque}; write plain commands" if analysis.opaque else None


# --- what an agent is told ------------------------------------------------------------------------------------------


def _unmentioned(allow: Sequence[Rule], access: Access) -> str:
    rules = [rule.text for rule in allow if rule.speaks_of(access)]
    if not rules:
        return "no rule allows it"
    allowed = f"allowed is only {', '.join(rules[:20])}"
    opaque = commands.analyse(access.subject).opaque if access.kind == "command" else None
    if opaque:
        return f"{allowed}, and what this command runs cannot be told: {opaque}; write plain commands"
    return allowed


def remedy(access: Access) -> str:
    """The option that would allow an access."""
    return "--no-sandbox" if access.kind == "unjailed" else f"--allow '{suggestion(access)}'"


def suggestion(access: Access) -> str:
    """The rule that would allow an access and not much more; empty where no rule does."""
    match access.kind:
        case "unjailed":
            return ""
        case "write":
            folder = PurePosixPath(access.subject).parent.as_posix()
            return f"Edit({folder}/**)" if folder != "." else f"Edit({access.subject})"
        case "command":
            parts = commands.analyse(access.subject).parts
            name = parts[0].bare[0].shown if parts and parts[0].bare else ""
            return f"Bash({name} *)" if name else "Bash"
        case "host":
            return f"{access.tool}(domain:{access.subject})"
        case _:
            return access.tool
