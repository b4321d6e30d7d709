"""Roman numerals, for chapters of a contract."""

from __future__ import annotations

SIGNS = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
         (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]  # fmt: skip


def roman(number: int) -> str:
    """From 1 to 3999."""
    if not 0 < number < 4000:
        raise ValueError("only 1 to 3999 have a numeral")
    text = ""
    for value, sign in SIGNS:
        text += sign * (number // value)
        number %= value
    return text
