"""``dream``: a table of its commands, each imported when it is called."""

from __future__ import annotations

import click

from counterpoint.cli.groups import Row, Table

COMMANDS: dict[str, Row] = {
    "run": ("dream_run", "run", "Learn from past runs: propose notes, check them, put them in force."),
    "status": ("dream_show", "status", "Where dreaming stands: the last dreams, what waits, what is due."),
    "show": ("dream_show", "show", "Show a dream, or a proposal with its evidence."),
    "review": ("dream_review", "review", "Go through what waits, one by one."),
    "apply": ("dream_review", "apply", "Accept proposals that wait."),
    "reject": ("dream_review", "reject", "Say no to proposals that wait."),
    "eval": ("dream_eval", "evaluate", "Measure notes on held-out tasks."),
    "schedule": ("dream_schedule", "schedule", "Dream by itself: install, remove or show the timer."),
    "log": ("dream_history", "log", "How the notes in force came to be what they are."),
    "diff": ("dream_history", "diff", "What changed between two versions."),
    "rollback": ("dream_history", "rollback", "Put an earlier version in force again."),
    "blame": ("dream_proof", "blame", "What proves a note, and who changed it when."),
    "why": ("dream_proof", "why", "Which notes were in play in a run."),
    "forget": ("memory_edit", "forget", "Retire notes; or erase them for good."),
    "import": ("dream_exchange", "import_", "Propose what another program remembers."),
    "export": ("dream_exchange", "export", "Write the notes in force in another form."),
}


@click.group(cls=Table, table=COMMANDS)
def dream() -> None:
    """Agents that are better tomorrow: notes from past runs, with checked evidence.

    \b
    counterpoint dream run --dry-run
    counterpoint dream run --budget 50k
    counterpoint dream review
    """
