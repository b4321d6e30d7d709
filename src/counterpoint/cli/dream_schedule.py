"""``dream schedule``: dreaming by itself, by the system's own timer or by a loop of ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.background import PROGRAM
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.dream.record import Dreams
from counterpoint.dream.schedule import (
    Kind,
    Schedule,
    due_slot,
    fields_of,
    launchd_plist,
    next_slot,
    shown,
    systemd_units,
)
from counterpoint.errors import UsageError
from counterpoint.memory.places import project_root, project_store
from counterpoint.text import safe

EVERY_NIGHT = "0 3 * * *"
HOURS = 20.0
"""Between two dreams of a timer: less than a day, for it does not begin at the same second each night."""
LOOK_S = 30.0
"""How often the loop looks at the clock: a machine that slept is noticed."""


@click.group()
def schedule() -> None:
    """Dream by itself: install, remove or show the timer."""


@schedule.command()
@click.argument("cron", default=EVERY_NIGHT)
@click.option("--kind", type=click.Choice(["systemd", "launchd", "loop"]), help="Whose timer; the system's by default.")
@click.option("--budget", multiple=True, metavar="50k|2usd", help="Ceiling for each dream.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model of its agents.")
@click.option("--base-url", help="Address of the provider.")
@click.option("--publish-unproven", type=click.IntRange(0, 3), metavar="TIER", help="As for dream run.")
@click.option("--only-write", is_flag=True, help="Write the files and leave it to you to start the timer.")
@common
def install(
    cron: str, kind: Kind | None, budget: tuple[str, ...], model: str | None, base_url: str | None,
    publish_unproven: int | None, only_write: bool, output: Output, state: Path | None,
) -> int:  # fmt: skip
    """Dream at these times, if a dream is due then: five cron fields, "0 3 * * *" by default.

    A time that was missed is caught up once. A timer of the system has no shell: keys of providers must be where it
    sees them (systemctl --user set-environment, launchctl setenv), or in the settings of a local model.
    """
    fields_of(cron)
    folder = project_root(Path.cwd())
    if not str(folder).isprintable():
        raise UsageError("The name of this folder has signs in it that no timer can be given.")
    command = [*PROGRAM, "dream", "run", "--if-due", "--every", f"{HOURS:g}"]
    command += ["--no-input", "--quiet"]
    for name, values in (("--budget", budget), ("--model", (model,)), ("--base-url", (base_url,)),
                         ("--state", (state,)), ("--publish-unproven", (publish_unproven,))):  # fmt: skip
        command += [part for value in values if value is not None for part in (name, str(value))]
    chosen: Kind = kind or (
        "launchd" if sys.platform == "darwin" else "systemd" if shutil.which("systemctl") else "loop"
    )
    made = Schedule(cron=cron, kind=chosen, command=command, folder=str(folder), installed_at=time.time(),
                    last_slot=time.time())  # fmt: skip
    texts = _texts(made)
    paths = [_folder(chosen) / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    made = msgspec.structs.replace(made, files=[str(path) for path in paths])
    memory = project_store(folder)
    memory.keep_private()
    Dreams(memory.folder).keep_schedule(made)
    if not only_write:
        _start(made, output)
    _tell(made, output)
    return 0


@schedule.command()
@common
def remove(output: Output, state: Path | None) -> int:
    """Dream by itself no more."""
    dreams = Dreams(project_store(Path.cwd()).folder)
    made = dreams.schedule()
    if made is None:
        raise UsageError("There is no schedule here.", hint="Install one with: counterpoint dream schedule install")
    for command in _stopping(made):
        if shutil.which(command[0]):
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603  (the system's own programs)
    for name in made.files:
        Path(name).unlink(missing_ok=True)
    dreams.drop_schedule()
    output.document({"removed": made.files}) if output.json else click.echo("removed")
    return 0


@schedule.command()
@common
def show(output: Output, state: Path | None) -> int:
    """What is installed here, and when it is due next."""
    made = Dreams(project_store(Path.cwd()).folder).schedule()
    if made is None:
        output.document({"schedule": None}) if output.json else click.echo("There is no schedule here.")
        return 0
    _tell(made, output)
    return 0


@schedule.command("loop")
@click.option("--once", is_flag=True, help="Run what is due now, and end.")
@common
@asynchronous
async def loop_(once: bool, output: Output, state: Path | None) -> int:
    """Stay and dream at the times that are installed here: for containers, and machines without a timer."""
    dreams = Dreams((await asyncio.to_thread(project_store, Path.cwd())).folder)
    while True:
        made = await asyncio.to_thread(dreams.schedule)
        if made is None:
            raise UsageError("There is no schedule here.", hint="counterpoint dream schedule install --kind loop")
        slot = due_slot(made.cron, made.last_slot, time.time())
        if slot is not None:
            await asyncio.to_thread(dreams.keep_schedule, msgspec.structs.replace(made, last_slot=slot))
            process = await asyncio.create_subprocess_exec(*made.command, cwd=made.folder)
            output.say(f"the dream ended with {await process.wait()}")
        if once:
            return 0
        await asyncio.sleep(LOOK_S)


def _texts(made: Schedule) -> dict[str, str]:
    match made.kind:
        case "systemd":
            return systemd_units(made)
        case "launchd":
            return launchd_plist(made)
        case "loop":
            return {}


def _folder(kind: Kind) -> Path:
    if kind == "launchd":
        return Path.home() / "Library" / "LaunchAgents"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _starting(made: Schedule) -> list[list[str]]:
    match made.kind:
        case "systemd":
            timer = Path(made.files[-1]).name
            return [["systemctl", "--user", "daemon-reload"], ["systemctl", "--user", "enable", "--now", timer]]
        case "launchd":
            return [["launchctl", "load", "-w", made.files[0]]]
        case "loop":
            return []


def _stopping(made: Schedule) -> list[list[str]]:
    match made.kind:
        case "systemd":
            return [["systemctl", "--user", "disable", "--now", Path(made.files[-1]).name]]
        case "launchd":
            return [["launchctl", "unload", "-w", made.files[0]]]
        case "loop":
            return []


def _start(made: Schedule, output: Output) -> None:
    """Has the system begin; where it cannot, the files are there, and it is said what to type."""
    for command in _starting(made):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603  (the system's own programs)
        except (OSError, subprocess.SubprocessError):
            output.say(f"The timer could not be started here; do it with: {shown(command)}")
            return


def _tell(made: Schedule, output: Output) -> None:
    due = next_slot(made.cron, time.time())
    if output.json:
        document: dict[str, Any] = {**msgspec.to_builtins(made), "next": due}
        output.document({"schedule": document})
        return
    click.echo(f"{made.cron}  ({made.kind}), next {time.strftime('%a %Y-%m-%d %H:%M', time.localtime(due))}")
    click.echo(f"in {safe(made.folder)}: {safe(shown(made.command))}")
    for name in made.files:
        click.echo(safe(name))
    if made.kind == "loop":
        click.echo("It runs while this does: counterpoint dream schedule loop")
