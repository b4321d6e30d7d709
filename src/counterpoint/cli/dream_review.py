"""``dream review``, ``apply`` and ``reject``: a person's word on what waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from counterpoint.cli.dream_show import screen
from counterpoint.cli.options import Output, common
from counterpoint.cli.receipts import me
from counterpoint.dream import inbox
from counterpoint.dream.record import Dreams
from counterpoint.errors import UsageError
from counterpoint.memory.changes import Proposal
from counterpoint.memory.places import project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.text import safe

KEYS = "[a]ccept  [r]eject  [e]dit  [d]efer  [n]ever suggest this again  [q]uit"


@click.command()
@common
def review(output: Output, state: Path | None) -> int:
    """Go through what waits, one by one: accept, reject, edit, defer, or never suggest it again.

    Without a terminal, or with --json, it lists what waits.
    """
    memory = project_store(Path.cwd())
    dreams = Dreams(memory.folder)
    inbox.expire(memory, dreams, time.time())
    found = inbox.waiting(memory)
    if output.json:
        output.document({"waiting": [msgspec.to_builtins(proposal) for proposal in found]})
        return 3 if found else 0
    if not found:
        click.echo("Nothing waits.")
        return 0
    for number, proposal in enumerate(found, 1):
        click.echo(f"\n{number} of {len(found)}")
        click.echo("\n".join(screen(memory, proposal)))
        if output.input and sys.stdin.isatty() and not _decide(memory, dreams, proposal, output):
            break
    left = len(inbox.waiting(memory))
    click.echo(f"\n{left} wait." if left else "\nNothing waits any more.")
    return 3 if left else 0


def _decide(memory: MemoryStore, dreams: Dreams, proposal: Proposal, output: Output) -> bool:
    """Asks about one proposal. False: the person has had enough."""
    while True:
        match click.prompt(KEYS, default="d", show_default=False).strip().lower()[:1]:
            case "a":
                _accept(memory, dreams, [proposal], output)
            case "r":
                inbox.reject(memory, dreams, proposal, by=me(), now=time.time(), never=False)
            case "n":
                inbox.reject(memory, dreams, proposal, by=me(), now=time.time(), never=True)
            case "e":
                text = click.edit(proposal.new.text if proposal.new is not None else "")
                if not text or not text.strip():
                    continue
                _accept(memory, dreams, [inbox.edited(proposal, text, me())], output)
            case "d":
                pass
            case "q":
                return False
            case _:
                continue
        return True


@click.command()
@click.argument("name", metavar="DREAM|PROPOSAL")
@click.option("--hunk", "hunks", multiple=True, metavar="PROPOSAL", help="Of a dream, only this one; repeatable.")
@click.option("--force", is_flag=True, help="Also where more than a quarter of all notes would go.")
@common
def apply(name: str, hunks: tuple[str, ...], force: bool, output: Output, state: Path | None) -> int:
    """Accept a proposal, or what waits of a dream."""
    memory = project_store(Path.cwd())
    dreams = Dreams(memory.folder)
    return _accept(memory, dreams, _chosen(memory, dreams, name, hunks), output, forced=force)


@click.command()
@click.argument("name", metavar="DREAM|PROPOSAL")
@click.option("--hunk", "hunks", multiple=True, metavar="PROPOSAL", help="Of a dream, only this one; repeatable.")
@click.option("--never", is_flag=True, help="Never suggest this, or what says the same, again.")
@click.option("--reason", default="", help="Why; it is kept.")
@common
def reject(name: str, hunks: tuple[str, ...], never: bool, reason: str, output: Output, state: Path | None) -> int:
    """Say no to a proposal, or to what waits of a dream."""
    memory = project_store(Path.cwd())
    dreams = Dreams(memory.folder)
    chosen = _chosen(memory, dreams, name, hunks)
    for proposal in chosen:
        inbox.reject(memory, dreams, proposal, by=me(), now=time.time(), reason=reason, never=never)
    if output.json:
        output.document({"rejected": [proposal.id for proposal in chosen]})
    else:
        click.echo(f"rejected: {', '.join(proposal.id for proposal in chosen)}")
    return 0


def _chosen(memory: MemoryStore, dreams: Dreams, name: str, hunks: Sequence[str]) -> list[Proposal]:
    """One proposal; or those of a dream that wait, or some of them. Raises UnknownMemoryError, UsageError."""
    if not name.startswith(("d-", "@")):
        return [inbox.find(memory, each) for each in (name, *hunks)]
    dream_id = dreams.find(name)
    found = [proposal for proposal in inbox.waiting(memory) if proposal.dream_id == dream_id]
    if hunks:
        named = [inbox.find(memory, each).id for each in hunks]
        found = [proposal for proposal in found if proposal.id in named]
    if not found:
        raise UsageError(f"Nothing of {dream_id} waits.", hint="See what does with: counterpoint dream review")
    return found


def _accept(
    memory: MemoryStore, dreams: Dreams, proposals: Sequence[Proposal], output: Output, *, forced: bool = False
) -> int:
    decision = inbox.accept(memory, dreams, proposals, by=me(), now=time.time(), forced=forced)
    if output.json:
        output.document({
            "version": decision.version.id if decision.version else None,
            "applied": [proposal.id for proposal in decision.applied],
            "refused": [{"proposal": proposal.id, "reason": why} for proposal, why in decision.refused],
        })  # fmt: skip
    else:
        for proposal in decision.applied:
            click.echo(f"in force: {proposal.id}")
        for proposal, why in decision.refused:
            click.echo(f"not applied: {proposal.id}: {safe(why)}", err=True)
    return 1 if decision.refused else 0
