"""``import``: what other systems have left, as runs that can be looked at, and settings that hold here too."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.errors import ImportRefusedError, UsageError
from counterpoint.past.claude import PastRun, find_runs
from counterpoint.past.claude_settings import NAMES, read_settings
from counterpoint.past.codex import is_rollout, read_rollout
from counterpoint.past.record import CODEX, Journaled, of_conversation, of_run
from counterpoint.past.transcript import read_transcript
from counterpoint.redaction import Redaction
from counterpoint.store.runs import Store
from counterpoint.text import safe


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "file", type=click.Path(path_type=Path), help="Write settings there instead of stdout.")
@common
@asynchronous
async def imports(path: Path, file: Path | None, output: Output, state: Path | None) -> int:
    """Take over past work of Claude Code, or sessions of Codex.

    \b
    ~/.claude/projects/PROJECT            every workflow of a project
    ~/.claude/projects/PROJECT/SESSION    those of one session; or one run's folder, or its wf_….json
    ~/.claude/projects/PROJECT/ID.jsonl   a conversation, as a run with one agent
    ~/.codex/sessions                     every session of Codex, or one rollout-….jsonl
    .claude/settings.json                 settings, as lines of our config.toml

    Imported runs can be looked at and learned from; they cannot go on. Keys and tokens are taken out.
    """
    if path.name in NAMES:
        return await _settings(path, file, output)
    redaction = Redaction(os.environ)
    made = await asyncio.to_thread(_read, path, redaction)
    async with session(state) as here:
        known = {row.run_id for row in await here.store.runs()}
        rows = [await _kept(here.store, journaled, known) for journaled in made]
    if output.json:
        output.document({"imported": [row for row in rows if row["new"]], "known": [r for r in rows if not r["new"]]})
    else:
        for row in rows:
            already = "" if row["new"] else "  (is here already)"
            click.echo(f"{row['run_id']}  {row['name']}  {row['agents']} agents{already}")
        output.say("Look at them with counterpoint show RUN or counterpoint top; dream reads them too.")
    return 0


def _read(path: Path, redaction: Redaction) -> list[Journaled]:
    if path.is_dir() and (rollouts := sorted(path.rglob("rollout-*.jsonl"))):
        return [_of_codex(rollout, redaction) for rollout in rollouts if is_rollout(rollout)]
    if path.is_file() and path.suffix == ".jsonl" and path.name != "journal.jsonl":
        if is_rollout(path):
            return [_of_codex(path, redaction)]
        spoken = read_transcript(path)
        if not spoken.messages:
            raise UsageError(f"{path} holds no conversation of Claude Code.")
        return [of_conversation(spoken, str(path), redaction)]
    folder = path.parent if path.name == "journal.jsonl" else path
    return [_made(run, redaction) for run in find_runs(folder.resolve())]


def _made(run: PastRun, redaction: Redaction) -> Journaled:
    try:
        return of_run(run, redaction)
    except RecursionError:
        raise ImportRefusedError(run.origin, 0, "a value in it is nested too deeply") from None


def _of_codex(path: Path, redaction: Redaction) -> Journaled:
    return of_conversation(read_rollout(path), str(path), redaction, by=CODEX)


async def _kept(store: Store, journaled: Journaled, known: set[str]) -> dict[str, Any]:
    created = journaled.created
    new = created.run_id not in known
    if new:
        await store.create_imported(journaled.events, journaled.large, journaled.turns)
    agents = sum(type(recorded.event).__name__ == "AgentQueued" for recorded in journaled.events)
    return {"run_id": created.run_id, "name": safe(created.name), "agents": agents, "new": new}


async def _settings(path: Path, file: Path | None, output: Output) -> int:
    mapped = await asyncio.to_thread(read_settings, path)
    if output.json:
        output.document({"settings": mapped.settings, "left": mapped.left})
    elif file is None:
        click.echo(mapped.toml(), nl=False)
    if file is not None:
        await asyncio.to_thread(_write_new, file, mapped.toml())
        output.say(f"{len(mapped.settings)} settings written to {safe(str(file))}")
    for line in mapped.left:
        output.say(f"left out: {safe(line)}")
    return 0


def _write_new(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(
            f"{file} is there already.", hint="Without -o the lines are printed: add them by hand."
        ) from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from error
