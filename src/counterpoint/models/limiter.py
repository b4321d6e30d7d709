"""One limiter per provider, address and key, shared by everything that talks to it.

A refusal for load (429, 529, or a Retry-After) says something of the provider: it holds back *every* request. When that
is over, one request finds out whether the provider is back, and the width grows again from there, quickly to half of
what it was, slowly beyond. Any other failure is the request's own, repeated after a back-off during which it takes no
place. A wait that is longer than the caller can bear is a ``quota`` error, at once.
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
STEEP_AT_LEAST = 4
GROWTH = 0.2
"""By how much a round of answers widens the gate, where it was too wide before."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LATER = 0.1
"""Part of a Retry-After that may be added to it, up to a second, so that not all clients of a key come back at once."""
SIGN_S = 20.0
"""How often whoever waits here shows that it does."""
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
    """The gate before one provider: first come, first served."""

    def __init__(self, provider: str, jitter: random.Random | None = None) -> None:
        self.provider = provider
        self.watchers: list[Watcher] = []
        self._jitter = jitter or random.Random()  # noqa: S311  (spreads load; no secret)
        self._width: float = WIDEST
        self._steep_below: float = WIDEST
        self._active = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._held_until = 0.0
        self._message = ""
        self._refusals = 0
        """In a row, each after a hold that had ended."""
        self._in_doubt = False
        """Whether it was held and has not answered since."""

    @property
    def held_until(self) -> float | None:
        """When the provider is asked again, in seconds since the epoch; None: it is not held."""
        left = self._held_until - time.monotonic()
        return time.time() + left if left > 0 else None

    async def send(
        self, model: Model, request: Request, *, retries: int, max_wait_s: float, on_retry: OnRetry
    ) -> Answer:
        """Sends a request, repeating what can be repeated. Raises the ProviderError that is left in the end."""
        patience = _Patience(max_wait_s)
        failures = 0
        while True:
            await self._enter(request, patience)
            try:
                answer = await model.request(request)
            except ProviderError as error:
                failures += 1
                again_in = self._failed(error, failures)
                patience.bear(error, again_in, used_up=failures > retries)
                on_retry(as_fault(error), again_in)
                alone = not self._is_held
            else:
                self._succeeded()
                return answer
            finally:
                self._leave()
            if alone:
                await asyncio.sleep(again_in)

    # --- getting in --------------------------------------------------------------------------------------------------

    @property
    def _is_held(self) -> bool:
        return self._held_until > time.monotonic()

    async def _enter(self, request: Request, patience: _Patience) -> None:
        """Waits for the provider and for a place. Raises ProviderError("quota") where the provider takes too long."""
        while True:
            while (left := self._held_until - time.monotonic()) > 0:
                patience.wait(left, self._message)
                await asyncio.sleep(min(left, SIGN_S))
                _show(request)
            if self._active < int(self._width) and not self._queue:
                self._active += 1
                return
            await self._queue_up(request)
            if not self._is_held:
                return
            self._leave()

    async def _queue_up(self, request: Request) -> None:
        """Returns with a place."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            while not place.done():
                await asyncio.wait([place], timeout=SIGN_S)
                _show(request)
        except asyncio.CancelledError:
            if not place.cancel():
                self._leave()
            raise

    def _leave(self) -> None:
        self._active -= 1
        while self._queue and self._active < int(self._width):
            place = self._queue.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)

    # --- learning from what came back --------------------------------------------------------------------------------

    def _succeeded(self) -> None:
        if self._is_held:
            return  # it was sent before the refusal, and says nothing of what comes after
        self._refusals = 0
        if self._in_doubt:
            self._in_doubt = False
            for watcher in self.watchers:
                watcher.released(self.provider)
        if self._width < WIDEST:
            self._width += 1 if self._width < self._steep_below else GROWTH

    def _failed(self, error: ProviderError, failures: int) -> float:
        """Seconds until this request may be repeated; holds everybody back where the provider asked for it."""
        asked = error.retry_after
        if error.kind == "rate_limited" or error.status == 529 or (error.kind == "overloaded" and asked is not None):
            return self._refused(error)
        if error.kind == "quota" and asked is not None:
            return self._hold(asked, error.message)
        return asked if asked is not None else self._back_off(failures)

    def _refused(self, error: ProviderError) -> float:
        asked = error.retry_after
        if self._is_held and asked is None:
            return self._held_until - time.monotonic()
        if not self._is_held:
            self._refusals += 1
            self._steep_below = max(STEEP_AT_LEAST, self._active / 2)
            self._width = 1
        wait = 0.0 if asked is None else asked + self._jitter.uniform(0, min(1, asked * LATER))
        return self._hold(wait if wait > FIRST_WAIT_S else max(wait, self._back_off(self._refusals)), error.message)

    def _hold(self, wait: float, message: str) -> float:
        now = time.monotonic()
        if now + wait > self._held_until:
            self._held_until, self._message, self._in_doubt = now + wait, message, True
            for watcher in self.watchers:
                watcher.held(self.provider, time.time() + wait, message)
        return wait

    def _back_off(self, failures: int) -> float:
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, failures - 1))
        return longest * self._jitter.uniform(0.5, 1.0)


class _Patience:
    """How long one request bears with a provider that says "not now"."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: float | None = None

    def wait(self, left: float, message: str) -> None:
        """The provider is held for `left` seconds. Raises ProviderError("quota") where that is too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if left > self._longest_s or now - self._since > self._longest_s:
            raise ProviderError("quota", message, retry_after=left)

    def bear(self, error: ProviderError, again_in: float, *, used_up: bool) -> None:
        """The request failed. Raises what it comes to where it is not to be repeated."""
        if error.kind == "rate_limited":
            if used_up:
                raise ProviderError("quota", error.message, status=error.status, retry_after=again_in, hint=error.hint)
            self.wait(again_in, error.message)
        elif used_up or error.kind not in RETRYABLE:
            raise error


def _show(request: Request) -> None:
    if request.heard is not None:
        request.heard()


def as_fault(error: ProviderError) -> Fault:
    """A provider's error as the journal keeps it."""
    return Fault("ProviderError", error.message, kind=error.kind)
