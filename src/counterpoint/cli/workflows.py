"""``workflows``: what is saved, where, and how to save more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.client import examine
from counterpoint.script.find import SUFFIXES, Saved, find, listing, shown_path
from counterpoint.script.parse import Script, accept, read
from counterpoint.script.parse import examine as look
from counterpoint.script.save import project_folder, save, starter, user_folder
from counterpoint.text import one_line, safe


class _Listing(click.Group):
    """A group that lists where no command is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Listing)
def workflows() -> None:
    """Saved workflows."""


@workflows.command("list")
@common
@asynchronous
async def list_(output: Output, state: Path | None) -> int:
    """Every saved workflow that this folder sees, and what each shadows."""
    saved = await asyncio.to_thread(listing, Path.cwd())
    await _find_errors(saved)
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


async def _find_errors(saved: list[Saved]) -> None:
    """Adds what the engine has against scripts that looked well."""
    asked = [s for s in saved if s.error is None]
    texts = await asyncio.to_thread(lambda: [read(s.path) for s in asked])
    for s, examination in zip(asked, await examine(texts), strict=True):
        if examination.findings:
            first = examination.findings[0]
            s.error = f"{s.path}:{first.line}:{first.column}: {first.message}"


@workflows.command("show")
@click.argument("script", metavar="SCRIPT|RUN|NAME")
@common
@asynchronous
async def show(script: str, output: Output, state: Path | None) -> int:
    """The text of a workflow: a saved one, a script, or that of a run."""
    text, path = await _text_of(script, state)
    if output.json:
        meta = look(text).meta
        output.document({"path": str(path), "meta": meta.raw if meta is not None else None, "source": text})
    else:
        output.say(safe(str(path)))
        click.echo(safe(text))
    return 0


@workflows.command("save")
@click.argument("script", metavar="SCRIPT|RUN|NAME")
@click.option("--user", is_flag=True, help="For you in every project, instead of for this project.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@common
@asynchronous
async def save_(script: str, user: bool, force: bool, output: Output, state: Path | None) -> int:
    """Copy a script, or the script of a run, to where it has a name."""
    text, path = await _text_of(script, state)
    (examination,) = await examine([text])
    accepted = accept(examination, shown_path(path))
    _saved(accepted, user=user, force=force, output=output)
    return 0


async def _text_of(given: str, state: Path | None) -> tuple[str, Path]:
    """A script's text and its path; that of a run may be there no more."""
    if given.startswith(("wf_", "@")) and not given.endswith(SUFFIXES):
        async with session(state) as here:
            run_id = await here.client.find(given)
            view = await here.client.view(run_id)
            return await here.client.value(run_id, view.source), Path(view.script)
    path = find(given, Path.cwd())
    return await asyncio.to_thread(read, path), path


@workflows.command("export")
@click.argument("script", metavar="SCRIPT|RUN|NAME")
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path(".claude/workflows"), show_default=True)
@click.option("--force", is_flag=True, help="Replace what is there.")
@common
@asynchronous
async def export(script: str, folder: Path, force: bool, output: Output, state: Path | None) -> int:
    """Write a workflow to where Claude Code finds it, if nothing in it is ours alone.

    It is checked as `check --portable` does, and refused with all that Claude Code would not run.
    """
    text, path = await _text_of(script, state)
    (examination,) = await examine([text], portable=True)
    accepted = accept(examination, shown_path(path))
    _tell_saved(save(accepted.source, accepted.meta.name, Path.cwd() / folder, replace=force), accepted, output)
    return 0


@workflows.command("new")
@click.argument("name")
@click.option("--user", is_flag=True, help="For you in every project, instead of for this project.")
@common
def new(name: str, output: Output, state: Path | None, user: bool) -> int:
    """Write a script to begin with."""
    script = accept(look(starter(name)), name)
    _saved(script, user=user, force=False, output=output)
    output.say(f"Try it: counterpoint run {name} --model sim")
    return 0


def _saved(script: Script, *, user: bool, force: bool, output: Output) -> None:
    folder = user_folder() if user else project_folder(Path.cwd())
    _tell_saved(save(script.source, script.meta.name, folder, replace=force), script, output)


def _tell_saved(path: Path, script: Script, output: Output) -> None:
    if output.json:
        output.document({"name": script.meta.name, "path": str(path)})
    else:
        click.echo(safe(str(path)))
