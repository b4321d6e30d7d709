"""Keeps one agent's conversation within its model's context: before it is too long, and after the provider says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property

import msgspec

from counterpoint.agents import prompts
from counterpoint.agents.compact import (
    BYTES_PER_TOKEN,
    FULL,
    ROOM,
    Compacted,
    accepted,
    cleared,
    described,
    estimated,
    material,
    notes_tokens,
    sent,
    shortened,
    tokens,
    window_in,
)
from counterpoint.agents.conversation import Conversation
from counterpoint.agents.task import AgentTask
from counterpoint.errors import ProviderError
from counterpoint.models.messages import Answer, Request, ToolSpec, UserTurn

Ask = Callable[[Request], Awaitable[Answer]]


class Room:
    """What is left of the context. The window is the task's; else only a refusal tells that a conversation is too long,
    and from then on the window is what that states, or what was too much for it."""

    def __init__(
        self, task: AgentTask, conversation: Conversation, system: str, tools: list[ToolSpec], ask: Ask
    ) -> None:
        self._task = task
        self._conversation = conversation
        self._ask = ask
        self._system, self._tools = system, tools
        self._window = task.window
        self._without_notes = False

    @cached_property
    def _fixed(self) -> int:
        """Tokens of what every request carries."""
        return (len(self._system) + len(msgspec.json.encode(self._tools))) // BYTES_PER_TOKEN

    async def make(self) -> None:
        """Shortens the conversation where it comes near the window. Raises ProviderError where the provider fails.

        Where the model gives no notes it goes on as it is: whether it is too long is then for the provider to say.
        """
        window = self._window or self._conversation.last.window
        if not window or self._without_notes:
            return
        before = tokens(self._conversation.rows, self._fixed)
        if before < window * FULL:
            return
        try:
            await self._shorten(int(window * ROOM), Compacted(before=before, cause="window"))
        except ProviderError as error:
            if error.kind != "too_long":
                raise
            self._without_notes = True

    async def make_after(self, refusal: ProviderError) -> None:
        """Shortens the conversation that the provider refuses for its length. Raises ProviderError where it cannot."""
        rows = self._conversation.rows
        before = tokens(rows, self._fixed)
        stated, half = window_in(refusal.message), before // 2
        self._window = stated or before
        # Not stated: what it has taken before it will take again; where that is too little, half of what it refused.
        rooms = [int(stated * ROOM)] if stated else [min(accepted(rows) or half, half), half]
        for room in rooms:
            if await self._shorten(room, Compacted(before=before, cause="provider")):
                return
        raise self._hopeless(refusal) from refusal

    def still_too_long(self, refusal: ProviderError) -> ProviderError:
        """What the agent ends with where even that is refused."""
        return ProviderError(
            "too_long",
            f"The conversation is too long for {self._task.model} although it was shortened: {refusal.message}",
            status=refusal.status,
            hint=refusal.hint or _HINT,
        )

    async def _shorten(self, room: int, about: Compacted) -> bool:
        """False: it cannot be brought down to that."""
        rows = self._conversation.rows
        mark = cleared(rows, room, self._fixed) or shortened(rows, room, self._fixed)
        if mark is None:
            return False
        if mark.dropped:
            mark = await self._noted(mark, room)
        after = self._fixed + estimated(sent([*rows, mark]))
        about = msgspec.structs.replace(mark, before=about.before, after=after, cause=about.cause)
        self._conversation.shorten(described(about))
        return True

    async def _noted(self, mark: Compacted, room: int) -> Compacted:
        """With the notes that the model makes of what is left out. Raises ProviderError where it makes none."""
        try:
            answer = await self._ask(self._asking(mark, room, room))
        except ProviderError as error:
            if error.kind != "too_long":
                raise
            answer = await self._ask(self._asking(mark, room, room // 4))
        notes = answer.text.strip()[: notes_tokens(room) * BYTES_PER_TOKEN]
        if not notes or answer.stop == "refusal":
            self._conversation.pay(answer.usage, "was asked for notes, and gave none")
            raise ProviderError(
                "too_long",
                f"The conversation is too long for {self._task.model}, and it gave no notes to go on from instead.",
                hint=_HINT,
            )
        return msgspec.structs.replace(mark, text=notes, usage=answer.usage)

    def _asking(self, mark: Compacted, room: int, shown: int) -> Request:
        """The request for notes, of `shown` tokens."""
        return Request(
            system=prompts.NOTES,
            messages=[UserTurn(material(self._conversation.rows, mark, shown))],
            max_tokens=notes_tokens(room),
            identity=self._task.key,
            label=self._task.label,
        )

    def _hopeless(self, refusal: ProviderError) -> ProviderError:
        what = "The task itself is" if len(self._conversation.rows) == 1 else "The task, or what came back last, is"
        return ProviderError(
            "too_long",
            f"{what} too long for the context of {self._task.model}, so nothing can be left out: {refusal.message}",
            status=refusal.status,
            hint=refusal.hint or _HINT,
        )


_HINT = "Give each agent less, or a model with a larger context."
