"""``init``: what a repository needs to have workflows of its own."""

from __future__ import annotations

from pathlib import Path

import click

from counterpoint.cli.options import Output, common
from counterpoint.text import safe

CONFIG = """# Settings of this repository; `counterpoint config` shows all that there are, and what holds.
# Flags and COUNTERPOINT_... variables go before them.

# model = "anthropic:NAME"
# concurrency = 16
# budget_tokens = 500_000
# budgets = ["$20/day", "50k/agent"]
# allow = ["Edit(src/**)", "Bash(make test)"]     # besides reading; in force with --trust-project

# [aliases]                                       # what scripts mean by these names
# small = "openai-compatible:NAME"
"""
WORKFLOW = """export const meta = {
  name: 'hello',
  description: 'One agent for each name, all at once; a first workflow to change',
  phases: [{ title: 'Greet' }],
}

// counterpoint run hello --args '["Ada", "Grace"]' --model sim
const names = Array.isArray(args) ? args : ['world']
const greetings = await parallel(names.map((name) => () =>
  agent(`Write one friendly sentence that greets ${name}.`, { label: name, phase: 'Greet' })))
return greetings.map((text, i) => ({ name: names[i], text }))
"""


@click.command()
@common
def init(output: Output, state: Path | None) -> int:
    """Make .counterpoint/ here: settings, and a first workflow. What is there already is left as it is."""
    folder = Path.cwd() / ".counterpoint"
    made = [path for path, text in _files(folder) if _write(path, text)]
    if output.json:
        output.document({"made": [str(path) for path in made]})
        return 0
    for path in made:
        click.echo(safe(str(path.relative_to(Path.cwd()))))
    output.say("Now: counterpoint run hello --model sim" if made else "Everything was there already.")
    return 0


def _files(folder: Path) -> list[tuple[Path, str]]:
    return [(folder / "config.toml", CONFIG), (folder / "workflows" / "hello.js", WORKFLOW)]


def _write(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
