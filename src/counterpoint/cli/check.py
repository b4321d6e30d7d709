"""``check``: everything that is wrong, or doubtful, in scripts; nothing runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.failures import finding_row
from counterpoint.cli.findings import show
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.client import examine
from counterpoint.errors import Finding, ScriptRefused, UsageError
from counterpoint.script.check import doubts
from counterpoint.script.parse import read

SUFFIXES = frozenset({".js", ".mjs"})
LEFT_OUT = frozenset({"node_modules", ".git"})


@dataclass(slots=True)
class _File:
    path: str
    text: str
    findings: list[Finding] = field(default_factory=list[Finding])
    readable: bool = True


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--portable", is_flag=True, help="Also refuse what Claude Code would refuse.")
@common
@asynchronous
async def check(paths: tuple[Path, ...], portable: bool, output: Output, state: Path | None) -> int:
    """Parse and lint scripts, or all the .js files of folders."""
    files = await asyncio.to_thread(lambda: [_file(path) for path in _paths(paths)])
    await _examine([file for file in files if file.readable], portable=portable)
    errors = [(file, finding) for file in files for finding in file.findings if finding.severity == "error"]
    warnings = [(file, finding) for file in files for finding in file.findings if finding.severity == "warning"]
    if output.json:
        output.document(_document(errors, warnings, len(files)))
    else:
        for file in files:
            for finding in file.findings:
                show(finding, file.text, file.path, color=output.color)
        output.say(f"{_count(files, 'script')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return 2 if errors else 0


async def _examine(files: list[_File], *, portable: bool) -> None:
    examinations = await examine([file.text for file in files], portable=portable)
    for file, examination in zip(files, examinations, strict=True):
        doubtful: list[Finding] = []
        if examination.clean is not None:
            doubtful = await asyncio.to_thread(doubts, examination.clean, examination.meta)
        file.findings = sorted([*examination.findings, *doubtful], key=lambda f: (f.line, f.column))


def _paths(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(_scripts_in(path)) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} has no .js files.")
        found += inside
    return found


def _scripts_in(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.is_file() and not LEFT_OUT.intersection(path.relative_to(folder).parts)
    ]


def _file(path: Path) -> _File:
    """A file's text, or what is wrong with the file. Raises UsageError where there is none."""
    try:
        return _File(str(path), read(path))
    except ScriptRefused as refused:
        return _File(str(path), refused.source, refused.findings, readable=False)


def _document(errors: list[tuple[_File, Finding]], warnings: list[tuple[_File, Finding]], files: int) -> dict[str, Any]:
    return {
        "status": "rejected" if errors else "ok",
        "files": files,
        "errors": [finding_row(file.path, finding) for file, finding in errors],
        "warnings": [finding_row(file.path, finding) for file, finding in warnings],
    }


def _count(things: list[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
