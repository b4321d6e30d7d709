"""How an agent can end other than well: the outcome, and the sentence that says why."""

from __future__ import annotations

import time
import traceback

from counterpoint.agents.conversation import Conversation
from counterpoint.agents.deadline import Deadline
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.errors import ProviderError
from counterpoint.events import Outcome


def invalid(conversation: Conversation, repairs: int, misfit: str) -> AgentResult:
    """The structured output never fitted."""
    asked = f"after {repairs} request{'s' * (repairs != 1)} to mend it"
    message = f"The output does not fit the schema {asked}: {misfit}"
    return conversation.end(Outcome.INVALID, "StructuredOutputError", message)


def cut_off(conversation: Conversation) -> AgentResult:
    """The text was cut, and what followed it too."""
    message = "The answer was cut at max_tokens, and so was its continuation; ask for less at once."
    return conversation.end(Outcome.FAILED, "CutOffError", message)


def refused(conversation: Conversation) -> AgentResult:
    """The model, or a filter, declined."""
    return conversation.end(Outcome.FAILED, "ProviderError", "The model declined the task.", kind="refusal")


def out_of_turns(conversation: Conversation, task: AgentTask) -> AgentResult:
    """Still calling tools at the last model request."""
    most = task.max_turns
    message = f"The agent had no answer after {most} model request{'s' * (most != 1)}, its limit (maxTurns)."
    return conversation.end(Outcome.FAILED, "MaxTurnsError", message)


def out_of_time(conversation: Conversation, task: AgentTask, deadline: Deadline) -> AgentResult:
    """The deadline has expired, for one of its two reasons."""
    if deadline.is_stall:
        message = f"Nothing came from {deadline.waiting_for} for {task.stall_s:g} seconds (stallMs)."
        return conversation.end(Outcome.STALLED, "StalledError", message)
    message = (
        f"The agent took longer than {task.timeout_s:g} seconds (timeoutMs); it waited for {deadline.waiting_for}."
    )
    return conversation.end(Outcome.TIMED_OUT, "TimeoutError", message)


def provider_failed(conversation: Conversation, error: ProviderError) -> AgentResult:
    """A request failed for good."""
    limited = error.kind == "quota"
    retry_at = time.time() + error.retry_after if limited and error.retry_after is not None else None
    broken = error.__cause__ if error.kind == "malformed" else None
    return conversation.end(
        Outcome.LIMITED if limited else Outcome.FAILED,
        "ProviderError",
        " ".join(filter(None, [error.message, error.hint])),
        kind=error.kind,
        stack="".join(traceback.format_exception(broken)) if broken else "",
        retry_at=retry_at,
    )
