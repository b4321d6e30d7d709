"""``dream``: a table of its commands, each imported when it is called."""

from __future__ import annotations

import importlib

import click

from counterpoint.errors import nearest

COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("dream_run", "run", "Learn from past runs: propose notes, check them, put them in force."),
    "status": ("dream_show", "status", "Where dreaming stands: the last dreams, what waits, what is due."),
    "show": ("dream_show", "show", "Show a dream, or a proposal with its evidence."),
    "review": ("dream_review", "review", "Go through what waits, one by one."),
    "apply": ("dream_review", "apply", "Accept proposals that wait."),
    "reject": ("dream_review", "reject", "Say no to proposals that wait."),
}
"""Name → module, command in it, help."""


class Commands(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        return getattr(importlib.import_module(f"counterpoint.cli.{module}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command dream {args[0]!r}{nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands)
def dream() -> None:
    """Agents that are better tomorrow: notes from past runs, with checked evidence.

    \b
    counterpoint dream run --dry-run
    counterpoint dream run --budget 50k
    counterpoint dream review
    """
