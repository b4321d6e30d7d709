"""``dream run``: one dream, priced first with ``--dry-run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.ceilings import read_budgets
from counterpoint.cli.arguments import Duration
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.run import ready
from counterpoint.dream.inbox import Policy
from counterpoint.dream.prepare import INSTRUCTIONS, Wish
from counterpoint.dream.record import Report
from counterpoint.dream.select import Gate
from counterpoint.dreaming import EXIT_CODES, Price, dream, price
from counterpoint.errors import UsageError
from counterpoint.events import AgentFinished, Outcome, PhaseEntered, Recorded
from counterpoint.memory.places import project_root, project_store
from counterpoint.models.registry import Models
from counterpoint.text import count, money, one_line, safe
from counterpoint.trials import project_tasks

SHOWN = 12


@click.command()
@click.option("--since", type=Duration(), metavar="7d", help="Only runs of that time.")
@click.option("--sessions", multiple=True, metavar="RUN", help="Only these runs, read before or not; repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would be read and what it would cost; nothing is spent.")
@click.option("--budget", multiple=True, metavar="50k|2usd", help="Ceiling for all agents of the dream.")
@click.option("--max-time", "seconds", type=Duration(), metavar="2h", help="End after that time; the next goes on.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of its agents.")
@click.option("--base-url", help="Address of the provider.")
@click.option("--skeptic", "skeptics", multiple=True, metavar="PROVIDER:NAME", help="Models of skeptics, in turn.")
@click.option("--votes", type=click.IntRange(1, 9), default=3, help="Skeptics for each proposal.")
@click.option("--quorum", type=click.IntRange(1, 9), default=2, help="Votes without which a proposal is unverified.")
@click.option("--publish-unproven", type=click.IntRange(0, 3), metavar="TIER",
              help="Put tiers up to this in force without tasks that show that they help.")  # fmt: skip
@click.option("--instructions", default="", metavar="TEXT", help="What to look for.")
@click.option("--if-due", is_flag=True, help="Only if a dream is due (a day and five new runs, or a correction).")
@click.option(
    "--every", "hours", type=float, default=24.0, metavar="HOURS", help="With --if-due: hours between dreams."
)
@click.option("--new-runs", type=int, default=5, help="With --if-due: new runs without which none is due.")
@common
@asynchronous
async def run(
    since: float | None, sessions: tuple[str, ...], dry_run: bool, budget: tuple[str, ...], seconds: float | None,
    model: str | None, base_url: str | None, skeptics: tuple[str, ...], votes: int, quorum: int,
    publish_unproven: int | None, instructions: str, if_due: bool, hours: float, new_runs: int, output: Output,
    state: Path | None,
) -> int:  # fmt: skip
    """Learn from past runs of this project: notes are proposed, checked, attacked, and put in force or left to you.

    Exit codes: 0 published, or nothing to do; 3 something waits for you; 5 the budget is used up, run it again to go
    on; 6 the provider is not there; 7 runs went worse with it, so nothing was put in force; 1 an error.
    """
    if len(instructions) > INSTRUCTIONS:
        raise UsageError(f"--instructions has {len(instructions):,} characters; {INSTRUCTIONS:,} fit.")
    read_budgets(budget)  # a mistake in it is told before anything else
    folder, now = Path.cwd(), time.time()
    gate = Gate(hours=hours, sessions=new_runs) if if_due else None
    wish = Wish(
        since=now - since if since else 0.0, sessions=sessions, budget=budget, seconds=seconds, skeptics=skeptics,
        votes=votes, quorum=min(quorum, votes), instructions=instructions, gate=gate,
        policy=Policy() if publish_unproven is None else Policy(auto=list(range(publish_unproven + 1)), unproven=True),
    )  # fmt: skip
    async with session(state, folder, model=model, base_url=base_url) as here, Models(here.settings) as models:
        memory = project_store(folder)
        tasks = await project_tasks(project_root(folder), memory_tokens=here.settings.memory_tokens)
        if dry_run:
            priced = await price(
                here.store, models, here.settings, wish, folder=folder, memory=memory, tasks=tasks, now=now
            )
            _tell_price(priced, output)
            return 0
        await ready(models, models.default(here.settings.model), output)
        report = await dream(
            here.store, models, here.settings, wish, folder=folder, memory=memory, tasks=tasks, on_event=_follow(output)
        )
    if output.json:
        output.document(msgspec.to_builtins(report) | {"exit_code": EXIT_CODES[report.status]})
    else:
        click.echo(told(report))
    return EXIT_CODES[report.status]


def _follow(output: Output) -> Any:
    """A line for each stage and each agent that did not end well."""

    def follow(recorded: Recorded) -> None:
        match recorded.event:
            case PhaseEntered(title=title):
                output.say(f"{safe(title)} …")
            case AgentFinished(agent=agent, outcome=outcome) if outcome is not Outcome.OK:
                output.say(f"  {agent} ended as {outcome.value}")
            case _:
                pass

    return follow


def _tell_price(priced: Price, output: Output) -> None:
    if output.json:
        output.document(msgspec.to_builtins(priced))
        return
    if priced.not_due:
        click.echo(f"No dream is due: {priced.not_due}.")
    click.echo(
        f"{priced.sessions} runs would be read by {priced.readers} readers: about {count(priced.input_tokens)} input "
        f"and {count(priced.output_tokens)} output tokens with skeptics, {money(priced.usd)}."
    )
    if priced.trials:
        click.echo(f"  among them those of {priced.trials} agents that try held-out tasks, or more where notes do harm")
    for line in priced.hits[:SHOWN]:
        click.echo(f"  seen: {one_line(line, 110)}")
    _left_out(priced.left_out)


def _left_out(left_out: dict[str, str]) -> None:
    reasons: dict[str, int] = {}
    for reason in left_out.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    for reason, number in sorted(reasons.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {number} left out: {one_line(reason, 100)}")


def told(report: Report) -> str:
    """A report for people: what became of everything, with sums that balance."""
    counts = report.counts
    lines = [f"{report.status}: {safe(report.message)}"]
    if report.id:
        answered, of = report.readers
        lines += [
            f"dream {report.id}: {len(report.sessions)} runs read, {answered} of {of} readers answered, "
            f"{report.items} claims, {count(report.usage.get('output_tokens', 0))} output tokens, "
            f"{money(report.usage.get('usd'))}",
            f"notes: {counts.active} = {counts.kept} kept + {counts.revised} changed + {counts.added} new"
            f"; gone: {counts.superseded} superseded, {counts.merged} merged, {counts.retired} retired",
        ]
    fates: dict[str, list[str]] = {}
    for name, fate in report.proposals.items():
        fates.setdefault(fate, []).append(name)
    lines += [f"{fate}: {', '.join(names)}" for fate, names in sorted(fates.items())]
    lines += [f"blocked {row.check}: {one_line(row.reason, 80)}: {one_line(row.text, 80)}" for row in report.blocked]
    lines += [f"refused: {one_line(row.reason, 120)}: {one_line(row.text, 60)}" for row in report.refused]
    lines += [
        f"conflict: {one_line(row.one, 60)} / {one_line(row.other, 60)} ({row.why}); {one_line(row.settled, 60)}"
        for row in report.conflicts
    ]
    lines += [f"flagged: {name}: its check no longer holds" for name in report.flagged]
    if any(fate in ("waiting", "unverified") for fate in report.proposals.values()):
        lines.append("Look at what waits: counterpoint dream review")
    return "\n".join(lines)
