"""Runs that were lived, for tests of dreaming: written into a store as the engine writes them, without an engine.

`lived` records a run of one agent whose transcript is given as turns; `Reader` is a scripted reader, who finds in what
it is shown the excerpt that has the words of an item's quotes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.dream.canary import Tasks
from counterpoint.dream.inbox import Policy
from counterpoint.dream.prepare import Wish
from counterpoint.dream.record import Report
from counterpoint.dreaming import dream_of
from counterpoint.events import (
    AgentFinished,
    AgentQueued,
    AgentStarted,
    Outcome,
    RequestDelivered,
    RunCreated,
    RunEnded,
    RunStarted,
    RunStatus,
)
from counterpoint.memory.entries import Entry
from counterpoint.memory.places import project_store
from counterpoint.memory.versions import Move
from counterpoint.models.messages import AssistantTurn, Message, ToolCall, ToolResult, ToolTurn, UserTurn
from counterpoint.store.blobs import as_value
from counterpoint.store.runs import Store
from counterpoint.testing import Asked, ScriptedModel, Step

Turn = str | tuple[str, str, str] | Message
"""What the agent says; or a call of a tool, as (tool, subject, what it answered); an answer with ``[exit code 1]`` in
it is a failure."""
SUBJECTS = {"Bash": "command", "Read": "file_path", "WebFetch": "url"}


class Place:
    """A project and a state folder below a test's folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.project = folder / "project"
        self.project.mkdir(parents=True, exist_ok=True)
        self.memory = project_store(self.project)

    async def lived(
        self,
        *turns: Turn,
        args: Any = None,
        said: Sequence[str] = (),
        status: RunStatus = RunStatus.COMPLETED,
        name: str = "work",
        cwd: Path | None = None,
        prompt: str = "Do the task.",
        then: tuple[str, Sequence[Turn]] | None = None,
        told: Sequence[str] = (),
        **created: Any,
    ) -> str:
        """Records a run, and gives its id. `said` are words of a person to the agent under way; `then` is a second
        agent: its prompt and turns; `told` are the notes that the first one was given."""
        async with Store(self.state) as store:
            run_id = store.new_run_id()
            value = as_value(msgspec.json.encode(args)) if args is not None else None
            more: dict[str, Any] = {"model": "scripted:test", "cwd": str(cwd or self.project), "args": value, **created}
            source = as_value(b'"return 1"')
            await store.create_run(RunCreated(run_id, name, "", f"{name}.js", source, 7, **more), {})
            async with store.writing(run_id) as journal:
                journal.append(RunStarted(1, 1, "here", 1))
                journal.append(AgentQueued("a1", "k1", as_value(msgspec.json.encode(prompt)), label="worker"))
                journal.append(AgentStarted("a1", notes=list(told)))
                for n, text in enumerate(said):
                    journal.append(RequestDelivered(n, "steer", None, text, by="ada"))
                for n, message in enumerate(_messages(prompt, turns)):
                    journal.write_turn("a1", n, msgspec.json.encode(message))
                journal.append(AgentFinished("a1", Outcome.OK, as_value(b'"done"')))
                if then is not None:
                    journal.append(AgentQueued("a2", "k2", as_value(msgspec.json.encode(then[0])), label="second"))
                    for n, message in enumerate(_messages(*then)):
                        journal.write_turn("a2", n, msgspec.json.encode(message))
                    journal.append(AgentFinished("a2", Outcome.OK, as_value(b'"done"')))
                await journal.durable(journal.append(RunEnded(status)).seq)
            return run_id

    async def dream(
        self,
        model: ScriptedModel,
        *,
        trust: bool = True,
        tasks: Tasks | None = None,
        concurrency: int = 16,
        **wish: Any,
    ) -> Report:
        """One dream; with `trust`, what passes is put in force, whatever its tier, and without tasks."""
        policy = Policy(auto=[0, 1, 2, 3], unproven=True) if trust else Policy()
        given = Wish(policy=policy, **wish)
        return await dream_of(
            state=self.state,
            folder=self.project,
            model=model,
            wish=given,
            tasks=tasks,
            retries=0,
            concurrency=concurrency,
        )

    def remember(self, *notes: Entry, actor: str = "dream", at: float = 10.0) -> str:
        """Puts these notes in force, beside those that are, and gives the version's id."""
        head = self.memory.head()
        entries = self.memory.entries(head) | {note.id: note for note in notes}
        version = self.memory.keep(entries, parent=head, actor=actor, at=at)
        self.memory.publish(version.id, head, Move(after=version.id, actor=actor, at=at))
        return version.id

    def notes(self) -> list[Entry]:
        """The notes in force."""
        return [entry for entry in self.memory.entries(self.memory.head()).values() if entry.active]


def everything_below(folder: Path) -> bytes:
    """The bytes of all files below a folder, and their names."""
    return b"\n".join(str(path).encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def _messages(prompt: str, turns: Sequence[Turn]) -> list[Message]:
    messages: list[Message] = [UserTurn(prompt)]
    for n, turn in enumerate(turns):
        match turn:
            case str(text):
                messages.append(AssistantTurn(text))
            case (tool, subject, answer):
                key = SUBJECTS.get(tool, "query")
                messages.append(AssistantTurn("", [ToolCall(f"t{n}", tool, {key: subject})]))
                fenced = f'<tool-output id="0123456789">\n{answer}\n</tool-output id="0123456789">'
                messages.append(ToolTurn([ToolResult(f"t{n}", tool, fenced)]))
            case message:
                messages.append(message)
    return messages


def item(text: str, *quotes: str | dict[str, str], **more: Any) -> dict[str, Any]:
    """An item of a reader. Quotes that are bare texts are looked up in what the reader is shown (see `reader`)."""
    return {"kind": "fact", "subject": "the project", "aspect": text[:40], "text": text, "quotes": list(quotes), **more}


def reader(*items: dict[str, Any], times: int | None = None) -> Step:
    """A reader who brings those items whose first quote is in what it sees."""

    def answer(asked: Asked) -> dict[str, Any]:
        shown = dict(re.findall(r"^\[(q\d+)\] (.*?)(?=^\[q\d+\] |\Z)", asked.prompt, re.MULTILINE | re.DOTALL))
        found: list[dict[str, Any]] = []
        for each in items:
            quotes = [quote for given in each["quotes"] if (quote := _placed(given, shown)) is not None]
            if quotes and len(found) < 6:
                found.append({**each, "quotes": quotes})
        return {"items": found}

    return Step(answer, label="reader*", times=times)


def _placed(quote: str | dict[str, str], shown: dict[str, str]) -> dict[str, str] | None:
    if not isinstance(quote, str):
        return quote
    return next(({"ref": ref, "text": quote} for ref, text in shown.items() if quote in text), None)


def skeptics(*, refute: str = "\0", times: int | None = None) -> Step:
    """Skeptics who refute what has these words in it, and nothing else."""
    return Step(
        lambda asked: {"refuted": refute in asked.prompt, "reason": "The quotes say what they say."},
        label="skeptic*",
        times=times,
    )
