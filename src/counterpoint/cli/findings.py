"""Findings on a terminal: the place first, the caret below, colours where there is a terminal to show them."""

from __future__ import annotations

import click

from counterpoint.errors import Finding
from counterpoint.script.report import render
from counterpoint.text import safe

COLORS = {"error": "red", "warning": "yellow"}


def show(finding: Finding, text: str, path: str, *, color: bool, err: bool = False) -> None:
    """Prints one finding."""
    shown = render(finding, text, safe(path))
    head = f"{click.style(shown.place, bold=True)}: {click.style(safe(shown.message), fg=COLORS[finding.severity])}"
    caret = click.style(shown.caret, fg=COLORS[finding.severity], bold=True)
    hint = click.style(safe(shown.hint), dim=True)
    lines = [head, shown.excerpt, caret, *([hint] if shown.hint else [])]
    click.echo("\n".join(lines), err=err, color=None if color else False)
