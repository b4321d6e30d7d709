"""A group of commands as a table, each imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from counterpoint.errors import nearest

Row = tuple[str, str, str]
"""Module, command in it, help."""


class Table(click.Group):
    """A group whose commands are the rows of `table`, by name."""

    def __init__(self, *args: Any, table: dict[str, Row], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module, name, _ = self._table[cmd_name]
        return getattr(importlib.import_module(f"counterpoint.cli.{module}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name][2]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._table and not args[0].startswith("-"):
            words = f"{ctx.command_path} {args[0]}".partition(" ")[2]
            ctx.fail(f"There is no command {words!r}{nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
