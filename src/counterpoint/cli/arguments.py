"""What people type for arguments, budgets and the like, as values. Errors say what is wrong and where."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from counterpoint.ceilings import read_ceiling
from counterpoint.cli.text import safe
from counterpoint.errors import UsageError


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


def read_budgets(texts: tuple[str, ...]) -> dict[str, Any]:
    """Settings for ``--budget 500k``, ``--budget '$5'`` and ceilings of other scopes. Raises SettingsError."""
    found: dict[str, Any] = {}
    scoped: list[str] = []
    for ceiling in map(read_ceiling, texts):
        if ceiling.scope == "run":
            found[f"budget_{ceiling.unit}"] = ceiling.amount
        else:
            scoped.append(str(ceiling))
    return found | ({"budgets": tuple(scoped)} if scoped else {})
