"""Amounts in cents."""

from __future__ import annotations


def split(total: int, parts: int) -> list[int]:
    """A total in equal parts that add up to it: the first ones are a cent larger."""
    if parts < 1:
        raise ValueError("parts must be positive")
    each, left = divmod(total, parts)
    return [each + (n < left) for n in range(parts)]


def tax(cents: int, percent: int) -> int:
    """Half a cent goes to the even neighbour."""
    return round(cents * percent / 100)


def show(cents: int) -> str:
    """Such as -1,234.05."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole:,}.{rest:02}"
