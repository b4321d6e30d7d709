"""The program: a table of commands, each imported when it is called."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.failures import report
from counterpoint.cli.groups import Row, Table
from counterpoint.cli.streams import discard
from counterpoint.version import VERSION

COMMANDS: dict[str, Row] = {
    "run": ("run", "run", "Run a workflow."),
    "resume": ("resume", "resume", "Go on with a stopped, failed, paused, crashed or partial run."),
    "fork": ("fork", "fork", "Start a new run from a point of another one."),
    "check": ("check", "check", "Parse and lint scripts; nothing runs."),
    "do": ("do", "do", "Give a task; the lead finds the cheapest way, asks, runs, answers."),
    "chat": ("chat", "chat", "Talk with the lead while runs go on."),
    "plan": ("plan", "plan", "Write and check a workflow script for a task; nothing runs."),
    "simulate": ("simulate", "simulate", "Say what a workflow will need; no model is called."),
    "ps": ("ps", "ps", "List runs."),
    "tag": ("tag", "tag", "Give runs words to find them by."),
    "show": ("show", "show", "Show a run, or one agent of it."),
    "logs": ("logs", "logs", "Show a run's narration."),
    "result": ("result", "result", "Print what a run returned."),
    "cost": ("cost", "cost", "Show what runs consumed."),
    "export": ("export", "export", "Write a run in another form."),
    "import": ("imports", "imports", "Take over past runs of Claude Code and Codex, and settings."),
    "stop": ("control", "stop", "Stop a run."),
    "pause": ("control", "pause", "Let a run start no more agents."),
    "skip": ("control", "skip", "Skip one agent: the script gets null."),
    "retry": ("control", "retry", "Run one agent again."),
    "steer": ("control", "steer", "Say something to one agent, or to all."),
    "approve": ("control", "approve", "Answer a question of a run."),
    "deny": ("control", "deny", "Answer a question of a run with no."),
    "budget": ("control", "budget", "Change the budget of a run that goes on."),
    "top": ("top", "top", "Watch runs and steer them, in the terminal."),
    "serve": ("serve", "serve", "Serve the web page and the HTTP API."),
    "worker": ("worker", "worker", "Carry out agents of runs on other machines."),
    "mcp": ("mcp", "mcp", "Serve MCP, for editors and other agents."),
    "replay": ("replay", "replay", "Show a run again, from its journal."),
    "demo": ("demo", "demo", "A large run with simulated agents, to look at."),
    "workflows": ("workflows", "workflows", "Saved workflows."),
    "agents": ("agents", "agents", "Agent types."),
    "models": ("models", "models", "Models and where they come from."),
    "memory": ("memory", "memory", "Notes that agents are told."),
    "dream": ("dream", "dream", "Learn from past runs: notes with checked evidence."),
    "init": ("init", "init", "Set a repository up: settings and a first workflow."),
    "doctor": ("doctor", "doctor", "Look at what this machine has of what runs need."),
    "gc": ("collect", "gc", "Delete old runs and worktrees that nobody needs."),
    "config": ("config", "config", "Settings, each with its origin."),
    "execute": ("run", "execute", ""),
}
HIDDEN = frozenset({"execute"})


class Commands(Table):
    """The table of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if name not in HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        gc.disable()  # what an import makes stays: to look for garbage in it would be a tenth of the start
        command = super().get_command(ctx, cmd_name)
        gc.freeze()
        gc.enable()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Where nobody reads to the end (``ps | head``), that is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard(sys.stdout.fileno())
            return 0


@click.command(cls=Commands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
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
