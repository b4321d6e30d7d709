"""``agents``: the agent types that scripts can name."""

from __future__ import annotations

import os
from pathlib import Path

import click

from counterpoint.agents.skills import load_skills
from counterpoint.agents.types import BUILT_IN, checked, load_types
from counterpoint.cli.options import Output, common
from counterpoint.text import one_line, safe
from counterpoint.tools.mcp_servers import load_servers


@click.group()
def agents() -> None:
    """Agent types."""


@agents.command("list")
@common
def list_(output: Output, state: Path | None) -> int:
    """Every agent type that this folder sees, and where it comes from."""
    found, wrong = load_types(Path.cwd())
    skills, _ = load_skills(Path.cwd())
    servers, _ = load_servers(Path.cwd(), os.environ)
    types = {**BUILT_IN, **{name: checked(kind, skills, servers) for name, kind in found.items()}}
    if output.json:
        rows = [
            {"name": t.name, "description": t.description, "tools": t.tools, "model": t.model, "source": t.source,
             "disallowed": t.disallowed, "effort": t.effort, "max_turns": t.max_turns, "skills": list(t.skills),
             "servers": t.servers, "memory": t.memory, "isolated": t.isolated, "read_only": t.read_only,
             "unsupported": list(t.unsupported)}
            for t in types.values()
        ]  # fmt: skip
        output.document({"agents": rows, "problems": wrong})
        return 0
    for t in types.values():
        click.echo(f"{one_line(t.name, 24):24}  {one_line(t.source, 40):20}  {one_line(t.description, 80)}")
        if t.unsupported:
            click.echo(f"{'':24}  without effect here: {', '.join(t.unsupported)}")
    for problem in wrong:
        output.say(safe(problem))
    return 0
