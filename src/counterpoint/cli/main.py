"""The program: a table of commands, each imported when it is called."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.failures import report
from counterpoint.cli.streams import discard
from counterpoint.errors import nearest
from counterpoint.version import VERSION

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a workflow."),
    "resume": ("resume", "Go on with a stopped, failed, paused, crashed or partial run."),
    "fork": ("fork", "Start a new run from a point of another one."),
    "check": ("check", "Parse and lint scripts; nothing runs."),
    "do": ("do", "Give a task; the lead finds the cheapest way, asks, runs, answers."),
    "chat": ("chat", "Talk with the lead while runs go on."),
    "plan": ("plan", "Write and check a workflow script for a task; nothing runs."),
    "simulate": ("simulate", "Say what a workflow will need; no model is called."),
    "ps": ("ps", "List runs."),
    "tag": ("tag", "Give runs words to find them by."),
    "show": ("show", "Show a run, or one agent of it."),
    "logs": ("logs", "Show a run's narration."),
    "result": ("result", "Print what a run returned."),
    "cost": ("cost", "Show what runs consumed."),
    "export": ("export", "Write a run in another form."),
    "import": ("imports", "Take over past runs of Claude Code and Codex, and settings."),
    "stop": ("control", "Stop a run."),
    "pause": ("control", "Let a run start no more agents."),
    "skip": ("control", "Skip one agent: the script gets null."),
    "retry": ("control", "Run one agent again."),
    "steer": ("control", "Say something to one agent, or to all."),
    "approve": ("control", "Answer a question of a run."),
    "deny": ("control", "Answer a question of a run with no."),
    "budget": ("control", "Change the budget of a run that goes on."),
    "top": ("top", "Watch runs and steer them, in the terminal."),
    "serve": ("serve", "Serve the web page and the HTTP API."),
    "mcp": ("mcp", "Serve MCP, for editors and other agents."),
    "replay": ("replay", "Show a run again, from its journal."),
    "demo": ("demo", "A large run with simulated agents, to look at."),
    "workflows": ("workflows", "Saved workflows."),
    "agents": ("agents", "Agent types."),
    "models": ("models", "Models and where they come from."),
    "memory": ("memory", "Notes that agents are told."),
    "dream": ("dream", "Learn from past runs: notes with checked evidence."),
    "init": ("init", "Set a repository up: settings and a first workflow."),
    "doctor": ("doctor", "Look at what this machine has of what runs need."),
    "gc": ("collect", "Delete old runs and worktrees that nobody needs."),
    "config": ("config", "Settings, each with its origin."),
    "execute": ("run", ""),
}
PYTHON = {"import": "imports"}
"""Commands whose names cannot be names in Python."""
HIDDEN = frozenset({"execute"})


class Commands(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if name not in HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # what an import makes stays: to look for garbage in it would be a tenth of the start
        module = importlib.import_module(f"counterpoint.cli.{COMMANDS[cmd_name][0]}")
        gc.freeze()
        gc.enable()
        return getattr(module, PYTHON.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:
        """Where nobody reads to the end (``ps | head``), that is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard(sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}{nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="counterpoint")
def program() -> None:
    """Workflows of many agents that can be trusted, resumed, and run with any model.

    \b
    counterpoint run survey --args '{"path": "docs", "limit": 6}'
    counterpoint run review.js --model anthropic:claude-sonnet-5 --budget 500k
    counterpoint resume @last
    """


def _called() -> str:
    """The name we were called by, which shells complete: ``counterpoint`` or ``cpt``."""
    name = Path(sys.argv[0]).stem
    return name if name == "cpt" else "counterpoint"


def collect_seldom() -> None:
    """Agents by the thousand make many objects and hardly a cycle: looking for cycles seldom saves a fifth of CPU."""
    gc.set_threshold(20_000, 20, 10)


def main() -> None:
    """Runs the program and exits with the code of the contract."""
    collect_seldom()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = program.main(standalone_mode=False, prog_name=_called())
    except BaseException as error:
        code = report(error)
    sys.exit(code if isinstance(code, int) else 0)
