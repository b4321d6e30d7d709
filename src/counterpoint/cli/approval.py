"""Approval: nothing that the lead wants to run starts without a yes, given by a person or by a standing decision.

Standing decisions are ``--yes``, an *always* that a person said to this text in this folder, and the setting
``approve``. The text of a task, of a file or of a run's result is none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from counterpoint.ceilings import read_ceiling
from counterpoint.cli.leading import Office
from counterpoint.cli.simulate import rendered
from counterpoint.lead.author import shown as finding_shown
from counterpoint.lead.estimate import Estimate
from counterpoint.script import Script
from counterpoint.script.shape import shape_of
from counterpoint.text import safe

ASKED = "[y]es, [n]o, [e]dit, [v]iew the script, [a]lways for this workflow"
LONGEST_ANSWER = 4096
"""Bytes of a line that is typed; a terminal gives one line at a time."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be run."""

    script: Script
    args: bytes | None
    estimate: Estimate
    why: str = ""
    """The lead's reason."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A yes: to what, and whose."""

    proposal: Proposal
    by: str


Ask = Callable[[str], Awaitable[str]]
Refusal = Literal["no", "nobody to ask"]


async def approve(office: Office, proposal: Proposal, *, ask: Ask | None = None) -> Approved | Refusal:
    """Shows what would run and gets a yes or a no, by `ask` or, without it, from the terminal, if there is one."""
    standing = _standing(office, proposal)
    if standing:
        if not office.output.json:
            office.output.say(shown(office, proposal))
        office.record.add("approved", by=standing, script=proposal.script.path, digest=proposal.script.digest)
        return Approved(proposal, standing)
    office.output.say(shown(office, proposal))
    if ask is None and not _anyone(office):
        return "nobody to ask"
    answer = await _ask(office, proposal, ask or _ask_terminal)
    name = proposal.script.meta.name
    office.record.add("approved" if answer else "declined", by="user", script=proposal.script.path, name=name)
    return answer or "no"


def shown(office: Office, proposal: Proposal) -> str:
    """Plan, phases, estimate and permissions as people read them."""
    script = proposal.script
    lines = [rendered(script, office.model, shape_of(script.source, script.meta), proposal.estimate)]
    lines += [f"why      {safe(proposal.why)}"] if proposal.why else []
    lines += [f"script   {safe(script.path)}"]
    if proposal.args is not None:
        lines.append(f"args     {safe(proposal.args.decode('utf-8', 'replace'))[:400]}")
    return "\n".join(lines)


def _standing(office: Office, proposal: Proposal) -> str:
    """The standing decision that says yes; empty where none does."""
    if office.output.yes:
        return "--yes"
    if _consent(proposal.script, office.folder) in _consents(office.here.settings.state):
        return "always"
    policy = office.here.settings.approve
    if policy != "ask" and proposal.estimate.sound and not proposal.estimate.gates:
        ceiling = read_ceiling(policy)
        need = proposal.estimate.usd if ceiling.unit == "usd" else proposal.estimate.output_tokens
        if need is not None and need.high <= ceiling.amount:
            return f"approve = {policy}"
    return ""


def _anyone(office: Office) -> bool:
    return office.output.input and sys.stdin.isatty() and sys.stderr.isatty()


async def _ask(office: Office, proposal: Proposal, ask: Ask) -> Approved | None:
    while True:
        answer = (await ask(f"Run it? {ASKED}: ")).strip().lower()
        match answer[:1]:
            case "y":
                return Approved(proposal, "user")
            case "a":
                _remember(office.here.settings.state, _consent(proposal.script, office.folder))
                return Approved(proposal, "user, always")
            case "e":
                proposal = await _edited(office, proposal)
            case "v":
                click.echo(safe(proposal.script.source), err=True)
            case "n" | "q":
                return None
            case _:
                click.echo("Please answer y, n, e, v or a.", err=True)


async def _ask_terminal(question: str) -> str:
    click.echo(question, nl=False, err=True)
    if sys.platform == "win32":
        return await asyncio.to_thread(sys.stdin.readline) or "n"
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    stdin = sys.stdin.fileno()
    loop.add_reader(stdin, typed.set)  # a thread that reads would keep Ctrl-C waiting for Enter
    try:
        await typed.wait()
    finally:
        loop.remove_reader(stdin)
    try:
        line = os.read(stdin, LONGEST_ANSWER)
    except OSError:  # the terminal is gone
        line = b""
    return line.decode("utf-8", "replace") or "n"


async def _edited(office: Office, proposal: Proposal) -> Proposal:
    """What the user makes of the script; as it was, where that is refused or nothing was changed."""
    try:
        async with office.apart():
            text = await asyncio.to_thread(click.edit, proposal.script.source, extension=".js")
    except click.ClickException as error:
        click.echo(f"The editor failed: {error.format_message()}", err=True)
        return proposal
    if text is None or text == proposal.script.source:
        click.echo("Nothing was changed.", err=True)
        return proposal
    meta, findings = await office.examine(text)
    for finding in findings:
        click.echo(finding_shown(finding, text), err=True)
    if meta is None or any(finding.severity == "error" for finding in findings):
        click.echo("The edited script is refused; the one before stands.", err=True)
        return proposal
    script = Script(await office.place(text), text, meta)
    changed = replace(proposal, script=script, estimate=await office.estimate(script, proposal.args))
    click.echo(shown(office, changed), err=True)
    return changed


# --- always -----------------------------------------------------------------------------------------------------------


def _consent(script: Script, folder: Path) -> tuple[str, str, str]:
    """What an *always* is said to: this very text, under this name, in this folder."""
    return script.meta.name, script.digest, str(folder)


def _consents(state: Path) -> set[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    path = state / "approvals.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            entry: dict[str, Any] = json.loads(line)
            found.add((entry["name"], entry["digest"], entry["folder"]))
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut off is no consent
    return found


def _remember(state: Path, consent: tuple[str, str, str]) -> None:
    name, digest, folder = consent
    line = json.dumps({"at": time.time(), "name": name, "digest": digest, "folder": folder})
    with (state / "approvals.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
