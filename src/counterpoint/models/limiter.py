"""One limiter per provider, address and key, shared by everything that talks to it.

A refusal for load (429, 529, or a Retry-After) says something of the provider: it holds back *every* request. When that
is over, one request finds out whether the provider is back, and the width grows again from there, quickly to half of
what it was, slowly beyond. Any other failure is the request's own, repeated after a back-off during which it takes no
place. A wait that is longer than the caller can bear is a ``quota`` error, at once.

A limit that was set bounds the width. Where other processes keep to it too, somebody allots places (`store.shares`):
none before he has.
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
BURST = 4
"""Requests that go out before the loop looks for answers again: a refusal of the first is heard before the last."""
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

    def __init__(
        self,
        provider: str,
        jitter: random.Random | None = None,
        *,
        account: str = "",
        most: int = WIDEST,
        allotted: int | None = None,
    ) -> None:
        """`most` requests at once, of those `allotted` here; None: all."""
        self.provider = provider
        self.account = account
        self.most = most
        self.hungry: Callable[[], None] | None = None
        """Is called when a request waits and there is no place at all."""
        self._places = most if allotted is None else allotted
        self.watchers: list[Watcher] = []
        self._jitter = jitter or random.Random()  # noqa: S311  (spreads load; no secret)
        self._width: float = WIDEST
        self._steep_below: float = WIDEST
        self._active = 0
        self._burst = 0
        self._queue: deque[_Turn] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._sign: asyncio.TimerHandle | None = None
        self._asked_until = self._held_until = 0.0
        """What the provider asked for, and what is given: a little more."""
        self._message = ""
        self._refusals = 0
        """In a row, each after a hold that had ended."""
        self._doubt_s = 0.0
        """For how long it was held since it last answered."""

    @property
    def used(self) -> int:
        """Requests under way."""
        return self._active

    @property
    def wanted(self) -> int:
        """Those, and the ones that wait; as many as may go out at once."""
        if self._is_held:
            return max(self._active, 1 if self._queue else 0)
        return min(self._active + len(self._queue), int(self._width))

    def allot(self, places: int | None) -> None:
        """From now on so many at once, what is under way included; None: as many as the limit says."""
        self._places = self.most if places is None else places
        self._admit()

    async def send(
        self, model: Model, request: Request, *, retries: int, max_wait_s: float, on_retry: OnRetry
    ) -> Answer:
        """Sends a request, repeating what can be repeated. Raises the ProviderError that is left in the end."""
        failures = 0
        while True:
            await self._enter(request, max_wait_s)
            try:
                answer = await model.request(request)
            except ProviderError as error:
                failures += 1
                again_in = self._failed(error, failures)
                self._give_up(error, again_in, failures > retries, max_wait_s)
                on_retry(as_fault(error), again_in)
                alone = not self._is_held
            else:
                self._succeeded()
                return answer
            finally:
                self._leave()
            if alone:
                await asyncio.sleep(again_in)

    def _give_up(self, error: ProviderError, again_in: float, used_up: bool, max_wait_s: float) -> None:
        if error.kind == "rate_limited":
            if used_up or self._is_held_too_long(max_wait_s):
                raise ProviderError("quota", error.message, status=error.status, retry_after=again_in, hint=error.hint)
        elif used_up or error.kind not in RETRYABLE:
            raise error

    # --- getting in --------------------------------------------------------------------------------------------------

    @property
    def _is_held(self) -> bool:
        return self._held_until > _now()

    def _is_held_too_long(self, bearable_s: float) -> bool:
        """Whether the present hold is longer than that; or those before it were, without an answer in between."""
        left = self._asked_until - _now()
        return left > 0 and (left > bearable_s or self._doubt_s - left > bearable_s)

    async def _enter(self, request: Request, bearable_s: float) -> None:
        """Waits for the provider and for a place. Raises ProviderError("quota") where the provider takes too long."""
        if self._queue or self._is_held or not self._has_room:
            turn = _Turn(bearable_s, request.heard)
            self._queue.append(turn)
            if not self._places and len(self._queue) == 1 and self.hungry is not None:
                self.hungry()
            await self._wait_for(turn)
        else:
            self._take_place()

    @property
    def _has_room(self) -> bool:
        return self._active < min(int(self._width), self._places) and self._burst < BURST

    def _take_place(self) -> None:
        self._active += 1
        self._burst += 1
        if self._burst == 1:
            asyncio.get_running_loop().call_soon(self._take_breath)

    def _take_breath(self) -> None:
        """The loop has looked for answers since the burst began."""
        self._burst = 0
        self._admit()

    async def _wait_for(self, turn: _Turn) -> None:
        """Returns when the turn has come, with a place."""
        try:
            self._end_unbearable(turn)
            self._admit()
            self._plan_sign()
            await turn.place
            if turn.heard is not None:
                turn.heard()
        except BaseException:
            if not turn.place.cancel() and turn.place.exception() is None:
                self._leave()
            raise

    def _plan_sign(self) -> None:
        if self._sign is None and self._queue:
            self._sign = asyncio.get_running_loop().call_later(SIGN_S, self._give_sign)

    def _give_sign(self) -> None:
        """Shows for everybody who waits that waiting for a turn is no stall: one timer for all of them."""
        self._sign = None
        for turn in self._queue:
            if turn.heard is not None and not turn.place.done():
                turn.heard()
        self._plan_sign()

    def _admit(self) -> None:
        """Gives places to those who wait, in order; while the provider is held, when that is over."""
        while self._queue and not self._is_held and self._has_room:
            turn = self._queue.popleft()
            if not turn.place.done():
                self._take_place()
                turn.place.set_result(None)
        if self._queue and self._is_held:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(self._held_until, self._admit)

    def _leave(self) -> None:
        self._active -= 1
        self._admit()

    def _end_unbearable(self, turn: _Turn) -> None:
        if not turn.place.done() and self._is_held_too_long(turn.bearable_s):
            left = self._asked_until - _now()
            turn.place.set_exception(ProviderError("quota", self._message, retry_after=left))

    # --- learning from what came back --------------------------------------------------------------------------------

    def _succeeded(self) -> None:
        if self._is_held:
            return  # it was sent before the refusal, and says nothing of what comes after
        self._refusals = 0
        if self._doubt_s:
            self._doubt_s = 0.0
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
            return self._held_until - _now()
        if not self._is_held:
            self._refusals += 1
            self._steep_below = max(STEEP_AT_LEAST, self._active / 2)
            self._width = 1
        if asked is None or asked < FIRST_WAIT_S:
            asked = max(asked or 0.0, self._back_off(self._refusals))
        return self._hold(asked, error.message)

    def _hold(self, asked: float, message: str) -> float:
        now, wait = _now(), asked + self._jitter.uniform(0, min(1, asked * LATER))
        if now + wait > self._held_until:
            self._doubt_s += now + wait - max(now, self._held_until)
            self._asked_until, self._held_until, self._message = now + asked, now + wait, message
            for watcher in self.watchers:
                watcher.held(self.provider, time.time() + wait, message)
            for turn in self._queue:
                self._end_unbearable(turn)
        return wait

    def _back_off(self, failures: int) -> float:
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, failures - 1))
        return longest * self._jitter.uniform(0.5, 1.0)


class _Turn:
    """Somebody who waits for a place."""

    def __init__(self, bearable_s: float, heard: Callable[[], None] | None) -> None:
        self.bearable_s = bearable_s
        self.heard = heard
        self.place: asyncio.Future[None] = asyncio.get_running_loop().create_future()


def _now() -> float:
    """Of the loop's clock: seconds since some time."""
    return asyncio.get_running_loop().time()


def as_fault(error: ProviderError) -> Fault:
    """A provider's error as the journal keeps it."""
    return Fault("ProviderError", error.message, kind=error.kind)
