"""The public Python API: run workflows from Python, watch them, go on with them. `import counterpoint` has its names.

    result = await counterpoint.run("review.js", args={"path": "src"}, model="anthropic:NAME", budget="500k")
    print(result.status, result.coverage, result.value)

Everything goes through the same store as the command line, so a run that Python began can be steered from a terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from counterpoint import daemon, settings
from counterpoint.background import execute_apart
from counterpoint.ceilings import read_budgets
from counterpoint.client import Client, Otherwise, load_script
from counterpoint.events import Recorded, RunStatus
from counterpoint.models.messages import Model
from counterpoint.models.registry import Models
from counterpoint.notebook import Progress
from counterpoint.script import Script
from counterpoint.script.find import find
from counterpoint.script.parse import parse
from counterpoint.settings import Settings
from counterpoint.store.opening import store_at
from counterpoint.store.runs import Store
from counterpoint.tools.own import FunctionTool, own_tools
from counterpoint.version import VERSION

OnEvent = Callable[[Recorded], None]
"""Is called with each event once it is on disk."""
Tools = Sequence[FunctionTool | Callable[..., Any]]
"""Functions with annotations and a docstring, or `FunctionTool`s, that agents may call."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow script given as text, instead of a file or a saved name."""

    text: str
    name: str = "workflow.js"
    """As errors show it."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run, or an attempt at it, ended."""

    run_id: str
    status: RunStatus
    value: Any
    """What the script returned; None too where it returned nothing."""
    document: dict[str, Any] = field(repr=False)
    """All that ``counterpoint result RUN --json`` prints."""

    @property
    def ok(self) -> bool:
        """Every agent ended well, and the script has no error of its own."""
        return self.status is RunStatus.COMPLETED

    @property
    def coverage(self) -> tuple[int, int]:
        """Agents that ended well, of how many."""
        return self.document["coverage"]["ok"], self.document["coverage"]["of"]

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and requests; ``usd`` is None where a price is unknown."""
        return self.document["usage"]

    @property
    def error(self) -> dict[str, Any] | None:
        """Name, message, line and column of what ended the script."""
        return self.document["error"]


async def run(
    script: str | Path | Workflow,
    *,
    args: Any = dataclasses.MISSING,
    model: str | Model | None = None,
    budget: str | tuple[str, ...] = (),
    cwd: str | Path | None = None,
    state: str | Path | None = None,
    on_event: OnEvent | None = None,
    progress: bool = False,
    models: Mapping[str, Model] | None = None,
    tools: Tools = (),
    **options: Any,
) -> Result:
    """Runs a workflow to its end in this event loop.

    `script` is a path, a saved name, or a `Workflow`. `args` is any JSON value; left out, the script's `args` is
    undefined. `model` is ``provider:name``, or a model of one's own (see `Model`); `models` are further ones that the
    script may name. `tools` are functions of one's own that agents may call, besides the tools that they have (see
    `FunctionTool`). `budget` is one ceiling or several, as on the command line. `on_event` is called with each event
    once it is on disk; with `progress` the run is shown live, in the notebook where there is one. `options` are
    settings by their names (``concurrency=64``). Raises ScriptRefused, UsageError and StoreError; how the run itself
    ended is in the result.
    """
    own = own_tools(tools)
    options["allow"] = (*options.get("allow", ()), *own)
    async with _open(model, budget, cwd, state, models, options) as here:
        text = await here.script(script)
        run_id = await here.submit(text, args, own)
        return await here.execute(run_id, daemon.Orders(tools=own), on_event, progress=progress)


async def resume(
    run_id: str,
    *,
    script: str | Path | Workflow | None = None,
    reuse: Literal["calls", "prefix", "none"] = "calls",
    state: str | Path | None = None,
    on_event: OnEvent | None = None,
    progress: bool = False,
    model: Model | None = None,
    models: Mapping[str, Model] | None = None,
    tools: Tools = (),
    database: str | None = None,
) -> Result:
    """Goes on with a run: recorded results are reused, everything else runs. `run_id` may be a prefix, or ``@last``.

    A run that was begun with a model or tools of one's own needs them again: give `model`, `models` and `tools`.
    """
    own = own_tools(tools)
    further = {**(models or {}), **({model.spec: model} if model is not None else {})}
    kept = {"database": database}
    async with _open(None, (), None, state, None, kept) as here:
        run_id = await here.client.find(run_id)
        view = await here.client.view(run_id)
        edited = await here.script(script) if script is not None else None
        options = kept | ({"base_url": view.base_url} if view.base_url else {})
        allowed: list[str] = view.bounds.get("allow", [])
        new = [name for name in own if name not in allowed]
        orders = daemon.Orders(script=edited, reuse=reuse, tools=own, bounds={"allow": [*allowed, *new]} if new else {})
        async with _open(view.model, (), view.cwd, state, further, options) as there:
            return await there.execute(run_id, orders, on_event, progress=progress)


async def fork(
    run_id: str,
    *,
    at: int | None = None,
    script: str | Path | Workflow | None = None,
    args: Any = dataclasses.MISSING,
    model: str | Model | None = None,
    budget: str | tuple[str, ...] = (),
    state: str | Path | None = None,
    on_event: OnEvent | None = None,
    progress: bool = False,
    models: Mapping[str, Model] | None = None,
    tools: Tools = (),
    database: str | None = None,
) -> Result:
    """Goes another way from event `at` of a run (None: its newest): a new run, executed here to its end.

    What the run's script had heard by then is reused; everything else runs anew, with other `args`, another `script` or
    `model` and ceilings of its own where they are given. The run itself stays as it is, and may still be going on.
    See `resume` for the rest. Raises UsageError where there is no such event.
    """
    async with _open(None, (), None, state, None, {"database": database}) as here:
        parent = await here.client.find(run_id)
        portable = bool((await here.client.view(parent)).bounds.get("portable"))
        otherwise = Otherwise(
            script=await here.script(script, portable=portable) if script is not None else None,
            args=None if args is dataclasses.MISSING else msgspec.json.encode(args),
            model=model,
            bounds=dict(read_budgets([budget] if isinstance(budget, str) else budget)),
        )
        forked = await here.client.fork(
            parent, at, otherwise=otherwise, by=f"{getpass.getuser()} (python)", version=VERSION
        )
    own = None if isinstance(model, str) else model
    return await resume(
        forked, state=state, on_event=on_event, progress=progress, model=own, models=models, tools=tools,
        database=database,
    )  # fmt: skip


async def submit(
    script: str | Path | Workflow,
    *,
    args: Any = dataclasses.MISSING,
    model: str | None = None,
    budget: str | tuple[str, ...] = (),
    cwd: str | Path | None = None,
    state: str | Path | None = None,
    **options: Any,
) -> str:
    """Records a run, starts a process of its own that executes it, and gives the run's id. See `run` for the rest."""
    async with _open(model, budget, cwd, state, None, options) as here:
        run_id = await here.submit(await here.script(script), args)
        await execute_apart(here.store, run_id)
        return run_id


async def watch(
    run_id: str, *, after: int = 0, state: str | Path | None = None, database: str | None = None
) -> AsyncIterator[Recorded]:
    """The events of a run behind number `after`, as they come, to the end of the attempt. Any process may watch."""
    async with _open(None, (), None, state, None, {"database": database}) as here:
        async for recorded in here.client.watch(await here.client.find(run_id), after):
            yield recorded


async def result(run_id: str, *, state: str | Path | None = None, database: str | None = None) -> Result:
    """What is known of a run now."""
    async with _open(None, (), None, state, None, {"database": database}) as here:
        return await here.result(await here.client.find(run_id))


@dataclass(frozen=True, slots=True)
class _Session:
    settings: Settings
    store: Store
    client: Client
    models: Models
    cwd: Path

    async def script(self, given: str | Path | Workflow, *, portable: bool = False) -> Script:
        portable = portable or self.settings.portable
        if isinstance(given, Workflow):
            return parse(given.text, given.name, portable=portable)
        path = given if isinstance(given, Path) else find(given, self.cwd)
        return await load_script(path, portable=portable)

    async def submit(self, script: Script, args: Any, tools: Iterable[str] = ()) -> str:
        encoded = None if args is dataclasses.MISSING else msgspec.json.encode(args)
        return await self.client.submit(
            script,
            settings=self.settings,
            models=self.models,
            cwd=self.cwd,
            args=encoded,
            version=VERSION,
            tools=tools,
        )

    async def execute(self, run_id: str, orders: daemon.Orders, on_event: OnEvent | None, *, progress: bool) -> Result:
        listeners = [_each(on_event)] if on_event else []
        with contextlib.ExitStack() as stack:
            if progress:
                shown = stack.enter_context(contextlib.closing(Progress(await self.client.view(run_id))))
                listeners.append(shown.take)
            await daemon.execute(
                self.store, run_id, self.models, dataclasses.replace(orders, listeners=tuple(listeners))
            )
        return await self.result(run_id)

    async def result(self, run_id: str) -> Result:
        view = await self.client.view(run_id)
        document = await self.client.document(view)
        return Result(run_id, view.shown_status(), document["result"], document)


def _each(on_event: OnEvent) -> Callable[[list[Recorded]], None]:
    def listen(events: list[Recorded]) -> None:
        for recorded in events:
            on_event(recorded)

    return listen


@contextlib.asynccontextmanager
async def _open(
    model: str | Model | None,
    budget: str | tuple[str, ...],
    cwd: str | Path | None,
    state: str | Path | None,
    models: Mapping[str, Model] | None,
    options: dict[str, Any],
) -> AsyncGenerator[_Session]:
    folder = Path.cwd() / (cwd or "")
    own = dict(models or {})
    if model is not None and not isinstance(model, str):
        own[model.spec] = model
        model = model.spec
    flags = {
        **options,
        **read_budgets([budget] if isinstance(budget, str) else budget),
        "model": model,
        "state": Path(state) if state is not None else None,
    }
    chosen = settings.load(cwd=folder, flags=flags)
    async with store_at(chosen.state, chosen.database) as store, Models(chosen, own=own) as registry:
        yield _Session(chosen, store, Client(store), registry, folder)
