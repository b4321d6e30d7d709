"""What the commands of the lead share: its model, its record, and the engine behind its estimates."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from counterpoint import settings
from counterpoint.cli.options import Output, Session, session
from counterpoint.cli.permissions import in_force
from counterpoint.cli.simulate import estimated
from counterpoint.client import examine
from counterpoint.errors import Finding, UsageError
from counterpoint.lead.author import Attempt, Desk
from counterpoint.lead.estimate import Estimate
from counterpoint.lead.record import Record
from counterpoint.lead.talk import Line
from counterpoint.lead.triage import MAX_TASK
from counterpoint.models.registry import Models
from counterpoint.script import Script
from counterpoint.script.check import doubts
from counterpoint.script.find import Saved, listing
from counterpoint.script.meta import Meta
from counterpoint.text import count, money, safe


@dataclass(slots=True)
class Office:
    """Where the lead works in one command."""

    here: Session
    models: Models
    folder: Path
    output: Output
    line: Line
    record: Record
    saved: Sequence[Saved] = field(default=())
    apart: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext
    """While its body goes on, another program has the terminal."""

    @property
    def model(self) -> str:
        """The model of agents that name none."""
        return self.models.default(self.here.settings.model)

    def set_bounds(self, bounds: dict[str, Any]) -> None:
        """Changes settings for what is started from now on."""
        self.here = replace(self.here, settings=replace(self.here.settings, **bounds))

    def watch(self, what: str) -> None:
        """Tells the user what the lead does."""
        self.output.say(f"lead: {safe(what)}")

    async def estimate(self, script: Script, args: bytes | None = None) -> Estimate:
        """What a run of the script here would need."""
        return await estimated(self.here.client, script, self.here.settings, self.models, self.folder, args)

    async def examine(self, text: str) -> tuple[Meta | None, list[Finding]]:
        """The meta of a text, and everything that is wrong or doubtful, in the order of the text."""
        (examined,) = await examine([text], portable=self.here.settings.portable)
        syntax = any(finding.rule == "syntax" for finding in examined.findings)
        found = [*examined.findings, *([] if syntax else doubts(text, examined.meta))]
        return examined.meta, sorted(found, key=lambda finding: (finding.line, finding.column))

    def desk(self) -> Desk:
        """For the author."""
        return Desk(
            line=self.line, cwd=self.folder, examine=self.examine, simulate=self.estimate, place=self.place,
            keep=self.keep, watch=self.watch,
        )  # fmt: skip

    async def place(self, text: str) -> str:
        """Keeps a script's text in the session, and gives its path."""
        number = 1 + len(list(self.record.folder.glob("script-*.js")))
        return str(await self.record.file(f"script-{number}.js", text))

    def keep(self, attempt: Attempt) -> None:
        """Keeps what became of an attempt."""
        self.record.add(
            "attempt", number=attempt.number, path=attempt.path, clean=attempt.clean, problems=list(attempt.problems),
            estimate=attempt.estimate.document() if attempt.estimate else None,
        )  # fmt: skip
        if attempt.problems:
            first = attempt.problems[0].splitlines()[0]
            more = f" (and {len(attempt.problems) - 1} more)" if len(attempt.problems) > 1 else ""
            self.watch(f"attempt {attempt.number} is not clean: {first}{more}")

    def own_cost(self) -> str:
        """What the lead itself has consumed, in a few words."""
        usage = self.line.usage
        return f"{count(usage.input_tokens)} in, {count(usage.output_tokens)} out, {money(usage.usd)}"


@contextlib.asynccontextmanager
async def office(
    state: Path | None, folder: Path, output: Output, *, lead: str | None, reopen: str | None = None,
    about: dict[str, Any], **flags: Any,
) -> AsyncGenerator[Office]:  # fmt: skip
    """Opens the store, the models and the session's record, which nobody else writes meanwhile.

    A session that is reopened goes on with its models, where no other is given. Raises UsageError, SessionIsOpenError,
    StoreError.
    """
    record = None
    if reopen is not None:
        record = Record.find(settings.load(cwd=folder, flags={"state": state}).state, reopen)
        if not flags.get("model"):
            before = _models_of(record)
            known = before.pop("lead", None)
            lead = lead or known
            flags |= {name: flags.get(name) or value for name, value in before.items()}
    async with session(state, folder, **flags) as here, Models(here.settings) as models:
        here = replace(here, settings=in_force(here.settings, folder, output))
        spec = models.default(lead or here.settings.model)
        model = models.get(spec)
        line = Line(model, models.limiter_of(model), here.settings.retries, here.settings.max_wait_s)
        now: dict[str, Any] = {
            "cwd": str(folder), "lead": spec, "model": models.default(here.settings.model),
            "base_url": here.settings.base_url,
        }  # fmt: skip
        made = record or Record.create(here.settings.state, **about, **now)
        with made.held():
            if record is not None:
                record.add("reopened", **now)
            yield Office(here, models, folder, output, line, made, listing(folder))


def _models_of(record: Record) -> dict[str, Any]:
    """The models that a session had when it was last open, and their address."""
    begun = [entry.body for entry in record.entries() if entry.kind in ("opened", "reopened")]
    found = {name: begun[-1].get(name) for name in ("lead", "model", "base_url")} if begun else {}
    return {name: str(value) for name, value in found.items() if value}


def some_task(_: click.Context, __: click.Parameter, task: str) -> str:
    """Refuses a task that says nothing, or what no model can be told, before one is asked."""
    if not task.strip():
        raise click.BadParameter("it says nothing.")
    if len(task) > MAX_TASK:
        raise click.BadParameter(
            f"it has {len(task):,} characters, and the lead takes {MAX_TASK:,}: put it into a file, and name that."
        )
    if any("\ud800" <= char <= "\udfff" for char in task):
        raise click.BadParameter("it is no UTF-8 text.")
    return task


def read_decided_args(text: str) -> bytes | None:
    """The arguments that a model gave for a saved workflow. Raises UsageError."""
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The lead gave arguments that are no JSON: {error}.") from error
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
