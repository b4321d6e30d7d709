"""Tells somebody who looks elsewhere that a run needs them, is over, or nears its ceiling: once for each such change.

The setting ``notify``, or ``COUNTERPOINT_NOTIFY``, takes channels, several with ``;`` between them:

    bell                         the terminal's bell
    desktop                      the desktop's own notifications (notify-send, or osascript on macOS)
    command:/path/to/tell --now  a program, which gets the notice as one JSON object on its standard input
    https://example.org/hook     a webhook, to which the object is posted

A project's own file may name only bell and desktop: who clones a repository has not agreed to run its programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import click
from msgspec import Struct, to_builtins

from counterpoint import attention
from counterpoint.errors import UsageError
from counterpoint.events import (
    AgentCompacted,
    AgentFinished,
    AgentTurned,
    GateOpened,
    Recorded,
    RunEnded,
    RunPaused,
    RunStatus,
)
from counterpoint.settings import Settings
from counterpoint.text import one_line, safe
from counterpoint.view import RunView

SEND_S = 10.0
"""How long one channel may take."""
FLUSH_S = 12.0
"""How long the end of a run waits for its last notices."""
QUIET = ("bell", "desktop")
STDERR = 2
GOOD = (RunStatus.COMPLETED,)
WAITS = (RunStatus.WAITING, RunStatus.PAUSED)


class Notice(Struct, frozen=True):
    """What is told. No value of the run is in it, only what it is about."""

    kind: str
    """needs_you, paused, done, failed or budget."""
    run_id: str
    name: str
    status: str
    text: str
    at: float
    schema_version: int = 1


def channels(settings: Settings) -> list[str]:
    """The channels in force. Raises UsageError for one that there is not, or that the project's file may not name."""
    found = [each.strip() for each in settings.notify.split(";") if each.strip()]
    project = settings.origins.get("notify", "").endswith(".counterpoint/config.toml")
    for channel in found:
        if channel in QUIET:
            continue
        if not channel.startswith(("command:", "http://", "https://")):
            raise UsageError(
                f"notify has no channel {one_line(channel, 60)!r}.", hint="bell; desktop; command:…; https://…"
            )
        if project:
            raise UsageError(
                "A project's file may not name a command or an address to notify.",
                hint="Put it into your own config.toml, or into COUNTERPOINT_NOTIFY.",
            )
    return found


class Notices:
    """Makes notices of events, and sends them one after the other. `view` is the run so far."""

    def __init__(self, chosen: list[str], view: RunView) -> None:
        self._channels = chosen
        self._view = view
        self._queue: asyncio.Queue[Notice] = asyncio.Queue()
        self._near_ceiling = any(need.kind == "budget" for need in attention.needs(view, time.time()))

    def take(self, events: list[Recorded]) -> None:
        for recorded in events:
            self._view.apply(recorded)
            for kind, text in self._told_by(recorded.event):
                view = self._view
                notice = Notice(kind, view.run_id, view.name, view.status.value, one_line(text, 300), recorded.at)
                self._queue.put_nowait(notice)

    def _told_by(self, event: Any) -> Iterator[tuple[str, str]]:
        match event:
            case GateOpened(question=question):
                yield "needs_you", question
            case RunPaused(message=message):
                yield "paused", message
            case RunEnded(status=status, message=message) if status not in WAITS:
                good, of = self._view.coverage()
                kind = "done" if status in GOOD else "failed"
                yield kind, f"{status.value}: {good} of {of} agents ok. {message}".strip()
            case AgentFinished() | AgentTurned() | AgentCompacted() if not self._near_ceiling:
                for need in attention.needs(self._view, time.time()) if self._has_ceiling() else ():
                    if need.kind == "budget":
                        self._near_ceiling = True
                        yield "budget", need.text
            case _:
                pass

    def _has_ceiling(self) -> bool:
        return bool(self._view.bounds.get("budget_tokens") or self._view.bounds.get("budget_usd"))

    async def serve(self) -> None:
        """Sends what comes, until it is cancelled."""
        while True:
            notice = await self._queue.get()
            for channel in self._channels:
                await _send(channel, notice)
            self._queue.task_done()

    async def flush(self) -> None:
        """Waits until all is sent, or too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._queue.join()


Take = Callable[[list[Recorded]], None]


@contextlib.asynccontextmanager
async def noticing(settings: Settings, view: RunView) -> AsyncGenerator[tuple[Take, ...]]:
    """Listeners for the length of a run: none where nobody is to be told anything."""
    chosen = channels(settings)
    if not chosen:
        yield ()
        return
    notices = Notices(chosen, view)
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(notices.serve())
            try:
                yield (notices.take,)
                await notices.flush()
            finally:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _send(channel: str, notice: Notice) -> None:
    """Uses one channel. What goes wrong there is said, and never harms the run."""
    try:
        async with asyncio.timeout(SEND_S):
            match channel.partition(":"):
                case ("bell", _, _):
                    _ring()
                case ("desktop", _, _):
                    await _show(notice)
                case ("command", _, command):
                    await _call(shlex.split(command), notice)
                case _:
                    await asyncio.to_thread(_post, channel, notice)
    except (OSError, TimeoutError, ValueError) as error:
        click.echo(f"A notice could not be sent ({safe(channel)[:60]}): {safe(str(error)) or 'no answer'}", err=True)


def _ring() -> None:
    """To the terminal itself: the live tree has `sys.stderr` for its own."""
    if os.isatty(STDERR):
        os.write(STDERR, b"\a")


async def _show(notice: Notice) -> None:
    title = f"{notice.name}: {notice.kind.replace('_', ' ')}"
    if program := shutil.which("notify-send"):
        await _call([program, "--app-name=counterpoint", "--", title, notice.text])
    elif program := shutil.which("osascript"):
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        await _call([program, "-e", script, title, notice.text])


async def _call(command: list[str], notice: Notice | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await process.communicate(_json(notice) if notice is not None else None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise OSError(f"{command[0]} ended with {process.returncode}")


def _post(address: str, notice: Notice) -> None:
    import urllib.request  # heavy, and few runs post

    request = urllib.request.Request(  # noqa: S310 - the scheme is checked in `channels`
        address, _json(notice), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SEND_S):  # noqa: S310 - the same
        pass


def _json(notice: Notice) -> bytes:
    return json.dumps(to_builtins(notice), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
