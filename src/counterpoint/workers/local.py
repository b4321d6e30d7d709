"""Agents in this process, each a coroutine on its event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from counterpoint.agents.compact import Row
from counterpoint.agents.desk import Workshop
from counterpoint.agents.loop import Observer, OnRetry, Send, run_agent
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.errors import HookError, UsageError
from counterpoint.events import Fault, Outcome
from counterpoint.models.messages import Answer, Effort, Model, Request, UserTurn
from counterpoint.models.providers import ProviderModel
from counterpoint.models.registry import Models
from counterpoint.tools.base import Tool
from counterpoint.tools.modelsearch import ModelSearch
from counterpoint.tools.registry import select
from counterpoint.tools.toolsearch import ToolSearch
from counterpoint.workers.executor import Allowance, Claim
from counterpoint.workers.prefix import Prefixes

BYTES_PER_TOKEN = 3
"""Of text, at least: a claim must not be smaller than what the provider will count."""
FOUND_TOKENS = 40_000
"""What a provider's web search may bring into a request; the price of that is more than its fee."""
USUAL_TOKENS: dict[Effort | None, int] = {
    None: 4096, "low": 4096, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 65_536,
}  # fmt: skip
"""What an answer may well take: a model that thinks hard must have room to say something in the end."""


class LocalExecutor:
    """Runs each agent here, its model requests through the provider's limiter and within the allowance."""

    def __init__(self, models: Models, allowance: Allowance[Any], workshop: Workshop | None = None) -> None:
        self._models = models
        self._allowance = allowance
        self._workshop = workshop or Workshop()
        self._prefixes = Prefixes()

    async def run(self, task: AgentTask, observer: Observer, history: list[Row]) -> AgentResult:
        try:
            model = await self._models.ready(task.model)
        except UsageError as error:
            return AgentResult(Outcome.FAILED, fault=Fault("ProviderError", error.message, kind="rejected"))
        if not task.window and isinstance(model, ProviderModel):
            task = msgspec.structs.replace(task, window=model.window or 0)
        tools = select(task.tools, task.disallowed, frozenset(self._workshop.own)) if model.tools else []
        try:
            search = self._search(task, model, observer)
            task, tools = await self._workshop.furnished(task, list(tools), search)
            send = _with_what_was_found(tools, self._sender(task, model, observer))
            if not tools and not task.isolated:  # nothing that it could do needs a place to do it in
                return await run_agent(task, model, send, tools, observer, history)
            async with self._workshop.room(task, observer) as (here, desk):
                return await run_agent(here, model, send, tools, observer, history, desk)
        except HookError as error:
            return AgentResult(Outcome.FAILED, fault=Fault(error.name, error.message))

    def _search(self, task: AgentTask, model: Model, observer: Observer) -> ModelSearch | None:
        """The web search that the model's provider has."""
        if not isinstance(model, ProviderModel) or not model.searches:
            return None
        send = self._sender(task, model, observer)

        async def ask(request: Request) -> Answer:
            request = msgspec.structs.replace(request, identity=task.key, label=task.label)
            return await send(request, observer.retried)

        return ModelSearch(model.account.provider.name, ask)

    def announce(self, task: AgentTask) -> None:
        """A task that waits for its slot: its prompt may share its beginning with others."""
        if not self._models.get(task.model).simulated:
            self._prefixes.announce(task)

    def _sender(self, task: AgentTask, model: Model, observer: Observer) -> Send:
        limiter = self._models.limiter_of(model)

        async def limited(request: Request, on_retry: OnRetry) -> Answer:
            answer = await limiter.send(
                model, request, retries=task.retries, max_wait_s=task.max_wait_s, on_retry=on_retry
            )
            return _priced(answer, model)

        async def within_budget(request: Request, on_retry: OnRetry) -> Answer:
            if not self._allowance.bounded:
                return await limited(request, on_retry)
            usual = USUAL_TOKENS[request.effort]
            claim = Claim(task.id, task.phase, input_tokens(request), model.cost, usual)
            grant = await self._allowance.reserve(claim, _Patience(observer, request))
            observer.waits("the model")
            used = None
            try:
                if grant.max_tokens is not None:
                    allowed = min(request.max_tokens or grant.max_tokens, grant.max_tokens)
                    request = msgspec.structs.replace(request, max_tokens=allowed)
                answer = await limited(request, on_retry)
                used = answer.usage
                return answer
            finally:
                self._allowance.settle(grant, used)

        async def in_turn(request: Request, on_retry: OnRetry) -> Answer:
            shared = self._prefixes.shared(task)
            if not shared or not _begins_with(request, task.prompt):
                return await within_budget(request, on_retry)
            request = msgspec.structs.replace(request, shared_chars=shared)
            if len(request.messages) > 1:
                return await within_budget(request, on_retry)
            async with self._prefixes.turn(task):
                return await within_budget(request, on_retry)

        return within_budget if model.simulated else in_turn


def _begins_with(request: Request, prompt: str) -> bool:
    """Whether it is of the agent's conversation, not about it."""
    first = request.messages[0]
    return isinstance(first, UserTurn) and first.text.startswith(prompt)


def _with_what_was_found(tools: Sequence[Tool], send: Send) -> Send:
    """Requests carry also the tools that the agent has looked for, where it has such as have to be looked for."""
    search = next((tool for tool in tools if isinstance(tool, ToolSearch)), None)
    if search is None:
        return send

    found: set[str] = set()  # also when the search itself is no longer sent, since room was made

    async def with_found(request: Request, on_retry: OnRetry) -> Answer:
        if not request.tools:  # a request about the conversation, not of it
            return await send(request, on_retry)
        found.update(spec.name for spec in search.asked_for(request.messages))
        specs = [tool.spec for tool in search.shelf if tool.spec.name in found]
        return await send(msgspec.structs.replace(request, tools=[*request.tools, *specs]), on_retry)

    return with_found


def _priced(answer: Answer, model: Model) -> Answer:
    """The answer with what it cost: a model of the caller's own may count tokens and leave the price to `cost`."""
    if answer.usage.usd:
        return answer
    usage = msgspec.structs.replace(answer.usage, usd=model.cost(answer.usage))
    return msgspec.structs.replace(answer, usage=usage)


class _Patience:
    """Tells of a wait for the budget: once, that it waits for that, and then that it still does."""

    def __init__(self, observer: Observer, request: Request) -> None:
        self._observer = observer
        self._request = request
        self._told = False

    def __call__(self) -> None:
        if not self._told:
            self._told = True
            self._observer.waits("the budget")
        if self._request.heard is not None:
            self._request.heard()


def input_tokens(request: Request) -> int:
    """The tokens of a request's input, estimated from above."""
    sent = len(msgspec.json.encode([request.system, request.messages, request.tools, request.schema]))
    return sent // BYTES_PER_TOKEN + 1 + (FOUND_TOKENS if request.search else 0)
