"""``models``: where models come from, which can be used here, and the fetching of local ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.cli.text import safe
from counterpoint.errors import UsageError
from counterpoint.models.providers import Account
from counterpoint.models.registry import PROVIDERS, Provider


@click.group()
def models() -> None:
    """Models and where they come from."""


@models.command("list")
@common
def list_(output: Output, state: Path | None) -> int:
    """Every provider, the key that it needs, and whether that is there."""
    rows = [
        {"provider": p.name, "ready": _ready(p), "key": " or ".join(p.keys), "example": p.example}
        for p in PROVIDERS.values()
    ]
    if output.json:
        output.document({"models": rows})
        return 0
    for row in rows:
        word = "ready" if row["ready"] else "no key"
        click.echo(f"{row['provider']:18} {word:7} {row['key'] or '-':34} {row['example']}")
    return 0


@models.command()
@common
def check(output: Output, state: Path | None) -> int:
    """What of this can be used here, and what is missing for the rest. Nothing is asked of anybody."""
    rows = [{"provider": provider.name, **_missing(provider)} for provider in PROVIDERS.values()]
    if output.json:
        output.document({"models": rows})
        return 0
    for row in rows:
        click.echo(f"{row['provider']:18} {row['missing'] or 'ready'}")
        if row["hint"]:
            click.echo(f"{'':18} hint: {row['hint']}")
    return 0


def _missing(provider: Provider) -> dict[str, str | None]:
    try:
        Account(provider, None, os.environ)
    except UsageError as error:
        return {"missing": error.message, "hint": error.hint}
    return {"missing": None, "hint": None}


def _ready(provider: Provider) -> bool:
    return provider.keyless or bool(provider.key(os.environ))


@models.command()
@click.argument("name")
@common
@asynchronous
async def pull(name: str, output: Output, state: Path | None) -> int:
    """Fetch the weights of a local model (0.5b, 1.5b, smollm2), checked against their SHA-256."""
    await _pull(name, output)
    return 0


async def fetch_for(model: Any, output: Output) -> None:
    """Fetches a local model's weights when they are not there, after asking. Raises UsageError when told not to."""
    from counterpoint.models import weights

    name = str(model.name)
    if weights.installed(name) is not None:
        return
    size = weights.WEIGHTS[name].size / 1e6
    question = f"The local model {name} has to be fetched once ({size:.0f} MB)."
    if not output.yes:
        if not (output.input and sys.stdin.isatty()):
            raise UsageError(question, hint=f"counterpoint models pull {name}  (or run with --yes, or --model sim)")
        click.confirm(f"{question} Fetch it now?", abort=True, err=True)
    await _pull(name, output)


async def _pull(name: str, output: Output) -> None:
    from counterpoint.models import weights

    bar = _Bar(output)
    path = await weights.pull(name, progress=bar.update)
    bar.close()
    output.say(f"{name}: {safe(str(path))}")


class _Bar:
    """Bytes fetched, as a bar on a terminal and as a line a tenth elsewhere."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._tenth = -1

    def update(self, done: int, total: int, what: str) -> None:
        tenth = done * 10 // max(1, total)
        if tenth > self._tenth:
            self._tenth = tenth
            self._output.say(f"{safe(what)}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def close(self) -> None:
        self._tenth = -1
