"""Bash, BashOutput and KillShell: commands, in the sandbox, under the rules."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from counterpoint.models.messages import ToolSpec
from counterpoint.tools import commands
from counterpoint.tools.base import Access, Action, ToolContext, ToolError
from counterpoint.tools.confine import place_to_write
from counterpoint.tools.files import object_schema
from counterpoint.tools.guard import patiently
from counterpoint.tools.jail import Cell
from counterpoint.tools.shells import Shell, Shells
from counterpoint.tools.threads import in_thread

HEAD, TAIL = 10_000, 20_000
"""Bytes of a long output that are shown of its beginning and its end."""
PAGE = 30_000
DEFAULT_MS, LONGEST_MS = 120_000, 3_600_000
PING_S = 5.0
MASKED = 2000
"""Files that rules keep from an agent's commands, at most; more is refused."""


@dataclass(frozen=True, slots=True)
class Bash:
    """One command."""

    read_only: bool = False
    spec: ToolSpec = field(
        default=ToolSpec(
            "Bash",
            "Runs a shell command in the working directory, in a sandbox: only the working directory can be written, "
            "there is usually no network, and no input. Every call starts in the working directory anew. Long output "
            "is cut in the middle; BashOutput shows the rest. Write plain commands (a && b | c): loops, substitutions "
            "and here-documents are denied where only some commands are allowed.",
            object_schema(
                {
                    "command": {"type": "string", "minLength": 1, "description": "The command."},
                    "timeout": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": LONGEST_MS,
                        "description": "Milliseconds after which it is ended; 120000 by default.",
                    },
                    "run_in_background": {
                        "type": "boolean",
                        "description": "Do not wait for its end. BashOutput shows what it says, KillShell ends it.",
                    },
                    "description": {"type": "string", "description": "What it is for, in a few words."},
                },
                "command",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        command = input["command"]
        if "\0" in command:
            raise ToolError("The command has a NUL character in it.")
        _shells(context)
        access = Access("Bash", "command", command)
        accesses = [access]
        if not context.guard.policy.unrestricted(access):
            accesses += await in_thread(lambda _: _written(command, context), context.limits.seconds)
        seconds = input.get("timeout", DEFAULT_MS) / 1000
        if input.get("run_in_background"):
            return Action(tuple(accesses), lambda: _begin(command, context))
        return Action(tuple(accesses), lambda: _run(command, seconds, context))


async def _admit_unjailed(command: str, context: ToolContext) -> None:
    """Returns when the command may run on this machine, sandbox or not. Raises DeniedError."""
    shells, guard = _shells(context), context.guard
    if shells.kind == "none" and (shells.jailed or guard.policy.read_only):
        await patiently(guard.admit_unjailed("Bash", command), context.alive, context.waits)
        context.waits("the tool Bash")


def _written(command: str, context: ToolContext) -> list[Access]:
    """The files that a command's output goes to."""
    parts = commands.analyse(command).parts
    return [place_to_write(path, context).access("Bash", "write") for part in parts for path in part.writes]


async def _run(command: str, seconds: float, context: ToolContext) -> str:
    await _admit_unjailed(command, context)
    shell = await _shells(context).start(command, await _cell(context), context.alive)
    try:
        async with asyncio.timeout(seconds):
            await _over(shell, context)
    except TimeoutError:
        shell.end(f"it took longer than {seconds:g} seconds")
        await shell.over.wait()
    except asyncio.CancelledError:
        shell.end("nobody waits for it any more")
        raise
    shell.told = shell.size
    return "\n".join(filter(None, [_shown(shell), _ending(shell)]))


async def check_command(command: str, context: ToolContext) -> tuple[bool, str]:
    """Runs a command under the rules: whether it went well, and what it said. Raises ToolError, DeniedError."""
    action = await Bash().prepare({"command": command, "timeout": LONGEST_MS}, context)
    await context.guard.admit(action.accesses)
    said = await action.run()
    shell = _shells(context).latest
    return shell is not None and shell.code == 0 and not shell.why, said


async def _begin(command: str, context: ToolContext) -> str:
    await _admit_unjailed(command, context)
    shell = await _shells(context).start(command, await _cell(context), lambda: None)
    return f"[{shell.id} runs in the background. BashOutput shows what it says; KillShell ends it.]"


async def _over(shell: Shell, context: ToolContext) -> None:
    """Waits for the end; a command that works in silence is alive as long as its time is not over."""
    while not shell.over.is_set():
        context.alive()
        try:
            async with asyncio.timeout(PING_S):
                await shell.over.wait()
        except TimeoutError:
            continue


def _shown(shell: Shell) -> str:
    if shell.size <= HEAD + TAIL:
        return shell.text(0, shell.size).removesuffix("\n")
    left_out = shell.size - HEAD - TAIL
    return (
        f"{shell.text(0, HEAD)}\n[… {left_out:,} bytes are left out here: BashOutput bash_id={shell.id} "
        f"offset={HEAD} shows them.]\n{shell.text(shell.size - TAIL, TAIL)}"
    ).removesuffix("\n")


def _ending(shell: Shell) -> str:
    """What is to be said about its end."""
    notes: list[str] = []
    if shell.dropped:
        notes.append(f"[{shell.dropped:,} more bytes of output were dropped; send long output into a file.]")
    if shell.why:
        notes.append(f"[Ended: {shell.why}.]")
    elif shell.code is not None and shell.code != 0:
        notes.append(f"[exit code {shell.code}]")
    elif not shell.size:
        notes.append("[exit code 0, no output]")
    return "\n".join(notes)


# --- the cell -----------------------------------------------------------------------------------------------------


async def _cell(context: ToolContext) -> Cell:
    """The agent's cell under the rules: files that it may not read are not there, others may have to stay."""
    cell, policy = context.cell, context.guard.policy
    root = await in_thread(lambda _: Path(os.path.realpath(context.root)), context.limits.seconds)
    cell = replace(cell, root=root, writable=cell.writable and not policy.read_only, git=policy.names_git)
    if not policy.masks:
        return cell
    hidden, kept = await in_thread(lambda _: _masked(root, context), context.limits.seconds)
    return replace(cell, hidden=(*cell.hidden, *hidden), kept=(*cell.kept, *kept))


def _masked(root: Path, context: ToolContext) -> tuple[list[Path], list[Path]]:
    hidden: list[Path] = []
    kept: list[Path] = []
    policy = context.guard.policy
    for path in _files(root):
        inside, absolute = path.relative_to(root).as_posix(), path.as_posix()
        if policy.hides(Access("Read", "read", inside, absolute)):
            hidden.append(path)
        elif policy.hides(Access("Edit", "write", inside, absolute)):
            kept.append(path)
        if len(hidden) + len(kept) > MASKED:
            raise ToolError(f"The rules keep more than {MASKED:,} files from you; no command can be run under them.")
    return hidden, kept


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root, followlinks=False):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


def _shells(context: ToolContext) -> Shells:
    if context.shells is None:
        raise ToolError("No commands can be run here.")
    return context.shells


# --- BashOutput, KillShell ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BashOutput:
    """What a command has said."""

    read_only: bool = True
    spec: ToolSpec = field(
        default=ToolSpec(
            "BashOutput",
            "Shows what a command has said: what is new, or what comes from a byte offset on; 30000 bytes at most.",
            object_schema(
                {
                    "bash_id": {"type": "string", "description": "Such as bash_1."},
                    "offset": {"type": "integer", "minimum": 0, "description": "First byte to show."},
                },
                "bash_id",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        shell = _shells(context).get(input["bash_id"])

        async def show() -> str:
            start = input.get("offset", shell.told)
            text = shell.text(start, PAGE)
            end = min(start + PAGE, shell.size)
            shell.told = max(shell.told, end)
            notes = [f"[{shell.size - end:,} more bytes: offset={end}.]"] if end < shell.size else []
            notes.append(_ending(shell) if shell.over.is_set() else "[It is running.]")
            return "\n".join(filter(None, [text.removesuffix("\n"), *notes])) or "[It has ended well; nothing is new.]"

        return Action((Access("BashOutput", "own"),), show)


@dataclass(frozen=True, slots=True)
class KillShell:
    """The end of a command in the background."""

    read_only: bool = False
    spec: ToolSpec = field(
        default=ToolSpec(
            "KillShell",
            "Ends a command that runs in the background, and all that it has started.",
            object_schema({"shell_id": {"type": "string", "description": "Such as bash_1."}}, "shell_id"),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        shell = _shells(context).get(input["shell_id"])

        async def end() -> str:
            if shell.over.is_set():
                return f"[{shell.id} had ended already.]"
            shell.end("you ended it")
            await shell.over.wait()
            return f"[{shell.id} is ended.]"

        return Action((Access("KillShell", "own"),), end)
