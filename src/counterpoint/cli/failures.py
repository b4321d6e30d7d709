"""What goes wrong, as a person reads it, and the exit code that goes with it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import click

from counterpoint.errors import CounterpointError, Finding, JournalFullError, ProviderError, ScriptRefused, UsageError
from counterpoint.text import safe


def report(error: BaseException) -> int:
    """Writes an error to stderr and gives the exit code."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case KeyboardInterrupt() | click.exceptions.Abort():
            click.echo("Interrupted.", err=True)
            return 130
        case click.ClickException():
            error.show()
            return error.exit_code
        case ScriptRefused():
            return _refused(error)
        case CounterpointError():
            click.echo(f"error: {safe(error.message)}", err=True)
            if error.hint:
                click.echo(f"hint: {safe(error.hint)}", err=True)
            return _code(error)
        case OSError(strerror=str(why)):
            where = f"{error.filename}: " if error.filename is not None else ""
            click.echo(f"error: {safe(where + why)}.", err=True)
            return _traced(error, "-v shows what was being done.")
        case _:
            click.echo(f"error: {type(error).__name__}: {safe(str(error))}", err=True)
            return _traced(error, "this is a fault of Counterpoint; -v shows where. Nothing in the journal is lost.")


def refusal(error: ScriptRefused) -> dict[str, Any]:
    """The JSON document of a refused script."""
    return {"status": "rejected", "errors": [finding_row(error.path, finding) for finding in error.findings]}


def finding_row(path: str, finding: Finding) -> dict[str, Any]:
    """The JSON of one finding."""
    return {"file": path, "line": finding.line, "column": finding.column, "message": finding.message,
            "hint": finding.hint, "rule": finding.rule}  # fmt: skip


def _refused(error: ScriptRefused) -> int:
    from counterpoint.cli.findings import show

    context = click.get_current_context(silent=True)
    if (context is not None and context.params.get("json_")) or "--json" in sys.argv:
        click.echo(json.dumps(refusal(error)))
    color = "--no-color" not in sys.argv and not os.environ.get("NO_COLOR")
    for finding in error.findings:
        show(finding, error.source, error.path, color=color, err=True)
    return 2


def _code(error: CounterpointError) -> int:
    match error:
        case UsageError():
            return 2
        case JournalFullError() | ProviderError():
            return 6
        case _:
            return 1


def _traced(error: BaseException, otherwise: str) -> int:
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exception(error)
    else:
        click.echo(f"hint: {otherwise}", err=True)
    return 1
