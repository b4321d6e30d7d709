"""``check``: everything that is wrong, or doubtful, in scripts; nothing runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.cli.text import safe
from counterpoint.client import examine
from counterpoint.errors import Finding, UsageError
from counterpoint.script.check import doubts
from counterpoint.script.parse import read
from counterpoint.script.report import render


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--portable", is_flag=True, help="Also refuse what Claude Code would refuse.")
@common
@asynchronous
async def check(paths: tuple[Path, ...], portable: bool, output: Output, state: Path | None) -> int:
    """Parse and lint scripts, or all the .js files of folders."""
    texts = [(await asyncio.to_thread(read, path), str(path)) for path in _files(paths)]
    examined = await examine(texts, portable=portable)
    findings: list[tuple[str, str, Finding]] = []
    for (text, path), (meta, errors) in zip(texts, examined, strict=True):
        all_ = errors if any(finding.rule == "syntax" for finding in errors) else [*errors, *doubts(text, meta)]
        findings += [(path, text, finding) for finding in sorted(all_, key=lambda f: (f.line, f.column))]
    bad = [finding for finding in findings if finding[2].severity == "error"]
    if output.json:
        output.document(_document(findings, len(texts)))
    else:
        for path, text, finding in findings:
            click.echo(render(finding, text, safe(path)))
        output.say(f"{len(texts)} scripts: {len(bad)} errors, {len(findings) - len(bad)} warnings")
    return 2 if bad else 0


def _files(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("**/*.js")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} has no .js files.")
        found += inside
    return found


def _document(findings: list[tuple[str, str, Finding]], files: int) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {"error": [], "warning": []}
    for path, _, f in findings:
        rows[f.severity].append(
            {"file": path, "line": f.line, "column": f.column, "message": f.message, "hint": f.hint, "rule": f.rule}
        )
    status = "rejected" if rows["error"] else "ok"
    return {"status": status, "files": files, "errors": rows["error"], "warnings": rows["warning"]}
