"""Agents that say what a test tells them. A call that no step is for, and a step that no call was for, are failures.

A step is for one agent and holds all its turns: tool calls first, perhaps, then the answer. Which agent it is for is
said by prompt or label; without either, steps are taken in the order in which agents ask.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from counterpoint.errors import ProviderError, ProviderErrorKind
from counterpoint.events import Usage
from counterpoint.models.messages import Answer, AssistantTurn, Model, Request, ToolCall, ToolTurn, UserTurn
from counterpoint.text import task_alone

CHARS_PER_TOKEN = 4
SHOWN = 120


class ScriptMismatch(AssertionError):
    """The agents of the run and the steps of the test are not the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of an agent, as the scripted model heard it."""

    prompt: str
    """Its task, without what it is told of earlier sessions."""
    label: str
    schema: dict[str, Any] | None
    turn: int
    """Which of the agent's requests that were answered it comes after; 0: the first."""
    results: tuple[str, ...]
    """What the tools answered that it has called in the turn before."""
    request: Request = field(repr=False)
    """All of it."""

    @classmethod
    def of(cls, request: Request) -> Asked:
        prompt = next((task_alone(turn.text) for turn in request.messages if isinstance(turn, UserTurn)), "")
        turn = sum(isinstance(message, AssistantTurn) for message in request.messages)
        last = request.messages[-1] if request.messages else None
        results = tuple(result.content for result in last.results) if isinstance(last, ToolTurn) else ()
        return cls(prompt, request.label, request.schema, turn, results, request)

    def __str__(self) -> str:
        gist = " ".join(self.prompt.split())
        again = f", turn {self.turn + 1}" if self.turn else ""
        return f"{self.label or 'an agent'}{again}: {gist if len(gist) <= SHOWN else gist[:SHOWN] + '…'}"


@dataclass(frozen=True, slots=True)
class Fault:
    """The request fails at its provider."""

    kind: ProviderErrorKind
    message: str
    retry_after: float | None = None
    """Seconds that the provider asks to wait."""
    status: int | None = None

    def error(self) -> ProviderError:
        return ProviderError(self.kind, self.message, status=self.status, retry_after=self.retry_after)


RATE_LIMITED = Fault("rate_limited", "Scripted: too many requests.", retry_after=0.01, status=429)
"""429; the request is repeated, and takes the step's next turn."""
TIMEOUT = Fault("timeout", "Scripted: no byte came in time.")
"""The same, without an answer."""
NULL = Fault("rejected", "Scripted: the provider failed for good.", status=400)
"""The agent ends as failed, and the script gets null."""
BAD_JSON = "Scripted: {no JSON"
"""With a schema: the agent is asked to mend it, and takes the step's next turn."""


class Uses:
    """The agent calls a tool: ``Uses("Read", file_path="a.py")``. `also` are further calls of the same turn."""

    def __init__(self, tool: str, *also: Uses, **input: Any) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = [(tool, input)]
        for other in also:
            self.calls += other.calls


Turn = str | dict[str, Any] | Uses | Fault
Says = Turn | Callable[[Asked], Turn]
"""A text; a structured output; tool calls; a failure; or a function that looks at the request and gives one of them."""


class Step:
    """What one agent does, turn by turn, and which agent that is.

    `prompt` stands in the agent's prompt, or is found there as a pattern; `label` is the agent's label, with the
    wildcards of file names. `times` is for how many agents the step is; None: for any number, also none. `tokens` is
    what each answer counts as output, for tests of budgets.
    """

    def __init__(
        self,
        *turns: Says,
        prompt: str | re.Pattern[str] | None = None,
        label: str | None = None,
        times: int | None = 1,
        tokens: int | None = None,
    ) -> None:
        if not turns:
            raise ValueError("A step needs at least one turn: Step('the answer').")
        self.turns, self.times, self.tokens = turns, times, tokens
        self._prompt, self._label = prompt, label

    def fits(self, asked: Asked) -> bool:
        """Whether the agent is one that the step is for."""
        if self._label is not None and not fnmatch.fnmatchcase(asked.label, self._label):
            return False
        match self._prompt:
            case None:
                return True
            case str(part):
                return part in asked.prompt
            case pattern:
                return pattern.search(asked.prompt) is not None

    def __repr__(self) -> str:
        pattern = self._prompt.pattern if isinstance(self._prompt, re.Pattern) else self._prompt
        named = {"prompt": pattern, "label": self._label, "times": None if self.times == 1 else self.times}
        shown = [repr(self.turns[-1])[:SHOWN], *(f"{name}={value!r}" for name, value in named.items() if value)]
        return f"Step({', '.join(shown)})"


@dataclass(slots=True)
class _Use:
    """A step, as one agent goes through it."""

    step: Step
    taken: int = 0


class ScriptedModel:
    """A model that goes by steps. Where several are for an agent, the first with uses left is taken.

    `otherwise` answers what no step is for: another model, as a `Cassette`; without one that is a failure of the test.
    """

    spec = "scripted:test"
    output: Literal["native"] = "native"
    tools = True
    simulated = False

    def __init__(self, *steps: Step, otherwise: Model | None = None) -> None:
        self.asked: list[Asked] = []
        """Every request, in the order in which they came."""
        self._steps = steps
        self._left = {index: step.times for index, step in enumerate(steps)}
        self._otherwise = otherwise
        self._uses: dict[str, _Use] = {}
        self._all: list[_Use] = []
        self._others: set[str] = set()
        self._unexpected: list[str] = []

    def cost(self, usage: Usage) -> float | None:
        """Nothing."""
        return 0.0

    async def request(self, request: Request) -> Answer:
        """Answers as the step says. Raises the step's fault; and ProviderError where there is no step for it."""
        asked = Asked.of(request)
        self.asked.append(asked)
        use = self._use(asked)
        if use is None and self._otherwise is not None:
            self._others.add(request.identity)
            return await self._otherwise.request(request)
        if use is None or use.taken >= len(use.step.turns):
            return self._refuse(asked, use)
        says = use.step.turns[use.taken]
        use.taken += 1
        turn = says(asked) if callable(says) else says
        if isinstance(turn, Fault):
            raise turn.error()
        return self._answer(turn, asked, use.step.tokens)

    def problems(self) -> list[str]:
        """What the run did that no step says, and what steps say that the run did not do."""
        found = list(self._unexpected)
        for use in self._all:
            left = len(use.step.turns) - use.taken
            if left:
                found.append(f"{left} of {len(use.step.turns)} turns were not taken: {use.step!r}")
        for index, left in self._left.items():
            if left:
                found.append(f"left over{f' ({left} times)' if left > 1 else ''}: {self._steps[index]!r}")
        return found

    def verify(self) -> None:
        """Raises ScriptMismatch where there are `problems`."""
        if found := self.problems():
            raise ScriptMismatch("The run did not go by its steps.\n" + "\n".join(f"- {line}" for line in found))

    def _use(self, asked: Asked) -> _Use | None:
        """The step that the agent is in; a new one where it begins. A repetition after a failure goes on in its own."""
        use = self._uses.get(asked.request.identity)
        if use is not None and (asked.turn or use.taken < len(use.step.turns)):
            return use
        if asked.request.identity in self._others:
            return None
        for index, step in enumerate(self._steps):
            left = self._left[index]
            if left != 0 and step.fits(asked):
                self._left[index] = None if left is None else left - 1
                use = self._uses[asked.request.identity] = _Use(step)
                self._all.append(use)
                return use
        return None

    def _refuse(self, asked: Asked, use: _Use | None) -> Answer:
        why = f"all turns of {use.step!r} are taken" if use else "no step is for it"
        self._unexpected.append(f"a call too many ({why}): {asked}")
        raise ProviderError("rejected", f"The test has no answer: {why}.")

    def _answer(self, turn: str | dict[str, Any] | Uses, asked: Asked, tokens: int | None) -> Answer:
        calls: list[ToolCall] = []
        match turn:
            case str(text):
                pass
            case Uses():
                text = ""
                calls = [ToolCall(f"t{asked.turn}-{n}", *call) for n, call in enumerate(turn.calls)]
            case value:
                text = msgspec.json.encode(value).decode()
        read = len(asked.request.system) + len(asked.prompt)
        wrote = tokens if tokens is not None else len(text) // CHARS_PER_TOKEN + 1
        if asked.request.max_tokens is not None:
            wrote = min(wrote, asked.request.max_tokens)
        usage = Usage(read // CHARS_PER_TOKEN + 1, 0, wrote, 1)
        return Answer(text, calls, usage, self.spec, "tools" if calls else "end")
