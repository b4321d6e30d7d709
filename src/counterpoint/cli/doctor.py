"""``doctor``: what this machine has of what Counterpoint needs, and how to get the rest."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from counterpoint import settings
from counterpoint.cli.options import Output, asynchronous, common
from counterpoint.errors import CounterpointError
from counterpoint.models.catalog import PROVIDERS
from counterpoint.settings import Settings
from counterpoint.text import safe

ROOM_MB = 500
"""Free disk below which journals of long runs may not fit."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix` says what to do where it is not ``ok``."""

    name: str
    state: Literal["ok", "missing", "broken"]
    found: str
    fix: str = ""


@click.command()
@common
@asynchronous
async def doctor(output: Output, state: Path | None) -> int:
    """Look at everything that runs need; exits with 1 where something is broken."""
    chosen = settings.load(cwd=Path.cwd(), flags={"state": state})
    checks = [await check(chosen) for check in CHECKS]
    if output.json:
        rows = [{"name": c.name, "state": c.state, "found": c.found, "fix": c.fix or None} for c in checks]
        output.document({"checks": rows})
    else:
        for c in checks:
            click.echo(f"{c.state:8} {c.name:12} {safe(c.found)}")
            if c.fix and c.state != "ok":
                click.echo(f"{'':21} {safe(c.fix)}")
    return int(any(c.state == "broken" for c in checks))


async def _python(chosen: Settings) -> Check:
    return Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


async def _settings(chosen: Settings) -> Check:
    wrong = settings.misspelt(os.environ)
    if wrong:
        return Check("settings", "broken", " ".join(wrong), "Correct the name, or unset it.")
    return Check("settings", "ok", f"{len(chosen.origins)} differ from their defaults: counterpoint config")


async def _sandbox(chosen: Settings) -> Check:
    """Starts the sandbox for real and asks it about a script."""
    from counterpoint.sandbox.process import ENGINE, Limits, ScriptProcess

    try:
        async with await ScriptProcess.spawn(Limits()) as engine:
            await engine.check("return 1")
            filtered = await asyncio.to_thread(_filtered, engine.pid)
    except CounterpointError as error:
        return Check("sandbox", "broken", error.message, error.hint or "pip install --force-reinstall quickjs-ng")
    if filtered is None:
        return Check("sandbox", "ok", f"{ENGINE}; a process of its own (this system has no system-call filter)")
    if not filtered:
        fix = "Scripts still run in a process that can do nothing but answer; a newer kernel adds the filter."
        return Check("sandbox", "missing", f"{ENGINE}; no system-call filter", fix)
    return Check("sandbox", "ok", f"{ENGINE}; a process of its own with a system-call filter")


def _filtered(pid: int) -> bool | None:
    """Whether the kernel filters that process's system calls; None where it cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return "\nSeccomp:\t2" in status


async def _store(chosen: Settings) -> Check:
    return await asyncio.to_thread(_look_at_store, chosen.state)


def _look_at_store(folder: Path) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK) or not there.is_dir():
        return Check(
            "store", "broken", f"{folder} cannot be written", "Name another folder with --state or COUNTERPOINT_STATE."
        )
    free = shutil.disk_usage(there).free / 1e6
    runs = sum(1 for _ in (folder / "runs").glob("wf_*"))
    found = f"{folder}: {runs} runs, {free / 1000:.1f} GB free; SQLite {sqlite3.sqlite_version}"
    if free < ROOM_MB:
        return Check("store", "broken", found, "Free some space, or name another folder with --state.")
    return Check("store", "ok", found)


async def _git(chosen: Settings) -> Check:
    path = shutil.which("git")
    if path is None:
        return Check("git", "missing", "not found", "Install git: agents with isolation 'worktree' need it.")
    return Check("git", "ok", path)


async def _jail(chosen: Settings) -> Check:
    from counterpoint.tools.jail import available, bubblewrap

    kind = await available()
    fix = "Install bubblewrap (bwrap): it shuts the commands of agents in a sandbox of the system."
    return Check("commands", "ok" if bubblewrap() else "missing", f"agents' commands run in: {kind}", fix)


async def _providers(chosen: Settings) -> Check:
    ready = [name for name, provider in PROVIDERS.items() if provider.keys and provider.key(os.environ)]
    if ready:
        return Check("providers", "ok", f"a key for {', '.join(ready)}")
    fix = "Set a key (ANTHROPIC_API_KEY, OPENAI_API_KEY …; counterpoint models list), or use --model local."
    return Check("providers", "missing", "no provider has a key", fix)


async def _extras(chosen: Settings) -> Check:
    homes = {"providers": "pydantic_ai", "local": "xllamacpp", "tui": "textual", "web": "starlette", "mcp": "mcp"}
    absent = [extra for extra, module in homes.items() if importlib.util.find_spec(module) is None]
    if not absent:
        return Check("extras", "ok", f"{', '.join(homes)} are installed")
    fix = f"{sys.executable} -m pip install 'counterpoint[{','.join(absent)}]'"
    return Check("extras", "missing", f"not installed: {', '.join(absent)}", fix)


async def _weights(chosen: Settings) -> Check:
    from counterpoint.models.weights import DEFAULT, installed

    path = installed(DEFAULT)
    if path is None:
        return Check("local model", "missing", f"{DEFAULT} is not fetched", f"counterpoint models pull {DEFAULT}")
    return Check("local model", "ok", str(path))


CHECKS: tuple[Callable[[Settings], Awaitable[Check]], ...] = (
    _python, _settings, _sandbox, _store, _git, _jail, _providers, _extras, _weights,
)  # fmt: skip
