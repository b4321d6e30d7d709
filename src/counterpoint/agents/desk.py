"""What one agent works with: the rules that hold for it, its commands, its memory of files.

A `Workshop` is what all agents of a process share; it opens a desk for each, and for the script's own tool calls.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import msgspec

from counterpoint.agents import prompts
from counterpoint.agents.instructions import Instructions
from counterpoint.agents.observer import Observer
from counterpoint.agents.skills import Skill, SkillFile, described
from counterpoint.agents.task import AgentTask
from counterpoint.agents.workspace import close_worktree, open_worktree
from counterpoint.errors import DeniedError, HookError
from counterpoint.memory.places import memory_folders
from counterpoint.memory.recall import Recall
from counterpoint.tools import jail, shells
from counterpoint.tools.base import Tool, ToolContext
from counterpoint.tools.guard import Ask, AskUnjailed, Denied, Guard, patiently
from counterpoint.tools.jail import Cell
from counterpoint.tools.mcp import Hub
from counterpoint.tools.memory import MemoryLookup
from counterpoint.tools.own import FunctionTool
from counterpoint.tools.policy import Permissions, Policy
from counterpoint.tools.toolsearch import on_demand
from counterpoint.tools.websearch import NOT_HERE, Service, WebSearch


@dataclass(slots=True)
class Workshop:
    """What the desks of a process have in common."""

    hidden: tuple[Path, ...] = ()
    """Folders that no command may see: the store."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What the environment of commands is made from: a copy, because `os.environ` decodes each name at each look."""
    worktrees: Path = Path(".counterpoint/worktrees")
    """Where the worktrees of this run's agents are made."""
    ask: Ask | None = None
    """Asks people; None: there is nobody."""
    ask_unjailed: AskUnjailed | None = None
    """Asks them about commands without a sandbox, where there is none."""
    instructions: Instructions = field(default_factory=Instructions)
    """What project and user tell agents that have tools."""
    skills: dict[str, SkillFile] = field(default_factory=dict[str, SkillFile])

    recall: Recall | None = None
    """What agents can look up of earlier sessions."""
    hub: Hub | None = None
    """MCP servers."""
    search: Service | None = None
    """Whom WebSearch asks."""
    _environments: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict[tuple[str, ...], dict[str, str]])
    """Of commands, by the names that are let through: those of the settings, for every agent the same."""
    own: Mapping[str, FunctionTool] = field(default_factory=dict[str, FunctionTool])
    """Tools that the run's program has given, by their names."""

    async def find(self, name: str) -> Tool | None:
        """A tool that is made here, for the script: one of the program's own, WebSearch, or one of an MCP server."""
        if name in self.own:
            return self.own[name]
        if name == "WebSearch" and self.search is not None:
            return WebSearch(self.search)
        return await self.hub.find(name) if self.hub is not None else None

    async def furnished(
        self, task: AgentTask, tools: list[Tool], search: Tool | None = None
    ) -> tuple[AgentTask, list[Tool]]:
        """The task with what it is told besides, and its tools with those that are made here.

        `search` is the web search of its model's provider; the service of the settings goes before it.
        """
        if self.search is not None:
            search = WebSearch(self.search)
        if not tools and not task.tools:
            return task, tools
        parts = [task.system, *(described(self.skills[name]) for name in task.skills if name in self.skills)]
        if task.instructed:
            parts.append(self.instructions.text)
        free = {name: skill for name, skill in self.skills.items() if not skill.on_order}
        if free and _wants("Skill", task):
            tools = [*tools, Skill(free)]
        if self.recall and _wants("Memory", task):
            tools = [*tools, MemoryLookup(self.recall)]
        if search is not None and _wants("WebSearch", task):
            tools = [*tools, search]
        elif search is None and any(name.partition("(")[0].strip() == "WebSearch" for name in task.tools or ()):
            parts.append(NOT_HERE)
        policy = Policy.of(task.permissions)
        tools = [*tools, *(tool for name, tool in self.own.items() if _wants(name, task) and policy.may(tool.access))]
        if self.hub is not None:
            served = await self.hub.tools(policy, task.servers)
            served = [tool for tool in served if _wants_server(tool.spec.name, task)]
            tools = [*tools, *on_demand(served, task.tools or ())]
        return msgspec.structs.replace(task, system="\n\n".join(filter(None, parts))), tools

    @contextlib.asynccontextmanager
    async def room(self, task: AgentTask, observer: Observer) -> AsyncGenerator[tuple[AgentTask, ToolContext]]:
        """An agent's task as it is here, in a worktree where it wants one, and its desk.

        What it has started has ended when the block is left, and what it left in its worktree is committed. Raises
        HookError("WorkspaceError").
        """
        if not task.isolated:
            async with self._desk(task, observer.denied, ()) as desk:
                yield task, replace(desk, changed=observer.changed)
            return
        worktree = await open_worktree(task, self.worktrees / task.id)
        repository = worktree.repository
        observer.worktree_opened(str(repository.tree), worktree.branch, worktree.base)
        note = prompts.ISOLATED.format(tree=repository.tree, branch=worktree.branch)
        here = msgspec.structs.replace(task, cwd=str(worktree.folder), system=f"{task.system}\n\n{note}".strip())
        writable = (repository.git_dir, *(repository.common_dir / name for name in ("objects", "refs", "logs")))
        try:
            async with self._desk(here, observer.denied, writable) as made:
                desk = replace(made, cell=replace(made.cell, readable=worktree.links))
                if worktree.fresh and task.worktree_setup:
                    await _set_up(task.worktree_setup, desk)
                yield here, desk
        finally:
            observer.worktree_closed(await close_worktree(worktree, task.label))

    def _desk(self, task: AgentTask, denied: Denied, git: tuple[Path, ...]) -> AbstractAsyncContextManager[ToolContext]:
        return self._context(
            task.id, Path(task.cwd), task.permissions, denied,
            sandbox=task.sandbox, network=task.network, env=task.env, git=git,
        )  # fmt: skip

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
                       network: bool, env: list[str], blind: bool = False,
                       git: tuple[Path, ...] = ()) -> AsyncGenerator[ToolContext]:  # fmt: skip
        guard = Guard(Policy.of(permissions), ask=self.ask, ask_unjailed=self.ask_unjailed, denied=denied)
        kind: jail.Kind = "none" if sandbox == "off" else await jail.available()
        cell = Cell(
            cwd, network=network, hidden=_hidden(self.hidden, cwd), more_writable=git if guard.policy.names_git else ()
        )
        environment = self._environments.get(tuple(env))
        if environment is None:
            environment = self._environments[tuple(env)] = jail.environment(self.environ, tuple(env))
        async with shells.opened(kind, environment, jailed=sandbox != "off") as opened:
            yield ToolContext(
                cwd, agent, more_roots=self._skill_folders, guard=guard, cell=cell, shells=opened, blind=blind
            )

    @property
    def _skill_folders(self) -> tuple[Path, ...]:
        """What goes with skills can be read wherever it lies."""
        return tuple(skill.folder for skill in self.skills.values())


@lru_cache(maxsize=256)
def _hidden(everywhere: tuple[Path, ...], cwd: Path) -> tuple[Path, ...]:
    """What commands in that folder may not see."""
    return (*everywhere, *memory_folders(cwd))


def _wants(name: str, task: AgentTask) -> bool:
    """Whether a tool that is not of the registry is among the task's."""
    named = {tool.partition("(")[0].strip() for tool in task.tools or ()}
    return (task.tools is None or bool({name, "*"} & named)) and not {name, "*"} & set(task.disallowed)


def _wants_server(name: str, task: AgentTask) -> bool:
    """Whether a tool of a server is among the task's: by its name, its server's, or with all others."""
    if any(_names(disallowed, name) for disallowed in task.disallowed):
        return False
    return task.tools is None or any(_names(tool, name) for tool in task.tools)


def _names(given: str, name: str) -> bool:
    plain = given.partition("(")[0].strip()
    return fnmatch.fnmatchcase(name, plain) or (plain.startswith("mcp__") and name.startswith(f"{plain}__"))


async def _set_up(command: str, desk: ToolContext) -> None:
    """The user's own command, in the agent's sandbox."""
    if desk.shells is None:
        return
    if desk.shells.kind == "none" and desk.shells.jailed:
        try:
            await patiently(desk.guard.admit_unjailed("worktree_setup", command), desk.alive)
        except DeniedError as error:
            raise HookError("WorkspaceError", f"The worktree cannot be set up. {error.message}") from error
    shell = await desk.shells.start(command, replace(desk.cell, root=desk.root), desk.alive)
    await shell.over.wait()
    if shell.code != 0:
        said = shell.text(max(0, shell.size - 2000), 2000)
        raise HookError("WorkspaceError", f"The set-up command of the worktree failed ({shell.code}): {said}")
