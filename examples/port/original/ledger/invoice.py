"""An invoice as text."""

from __future__ import annotations

from ledger.checksum import adler
from ledger.dates import due, to_number
from ledger.money import tax
from ledger.roman import roman
from ledger.table import table


def invoice(number: int, date: tuple[int, int, int], items: list[tuple[str, int]], percent: int) -> list[str]:
    """Its lines: head, items, tax and sum, the day that it is due, a check of all that."""
    total = sum(cents for _, cents in items)
    added = tax(total, percent)
    lines = [f"Invoice {roman(number)}", *table([*items, ("tax", added), ("sum", total + added)], 16)]
    lines.append(f"due on day {due(to_number(*date), 14)}")
    return [*lines, f"check {adler(chr(10).join(lines)):08x}"]
