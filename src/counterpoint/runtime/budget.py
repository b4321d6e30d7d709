"""The ceilings of a run, kept by reservation. Pure but for waiting.

Before a model request goes out it claims tokens, and by their price money; the grant is the most that every ceiling
over it allows, and goes with the request as its ``max_tokens``. Invariant: ``spent + reserved <= total`` for each
ceiling, as long as the provider honours ``max_tokens`` and the input is no longer than claimed. A claim that does not
fit waits for requests under way to be settled; it is refused only when nothing is left to wait for.

Of the run's own ceilings the first declared phase may use all but `reserve`, the last one all, those between in even
steps: a search that runs dry leaves what its verification and the report need.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from counterpoint.ceilings import Ceiling, Scope, Unit
from counterpoint.errors import HookError
from counterpoint.events import NO_USAGE, Usage
from counterpoint.workers.executor import Claim

BUDGET_EXCEEDED = "BudgetExceededError"
UNBOUND = 1_000_000_000
"""Tokens, where a ceiling does not bound them."""
SIGN_S = 20.0
"""How often whoever waits here shows that it does."""
MARGIN = 1.25
"""Where it is scarce: what is reserved over the longest answer seen, so that few are cut and many go out."""


@dataclass(slots=True, eq=False)
class Meter:
    """One ceiling and what is gone of it, in its unit."""

    scope: Scope
    of: str | None
    unit: Unit
    total: float
    spent: float = 0.0
    reserved: float = 0.0
    elsewhere: float = 0.0
    """Spent by others under the same ceiling: today's other runs."""

    @property
    def name(self) -> str:
        match self.scope:
            case "run":
                return "the budget"
            case "day":
                return "today's budget"
            case "agent":
                return f"the budget of agent {self.of}"
            case "phase":
                return f"the budget of the phase {self.of!r}"

    @property
    def shared(self) -> bool:
        """Whether it is over every agent of the run."""
        return self.scope in ("run", "day")

    def left(self, share: float) -> float:
        return self.total * share - self.spent - self.elsewhere - self.reserved

    def used_up(self, share: float) -> bool:
        return self.left(share) <= 0 and self.reserved <= 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What one request may use, and where it was taken from. None: there is no ceiling over it."""

    max_tokens: int | None = None
    usd: float = 0.0
    meters: tuple[Meter, ...] = ()


UNBOUNDED = Grant()


def shares(phases: Sequence[str], reserve: float) -> dict[str, float]:
    """Declared phase → the part of the run's ceilings that may be gone when one of its agents asks."""
    last = len(phases) - 1
    return {title: 1 - reserve * (last - n) / last for n, title in enumerate(phases)} if last > 0 else {}


@dataclass(slots=True, eq=False)
class _Waiter:
    claim: Claim
    future: asyncio.Future[Grant] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Budget:
    """All ceilings of one run, and those who wait for them."""

    def __init__(self, ceilings: Iterable[Ceiling] = (), share_of: dict[str, float] | None = None) -> None:
        self._ceilings = list(ceilings)
        self._share_of = share_of or {}
        self._meters: dict[tuple[Scope, Unit, str | None], Meter] = {}
        self._longest = 0
        self._sum = 0
        self._answers = 0
        self._waiting: list[_Waiter] = []

    @property
    def bounded(self) -> bool:
        return bool(self._ceilings)

    @property
    def counts_money(self) -> bool:
        return any(ceiling.unit == "usd" for ceiling in self._ceilings)

    def has(self, scope: Scope) -> bool:
        """Whether there is a ceiling of this scope."""
        return any(ceiling.scope == scope for ceiling in self._ceilings)

    def refusal(self, agent: str, phase: str | None) -> HookError | None:
        """What `agent()` rejects with where a ceiling over it is reached; None: it may be called."""
        meters = self._over(agent, phase)
        return next(
            (self._exceeded(meter, phase) for meter in meters if meter.used_up(self._share(meter, phase))), None
        )

    async def reserve(self, claim: Claim, waits: Callable[[], None] = lambda: None) -> Grant:
        """Takes what the request may use, waiting while requests under way hold what is left.

        `waits` is called while it waits. Raises HookError("BudgetExceededError") when a ceiling over it is used up.
        """
        if not self._ceilings:
            return UNBOUNDED
        waiter = _Waiter(claim)
        self._waiting.append(waiter)
        self._wake()
        try:
            while not waiter.future.done():
                waits()
                await asyncio.wait([waiter.future], timeout=SIGN_S)
            return waiter.future.result()
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.future.cancelled() and waiter.future.exception() is None:
                self.settle(waiter.future.result(), None)
            self._wake()
            raise

    def settle(self, grant: Grant, used: Usage | None) -> None:
        """The request behind `grant` is over; `used` is what it consumed, None where it failed."""
        used = used or NO_USAGE
        tokens = used.output_tokens
        if tokens:
            self._longest = max(self._longest, tokens)
            self._sum += tokens
            self._answers += 1
        for meter in grant.meters:
            meter.spent += tokens if meter.unit == "tokens" else used.usd or 0.0
            meter.reserved -= (grant.max_tokens or 0) if meter.unit == "tokens" else grant.usd
        if self._waiting:
            self._wake()

    def add_spent(self, agent: str, phase: str | None, used: Usage) -> None:
        """Counts what an earlier attempt of this run consumed."""
        for meter in self._over(agent, phase):
            if meter.scope != "day":  # today's share of earlier attempts comes by `set_elsewhere`
                meter.spent += used.output_tokens if meter.unit == "tokens" else used.usd or 0.0

    def set_elsewhere(self, tokens: int, usd: float) -> None:
        """What today's other runs have consumed so far."""
        for meter in self._meters_of("day", None):
            meter.elsewhere = tokens if meter.unit == "tokens" else usd
        self._wake()

    def replace(self, ceilings: Iterable[Ceiling]) -> None:
        """Changes ceilings of the same scope and unit, or adds them, while the run goes on."""
        for ceiling in ceilings:
            same = (ceiling.scope, ceiling.unit, ceiling.phase)
            self._ceilings = [c for c in self._ceilings if (c.scope, c.unit, c.phase) != same] + [ceiling]
            for (scope, unit, of), meter in self._meters.items():
                if (scope, unit) == same[:2] and (ceiling.phase is None or ceiling.phase == of):
                    meter.total = ceiling.amount
        self._wake()

    # --- which ceilings are over a claim -----------------------------------------------------------------------------

    def _over(self, agent: str, phase: str | None) -> list[Meter]:
        meters = [*self._meters_of("run", None), *self._meters_of("day", None), *self._meters_of("agent", agent)]
        return meters + (self._meters_of("phase", phase) if phase is not None else [])

    def _meters_of(self, scope: Scope, of: str | None) -> list[Meter]:
        found: dict[Unit, Ceiling] = {}
        for ceiling in self._ceilings:
            meant = ceiling.scope == scope and ceiling.phase in (None, of)
            if meant and (ceiling.unit not in found or ceiling.phase is not None):
                found[ceiling.unit] = ceiling
        return [self._meter(ceiling, of) for ceiling in found.values()]

    def _meter(self, ceiling: Ceiling, of: str | None) -> Meter:
        key = (ceiling.scope, ceiling.unit, of)
        if key not in self._meters:
            self._meters[key] = Meter(ceiling.scope, of, ceiling.unit, ceiling.amount)
        return self._meters[key]

    def _share(self, meter: Meter, phase: str | None) -> float:
        return self._share_of.get(phase, 1.0) if phase is not None and meter.scope == "run" else 1.0

    # --- grants ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        for waiter in list(self._waiting):
            if waiter.future.done():
                self._waiting.remove(waiter)
                continue
            try:
                grant = self._grant(waiter.claim)
            except HookError as error:
                self._waiting.remove(waiter)
                waiter.future.set_exception(error)
                continue
            if isinstance(grant, Grant):
                self._waiting.remove(waiter)
                waiter.future.set_result(grant)
            elif grant.shared:
                return  # those behind wait for the same: first come, first served

    def _grant(self, claim: Claim) -> Grant | Meter:
        """What the claim gets now, or the ceiling it has to wait for. Raises HookError where that would not help."""
        meters = self._over(claim.agent, claim.phase)
        usual = self._sum // self._answers if self._answers else claim.usual
        enough = int(self._longest * MARGIN) + 1 if self._answers else claim.usual
        amount = max(claim.usual, enough)
        for meter in meters:
            fits = self._fits(meter, claim)
            if fits <= 0 or (fits < usual and meter.reserved > 0):
                if meter.reserved > 0:
                    return meter
                raise self._exceeded(meter, claim.phase)
            fair = fits // len(self._waiting) if meter.shared else fits
            amount = min(amount, fits, max(enough, fair))
        usd = claim.cost(Usage(input_tokens=claim.input_tokens, output_tokens=amount)) or 0.0
        for meter in meters:
            meter.reserved += amount if meter.unit == "tokens" else usd
        return Grant(amount, usd, tuple(meters))

    def _fits(self, meter: Meter, claim: Claim) -> int:
        """Output tokens that a ceiling allows this claim."""
        left = meter.left(self._share(meter, claim.phase))
        if meter.unit == "tokens":
            return math.floor(left)
        question = claim.cost(Usage(input_tokens=claim.input_tokens))
        both = claim.cost(Usage(input_tokens=claim.input_tokens, output_tokens=1_000_000))
        if question is None or both is None or both <= 0:
            return UNBOUND if left > 0 else 0  # unknown, or free: money does not bound it
        each = (both - question) / 1_000_000
        return math.floor((left - question) / each) if each > 0 else UNBOUND * (left > question)

    def _exceeded(self, meter: Meter, phase: str | None) -> HookError:
        share = self._share(meter, phase)
        total, gone = _amount(meter.total, meter.unit), _amount(meter.spent + meter.elsewhere, meter.unit)
        if share < 1:
            kept = f"{1 - share:.0%} of {meter.name} of {total} is kept for the phases after {phase!r} ({gone} spent)"
            message = f"{kept}; budget_reserve changes that, and --budget the ceiling."
        else:
            message = (
                f"{meter.name[0].upper()}{meter.name[1:]} of {total} is used up ({gone} spent); raise it with --budget."
            )
        return HookError(BUDGET_EXCEEDED, message)


def _amount(amount: float, unit: Unit) -> str:
    return f"${amount:,.2f}" if unit == "usd" else f"{amount:,.0f} output tokens"
