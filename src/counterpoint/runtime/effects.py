"""Whether the files that reused agents changed in the shared tree are still as those agents left them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from counterpoint.view import RunView

NAMED = 10


async def differing(view: RunView) -> list[tuple[str, str]]:
    """Agent and file, for each file that is not as a good agent's result takes it to be."""
    return await asyncio.to_thread(_differing, view)


def _differing(view: RunView) -> list[tuple[str, str]]:
    root = Path(view.cwd)
    return [
        (agent.id, path)
        for agent in view.agents.values()
        if agent.good
        for path, left in agent.files.items()
        if _sha(root / path) != left
    ]


def _sha(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def warning(found: list[tuple[str, str]]) -> str:
    """What a resume says of them."""
    named = ", ".join(f"{path} ({agent})" for agent, path in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"Not as a reused agent left it: {named}{more}. Its result may not hold here; the journal has its changes. "
        f"Run it again with: counterpoint retry RUN AGENT"
    )
