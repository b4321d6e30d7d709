"""The ceiling of output tokens, kept by reservation. Pure but for waiting.

Invariant: ``spent + reserved <= total`` as long as no answer is longer than what was reserved for it; the reservation
goes with the request as its ``max_tokens``, so an honest provider cannot break it. A dispatch that does not fit waits
for reservations to be settled; it is refused only when nothing is left to wait for.

    Budget(None)      no ceiling: reserve() gives None at once
    Budget(10_000)    reserve() gives the number of tokens that the request may use
"""

from __future__ import annotations

import asyncio
from collections import deque

from counterpoint.errors import HookError

BUDGET_EXCEEDED = "BudgetExceededError"
FIRST_ESTIMATE = 4096
"""Tokens reserved for an answer before any was seen."""
MARGIN = 1.25
"""What is reserved over the longest answer seen."""


def exceeded(spent: int, total: int) -> HookError:
    """What `agent()` rejects with at the ceiling."""
    return HookError(
        BUDGET_EXCEEDED,
        f"The budget of {total:,} output tokens is used up ({spent:,} spent); raise it with --budget.",
    )


class Budget:
    """Output tokens of one run: spent, reserved, and those who wait."""

    def __init__(self, total: int | None, spent: int = 0) -> None:
        self.total = total
        self.spent = spent
        self.reserved = 0
        self._longest = 0
        self._sum = 0
        self._answers = 0
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def used_up(self) -> bool:
        return self.total is not None and self.spent >= self.total

    async def reserve(self) -> int | None:
        """Tokens that the next request may use, taken out of the budget; None without a ceiling.

        Waits while requests under way hold what is left. Raises HookError("BudgetExceededError") when it is used up.
        """
        if self.total is None:
            return None
        if not self._waiting:
            amount = self._try()
            if amount:
                return amount
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.reserved -= waiter.result()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._wake()
            raise

    def settle(self, reserved: int | None, used: int) -> None:
        """The request that `reserve` allowed is over and has used `used` output tokens (0 where it failed)."""
        self.spent += used
        if used:
            self._longest = max(self._longest, used)
            self._sum += used
            self._answers += 1
        if reserved is not None:
            self.reserved -= reserved
            self._wake()

    def raise_to(self, total: int | None) -> None:
        """Changes the ceiling while the run goes on."""
        self.total = total
        self._wake()

    def _estimate(self) -> int:
        return int(self._longest * MARGIN) + 1 if self._answers else FIRST_ESTIMATE

    def _try(self) -> int:
        """Reserves for one request and says how much, or 0 when it does not fit now."""
        if self.total is None:
            return FIRST_ESTIMATE
        left = self.total - self.spent - self.reserved
        amount = min(self._estimate(), left)
        usual = self._sum // self._answers if self._answers else FIRST_ESTIMATE
        if amount <= 0 or (amount < usual and self.reserved > 0):
            return 0
        self.reserved += amount
        return amount

    def _wake(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            amount = self._try()
            if amount:
                self._waiting.popleft().set_result(amount)
            elif self.reserved == 0 and self.total is not None:
                self._waiting.popleft().set_exception(exceeded(self.spent, self.total))
            else:
                return
