"""Agents that were recorded: asked of a real provider once, answered from a file ever after.

An answer is found by the identity of its call, as in a resume (prompt and options, and how many earlier calls had just
those), and by the agent's turn. The file is JSON, sorted, made to be reviewed and committed: no secrets, no times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from counterpoint import settings
from counterpoint.errors import ProviderError, ProviderErrorKind, UsageError
from counterpoint.events import Usage
from counterpoint.models.messages import Answer, Model, Output, Request, ToolCall
from counterpoint.models.registry import Models
from counterpoint.redaction import Redaction
from counterpoint.testing.scripted import Asked, ScriptMismatch

FORMAT = 1
GIST = 200


class Spoken(Struct, frozen=True, omit_defaults=True):
    """One recorded answer, or the failure that came instead."""

    identity: str
    turn: int
    label: str
    gist: str
    """The beginning of the prompt, for people."""
    text: str = ""
    calls: list[ToolCall] = []
    usage: Usage = Usage()
    stop: Literal["end", "tools", "length", "refusal"] = "end"
    failed: ProviderErrorKind | None = None
    message: str = ""


class Tape(Struct, frozen=True):
    """The file."""

    format: int
    model: str
    output: Output
    tools: bool
    spoken: list[Spoken]


class Cassette:
    """A model that replays a file; with `record`, one that asks that model and writes the file when it is closed.

    Use it as an async context manager, or give it to `run_script`, which does. `secrets` are values that must not get
    into the file, besides keys and tokens of the environment and what looks like one.
    """

    simulated = False

    def __init__(self, path: str | Path, *, record: str | Model | None = None, secrets: Iterable[str] = ()) -> None:
        self.path = Path(path)
        self._record = record
        self._redaction = Redaction(os.environ, secrets)
        self._models: Models | None = None
        self._model: Model | None = None
        self._tape = Tape(FORMAT, "cassette", "native", True, [])
        self._spoken: dict[tuple[str, int], Spoken] = {}
        self._missing: list[str] = []

    async def __aenter__(self) -> Cassette:
        if self._record is None:
            self._tape = _read(self.path)
            self._spoken = {(spoken.identity, spoken.turn): spoken for spoken in self._tape.spoken}
        elif isinstance(self._record, str):
            self._models = Models(settings.load(cwd=Path.cwd(), flags={"model": self._record}))
            self._model = await self._models.ready(self._record)
        else:
            self._model = self._record
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._models is not None:
            await self._models.__aexit__()
        if self._model is not None and kind is None:
            self._write(self._model)

    @property
    def spec(self) -> str:
        """The model that was recorded, so that scripts, prices and journals see the same name."""
        return self._model.spec if self._model else self._tape.model

    @property
    def output(self) -> Output:
        return self._model.output if self._model else self._tape.output

    @property
    def tools(self) -> bool:
        return self._model.tools if self._model else self._tape.tools

    def cost(self, usage: Usage) -> float | None:
        """What the recorded answer had cost; nothing is paid for a replay."""
        return self._model.cost(usage) if self._model else usage.usd

    async def request(self, request: Request) -> Answer:
        """The recorded answer. Raises the recorded failure; and ProviderError where nothing is recorded."""
        asked = Asked.of(request)
        if self._model is not None:
            return await self._recorded(self._model, asked)
        spoken = self._spoken.get((request.identity, asked.turn))
        if spoken is None:
            self._missing.append(str(asked))
            raise ProviderError("rejected", f"The cassette {self.path} has no answer for {asked}")
        if spoken.failed is not None:
            raise ProviderError(spoken.failed, spoken.message)
        return Answer(spoken.text, spoken.calls, spoken.usage, self.spec, spoken.stop)

    def problems(self) -> list[str]:
        """Calls that the file has no answer for."""
        return [f"not recorded: {missing}" for missing in self._missing]

    def verify(self) -> None:
        """Raises ScriptMismatch where there are `problems`."""
        if found := self.problems():
            listed = "\n".join(f"- {line}" for line in found)
            raise ScriptMismatch(
                f"The run asks what {self.path} has no answer for.\n{listed}\n"
                "A prompt or an option has changed, or names a folder of this machine. Record again: "
                "pytest --counterpoint-record PROVIDER:NAME"
            )

    async def _recorded(self, model: Model, asked: Asked) -> Answer:
        try:
            answer = await model.request(asked.request)
        except ProviderError as error:
            self._keep(asked, failed=error.kind, message=error.message)
            raise
        calls = [
            msgspec.structs.replace(call, id=f"t{asked.turn}-{n}") for n, call in enumerate(answer.calls)
        ]  # fmt: skip
        self._keep(asked, text=answer.text, calls=calls, usage=answer.usage, stop=answer.stop)
        return answer

    def _keep(self, asked: Asked, **said: Any) -> None:
        """The last word counts: a request that was repeated is recorded as it ended."""
        spoken = Spoken(asked.request.identity, asked.turn, asked.label, asked.prompt[:GIST], **said)
        clean = self._redaction.value(msgspec.to_builtins(spoken))
        self._spoken[spoken.identity, spoken.turn] = msgspec.convert(clean, Spoken)

    def _write(self, model: Model) -> None:
        spoken = [self._spoken[key] for key in sorted(self._spoken)]
        tape = msgspec.json.encode(Tape(FORMAT, model.spec, model.output, model.tools, spoken))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(msgspec.json.format(tape, indent=1) + b"\n")


def _read(path: Path) -> Tape:
    """Raises UsageError for a file that is not there, or is no cassette."""
    try:
        tape = msgspec.json.decode(path.read_bytes(), type=Tape)
    except FileNotFoundError:
        raise UsageError(
            f"There is no cassette {path}.", hint="Record it once: pytest --counterpoint-record PROVIDER:NAME"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no cassette: {error}.") from error
    if tape.format != FORMAT:
        raise UsageError(f"The cassette {path} has format {tape.format}; this release reads {FORMAT}.")
    return tape
