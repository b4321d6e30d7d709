"""What people type for arguments, budgets and the like, as values. Errors say what is wrong and where."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from counterpoint.cli.text import safe
from counterpoint.errors import UsageError

UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def read_args(text: str | None) -> bytes | None:
    """The JSON of ``--args``: given as it is, in ``@FILE``, or ``-`` for standard input; None where none was given."""
    if text is None:
        return None
    if text == "-":
        return _json(sys.stdin.read(), "standard input")
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            return _json(path.read_text(encoding="utf-8-sig"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--args: {path} cannot be read: {error}.") from error
    return _json(text, "--args")


def _json(text: str, where: str) -> bytes:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.strip() else ""
        start = max(0, error.colno - 41)
        excerpt = f"  {safe(line[start : start + 80])}\n  {' ' * (error.colno - 1 - start)}^"
        raise UsageError(
            f"{where} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.\n{excerpt}",
            hint='Strings need double quotes: --args \'{"path": "docs"}\'',
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON: {error}.") from error
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read_budgets(texts: tuple[str, ...]) -> dict[str, float]:
    """Settings for ``--budget 500k`` (output tokens) and ``--budget $5`` (money)."""
    found: dict[str, float] = {}
    for text in texts:
        plain = text.strip().lower().lstrip("+")
        if money := re.fullmatch(r"\$\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*(?:\$|usd)", plain):
            found["budget_usd"] = float(money[1] or money[2])
        elif tokens := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([km]?)", plain):
            found["budget_tokens"] = int(float(tokens[1]) * UNITS[tokens[2]])
        else:
            raise UsageError(f"--budget {text!r} is neither tokens (500k, 1.5m) nor money ($5).")
    return found
