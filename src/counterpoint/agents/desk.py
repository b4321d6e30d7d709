"""What one agent works with: the rules that hold for it, its commands, its memory of files.

A `Workshop` is what all agents of a process share; it opens a desk for each, and for the script's own tool calls.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from counterpoint.agents.task import AgentTask
from counterpoint.tools import jail, shells
from counterpoint.tools.base import ToolContext
from counterpoint.tools.guard import Ask, Denied, Guard
from counterpoint.tools.jail import Cell
from counterpoint.tools.policy import Permissions, Policy


@dataclass(slots=True)
class Workshop:
    """What the desks of a process have in common."""

    hidden: tuple[Path, ...] = ()
    """Folders that no command may see: the store."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """What the environment of commands is made from."""
    ask: Ask | None = None
    """Asks people; None: there is nobody."""

    @contextlib.asynccontextmanager
    async def desk(self, task: AgentTask, denied: Denied) -> AsyncGenerator[ToolContext]:
        """An agent's desk; what it has started has ended when the block is left."""
        async with self._context(
            task.id, Path(task.cwd), task.permissions, denied, sandbox=task.sandbox, network=task.network, env=task.env
        ) as context:
            yield context

    @contextlib.asynccontextmanager
    async def counter(self, cwd: Path, permissions: Permissions, denied: Denied, *, sandbox: str, network: bool,
                      env: list[str]) -> AsyncGenerator[ToolContext]:  # fmt: skip
        """Where one tool call of the script is made."""
        async with self._context(
            "", cwd, permissions, denied, sandbox=sandbox, network=network, env=env, blind=True
        ) as context:
            yield context

    @contextlib.asynccontextmanager
    async def _context(self, agent: str, cwd: Path, permissions: Permissions, denied: Denied, *, sandbox: str,
                       network: bool, env: list[str], blind: bool = False) -> AsyncGenerator[ToolContext]:  # fmt: skip
        guard = Guard(Policy.of(permissions), ask=self.ask, denied=denied)
        kind: jail.Kind = "none" if sandbox == "off" else await jail.available()
        cell = Cell(cwd, network=network, hidden=self.hidden)
        environment = jail.environment(self.environ, tuple(env))
        async with shells.opened(kind, environment, jailed=sandbox != "off") as opened:
            yield ToolContext(cwd, agent, guard=guard, cell=cell, shells=opened, blind=blind)
