"""``memory``: a table of its commands, each imported when it is called."""

from __future__ import annotations

import click

from counterpoint.cli.groups import Row, Table

COMMANDS: dict[str, Row] = {
    "list": ("memory_show", "list_", "The notes in force."),
    "show": ("memory_show", "show", "One note, with its evidence."),
    "recall": ("memory_show", "recall", "What an agent with this task would be told."),
    "uses": ("memory_show", "uses", "How the notes fared in runs."),
    "add": ("memory_edit", "add", "Note something."),
    "edit": ("memory_edit", "edit", "Say a note otherwise."),
    "forget": ("memory_edit", "forget", "Retire notes; or erase them for good."),
    "revive": ("memory_edit", "revive", "Take a retired note back."),
    "check": ("memory_show", "check", "Look the memory over: damage, secrets, stale files."),
    "render": ("memory_show", "render", "Write MEMORY.md and its topics anew."),
}


@click.group(cls=Table, table=COMMANDS)
def memory() -> None:
    """Notes that agents are told, each with its evidence.

    \b
    counterpoint memory add "Use pnpm, never npm." --when "installing packages"
    counterpoint memory recall "Add a dependency on zod"
    counterpoint memory list
    """
