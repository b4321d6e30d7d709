"""``workflows``: what is saved, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, common
from counterpoint.cli.text import one_line, safe
from counterpoint.script.find import find, listing, load


@click.group()
def workflows() -> None:
    """Saved workflows."""


@workflows.command("list")
@common
def list_(output: Output, state: Path | None) -> int:
    """Every saved workflow that this folder sees, and what each shadows."""
    saved = listing(Path.cwd())
    if output.json:
        rows: list[dict[str, Any]] = [
            {"name": s.name, "description": s.description, "origin": s.origin, "path": str(s.path),
             "shadows": [str(path) for path in s.shadows], "error": s.error}
            for s in saved
        ]  # fmt: skip
        output.document({"workflows": rows})
        return 0
    for s in saved:
        click.echo(f"{one_line(s.name, 30):30}  {s.origin:8}  {one_line(s.error or s.description, 80)}")
        for path in s.shadows:
            click.echo(f"{'':30}  shadows {safe(str(path))}")
    return 0


@workflows.command("show")
@click.argument("name")
@common
def show(name: str, output: Output, state: Path | None) -> int:
    """The text of a saved workflow."""
    path = find(name, Path.cwd())
    script = load(path)
    if output.json:
        output.document({"path": str(path), "meta": script.meta.raw, "source": script.source})
    else:
        output.say(safe(str(path)))
        click.echo(safe(script.source))
    return 0
