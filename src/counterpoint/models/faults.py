"""What a provider's library raised → the ProviderError that it means. Keys never get into a message."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)

from counterpoint.errors import ProviderError, ProviderErrorKind
from counterpoint.models.transport import Broken

LONGEST = 500
"""Characters of what a provider says."""
SHORTEST_KEY = 8
"""Characters; what is shorter is a placeholder, and would be found in ordinary words."""
BUSY = (408, 409)
"""Statuses below 500 that speak of the moment, not of the request."""
TOO_LARGE = 413
_TOO_LONG = re.compile(
    r"exceeds? (?:the )?(?:\w+ )?context|greater than the context|maximum prompt length"
    r"|context (?:size|length|window|limit)[^.]{0,60} exceed",
    re.IGNORECASE,
)
"""How servers say that a conversation is too long whose errors pydantic-ai does not know."""
_KEYS = re.compile(r"\b(?:sk|gsk|xai)[-_][\w.*-]{6,}|\bBearer [\w.*-]{6,}|\bAIza[\w-]{10,}")


class Faults:
    """The errors of one account: `place` names it, `key` must never be shown."""

    def __init__(self, place: str, key: str, key_names: Sequence[str]) -> None:
        self._place = place
        self._key = key if len(key) >= SHORTEST_KEY else None
        self._key_names = " or ".join(key_names)

    def of(self, error: BaseException) -> ProviderError:
        """What the error means."""
        for cause in _chain(error):
            if isinstance(cause, Broken):
                return cause.fault
        if isinstance(error, ModelHTTPError):
            return self._of_status(error)
        kind = _kind(error)
        return self._made(kind, self._words(error), retry_after=_wait(error), hint=self._hint(kind))

    def _of_status(self, error: ModelHTTPError) -> ProviderError:
        status = error.status_code
        kind = _kind(error)
        if kind == "rejected" and (status == TOO_LARGE or (status < 500 and _TOO_LONG.search(self._words(error)))):
            kind = "too_long"
        if kind == "rejected" and (status >= 500 or status in BUSY):
            kind = "overloaded"
        hint = self._hint(kind) or self._rejection_hint(error)
        return self._made(kind, f"{status}: {self._words(error)}", status=status, retry_after=_wait(error), hint=hint)

    def _made(
        self,
        kind: ProviderErrorKind,
        words: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> ProviderError:
        lead = {
            "auth": f"{self._place} refuses the key",
            "rate_limited": f"{self._place} asks for patience",
            "quota": f"{self._place} says that the quota is used up",
            "overloaded": f"{self._place} is overloaded or failing",
            "malformed": f"{self._place} sent an answer that cannot be read",
            "refusal": f"{self._place} declined",
            "too_long": f"{self._place} finds the conversation too long",
        }.get(kind, f"{self._place} rejected the request" if kind == "rejected" else f"{self._place} failed")
        return ProviderError(kind, f"{lead} ({self.clean(words)}).", status=status, retry_after=retry_after, hint=hint)

    def clean(self, text: str) -> str:
        """The text on one line, bounded, without keys."""
        text = text if self._key is None else text.replace(self._key, "[key]")
        text = _KEYS.sub("[key]", " ".join(text[: LONGEST * 20].split()))
        return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()}…"

    def _words(self, error: BaseException) -> str:
        """What the provider says, else what the library says."""
        body: Any = getattr(error, "body", None)
        said = _message_in(body)
        if said is None and isinstance(error, ModelAPIError | UserError):
            said = body if isinstance(body, str) and body.strip() else error.message
        return (said or f"{type(error).__name__}: {error}").strip().removesuffix(".")

    def _hint(self, kind: ProviderErrorKind) -> str | None:
        match kind:
            case "auth":
                return f"Check {self._key_names}." if self._key_names else "Check the credentials."
            case "quota":
                return "Wait for the quota, or raise it or pay at the provider."
            case _:
                return None

    def _rejection_hint(self, error: ModelHTTPError) -> str | None:
        if not isinstance(error, ModelNotFoundError):
            return None
        if error.suggested_model_id:
            return f"Did you mean {error.suggested_model_id.rpartition(':')[2]!r}?"
        return (
            "Is the model's name right, and --base-url? (For anthropic it is without /v1, for others mostly with it.)"
        )


def no_such_route(error: BaseException) -> bool:
    """Whether the server does not know the path; it may well know the model."""
    return (
        isinstance(error, ModelHTTPError)
        and error.status_code in (404, 405, 501)
        and error.suggested_model_id is None
        and _message_in(error.body, "code") != "model_not_found"
    )


def _kind(error: BaseException) -> ProviderErrorKind:
    match error:
        case ModelQuotaExceededError():
            return "quota"
        case ModelRateLimitError():
            return "rate_limited"
        case ModelUnavailableError() | ModelServerError():
            return "overloaded"
        case ModelTimeoutError():
            return "unreachable" if error.phase in ("connect", "pool") else "timeout"
        case ModelConnectionError():
            return "unreachable" if error.phase in ("connect", "pool") else "dropped"
        case ModelAuthenticationError():
            return "auth"
        case ContentFilterError():
            return "refusal"
        case ModelContextWindowExceededError():
            return "too_long"
        case ModelHTTPError() | ModelRequestRejectedError() | UserError():
            return "rejected"
        case _:
            return "malformed"  # a body that is no JSON, or no answer by the protocol, in whatever way that showed


def _wait(error: BaseException) -> float | None:
    """Seconds that the provider asked us to wait."""
    asked = error.retry_after if isinstance(error, ModelAPIError) else None
    if asked is None and isinstance(error, ModelHTTPError):
        with contextlib.suppress(ValueError):  # parts of a second are not in the standard, but they are sent
            asked = float((error.headers or {}).get("retry-after", ""))
    return asked if asked is not None and math.isfinite(asked) and asked >= 0 else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(20):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


def _message_in(body: Any, name: str = "message") -> str | None:
    """``error.message`` of an error's body, in the forms that providers use."""
    for holder in (body, *([cast("dict[str, Any]", body).get("error")] if isinstance(body, dict) else [])):
        if isinstance(holder, dict):
            said = cast("dict[str, Any]", holder).get(name)
            if isinstance(said, str) and said.strip():
                return said
    return None
