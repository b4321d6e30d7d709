"""``dream import`` and ``dream export``: notes from and to other programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import msgspec

from counterpoint.cli import memories
from counterpoint.cli.memories import of_whom
from counterpoint.cli.options import Output, common
from counterpoint.errors import UsageError
from counterpoint.memory.exchange import KINDS, pages, propose, read
from counterpoint.memory.places import foreign_folder, project_root
from counterpoint.memory.store import MemoryStore
from counterpoint.text import one_line, safe


@click.command("import")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("path", type=click.Path(path_type=Path), required=False)
@common
@of_whom
def import_(kind: str, path: Path | None, output: Output, memory: MemoryStore) -> int:
    """Propose what another program remembers: nothing is in force before you have said yes (dream review).

    claude-code: its memory folder of this project; codex: ~/.codex/memories; anthropic: a JSON file of memories.
    """
    source = path or _usual(kind)
    if source is None or not source.exists():
        raise UsageError(f"There is nothing at {source}." if source else f"{kind} needs a file.", hint="Name a PATH.")
    proposals, left_out = propose(read(source), memory, scope=_scope(memory), at=time.time())
    for proposal in proposals:
        memory.put_proposal(proposal)
    if output.json:
        output.document({"proposed": [proposal.id for proposal in proposals], "left_out": left_out})
        return 3 if proposals else 0
    for proposal in proposals:
        click.echo(f"{proposal.id}  {one_line(proposal.new.text if proposal.new else '', 100)}")
    for what, reason in left_out.items():
        output.say(f"left out: {one_line(what, 60)}: {safe(reason)}")
    output.say(f"{len(proposals)} proposals wait: counterpoint dream review")
    return 3 if proposals else 0


def _usual(kind: str) -> Path | None:
    match kind:
        case "claude-code":
            return foreign_folder(project_root(Path.cwd()))
        case "codex":
            return Path.home() / ".codex" / "memories"
        case _:
            return None


def _scope(memory: MemoryStore) -> str:
    return "project" if memory.folder.parent.name == ".counterpoint" else "user"


@click.command()
@click.argument("form", type=click.Choice(["anthropic", "markdown", "jsonl"]))
@click.option("--output", "-o", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
@common
@of_whom
def export(form: str, target: Path | None, output: Output, memory: MemoryStore) -> int:
    """Write the notes in force: as memories of Anthropic's API, as one Markdown text, or as a note a line."""
    entries = memory.entries(memory.head())
    match form:
        case "anthropic":
            text = json.dumps({"memories": pages(entries)}, ensure_ascii=False, indent=2) + "\n"
        case "markdown":
            text = "\n".join(page["content"] for page in pages(entries))
        case _:
            text = "".join(msgspec.json.encode(memories.document(entry)).decode() + "\n" for entry in entries.values())
    if target is None:
        click.echo(text, nl=False)
        return 0
    target.write_text(text, encoding="utf-8")
    if output.json:
        output.document({"file": str(target), "bytes": len(text.encode())})
    else:
        output.say(f"{len(text.encode()):,} bytes in {safe(str(target))}")
    return 0
