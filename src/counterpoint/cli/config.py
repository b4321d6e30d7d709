"""``config``: each setting, its value, and where that comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from counterpoint import settings
from counterpoint.cli.options import Output, common
from counterpoint.text import safe


@click.command()
@common
def config(output: Output, state: Path | None) -> int:
    """Each setting with its origin: flag, environment, a file, or default."""
    from counterpoint.store.server import shown_address

    chosen = settings.load(cwd=Path.cwd(), flags={"state": state})
    rows: dict[str, dict[str, Any]] = {}
    for field in dataclasses.fields(chosen):
        if field.name not in ("origins", "withheld"):
            value = getattr(chosen, field.name)
            shown = str(value) if isinstance(value, Path) else dict(value) if field.name == "aliases" else value
            if field.name == "database" and value:
                shown = shown_address(str(value))
            rows[field.name] = {"value": shown, "origin": chosen.origins.get(field.name, "default")}
    if output.json:
        output.document(rows)
    else:
        for name, row in rows.items():
            click.echo(f"{name:18} {safe(str(row['value'])):30} {safe(row['origin'])}")
    return 0
