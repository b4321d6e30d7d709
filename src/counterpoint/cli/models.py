"""``models``: where models come from, which can be used here, and the fetching of local ones."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.errors import UsageError, WeightsError
from counterpoint.models import weights
from counterpoint.models.local import LocalModel
from counterpoint.models.providers import Account
from counterpoint.models.registry import PROVIDERS, Provider
from counterpoint.text import safe


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
        _require_weights() if provider.name == "local" else Account(provider, None, os.environ)
    except (UsageError, WeightsError) as error:
        return {"missing": error.message, "hint": error.hint}
    return {"missing": None, "hint": None}


def _require_weights() -> None:
    """Raises UsageError where the engine is not installed, WeightsError where no model's file is here."""
    LocalModel(weights.DEFAULT)
    if not any(map(weights.installed, weights.WEIGHTS)):
        raise WeightsError("No model's file is here.", hint=f"counterpoint models pull {weights.DEFAULT}")


def _ready(provider: Provider) -> bool:
    return provider.keyless or bool(provider.key(os.environ))


@models.command()
@click.argument("name", default="0.5b")
@common
@asynchronous
async def pull(name: str, output: Output, state: Path | None) -> int:
    """Fetch the file of a local model (0.5b, 1.5b, smollm2), checked against its SHA-256."""
    fetched = await _pull(name, output)
    if output.json:
        output.document({"model": name, "path": str(fetched.path), "source": fetched.source or None})
    return 0


async def fetch_for(name: str, output: Output) -> None:
    """Fetches a local model's file when it is not there, after asking. Raises UsageError when told not to."""
    if weights.installed(name) is not None:
        return
    size = weights.find(name).size / 1e6
    question = f"The local model {name} has to be fetched once ({size:,.0f} MB)."
    if not output.yes:
        if not (output.input and sys.stdin.isatty()):
            raise UsageError(question, hint=f"counterpoint models pull {name}  (or run with --yes, or --model sim)")
        click.confirm(f"{question} Fetch it now?", abort=True, err=True)
    await _pull(name, output)


async def _pull(name: str, output: Output) -> weights.Fetched:
    with contextlib.closing(_Bar(output)) as bar:
        fetched = await weights.pull(name, progress=bar.update)
    came = f"from {fetched.source}, its SHA-256 is right" if fetched.source else "was here already"
    output.say(f"{name}: {safe(str(fetched.path))} ({came})")
    return fetched


class _Bar:
    """Bytes fetched: one line that changes on a terminal, a line a tenth elsewhere."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live = sys.stderr.isatty() and not output.quiet
        self._told = ("", -1)

    def update(self, done: int, total: int, what: str) -> None:
        line = f"{safe(what)}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
        if self._live:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
            return
        told = (what, done * 10 // max(1, total))
        if told != self._told:
            self._told = told
            self._output.say(line)

    def close(self) -> None:
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)
