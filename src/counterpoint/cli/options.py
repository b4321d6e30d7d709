"""What every command takes, and how a command reaches the store."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from counterpoint import settings
from counterpoint.cli.streams import unread
from counterpoint.client import Client
from counterpoint.errors import first_error
from counterpoint.models.registry import Models
from counterpoint.settings import Settings
from counterpoint.store.opening import store_at
from counterpoint.store.runs import Store
from counterpoint.text import as_json
from counterpoint.view import RunView


@dataclass(frozen=True, slots=True)
class Output:
    """How a command is to speak."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True
    input: bool = True
    yes: bool = False

    def document(self, value: Any) -> None:
        """One JSON document on stdout."""
        click.echo(as_json(value, indent=2 if self.color else None))

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        if not self.quiet:
            with unread(sys.stderr):
                click.echo(text, err=True)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that every command has; the command gets `output` and `state`."""

    @click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="Say only what was asked for.")
    @click.option("--verbose", "-v", is_flag=True, help="Say more, tracebacks included.")
    @click.option("--no-color", is_flag=True, help="No colours (also NO_COLOR).")
    @click.option("--no-input", is_flag=True, help="Never ask.")
    @click.option("--yes", "-y", is_flag=True, help="Answer questions with yes.")
    @click.option("--state", type=click.Path(path_type=Path), help="Folder of the runs.")
    @functools.wraps(command)
    def wrapped(*args: Any, json_: bool, quiet: bool, verbose: bool, no_color: bool, no_input: bool, yes: bool,
                state: Path | None, **kwargs: Any) -> Any:  # fmt: skip
        color = not no_color and not os.environ.get("NO_COLOR")
        output = Output(json_, quiet, verbose, color, not no_input, yes)
        return command(*args, output=output, state=state, **kwargs)

    return wrapped


def asynchronous(command: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Runs an async command; an error inside of task groups is raised as itself."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return asyncio.run(command(*args, **kwargs))
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    return wrapped


@dataclass(frozen=True, slots=True)
class Session:
    """A store, the settings in force, and what they lead to."""

    settings: Settings
    store: Store
    client: Client


@contextlib.asynccontextmanager
async def session(state: Path | None, cwd: Path | None = None, **flags: Any) -> AsyncGenerator[Session]:
    """Opens the store that the settings name."""
    chosen = settings.load(cwd=cwd or Path.cwd(), flags={"state": state, **flags})
    async with store_at(chosen.state, chosen.database) as store:
        yield Session(chosen, store, Client(store))


def session_of(state: Path | None, view: RunView, **flags: Any) -> contextlib.AbstractAsyncContextManager[Session]:
    """The same, with the settings where the run was started, and with its own model and address."""
    return session(state, Path(view.cwd), base_url=view.base_url, model=view.model, **flags)


@contextlib.asynccontextmanager
async def models(chosen: Settings) -> AsyncGenerator[Models]:
    async with Models(chosen) as registry:
        yield registry
