"""Checks against typing errors."""

from __future__ import annotations


def adler(text: str) -> int:
    """Adler-32 of the UTF-8 bytes: from 0 to 2**32 - 1."""
    low, high = 1, 0
    for byte in text.encode():
        low = (low + byte) % 65521
        high = (high + low) % 65521
    return high << 16 | low


def luhn(digits: str) -> bool:
    """Whether the last figure is the check of the others."""
    if not digits.isdigit():
        raise ValueError("only figures")
    doubled = [int(digit) * (1 + n % 2) for n, digit in enumerate(reversed(digits))]
    return sum(n - 9 * (n > 9) for n in doubled) % 10 == 0
