"""One agent: ask the model, carry out its tool calls, until the answer is there and, with a schema, fits it.

Every message goes to the observer's transcript the moment it exists, so that an agent that was cut off goes on from
there (`transcript.resume_point`). After each answer that does not end the agent there is a boundary, at which what
people say to it reaches it; so does what they said while it gave its last answer. Cancellation passes through, a
StoreError too; every other end is an AgentResult.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from counterpoint.agents import ends, output, prompts
from counterpoint.agents.calls import Caller
from counterpoint.agents.compact import Row
from counterpoint.agents.conversation import Conversation
from counterpoint.agents.deadline import Deadline
from counterpoint.agents.observer import Observer, OnRetry, Send
from counterpoint.agents.room import Room
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.agents.transcript import resume_point, unfinished
from counterpoint.errors import CounterpointError, HookError, ProviderError
from counterpoint.events import Fault, Outcome
from counterpoint.models.messages import (
    Answer,
    AssistantTurn,
    Model,
    Request,
    ToolCall,
    ToolResult,
    ToolTurn,
    UserTurn,
)
from counterpoint.tools.base import Tool, ToolContext
from counterpoint.tools.registry import offers

ROOMS = 2
"""Times that room is made for one request which the provider refuses for its length."""
__all__ = ["Observer", "OnRetry", "Send", "resume_point", "run_agent"]


async def run_agent(
    task: AgentTask,
    model: Model,
    send: Send,
    tools: Sequence[Tool],
    observer: Observer,
    history: Sequence[Row] = (),
    context: ToolContext | None = None,
) -> AgentResult:
    """Carries the task out. `history` is the conversation of an earlier attempt at the same prompt, to go on from.

    `context` is what its tools work with; without one they can read below the task's folder.
    """
    agent = _Agent(task, model, send, tools if model.tools else (), observer, context)
    if history and isinstance(history[0], UserTurn) and prompts.is_told(history[0].text, task.prompt):
        agent.take_up(history)
    return await agent.run()


class _Agent:
    """An agent under way."""

    def __init__(
        self,
        task: AgentTask,
        model: Model,
        send: Send,
        tools: Sequence[Tool],
        observer: Observer,
        context: ToolContext | None,
    ) -> None:
        self._task, self._send, self._tools, self._observer = task, send, tools, observer
        self._form: prompts.Form = prompts.form(task.schema is not None, model.output, model.tools, bool(tools))
        self._system = prompts.system_prompt(self._form, task.system, task.cwd if tools else None)
        if tools and context is None:
            context = ToolContext(Path(task.cwd), task.id)
        self._context = context
        self._specs = [tool.spec for tool in tools if context is not None and offers(tool, context)]
        if self._form == "tool" and task.schema is not None:
            self._specs.append(output.output_tool(task.schema))
        self._conversation = Conversation(task, observer)
        self._room = Room(task, self._conversation, self._system, self._specs, self._noted)
        self._deadline = Deadline(task.timeout_s, task.stall_s)
        self._caller: Caller | None = None
        self._resumed = False
        """Whether what is heeded now is from an earlier attempt."""
        self._begun = ""
        """The part of the answer before it was cut."""
        self._repairs = 0
        self._misfit = ""
        """What is wrong with the structured output that it gave last."""

    def take_up(self, history: Sequence[Row]) -> None:
        self._conversation.take_up(history)
        self._begun = unfinished(history)

    async def run(self) -> AgentResult:
        """The conversation within its time."""
        self._observer.prompted(self._system, self._specs)
        try:
            async with self._deadline.timeout:
                return await self._converse()
        except TimeoutError:
            if not self._deadline.timeout.expired():
                raise
            return ends.out_of_time(self._conversation, self._task, self._deadline)

    async def _converse(self) -> AgentResult:
        try:
            result = await self._begin()
            while result is None:
                if not self._conversation.turns_left:
                    return self._invalid() if self._misfit else ends.out_of_turns(self._conversation, self._task)
                result = await self._turn()
        except ProviderError as error:
            return ends.provider_failed(self._conversation, error)
        except HookError as error:
            return self._conversation.end(Outcome.FAILED, error.name, error.message)
        return result

    async def _begin(self) -> AgentResult | None:
        """The prompt; or what an earlier attempt left: calls without results, or the answer that ends it."""
        rows = self._conversation.rows
        if not rows:
            self._conversation.say(UserTurn(prompts.told(self._task.prompt, self._task.notes)))
            return None
        last = rows[-1]
        if not isinstance(last, AssistantTurn):
            return None
        self._resumed = True
        try:
            return await self._heed(last)
        finally:
            self._resumed = False

    async def _turn(self) -> AgentResult | None:
        """One request and what follows from it; None: the agent goes on."""
        answer = await self._ask()
        turn = self._conversation.hear(answer)
        if answer.stop == "refusal":
            self._conversation.said = turn.text
            return ends.refused(self._conversation)
        return await self._heed(turn)

    async def _ask(self) -> Answer:
        """The model's answer to the conversation, which is shortened where it is too long for the model."""
        await self._room.make()
        for _ in range(ROOMS):
            try:
                return await self._sent(self._request())
            except ProviderError as error:
                if error.kind != "too_long":
                    raise
                await self._room.make_after(error)
        try:
            return await self._sent(self._request())
        except ProviderError as error:
            raise self._room.still_too_long(error) if error.kind == "too_long" else error from error

    def _request(self) -> Request:
        task, form = self._task, self._form
        return Request(
            system=self._system,
            messages=self._conversation.messages,
            tools=self._specs,
            schema=task.schema if form == "json" else None,
            must_call=form == "tool" and (len(self._specs) == 1 or self._repairs > 0),
            effort=task.effort,
            identity=task.key,
            label=task.label,
            heard=self._deadline.progress,
        )

    async def _noted(self, request: Request) -> Answer:
        """What the model notes of a conversation that is too long for it."""
        self._waits_for("the model, for notes of its conversation")
        answer = await self._sent(msgspec.structs.replace(request, heard=self._deadline.progress))
        self._waits_for("the model")
        return answer

    async def _sent(self, request: Request) -> Answer:
        try:
            return await self._send(request, self._retried)
        except CounterpointError:
            raise
        except Exception as error:
            # A bug in a provider's library must not end the run of three hundred other agents.
            message = f"The provider's library failed: {type(error).__name__}: {error}"
            raise ProviderError("malformed", message) from error

    async def _heed(self, turn: AssistantTurn) -> AgentResult | None:
        self._conversation.said = turn.text or self._conversation.said
        if self._form == "text":
            return await self._call_tools(turn.calls) if turn.calls else self._text_given(turn.text)
        outputs = [call for call in turn.calls if call.name == prompts.OUTPUT_TOOL] if self._form == "tool" else []
        if outputs:
            return await self._output_called(turn.calls, outputs)
        return await self._call_tools(turn.calls) if turn.calls else self._json_given(turn.text)

    # --- answers -----------------------------------------------------------------------------------------------------

    @property
    def _was_cut(self) -> bool:
        return self._conversation.last.stop == "length" and not self._resumed

    def _text_given(self, text: str) -> AgentResult | None:
        whole = self._begun + text
        if not self._was_cut:
            return self._finish(whole)
        if self._begun:
            self._conversation.said = whole
            return ends.cut_off(self._conversation)
        self._begun = text
        return self._go_on(prompts.CONTINUE, "was cut; asked to go on")

    def _json_given(self, text: str) -> AgentResult | None:
        try:
            value = output.parse(text)
            wrong = self._misfits(value)
        except output.NoJsonError as error:
            value, wrong = None, [f"$: {error}"]
        if not wrong:
            return self._finish(value)
        ask = prompts.mend(wrong, self._form) if self._form == "json" else prompts.NUDGE
        if self._was_cut:
            ask = f"{prompts.SHORTER}\n{ask}"
        return self._count_repair(wrong) or self._go_on(ask, self._repair_note)

    async def _output_called(self, calls: list[ToolCall], outputs: list[ToolCall]) -> AgentResult | None:
        """The first call that fits is the result. What else was called in that turn has no purpose any more."""
        answers: dict[str, str] = {}
        wrong: list[str] = []
        for call in outputs:
            wrong = self._call_misfits(call)
            if not wrong:
                return await self._output_fits(call, calls)
            answers[call.id] = prompts.mend(wrong, self._form)
        self._conversation.said = _arguments(outputs[-1])
        return self._count_repair(wrong) or await self._call_tools(calls, answers, self._repair_note, error=True)

    async def _output_fits(self, call: ToolCall, calls: list[ToolCall]) -> AgentResult | None:
        said = self._conversation.steering()
        if not said:
            return self._conversation.result(call.input)
        answers = {each.id: prompts.RECEIVED for each in calls if each.name == prompts.OUTPUT_TOOL}
        return await self._call_tools(calls, answers, "heard a message", said=said)

    def _call_misfits(self, call: ToolCall) -> list[str]:
        if call.input is not None:
            return self._misfits(call.input)
        cut = " (they were cut at the length limit: give less)" if self._was_cut else ""
        return [f"$: the arguments are no JSON object{cut}"]

    def _misfits(self, value: Any) -> list[str]:
        return output.misfits(self._task.schema or {}, value)

    def _count_repair(self, wrong: list[str]) -> AgentResult | None:
        """One more repair; or the end, where all are used up."""
        self._misfit = wrong[0]
        if self._repairs >= self._task.max_repairs:
            return self._invalid()
        self._repairs += 1
        return None

    def _invalid(self) -> AgentResult:
        return ends.invalid(self._conversation, self._repairs, self._misfit)

    @property
    def _repair_note(self) -> str:
        return f"asked to mend its output ({self._repairs} of {self._task.max_repairs})"

    def _finish(self, value: Any) -> AgentResult | None:
        """The answer is there; unless somebody has said something that the agent has not heard."""
        said = self._conversation.steering()
        if not said:
            return self._conversation.result(value)
        self._begun = ""
        return self._go_on(prompts.steered(said), "heard a message")

    def _go_on(self, ask: str, note: str) -> None:
        self._conversation.report(note)
        said = self._conversation.steering() if ask != prompts.CONTINUE else []
        self._conversation.say(UserTurn("\n\n".join(filter(None, [ask, prompts.steered(said)]))))
        self._waits_for("the model")

    # --- tools -------------------------------------------------------------------------------------------------------

    async def _call_tools(
        self,
        calls: list[ToolCall],
        answers: dict[str, str] | None = None,
        note: str = "",
        *,
        error: bool = False,
        said: Sequence[str] = (),
    ) -> None:
        """Carries out the calls but those that have their answer, and hands the model all results in order."""
        answers = answers or {}
        self._conversation.report(note or ", ".join(call.name for call in calls))
        real = [call for call in calls if call.id not in answers]
        done = iter(await self._called(real))
        results = [
            ToolResult(call.id, call.name, answers[call.id], error) if call.id in answers else next(done)
            for call in calls
        ]
        words = [prompts.steered([*said, *self._conversation.steering()])]
        words += [prompts.LAST_TURN] * (self._conversation.turns_left == 1)
        self._conversation.say(ToolTurn(results, "\n\n".join(filter(None, words))))
        self._waits_for("the model")

    async def _called(self, calls: list[ToolCall]) -> list[ToolResult]:
        if not calls:
            return []
        if self._caller is None:
            context = self._context or ToolContext(Path(self._task.cwd), self._task.id)
            context = dataclasses.replace(
                context, alive=self._deadline.progress, waits=self._waits_for, paid=self._conversation.pay
            )
            self._caller = Caller(self._tools, context, self._task.key, self._tool_ended)
        if not self._caller.only_read(calls):
            await self._observer.kept()
        self._waits_for(f"the tool {', '.join(call.name for call in calls)}")
        return await self._caller.run(calls, interrupted=self._resumed)

    # --- time, and those who watch -----------------------------------------------------------------------------------

    def _waits_for(self, what: str) -> None:
        self._observer.waits(what)
        self._deadline.waiting_for = what
        self._deadline.progress()

    def _tool_ended(self, name: str, summary: str, ok: bool, seconds: float) -> None:
        self._observer.tool(name, summary, ok, seconds)
        self._deadline.progress()

    def _retried(self, fault: Fault, wait: float) -> None:
        self._observer.retried(fault, wait)
        self._deadline.progress(wait)


def _arguments(call: ToolCall) -> str:
    """What the model gave as the result, as it gave it."""
    return call.raw if call.input is None else msgspec.json.encode(call.input).decode()
