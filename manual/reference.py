"""The reference pages, made from the code each time that the manual is built: they cannot say what is not so.

python manual/reference.py cli        # prints one page: cli, python, events, settings, errors
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import click
import msgspec

import counterpoint
from counterpoint import errors, events, settings, testing
from counterpoint.cli.main import COMMANDS, HIDDEN, program
from counterpoint.settings import Settings

MADE = "<!-- Made from the code by manual/reference.py. -->\n\n"


def cli() -> str:
    """Every command with its own help."""
    names = [name for name in COMMANDS if name not in HIDDEN]
    with click.Context(program, info_name="counterpoint") as context:
        parts = [
            f"{MADE}# Command line\n\nWhat `counterpoint COMMAND --help` says; `cpt` is short for `counterpoint`.\n"
        ]
        for name in names:
            command = program.get_command(context, name)
            if command is not None:
                parts += _command(command, name, context)
    return "\n".join(parts)


def _command(command: click.Command, name: str, context: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100) as own:
        path = own.command_path.removeprefix("counterpoint ")
        yield f"## {path}\n\n```text\n{command.get_help(own)}\n```\n"
        if isinstance(command, click.Group):
            for below in command.list_commands(own):
                found = command.get_command(own, below)
                if found is not None and not found.hidden:
                    yield from _command(found, below, own)


def python() -> str:
    """The public names, of the package and of its part for tests."""
    parts = [f"{MADE}# Python\n\n[From Python](../python.md) is the guide; here is every public name.\n"]
    for module in (counterpoint, testing):
        parts.append(f"## {module.__name__}\n")
        for name in sorted(name for name in module.__all__ if not name.startswith("_")):
            parts.append(_object(name, getattr(module, name)))
    return "\n".join(parts)


def _object(name: str, given: Any) -> str:
    about = inspect.getdoc(given) or ""
    if not (inspect.isclass(given) or inspect.isfunction(given)):
        return f"### {name}\n\n`{given!r}`\n"
    word = "class" if inspect.isclass(given) else ("async def" if inspect.iscoroutinefunction(given) else "def")
    bare = inspect.isclass(given) and (issubclass(given, Enum) or getattr(given, "_is_protocol", False))
    signature = "" if bare else _broken(_signature(given))
    lines = _members(given) if inspect.isclass(given) else []
    return f"### {name}\n\n```text\n{word} {name}{signature}\n```\n\n{about}\n\n" + "\n".join([*lines, ""])


def _members(kind: type) -> list[str]:
    """A line for each member that is for users: what stands under it in the source, or its own docstring."""
    said = field_docs(Path(inspect.getsourcefile(kind) or "")).get(kind.__name__, {})
    if issubclass(kind, Enum):
        return [f"- `{each.value}` {said.get(each.name, '')}" for each in kind]
    for name, member in vars(kind).items():
        if not name.startswith("_") and (isinstance(member, property) or inspect.isfunction(member)):
            said.setdefault(name, _first(inspect.getdoc(member)))
    return [f"- **{name}**{f': {text}' if text else ''}" for name, text in said.items()]


def _signature(given: Any) -> str:
    """As a reader wants it: types by their short names, and no addresses of objects."""
    try:
        text = str(inspect.signature(given, eval_str=True))
    except (NameError, TypeError, ValueError):  # names that are there for type checkers only, or none at all
        text = str(inspect.signature(given)) if callable(given) and not inspect.isclass(given) else "(…)"
    text = re.sub(r"\b(?:counterpoint|collections|pathlib|typing|msgspec|re)(?:\.\w+)*\.(\w+)", r"\1", text)
    return re.sub(r"<[^<>]*>", "…", text)


def _broken(signature: str) -> str:
    """A long signature on several lines."""
    return signature if len(signature) < 90 else re.sub(r", (?=\*?\w+(?:,|:|=))", ",\n    ", signature)


def _first(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def event_pages() -> str:
    """Each kind of event, with the meaning of its members."""
    documented = field_docs(Path(events.__file__))
    parts = [f"{MADE}# Events\n\n{_paragraphs(events.__doc__)}\n", "## What stands in them\n"]
    for kind in (events.Outcome, events.RunStatus):
        rows = "\n".join(
            f"| `{each.value}` | {documented.get(kind.__name__, {}).get(each.name, '')} |" for each in kind
        )
        parts.append(f"### {kind.__name__}\n\n{_first(kind.__doc__)}\n\n| | |\n| --- | --- |\n{rows}\n")
    plain = [kind for kind in vars(events).values() if _is_struct(kind) and not issubclass(kind, events.Event)]
    kinds = [kind for kind in vars(events).values() if _is_struct(kind) and issubclass(kind, events.Event)]
    parts += [_struct(kind, documented, kind.__name__) for kind in plain if kind.__module__ == events.__name__]
    parts.append("## The events\n")
    parts += [_struct(kind, documented, kind.__struct_config__.tag) for kind in kinds if kind is not events.Event]
    return "\n".join(parts)


def _is_struct(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct


def _struct(kind: type[msgspec.Struct], documented: dict[str, dict[str, str]], title: Any) -> str:
    hints = inspect.get_annotations(kind)
    said = documented.get(kind.__name__, {})
    rows = [
        f"| `{field.name}` | `{_type(hints.get(field.name, ''))}` | {said.get(field.name, '')} |"
        for field in msgspec.structs.fields(kind)
    ]
    table = "\n".join(["| member | type | |", "| --- | --- | --- |", *rows]) if rows else ""
    return f"### {title}\n\n{_paragraphs(kind.__doc__)}\n\n{table}\n"


def setting_pages() -> str:
    """Each setting: its default, its variable, what it means."""
    documented = field_docs(Path(settings.__file__)).get("Settings", {})
    hints = inspect.get_annotations(Settings)
    rows: list[str] = []
    for field in dataclasses.fields(Settings):
        if field.name in ("origins", "withheld"):
            continue
        made: Callable[[], Any] | Any = field.default_factory
        default = (
            "the platform's" if field.name == "state" else (field.default if made is dataclasses.MISSING else made())
        )
        trusted = " A project's file sets it only with `trust_project`." if field.name in settings.WIDENING else ""
        shown = "none" if default is None or default in ((), {}) else str(default)
        rows.append(
            f"| `{field.name}` | `{_type(hints[field.name])}` | `{shown}` | {documented.get(field.name, '')}{trusted} |"
        )
    where = "`counterpoint config` shows each value that holds, and where it comes from."
    head = f"{MADE}# Settings\n\n{_paragraphs(settings.__doc__)}\n\n{where}\n\n"
    return head + "\n".join(["| setting | type | default | |", "| --- | --- | --- | --- |", *rows]) + "\n"


def error_pages() -> str:
    """The tree of errors, and what each means."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    rows = "\n".join(f"| `{kind.__name__}` | {_first(kind.__doc__)} |" for kind in kinds)
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    return f"{MADE}# Errors\n\n```text\n{tree.strip()}\n```\n\n| error | |\n| --- | --- |\n{rows}\n"


def field_docs(path: Path) -> dict[str, dict[str, str]]:
    """Class → member → the text that stands under it in the source, on one line."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for member, text in zip(node.body, node.body[1:], strict=False):
                names = [member.target] if isinstance(member, ast.AnnAssign) else getattr(member, "targets", [])
                said = text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else None
                if names and isinstance(names[0], ast.Name) and isinstance(said, str):
                    found[node.name][names[0].id] = _cell(said)
    return found


def _type(hint: Any) -> str:
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    return re.sub(r"\s*\|\s*", " or ", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _paragraphs(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("``", "`")


PAGES: dict[str, Callable[[], str]] = {
    "cli": cli, "python": python, "events": event_pages, "settings": setting_pages, "errors": error_pages,
}  # fmt: skip
"""Name of the page below ``reference/`` → what makes it."""

if __name__ == "__main__":
    print(PAGES[sys.argv[1]]())
