"""One run of a workflow in a test, and what it made of its agents."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from counterpoint import api
from counterpoint.api import Result, Workflow
from counterpoint.client import Client
from counterpoint.events import Outcome, Recorded, RunStatus, Usage
from counterpoint.models.messages import Model
from counterpoint.store.runs import Store
from counterpoint.testing.cassette import Cassette
from counterpoint.testing.scripted import ScriptedModel
from counterpoint.view import AgentView, RunView

T = TypeVar("T")
SHOWN = 40
"""Agents that a failed expectation names."""


@dataclass(frozen=True, slots=True)
class Call:
    """One ``agent()`` call of the run, and how it ended."""

    label: str
    phase: str | None
    prompt: str
    options: dict[str, Any]
    outcome: Outcome | None
    value: Any
    usage: Usage

    def __str__(self) -> str:
        outcome = self.outcome.value if self.outcome else "not ended"
        return f"{self.label or '(no label)'} in {self.phase or '(no phase)'}: {outcome}"


@dataclass(frozen=True, slots=True)
class Played:
    """A run that is over."""

    result: Result
    calls: tuple[Call, ...]
    """The agents, in the order in which they were called."""
    log: tuple[str, ...]
    """What the script narrated, and what the engine warned of."""
    view: RunView = field(repr=False)

    @property
    def value(self) -> Any:
        """What the script returned."""
        return self.result.value

    @property
    def status(self) -> RunStatus:
        return self.result.status

    @property
    def phases(self) -> dict[str, int]:
        """How many agents each phase had that had any."""
        return dict(Counter(call.phase for call in self.calls if call.phase is not None))

    @property
    def output_tokens(self) -> int:
        """What the run took of its budget."""
        return self.result.usage["output_tokens"]

    def labelled(self, label: str) -> Call:
        """The one call with this label. Raises AssertionError where there is none, or several."""
        found = [call for call in self.calls if call.label == label]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} calls have the label {label!r}.\n{self}")
        return found[0]

    def expect(
        self,
        *,
        status: str = "completed",
        value: Any = dataclasses.MISSING,
        agents: int | None = None,
        phases: Mapping[str, int] | None = None,
        coverage: tuple[int, int] | None = None,
        max_output_tokens: int | None = None,
        logged: str | None = None,
    ) -> None:
        """Raises AssertionError with everything that is otherwise, and the run's agents. What is left out may be any.

        `coverage` is agents that ended well, of how many; `logged` is part of a line of the narration.
        """
        wrong = [
            f"{name} is {found!r}, and not {wanted!r}"
            for name, found, wanted in (
                ("status", self.status.value, status),
                ("value", self.value, self.value if value is dataclasses.MISSING else value),
                ("agents", len(self.calls), len(self.calls) if agents is None else agents),
                ("phases", self.phases, self.phases if phases is None else dict(phases)),
                ("coverage", self.result.coverage, self.result.coverage if coverage is None else coverage),
            )
            if found != wanted
        ]
        if max_output_tokens is not None and self.output_tokens > max_output_tokens:
            wrong.append(f"output_tokens is {self.output_tokens:,}, and more than {max_output_tokens:,}")
        if logged is not None and not any(logged in line for line in self.log):
            wrong.append(f"no line of the log has {logged!r}")
        if wrong:
            raise AssertionError("\n".join([*(f"{line}." for line in wrong), str(self)]))

    def __str__(self) -> str:
        fault = self.result.error
        lines = [f"The run {self.result.run_id} ended as {self.status.value}."]
        lines += [f"{fault['name']}: {fault['message']} (line {fault['line']})"] if fault else []
        lines += [f"- {call}" for call in self.calls[:SHOWN]]
        more = len(self.calls) - SHOWN
        return "\n".join(
            [*lines, *([f"- and {more} more"] if more > 0 else []), *(f"log: {line}" for line in self.log)]
        )


async def run_script(
    script: str | Path | Workflow,
    agents: Model,
    *,
    args: Any = dataclasses.MISSING,
    cwd: str | Path | None = None,
    state: str | Path | None = None,
    budget: str | tuple[str, ...] = (),
    strict: bool = True,
    on_event: Callable[[Recorded], None] | None = None,
    **options: Any,
) -> Played:
    """Runs a workflow with these agents, a `ScriptedModel`, a `Cassette` or any other model, to its end.

    With `strict`, agents without a step and steps without an agent raise ScriptMismatch, whatever became of the run.
    `state` keeps the run's journal; left out, it is thrown away. The rest is as for `counterpoint.run`.
    """
    async with _opened(agents) as model, _folder(state) as folder:
        result = await api.run(
            script, args=args, model=model, budget=budget, cwd=cwd, state=folder, on_event=on_event, **options
        )
        played = await _played(result, folder)
    if strict and isinstance(agents, ScriptedModel | Cassette):
        try:
            agents.verify()
        except AssertionError as mismatch:
            mismatch.add_note(str(played))
            raise
    return played


@contextlib.asynccontextmanager
async def _opened(agents: Model) -> AsyncGenerator[Model]:
    if isinstance(agents, Cassette):
        async with agents:
            yield agents
    else:
        yield agents


@contextlib.asynccontextmanager
async def _folder(state: str | Path | None) -> AsyncGenerator[Path]:
    if state is not None:
        yield Path(state)
        return
    with tempfile.TemporaryDirectory(prefix="counterpoint-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


async def _played(result: Result, folder: Path) -> Played:
    async with Store(folder) as store:
        client = Client(store)
        view = await client.view(result.run_id)
        calls = [await _call(client, view, agent) for agent in view.counted()]
    return Played(result, tuple(calls), tuple(line.text for line in view.log), view)


async def _call(client: Client, view: RunView, agent: AgentView) -> Call:
    prompt = await client.value(view.run_id, agent.prompt)
    value = await client.value(view.run_id, agent.value)
    options: dict[str, Any] = msgspec.to_builtins(agent.options)
    return Call(agent.label, agent.phase, prompt, options, agent.outcome, value, agent.usage)
