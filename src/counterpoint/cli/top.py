"""``top``: the terminal UI; where there is no terminal, one look at the run, as text."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from pathlib import Path

import click

from counterpoint.background import starter
from counterpoint.cli.abilities import shows_colour, speaks_unicode, takes_screens
from counterpoint.cli.hangup import left_with_its_terminal
from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.cli.receipts import me
from counterpoint.errors import UsageError

PLAIN_HEIGHT = 40


@click.command()
@click.argument("run", required=False)
@click.option("--ascii", "plain", is_flag=True, help="Only ASCII signs.")
@common
@asynchronous
async def top(run: str | None, plain: bool, output: Output, state: Path | None) -> int:
    """Watch a run (or all of them) and steer it; q leaves, and never stops anything."""
    async with session(state) as here:
        run_id = await here.client.find(run) if run else None
        if takes_screens():
            await watch(here, run_id, output, plain=plain)
        else:
            await _look_once(here, run_id or await here.client.find("@last"), plain=plain)
    return 0


async def watch(here: Session, run_id: str | None, output: Output, *, plain: bool, speed: float | None = None) -> None:
    """Opens the terminal UI; with a speed, it replays the run."""
    _need_textual()
    if not output.color or not shows_colour():
        os.environ["NO_COLOR"] = "1"  # the one way to tell it to Textual
    from counterpoint.tui.app import Top
    from counterpoint.tui.feed import Feed
    from counterpoint.tui.scene import Signs
    from counterpoint.tui.screens.door import Door

    door = Door(here.client, me(), Signs(plain or not speaks_unicode()), starter(here.store))
    feed = Feed(here.client, run_id, speed=speed) if run_id else None
    with left_with_its_terminal():
        await Top(door, feed).run_async()


async def _look_once(here: Session, run_id: str, *, plain: bool) -> None:
    _need_textual()
    from counterpoint.tui.feed import Feed
    from counterpoint.tui.panes.run import run_screen
    from counterpoint.tui.scene import Scene, Signs

    feed = Feed(here.client, run_id)
    await feed.read()
    width = shutil.get_terminal_size((100, PLAIN_HEIGHT)).columns
    signs = Signs(plain or not speaks_unicode())
    scene = Scene(
        feed.view, feed.timeline, feed.now(), feed.live, width, PLAIN_HEIGHT, clock=time.time(), signs=signs
    )  # fmt: skip
    for line in run_screen(scene)[:-1]:
        click.echo(line.plain.rstrip())


def _need_textual() -> None:
    if importlib.util.find_spec("textual") is None:
        raise UsageError("The terminal UI needs textual.", hint="pip install 'counterpoint[tui]'")
