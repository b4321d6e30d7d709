"""One limiter per provider, address and key, shared by everything that talks to it.

Facts and policy: a refusal for load (429, 529) says something of the provider, so it holds back *every* request, halves
the width, and then lets one request at a time find out whether the provider is back. Any other failure is the request's
own and is repeated after a back-off. A wait that is longer than the caller can bear is a ``quota`` error, at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from counterpoint.errors import RETRYABLE, ProviderError
from counterpoint.events import Fault
from counterpoint.models.messages import Answer, Model, Request

WIDEST = 1000
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
OnRetry = Callable[[Fault, float], None]


class Watcher(Protocol):
    """Who wants to know that the provider said "not now"."""

    def held(self, provider: str, until: float, message: str) -> None:
        """No request goes out before `until` (seconds since the epoch)."""
        ...

    def released(self, provider: str) -> None:
        """The provider answers again."""
        ...


class Limiter:
    """The gate before one provider."""

    def __init__(self, provider: str, jitter: random.Random | None = None) -> None:
        self.provider = provider
        self.watchers: list[Watcher] = []
        self._jitter = jitter or random.Random()  # noqa: S311  (spreads load; no secret)
        self._width = WIDEST
        self._active = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._held_until = 0.0
        self._held_since: float | None = None
        self._refusals = 0
        self._message = ""

    @property
    def held_until(self) -> float | None:
        """When the provider is asked again, in seconds since the epoch; None: it is not held."""
        left = self._held_until - time.monotonic()
        return time.time() + left if left > 0 else None

    async def send(
        self,
        model: Model,
        request: Request,
        *,
        retries: int,
        max_wait_s: float,
        on_retry: OnRetry,
        patient: bool = True,
    ) -> Answer:
        """Sends a request, repeating what can be repeated. Raises the ProviderError that is left in the end.

        `patient`: refusals for load do not count as retries, but only against `max_wait_s`.
        """
        failures = 0
        while True:
            await self._enter(max_wait_s, on_retry)
            try:
                answer = await model.request(request)
            except ProviderError as error:
                failures += 0 if patient and error.kind == "rate_limited" else 1
                wait = self._failed(error, failures)
                self._give_up(error, wait, failures > retries, max_wait_s)
                on_retry(as_fault(error), wait)
                if self._held_since is None:
                    await asyncio.sleep(wait)
            else:
                self._succeeded()
                return answer
            finally:
                self._leave()

    def _give_up(self, error: ProviderError, wait: float, used_up: bool, max_wait_s: float) -> None:
        if error.kind not in RETRYABLE:
            raise error
        if error.kind == "rate_limited":
            held = time.monotonic() - (self._held_since or time.monotonic())
            if used_up or wait > max_wait_s or held > max_wait_s:
                raise ProviderError("quota", error.message, status=error.status, retry_after=wait, hint=error.hint)
        elif used_up:
            raise error

    async def _enter(self, max_wait_s: float, on_retry: OnRetry) -> None:
        """Waits for the provider and for a place. Raises ProviderError("quota") where that takes too long."""
        while (left := self._held_until - time.monotonic()) > 0:
            if left > max_wait_s:
                raise ProviderError("quota", self._message, retry_after=left)
            on_retry(Fault("ProviderError", self._message, kind="rate_limited"), left)
            await asyncio.sleep(left)
        if self._active < self._width and not self._queue:
            self._active += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise
        if self._held_until > time.monotonic():
            self._leave()
            await self._enter(max_wait_s, on_retry)

    def _leave(self) -> None:
        self._active -= 1
        while self._queue and self._active < self._width:
            place = self._queue.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)

    def _succeeded(self) -> None:
        self._refusals = 0
        if self._held_since is not None and self._held_until <= time.monotonic():
            self._held_since = None
            for watcher in self.watchers:
                watcher.released(self.provider)
        if self._width < WIDEST:
            self._width += max(1, self._width // 4)

    def _failed(self, error: ProviderError, failures: int) -> float:
        """Seconds until this request may be repeated; holds everybody back where the provider asked for it."""
        asked = error.retry_after
        if error.kind == "rate_limited" or (error.kind == "overloaded" and (asked is not None or error.status == 529)):
            return self._hold(error)
        if error.kind == "quota" and asked is not None:
            self._hold_for(asked, error.message)
        return asked if asked is not None else self._back_off(failures)

    def _hold(self, error: ProviderError) -> float:
        now = time.monotonic()
        if self._held_until > now and error.retry_after is None:
            return self._held_until - now
        if self._held_until <= now:
            self._refusals += 1
            self._width = 1
        wait = error.retry_after if error.retry_after is not None else self._back_off(self._refusals)
        self._hold_for(wait, error.message)
        return wait

    def _hold_for(self, wait: float, message: str) -> None:
        now = time.monotonic()
        if now + wait <= self._held_until:
            return
        self._held_until = now + wait
        self._held_since = self._held_since or now
        self._message = message
        for watcher in self.watchers:
            watcher.held(self.provider, time.time() + wait, message)

    def _back_off(self, failures: int) -> float:
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, failures - 1))
        return longest * self._jitter.uniform(0.5, 1.0)


def as_fault(error: ProviderError) -> Fault:
    """A provider's error as the journal keeps it."""
    return Fault("ProviderError", error.message, kind=error.kind)
