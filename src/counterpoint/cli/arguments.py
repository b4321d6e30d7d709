"""What people type for arguments, budgets and the like, as values. Errors say what is wrong and where."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output
from counterpoint.errors import UsageError
from counterpoint.script import Script
from counterpoint.text import safe
from counterpoint.tools.arguments import check_args, undeclared

EXAMPLES = {"--args": '{"path": "docs"}', "--answer": '"yes"'}
"""What an option that takes JSON may be given."""


def read_args(text: str | None, option: str = "--args") -> bytes | None:
    """The JSON of an option: given as it is, in ``@FILE``, or ``-`` for standard input; None where none was given."""
    if text is None:
        return None
    if text == "-":
        return _json(_standard_input(option), "standard input", option)
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            return _json(path.read_text(encoding="utf-8-sig"), str(path), option)
        except OSError as error:
            raise UsageError(f"{option}: {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{option}: {path} is no UTF-8 text: byte {error.start} is none of it.") from error
    return _json(text, option, option)


def _standard_input(option: str) -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: standard input is no UTF-8 text: byte {error.start} is none of it.") from error


def _json(text: str, where: str, option: str) -> bytes:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.\n{_excerpt(error)}",
            hint=f"Strings need double quotes: {option} '{EXAMPLES[option]}'",
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON: {error}.") from error
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _excerpt(error: json.JSONDecodeError) -> str:
    """The line of the error, with a caret below; a piece of it where it is long."""
    line = error.doc.split("\n")[error.lineno - 1]
    start = max(0, error.colno - 41)
    return f"  {safe(line[start : start + 80])}\n  {' ' * (error.colno - 1 - start)}^"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


class Duration(click.ParamType[float]):
    """A time as ``90``, ``45s``, ``90m``, ``2h`` or ``1d``, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds. Fails as click has it for what is no time."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip().lower())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no time; give for example 45s, 90m or 2h.", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


def fitting(script: Script, args: bytes | None, output: Output) -> None:
    """Warns of arguments that the workflow does not know of. Raises UsageError for those that do not fit."""
    check_args(script, args)
    for sentence in undeclared(script, args):
        output.say(f"warning: {safe(sentence)}")
