"""Days of the proleptic Gregorian calendar, as numbers: day 0 is 1970-01-01."""

from __future__ import annotations


def to_number(year: int, month: int, day: int) -> int:
    """The number of a day; negative before 1970."""
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def weekday(number: int) -> int:
    """0 for Monday to 6 for Sunday."""
    return (number + 3) % 7


def due(number: int, days: int) -> int:
    """The day that an invoice is due: so many days later, and never on a weekend."""
    later = number + days
    return later + max(0, 7 - weekday(later)) if weekday(later) > 4 else later
