"""``run NAME --help``: what a workflow is for, and what it takes, from its own `meta`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, cast

import click

from counterpoint.errors import CounterpointError
from counterpoint.script.find import find
from counterpoint.script.meta import Meta
from counterpoint.script.parse import examine, read
from counterpoint.text import as_json, safe
from counterpoint.tools.arguments import properties

GIVEN = "counterpoint.given"


class RunsWorkflow(click.Command):
    """A command about a workflow: where one is named, its help is the workflow's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[GIVEN] = [word for word in args if not word.startswith("-")]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for word in ctx.meta.get(GIVEN, [])[:1]:
            meta = _meta_of(word)
            if meta is not None:
                return describe(meta, word, formatter)
        return super().format_help(ctx, formatter)


def describe(meta: Meta, named: str, formatter: click.HelpFormatter) -> None:
    """Writes what the workflow is for, its phases, and its arguments."""
    schema, named = _schema(meta), shlex.quote(named)
    formatter.write_usage("counterpoint run", f"{named} [--args JSON|@FILE|-] [OPTIONS]")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(safe(meta.description))
        if meta.when_to_use:
            formatter.write_paragraph()
            formatter.write_text(safe(meta.when_to_use))
    if meta.phases:
        with formatter.section("Phases"):
            formatter.write_dl([(safe(phase.title), safe(phase.detail or "")) for phase in meta.phases])
    rows = arguments(schema) if schema else []
    with formatter.section("Arguments (--args, one JSON object)" if rows else "Arguments"):
        if rows:
            formatter.write_dl(rows)
        else:
            formatter.write_text("It declares none in meta.args; the script may take some all the same.")
    if rows and schema:
        with formatter.section("Example"):
            formatter.write_text(command(meta, named))
    formatter.write_paragraph()
    formatter.write_text("Options of every run: counterpoint run --help")


def command(meta: Meta, named: str) -> str:
    """A command line that runs the workflow: with arguments that fit, where it declares some."""
    schema = _schema(meta)
    given = _example(schema) if schema else {}
    words = ["counterpoint", "run", safe(named), *(["--args", as_json(given)] if given else [])]
    return shlex.join(words)


def arguments(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and nature of each argument, those that must be given first."""
    required = set(schema.get("required", ()))
    rows = [(name, rules) for name, rules in properties(schema).items()]
    rows.sort(key=lambda row: row[0] not in required)
    return [(safe(name), safe(_nature(rules, must=name in required))) for name, rules in rows]


def _nature(rules: dict[str, Any], *, must: bool) -> str:
    kind = rules.get("type", "any")
    parts = [" or ".join(kind) if isinstance(kind, list) else str(kind)]  # pyright: ignore[reportUnknownArgumentType]  (JSON)
    if "enum" in rules:
        parts = ["one of " + ", ".join(json.dumps(value) for value in rules["enum"])]
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None and high is not None:
        parts.append(f"{low} to {high}")
    elif low is not None or high is not None:
        parts.append(f"at least {low}" if high is None else f"at most {high}")
    if "default" in rules:
        parts.append(f"default {json.dumps(rules['default'])}")
    described = f": {rules['description']}" if rules.get("description") else ""
    return f"{', '.join(parts)}{' (required)' if must else ''}{described}"


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments that fit: the required ones, or else the first."""
    known = properties(schema)
    names = [name for name in schema.get("required", ()) if name in known] or list(known)[:1]
    return {name: _sample(known[name]) for name in names}


def _sample(rules: dict[str, Any]) -> Any:
    for key in ("default", "const"):
        if key in rules:
            return rules[key]
    if rules.get("enum"):
        return rules["enum"][0]
    samples: dict[str, Any] = {"integer": rules.get("minimum", 1), "number": rules.get("minimum", 1), "boolean": True,
                               "array": [], "object": {}}  # fmt: skip
    return samples.get(str(rules.get("type")), "…")


def _meta_of(named: str) -> Meta | None:
    try:
        return examine(read(find(named, Path.cwd()))).meta
    except (CounterpointError, OSError):
        return None


def _schema(meta: Meta) -> dict[str, Any] | None:
    given = meta.raw.get("args")
    return cast("dict[str, Any]", given) if isinstance(given, dict) else None
