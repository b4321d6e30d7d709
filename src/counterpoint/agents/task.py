"""What an agent is to do, whole, and how it ended. Both can travel: to a worker process, or to another machine."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from counterpoint.events import NO_USAGE, Fault, Outcome, Usage
from counterpoint.models.messages import Effort
from counterpoint.tools.policy import Permissions


class AgentTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that one agent needs. Times are in seconds."""

    id: str
    """``a1``, ``a2``, …"""
    key: str = ""
    """The call's identity for resume."""
    prompt: str
    label: str = ""
    phase: str | None = None
    schema: dict[str, Any] | None = None
    """JSON Schema of the result, already checked; None: the result is the final text."""
    model: str = ""
    """``provider:name``."""
    effort: Effort | None = None
    system: str = ""
    """Instructions of the agent's type, added to our own."""
    tools: list[str] | None = None
    """None: all there are."""
    disallowed: list[str] = field(default_factory=list[str])
    permissions: Permissions = Permissions()
    """The rules that hold for its tools."""
    sandbox: str = "auto"
    """Commands run in a sandbox or not at all; ``off``: without one."""
    network: bool = False
    """Commands reach the network."""
    env: list[str] = field(default_factory=list[str])
    """Variables that commands see besides the harmless ones."""
    cwd: str = "."
    """The folder whose files its tools reach, and nothing outside of it."""
    instructed: bool = True
    """It gets the instructions of project and user (AGENTS.md, CLAUDE.md), where it has tools."""
    notes: str = ""
    """Notes from earlier sessions, between marks: told behind the prompt."""
    note_ids: list[str] = field(default_factory=list[str])
    skills: list[str] = field(default_factory=list[str])
    """Skills whose bodies it gets from the start."""
    servers: list[str] | None = None
    """MCP servers whose tools it may have; None: all."""
    isolated: bool = False
    """It works in a git worktree of its own."""
    base: str = ""
    """The commit that its worktree starts from; empty: the present state of the tree."""
    uncommitted: bool = True
    """That includes what is not committed."""
    worktree_copy: list[str] = field(default_factory=list[str])
    """Ignored files and folders that its worktree gets a copy of."""
    worktree_link: list[str] = field(default_factory=list[str])
    """Those that it gets a link to."""
    worktree_setup: str = ""
    """A command that is run in a new worktree first."""
    pool: str = ""
    """The workers that it needs, on a cluster; empty: the run's."""
    window: int = 0
    """Tokens of its model's context; 0: unknown."""
    max_turns: int = 50
    """Model requests."""
    max_repairs: int = 2
    """Times it is asked to mend its structured output."""
    retries: int = 4
    """Repeats of one failed model request."""
    max_wait_s: float = 60.0
    """A longer wait that a provider asks for ends the agent as limited."""
    timeout_s: float = 3600.0
    """Wall time."""
    stall_s: float = 180.0
    """Time without an answer of the model, a tool's result or a retry."""


class AgentResult(Struct, frozen=True, omit_defaults=True):
    """How an agent ended. `usage` is that of this attempt, also where it failed."""

    outcome: Outcome
    value: bytes | None = None
    """What the script receives, as JSON; only with the outcome ok."""
    raw: bytes | None = None
    """What the agent said last, as a JSON string, where that is not the value."""
    fault: Fault | None = None
    usage: Usage = NO_USAGE
    model: str = ""
    """``provider:name`` as answered; empty where no answer came."""
    turns: int = 0
    """Model requests that were answered, those of earlier attempts of the same conversation included."""
    retry_at: float | None = None
    """With the outcome limited: when the provider will answer again (seconds since the epoch), if it said so."""
