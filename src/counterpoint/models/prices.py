"""What tokens cost, by the list of prices that comes with `genai-prices`. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable

from genai_prices import Usage as Priced
from genai_prices import calc_price

from counterpoint.events import Usage


def cost_of(provider: str | None, model: str) -> Callable[[Usage], float | None]:
    """The cost of a usage of that model in US dollars; None where the price is unknown, never a guess."""

    def cost(usage: Usage) -> float | None:
        if provider is None:
            return None
        priced = Priced(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
        )
        try:
            return float(calc_price(priced, model, provider_id=provider).total_price)
        except (LookupError, ValueError):
            return None

    return cost
