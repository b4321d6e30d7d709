"""The words of `counterpoint.text`, under the name by which commands know them."""

from counterpoint.text import count, duration, money, one_line, safe

__all__ = ["count", "duration", "money", "one_line", "safe"]
