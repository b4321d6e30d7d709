"""What every face uses: submit a run, look at it, follow it, ask something of it. Executes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from counterpoint import settings as configuration
from counterpoint.ceilings import ceilings_of
from counterpoint.documents import agent_row, run_facts, run_rows
from counterpoint.errors import ClusterWithoutDatabaseError, RunIsLiveError, StoreError, UnknownRunError, UsageError
from counterpoint.events import (
    GateAnswered,
    Parent,
    Recorded,
    RunCreated,
    RunEnded,
    RunForked,
    RunStarted,
    RunStatus,
    RunTagged,
    Usage,
    Value,
)
from counterpoint.models.local import LocalModel
from counterpoint.models.messages import Model
from counterpoint.models.providers import ProviderModel
from counterpoint.models.registry import Models
from counterpoint.sandbox.process import ENGINE, Limits, ScriptProcess
from counterpoint.script import Script, find, parse
from counterpoint.script.parse import Examination
from counterpoint.settings import Settings
from counterpoint.store.blobs import as_value
from counterpoint.store.leases import STARTS_S
from counterpoint.store.reader import Facts, JournalReader
from counterpoint.store.runs import RunRow, Store
from counterpoint.tags import checked_tag, retagged
from counterpoint.tools.answers import fitting
from counterpoint.tools.arguments import check_args
from counterpoint.view import AgentView, RunView

WORKSPACE = ("branch", "base", "commit", "files", "insertions", "deletions", "path", "patch_bytes")
"""What an agent's document says of its worktree, besides the patch."""
WATCH_S = 0.1
START_S = 10.0
"""How long nobody may execute a run until those who watch it give it up."""
YET_TO_BEGIN = "Its process has yet to begin."


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a list."""

    run_id: str
    name: str
    status: RunStatus
    created_at: float
    cwd: str
    problem: str = ""
    """Why its journal cannot be read."""
    tags: tuple[str, ...] = ()
    parent: Parent | None = None
    """What it was forked from."""
    imported: bool = False
    """Another system's: it never goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """What a fork does otherwise than its parent."""

    script: Script | None = None
    args: bytes | None = None
    """JSON; None: those of the parent."""
    model: str | Model | None = None
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])


class Client:
    """The runs of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(
        self, script: Script, *, settings: Settings, models: Models, cwd: Path, args: bytes | None = None, version: str,
        tags: Iterable[str] = (), tools: Iterable[str] = (),
    ) -> str:  # fmt: skip
        """Records a new run, ready to be executed, and gives its id. `args` is JSON; None: none were given.

        `tools` are names of tools that whoever executes it brings along. Raises UsageError for arguments that do not
        fit what the script declares.
        """
        check_args(script, args)
        if settings.cluster and not settings.database:
            raise ClusterWithoutDatabaseError
        model = models.get(models.default(settings.model))
        _refuse_unknown_price(model, settings)
        run_id = self._store.new_run_id()
        large: dict[str, bytes] = {}
        keep = _keeping(large)
        created = RunCreated(
            run_id=run_id,
            name=script.meta.name,
            description=script.meta.description,
            script=script.path,
            source=keep(msgspec.json.encode(script.source)),
            seed=secrets.randbits(53),
            model=model.spec,
            cwd=str(cwd),
            args=keep(args) if args is not None else None,
            base_url=settings.base_url,
            phases=_phases(script),
            tags=tuple(checked_tag(tag) for tag in tags),
            tools=tuple(tools),
            simulated=model.simulated,
            bounds=_bounds(model, settings),
            version=await asyncio.to_thread(_made_with, version, priced=isinstance(model, ProviderModel)),
        )
        await self._store.create_run(created, large)
        return run_id

    async def fork(
        self, run_id: str, seq: int | None = None, *, otherwise: Otherwise | None = None, by: str, version: str
    ) -> str:
        """Records a new run that goes its own way from event `seq` of this one (None: its newest), and gives its id.

        What the parent's script had heard by then is reused; everything else runs anew, once somebody executes it.
        Raises UsageError where there is no such event, for a model that does not go with what was recorded, and for
        arguments that do not fit what the script declares.
        """
        otherwise = otherwise or Otherwise()
        history = await self._store.reader(run_id).read()
        seq = len(history) if seq is None else seq
        if not 1 <= seq <= len(history):
            raise UsageError(f"Run {run_id} has no event {seq}.", hint=f"It has the events 1 to {len(history)}.")
        first = (await self._store.origin(run_id)).created
        refuse_imported(run_id, first.imported)
        view = RunView.of(history[:seq])
        if otherwise.args is not None:
            check_args(otherwise.script or await self._script_of(view), otherwise.args)
        model = await self._model_of_fork(view, otherwise.model)
        priced = "genai-prices/" in first.version if model is None else isinstance(model, ProviderModel)
        large: dict[str, bytes] = {}
        parent = Parent(run_id, seq, time.time(), by)
        keep, script = _keeping(large), otherwise.script
        created = msgspec.structs.replace(
            first,
            run_id=self._store.new_run_id(),
            args=first.args if otherwise.args is None else keep(otherwise.args),
            model=view.model if model is None else model.spec,
            simulated=view.simulated if model is None else model.simulated,
            base_url=view.base_url if model is None else None,
            tags=view.tags,
            version=await asyncio.to_thread(_made_with, version, priced=priced),
            parent=parent,
        )
        forked = RunForked(bounds=otherwise.bounds)
        if script is not None:
            forked = RunForked(keep(msgspec.json.encode(script.source)), script.path, otherwise.bounds)
            created = msgspec.structs.replace(
                created, name=script.meta.name, description=script.meta.description, phases=_phases(script)
            )
        await self._store.create_fork(created, parent, forked, large)
        return created.run_id

    async def _script_of(self, view: RunView) -> Script:
        source = await self.value(view.run_id, view.source)
        return await asyncio.to_thread(parse.parse, source, view.script, ask=parse.trust)

    async def _model_of_fork(self, view: RunView, asked: str | Model | None) -> Model | None:
        """The model where it is another than the parent's."""
        if asked is None:
            return None
        model = asked
        if isinstance(model, str):
            chosen = configuration.load(cwd=Path(view.cwd), flags={"model": model})
            async with Models(chosen) as models:
                model = models.get(models.default(chosen.model))
        if view.simulated and not model.simulated:
            raise UsageError(
                f"Run {view.run_id} is simulated, and {model.spec} is not: what is reused would pass for real.",
                hint="Start the workflow anew with that model.",
            )
        return model

    async def forks(self, run_id: str) -> list[Summary]:
        """The runs that were forked from this one, the newest first."""
        return [run for run in await self._summaries() if run.parent and run.parent.run_id == run_id]

    async def tag(self, run_id: str, *, add: Iterable[str] = (), remove: Iterable[str] = (), by: str) -> int | None:
        """Gives the run tags and takes others away; the number of the request where a process executes the run.

        Raises UsageError for what can be no tag.
        """
        add, remove = [checked_tag(tag) for tag in add], list(remove)
        if await self.is_live(run_id):
            return await self.ask(run_id, "tag", by=by, add=add, remove=remove)
        async with self._store.writing(run_id) as journal:
            tags = retagged(RunView.of(journal.history).tags, add, remove)
            recorded = journal.append(RunTagged(tags, by))
            await journal.durable(recorded.seq)
        return None

    async def find(self, text: str) -> str:
        """The id of the run that `text` names: an id, a unique prefix of one, or ``@last``. Raises UnknownRunError."""
        return await self._store.find(text)

    async def find_all(self, texts: Iterable[str]) -> list[str]:
        """The ids of the runs that the texts name; ``tag:NAME`` names all with that tag. Raises UnknownRunError."""
        found: dict[str, None] = {}
        for text in texts:
            if not text.startswith("tag:"):
                found[await self._store.find(text)] = None
                continue
            tagged = [run.run_id for run in await self._summaries() if text.removeprefix("tag:") in run.tags]
            if not tagged:
                raise UnknownRunError(f"No run has the tag {text.removeprefix('tag:')!r}.")
            found |= dict.fromkeys(tagged)
        return list(found)

    async def refuse_resume(self, run_id: str) -> None:
        """Raises RunIsLiveError while a process executes the run, UsageError where it can never go on."""
        created = (await self._store.origin(run_id)).created
        refuse_imported(created.run_id, created.imported)
        if await self._store.is_live(run_id):
            raise RunIsLiveError(
                f"Run {run_id} is being executed right now.", hint=f"Watch it with: counterpoint logs {run_id} -f"
            )

    async def runs(self) -> list[Summary]:
        """All runs, the newest first."""
        return [await self._looked_at(summary) for summary in await self._summaries()]

    async def _summaries(self) -> list[Summary]:
        rows = await self._store.runs()
        facts = await self._store.facts(row.run_id for row in rows)
        return [_summary(row, facts[row.run_id]) for row in rows]

    async def _looked_at(self, summary: Summary) -> Summary:
        """A run that goes on may be waiting for a person: only all of its events say so."""
        if summary.status is not RunStatus.RUNNING:
            return summary
        view = RunView.of(await self._store.reader(summary.run_id).read())
        return dataclasses.replace(summary, status=view.shown_status())

    async def view(self, run_id: str) -> RunView:
        """The run as its journal has it now."""
        reader = self._store.reader(run_id)
        view = RunView.of(await reader.read())
        if not view.ended and not await self.is_live(run_id):
            for recorded in await reader.read(view.last_seq):  # it may have ended meanwhile
                view.apply(recorded)
            view.interrupt()
        elif not view.attempt and not view.ended:
            view.message = YET_TO_BEGIN
        return view

    async def value(self, run_id: str, value: Value | None) -> Any:
        """What a journaled value holds; None for none."""
        if value is None:
            return None
        return msgspec.json.decode(await self._store.reader(run_id).value(value))

    async def raw_value(self, run_id: str, value: Value) -> bytes:
        """The JSON of a journaled value."""
        return await self._store.reader(run_id).value(value)

    async def events(self, run_id: str, after: int = 0) -> list[Recorded]:
        return await self._store.reader(run_id).read(after)

    async def is_live(self, run_id: str) -> bool:
        """Whether a process executes the run now, or is about to begin a new one: it can be asked something."""
        return await self._store.answers(run_id)

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[Recorded]:
        """The run's events behind `after`, as they come, until nobody executes it any more."""
        reader, begun = self._store.reader(run_id), after > 1
        give_up_at = time.monotonic() + (START_S if begun else STARTS_S)
        with self._store.news(run_id, WATCH_S) as news:
            while True:
                live = await self._store.is_live(run_id)
                ended = False
                for recorded in await reader.read(after):
                    after, ended = recorded.seq, isinstance(recorded.event, RunEnded)
                    if not begun and isinstance(recorded.event, RunStarted):
                        begun, give_up_at = True, time.monotonic() + START_S
                    yield recorded
                if not live and (ended or time.monotonic() > give_up_at):
                    return
                give_up_at = time.monotonic() + START_S if live else give_up_at
                await news.wait()

    def reader(self, run_id: str) -> JournalReader:
        """The run's journal, to look something up in it."""
        return self._store.reader(run_id)

    @property
    def state(self) -> Path:
        """The folder of the runs."""
        return self._store.folder

    async def transcript(self, run_id: str, agent: str) -> list[Any]:
        """What was said between one agent and its model."""
        rows = await self._store.reader(run_id).transcript(agent)
        return [msgspec.json.decode(body) for _, _, body in rows]

    async def ask(self, run_id: str, verb: str, target: str | None = None, *, by: str, **body: Any) -> int:
        """Leaves a request for whoever executes the run, and gives its number."""
        return await self._store.requests.ask(run_id, verb, target, msgspec.json.encode(body), by)

    async def answer(self, run_id: str, gate: str, answer: Any, *, denied: bool, by: str) -> None:
        """Records a person's answer for a run that nobody executes; a resume goes on with it.

        Raises UsageError where it is none of the options, or does not fit the schema.
        """
        async with self._store.writing(run_id) as journal:
            view = RunView.of(journal.history)
            value = None if denied else journal.value(msgspec.json.encode(fitting(view.gates[gate], answer)))
            recorded = journal.append(GateAnswered(gate, view.gates[gate].key, value, denied, by))
            await journal.durable(recorded.seq)

    async def document(self, view: RunView) -> dict[str, Any]:
        """The JSON of a run, as ``spec/cli.md`` has it."""
        return run_facts(view, time.time()) | {
            "result": await self.value(view.run_id, view.result),
            "journal": self._store.place(view.run_id),
        }

    async def run_document(self, view: RunView) -> dict[str, Any]:
        """The document of a run, its forks, a line for each agent, what is left of its bounds, and the receipts."""
        document = await self.document(view)
        document["forks"] = [
            {"run_id": fork.run_id, "seq": fork.parent.seq} for fork in await self.forks(view.run_id) if fork.parent
        ]
        document |= run_rows(view, time.time())
        return document

    async def _sent(self, view: RunView, agent: AgentView) -> dict[str, Any]:
        """What its requests carried besides the conversation."""
        sent = view.prompts.get(agent.prompted)
        if sent is None:
            return {"system": None, "tools": None}
        return {
            "system": await self.value(view.run_id, sent.system),
            "tools": await self.value(view.run_id, sent.tools),
        }

    async def agent_document(self, view: RunView, agent: AgentView) -> dict[str, Any]:
        """Everything that is known of one agent: its row, the exact prompt, what was said, what came out."""
        document = {
            **agent_row(view, agent),
            "prompt": await self.value(view.run_id, agent.prompt),
            **await self._sent(view, agent),
            "options": agent.options,
            "value": await self.value(view.run_id, agent.value),
            "raw": await self.value(view.run_id, agent.raw),
            "transcript": await self.transcript(view.run_id, agent.id),
            "notes": agent.notes,
            "cited": agent.cited,
            "contradicted": agent.contradicted,
        }
        if agent.workspace is not None:
            made = agent.workspace
            document["workspace"] = {name: getattr(made, name) for name in WORKSPACE}
            document["workspace"]["patch"] = await self.value(view.run_id, made.patch)
        return document


def refuse_imported(run_id: str, imported: str) -> None:
    """Raises UsageError for a run of another system: its calls have no keys by which a result could be found."""
    if imported:
        raise UsageError(
            f"Run {run_id} was imported from {imported}: it can be looked at, and not go on.",
            hint=f"Run its script anew: counterpoint workflows save {run_id}, then counterpoint run NAME",
        )


def _bounds(model: Model, settings: Settings) -> dict[str, Any]:
    """The settings that shape the run. A local model serves one agent at a time: unless told otherwise, the others wait
    in the run's queue, where no clock runs for them, rather than in the model's."""
    unasked = isinstance(model, LocalModel) and "concurrency" not in settings.origins
    return settings.bounds() | ({"concurrency": 1} if unasked else {})


def _made_with(version: str, *, priced: bool) -> str:
    """The releases that a run's figures depend on: ours, the script engine's and, for money, the list of prices."""
    if not priced:
        return f"{version} {ENGINE}"
    return f"{version} {ENGINE} genai-prices/{metadata.version('genai-prices')}"


def _refuse_unknown_price(model: Model, settings: Settings) -> None:
    money = any(ceiling.unit == "usd" for ceiling in ceilings_of(settings.bounds()))
    if money and not settings.allow_unknown_price and model.cost(Usage(input_tokens=1, output_tokens=1)) is None:
        raise UsageError(
            f"The price of {model.spec} is unknown, so a budget in money cannot be kept.",
            hint="Give a budget in tokens (--budget 500k), or start all the same with --allow-unknown-price.",
        )


def _summary(row: RunRow, facts: Facts | StoreError) -> Summary:
    if isinstance(facts, StoreError):
        return Summary(row.run_id, row.name, RunStatus.UNREADABLE, row.created_at, row.cwd, facts.message)
    return Summary(row.run_id, row.name, facts.status, row.created_at, row.cwd, tags=facts.tags, parent=facts.parent,
                   imported=facts.imported)  # fmt: skip


def _keeping(large: dict[str, bytes]) -> Callable[[bytes], Value]:
    """Makes values of JSON; the large ones go into the dictionary, by blob."""

    def keep(json: bytes) -> Value:
        value = as_value(json)
        if value.blob is not None:
            large[value.blob] = json
        return value

    return keep


def _phases(script: Script) -> list[dict[str, Any]]:
    return [{"title": phase.title, "detail": phase.detail} for phase in script.meta.phases]


async def examine(texts: list[str], *, portable: bool = False) -> list[Examination]:
    """What is wrong with each text, with the engine's own word on syntax."""
    examinations = [Examination(text, portable=portable) for text in texts]
    async with await ScriptProcess.spawn(Limits()) as engine:
        for examination in examinations:
            questions, fault = examination.questions(), None
            with contextlib.suppress(StopIteration):
                while True:
                    fault = await engine.check(questions.send(fault))
    return examinations


async def load_script(path: Path, *, portable: bool = False) -> Script:
    """Reads a script that is to be run. Raises UsageError for the file, ScriptRefused with every error in it."""
    text = await asyncio.to_thread(parse.read, path)
    return await read_script(text, find.shown_path(path), portable=portable)


async def read_script(text: str, shown: str, *, portable: bool = False) -> Script:
    """The script of a text that is to be run. Raises ScriptRefused with every error in it."""
    (examination,) = await examine([text], portable=portable)
    return parse.accept(examination, shown)
