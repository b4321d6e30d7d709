"""What the memory was at some time, who made it so, and when it became the one in force."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from counterpoint.memory.changes import Counts
from counterpoint.memory.entries import canonical, digest

Tree = dict[str, str]
"""Id of each note, tombstones included → SHA-256 of what it says in that version."""


def tree_id(tree: Tree) -> str:
    """The id of the version that consists of just these notes."""
    return digest(canonical(tree))


class Version(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of a store. Its id names its content, so equal states are one version, however they came about."""

    id: str
    parents: list[str] = []
    dream_id: str = ""
    actor: str = ""
    """``dream``, ``user`` or ``import``."""
    at: float = 0.0
    counts: Counts = Counts()
    eval: dict[str, Any] | None = None
    """What was measured of it; None: it is unproven."""
    note: str = ""


class Move(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``HEAD`` went from one version to another. The list of these is the store's history."""

    before: str | None = None
    after: str
    kind: Literal["publish", "rollback", "redact"] = "publish"
    actor: str = ""
    at: float = 0.0
    dream_id: str = ""
    note: str = ""


class Use(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which notes were in play in a run, and how it ended: a fold over its journal."""

    run_id: str
    version: str
    loaded: list[str] = []
    cited: list[str] = []
    contradicted: list[str] = []
    outcome: Literal["success", "failure", "unknown"] = "unknown"
    at: float = 0.0
