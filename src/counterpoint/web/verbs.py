"""What a page may ask of a run, checked before it becomes a request in the store."""

from __future__ import annotations

import getpass
import socket
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct

from counterpoint.ceilings import read_budgets, read_ceiling
from counterpoint.client import Client, Otherwise, read_script
from counterpoint.errors import UsageError
from counterpoint.view import RunView

MAX_STEER = 20_000
MAX_CONCURRENCY = 1000
MAX_TARGETS = 1000


class Verb(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/runs/{run}/requests``."""

    verb: Literal["stop", "pause", "continue", "skip", "retry", "steer", "approve", "deny", "budget"]
    target: str | None = None
    """An agent's id or label; a gate's id for approve and deny."""
    targets: list[str] = []
    """Several agents, for skip, retry and steer: each gets a request, and a receipt, of its own."""
    text: str = ""
    """What is said, for steer."""
    answer: Any = UNSET
    """Any JSON, for approve; true where it is absent."""
    drain: bool = False
    """For stop: agents under way finish."""
    stay: bool = False
    """For pause: the process stays, and `continue` goes on."""
    prompt: str | None = None
    """For retry: ask it this instead."""
    model: str | None = None
    """For retry: ask this model."""
    budgets: list[str] | None = None
    """For budget: ceilings as on the command line, ``["600k", "$9"]``."""
    concurrency: int | None = None
    """For budget: agents at work at once."""

    def addressed(self) -> list[str]:
        """Whoever is named. Raises UsageError for several where one is meant."""
        named = [*([self.target] if self.target else []), *self.targets]
        if len(named) > MAX_TARGETS:
            raise UsageError(f"A request names at most {MAX_TARGETS} agents.")
        if len(named) > 1 and (self.verb not in ("skip", "retry", "steer") or self.prompt is not None):
            raise UsageError(f"{self.verb}{' with a prompt' if self.prompt else ''} is for one at a time.")
        return named

    def body(self) -> dict[str, Any]:
        """What goes with the request. Raises UsageError for what makes no sense."""
        match self.verb:
            case "skip" | "retry" if not self.addressed():
                raise UsageError(f"{self.verb} needs an agent.", hint="Give its id as target.")
            case "approve" | "deny" if not self.target:
                raise UsageError(f"{self.verb} needs a question.", hint="Give the gate's id as target.")
            case "steer" if not 0 < len(self.text.strip()) <= MAX_STEER:
                raise UsageError(f"steer needs a text of at most {MAX_STEER:,} characters.")
            case "steer":
                return {"text": self.text}
            case "stop":
                return {"drain": self.drain}
            case "pause":
                return {"stay": self.stay}
            case "approve":
                return {"answer": True if self.answer is UNSET else self.answer}
            case "retry":
                return {"prompt": self.prompt, "model": self.model}
            case "budget":
                return self._bounds()
            case _:
                return {}

    def _bounds(self) -> dict[str, Any]:
        if not self.budgets and self.concurrency is None:
            raise UsageError("budget needs a ceiling.", hint='Give budgets, as ["600k", "$9"], or concurrency.')
        if self.concurrency is not None and not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(f"concurrency is between 1 and {MAX_CONCURRENCY}.")
        bounds: dict[str, Any] = {"budgets": [str(read_ceiling(text)) for text in self.budgets or ()]}
        return bounds | ({} if self.concurrency is None else {"concurrency": self.concurrency})


class Forking(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/runs/{run}/fork``."""

    seq: int | None = None
    """The last event that the fork has of the run; absent: the newest."""
    args: Any = UNSET
    """Any JSON; absent: the run's own arguments."""
    script: str | None = None
    """Another text of the script."""
    model: str | None = None
    """Another model for what runs anew."""
    budgets: list[str] = []
    """Ceilings of the fork, as on the command line."""

    async def otherwise(self, view: RunView) -> Otherwise:
        """What the fork does otherwise. Raises ScriptRefused with what is wrong with its script."""
        script = None
        if self.script is not None:
            script = await read_script(self.script, view.script, portable=bool(view.bounds.get("portable")))
        args = None if self.args is UNSET else msgspec.json.encode(self.args)
        return Otherwise(script=script, args=args, model=self.model, bounds=read_budgets(tuple(self.budgets)))


class Tagging(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/runs/{run}/tags``."""

    add: list[str] = []
    remove: list[str] = []


Body = TypeVar("Body")


def read(body: bytes, kind: type[Body]) -> Body:
    """The request in a body. Raises UsageError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The request cannot be read: {error}.", hint="See /api/openapi.json.") from error


def asker() -> str:
    """Who asks, as the journal keeps it."""
    return f"{getpass.getuser()}@{socket.gethostname()} (web)"


async def ask(client: Client, view: RunView, verb: Verb) -> dict[str, Any]:
    """Leaves the request for whoever executes the run. An answer to a question of a run at rest is recorded at once.

    Raises UsageError when nobody executes the run, or the question is not open.
    """
    body = verb.body()
    if await client.is_live(view.run_id):
        name = "bounds" if verb.verb == "budget" else verb.verb
        targets = verb.addressed() or [None]
        numbers = [await client.ask(view.run_id, name, target, by=asker(), **body) for target in targets]
        return {"request": numbers[0], "requests": numbers}
    if verb.verb in ("approve", "deny"):
        if verb.target not in {gate.id for gate in view.open_gates()}:
            raise UsageError(f"Run {view.run_id} has no open question {verb.target!r}.")
        await client.answer(view.run_id, verb.target, body.get("answer"), denied=verb.verb == "deny", by=asker())
        return {"request": None, "recorded": True}
    raise UsageError(
        f"Run {view.run_id} is {view.shown_status().value}: no process executes it.", hint="Resume it first."
    )
