"""S0: dreaming by itself at times that a cron expression names: as a systemd timer, a launchd agent, or a loop of ours.

Files are made here as texts; who installs them is in the command. A missed time is caught up once, however many were
missed: systemd (``Persistent``) and launchd do so themselves, the loop by `due_slot`.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast
from xml.sax.saxutils import escape

from msgspec import Struct, field

from counterpoint.errors import UsageError

Kind = Literal["systemd", "launchd", "loop"]

JITTER_S = 300
"""Timers of many projects, and of many machines, do not all begin at the same second."""
MOST_TIMES = 200
"""Times that a launchd agent may list."""
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


class Schedule(Struct, frozen=True, kw_only=True):
    """What is installed for a project."""

    cron: str
    kind: Kind
    command: list[str]
    folder: str
    installed_at: float
    files: list[str] = field(default_factory=list[str])
    last_slot: float = 0.0
    """Of the loop: the time that it has run for last, in seconds since the epoch."""


def fields_of(cron: str) -> list[list[int] | None]:
    """Minute, hour, day, month, weekday (0: Sunday) as lists; None: all. Raises UsageError."""
    croniter = _croniter()
    if len(cron.split()) != 5 or not croniter.croniter.is_valid(cron):
        raise UsageError(
            f"{cron[:60]!r} is no cron expression of five fields.",
            hint='Minute, hour, day, month, weekday: "0 3 * * *" is each night at three.',
        )
    try:
        expanded = cast("list[list[int | str]]", croniter.croniter.expand(cron)[0])
    except croniter.CroniterError as error:
        raise UsageError(f"{cron!r} cannot be used: {error}.") from error
    found: list[list[int] | None] = []
    for values in expanded:
        if not all(isinstance(value, int) or value == "*" for value in values):
            raise UsageError(f"{cron!r} says more than timers can: only figures, lists, ranges and steps are taken.")
        found.append(None if "*" in values else sorted(cast("list[int]", values)))
    return found


def due_slot(cron: str, last: float, now: float) -> float | None:
    """The newest time up to `now` that has not been run for; None: there is none. Of many missed it is the last."""
    croniter = _croniter()
    slot = float(croniter.croniter(cron, datetime.fromtimestamp(now + 1).astimezone()).get_prev(float))
    return slot if slot > last else None


def next_slot(cron: str, now: float) -> float:
    """When it is due next, in seconds since the epoch; local time."""
    return float(_croniter().croniter(cron, datetime.fromtimestamp(now).astimezone()).get_next(float))


def name_of(folder: Path) -> str:
    """The name of a project's timer."""
    return f"counterpoint-dream-{hashlib.sha256(str(folder).encode()).hexdigest()[:10]}"


def systemd_units(schedule: Schedule) -> dict[str, str]:
    """Name → text of the two unit files."""
    name = name_of(Path(schedule.folder))
    quoted = " ".join(_systemd_quoted(part) for part in schedule.command)
    folder = schedule.folder.replace("%", "%%")
    service = f"""[Unit]
Description=Counterpoint dreams of the runs in {folder}

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart={quoted}
SuccessExitStatus=3
Nice=10
"""
    times = "\n".join(f"OnCalendar={time}" for time in on_calendar(schedule.cron))
    timer = f"""[Unit]
Description=When Counterpoint dreams ({schedule.cron})

[Timer]
{times}
Persistent=true
RandomizedDelaySec={JITTER_S}

[Install]
WantedBy=timers.target
"""
    return {f"{name}.service": service, f"{name}.timer": timer}


def _systemd_quoted(part: str) -> str:
    """An argument as a unit file has it."""
    plain = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if plain and not set(plain) & set(" \t\"';") else f'"{plain}"'


def on_calendar(cron: str) -> list[str]:
    """The same times for systemd: two lines where day and weekday are both given, for cron means either."""
    minute, hour, day, month, weekday = fields_of(cron)
    clock = f"{_listed(hour)}:{_listed(minute)}:00"
    days = f"*-{_listed(month)}-{_listed(day)} {clock}"
    names = ",".join(_DAYS[value % 7] for value in weekday or ())
    if weekday is None:
        return [days]
    by_weekday = f"{names} *-{_listed(month)}-* {clock}"
    return [by_weekday] if day is None else [days, by_weekday]


def _listed(values: list[int] | None) -> str:
    return "*" if values is None else ",".join(f"{value:02d}" for value in values)


def launchd_plist(schedule: Schedule) -> dict[str, str]:
    """Name → text of the property list. Raises UsageError where launchd would have to list too many times."""
    label = f"dev.counterpoint.{name_of(Path(schedule.folder))}"
    times = _launchd_times(schedule.cron)
    if len(times) > MOST_TIMES:
        raise UsageError(f"{schedule.cron!r} names {len(times)} times a day or more; launchd takes {MOST_TIMES} here.")
    arguments = "".join(f"    <string>{escape(part)}</string>\n" for part in schedule.command)
    entries = "".join(
        "    <dict>" + "".join(f"<key>{key}</key><integer>{value}</integer>" for key, value in time.items())
        + "</dict>\n"
        for time in times
    )  # fmt: skip
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>{label}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}  </array>
  <key>WorkingDirectory</key><string>{escape(schedule.folder)}</string>
  <key>StartCalendarInterval</key>
  <array>
{entries}  </array>
  <key>ProcessType</key><string>Background</string>
</dict>
</plist>
"""
    return {f"{label}.plist": text}


def _launchd_times(cron: str) -> list[dict[str, int]]:
    minute, hour, day, month, weekday = fields_of(cron)
    by_day = {"Minute": minute, "Hour": hour, "Day": day, "Month": month}
    by_weekday = {"Minute": minute, "Hour": hour, "Month": month, "Weekday": weekday}
    if weekday is None:
        return _combined(by_day)
    return _combined(by_weekday) if day is None else [*_combined(by_day), *_combined(by_weekday)]


def _combined(given: dict[str, list[int] | None]) -> list[dict[str, int]]:
    named = {key: values for key, values in given.items() if values is not None}
    return [dict(zip(named, values, strict=True)) for values in product(*named.values())]


def shown(command: Sequence[str]) -> str:
    """A command as a person could type it."""
    return shlex.join(command)


def _croniter() -> Any:
    try:
        import croniter
    except ImportError as error:
        raise UsageError(
            "Schedules need the extra `schedule`.", hint="Install it with: pip install 'counterpoint[schedule]'"
        ) from error
    return croniter
