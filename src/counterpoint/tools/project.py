"""Permission rules that stand in Claude Code's settings files.

The user's own (``~/.claude/settings.json``) hold whole. Of a project's (``.claude/settings.json`` and
``settings.local.json``), whose author may be anybody, the rules *against* something hold always, those *for* something
only where the user trusts the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.tools.policy import RuleError, parse

NAMES = ("settings.json", "settings.local.json")
MAX_BYTES = 1 << 20


class _Settings(msgspec.Struct):
    permissions: dict[str, Any] = {}


@dataclass(slots=True)
class Rules:
    """What was found. `notes` are sentences for the user."""

    allow: list[str] = field(default_factory=list[str])
    ask: list[str] = field(default_factory=list[str])
    deny: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


def rules_of(cwd: Path, *, trusted: bool, home: Path | None = None) -> Rules:
    """The rules in force for a folder, of the user's files and of those between it and the repository's root."""
    rules = Rules()
    own = Path(os.environ.get("CLAUDE_CONFIG_DIR") or (home or Path.home()) / ".claude")
    for name in NAMES:
        _take(own / name, rules, trusted=True)
    for folder in _folders(cwd):
        if folder / ".claude" != own:
            for name in NAMES:
                _take(folder / ".claude" / name, rules, trusted=trusted)
    return rules


def _folders(cwd: Path) -> Iterator[Path]:
    for folder in (cwd, *cwd.parents):
        yield folder
        if (folder / ".git").exists():
            return


def _take(path: Path, rules: Rules, *, trusted: bool) -> None:
    permissions = _permissions(path, rules)
    for kind, into in (("allow", rules.allow), ("ask", rules.ask), ("deny", rules.deny)):
        found = [text for text in _texts(permissions.get(kind)) if _readable(text, path, rules)]
        if kind == "allow" and not trusted and found:
            rules.notes.append(
                f"{len(found)} allow rule{'s' * (len(found) != 1)} of {path} not in force: --trust-project."
            )
        else:
            into += [text for text in found if text not in into]
    if permissions.get("defaultMode") in ("acceptEdits", "bypassPermissions"):
        rules.notes.append(f"{path}: defaultMode {permissions['defaultMode']} has no effect here; use --allow Edit.")


def _permissions(path: Path, rules: Rules) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return {}
        return msgspec.json.decode(path.read_bytes(), type=_Settings).permissions
    except (OSError, msgspec.DecodeError) as error:
        rules.notes.append(f"{path} cannot be read: {error}.")
        return {}


def _texts(value: Any) -> list[str]:
    try:
        return msgspec.convert(value or [], list[str])
    except msgspec.ValidationError:
        return []


def _readable(text: str, path: Path, rules: Rules) -> bool:
    try:
        parse(text)
    except RuleError as error:
        rules.notes.append(f"{path}: {error.message}")
        return False
    return True
