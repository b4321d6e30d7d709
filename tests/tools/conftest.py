from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoint.tools.base import ToolContext, ToolLimits
from counterpoint.tools.registry import TOOLS, invoke

Use = Callable[..., Awaitable[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A working directory, with a secret beside it."""
    (tmp_path / "secret.txt").write_text("the secret\n")
    root = tmp_path / "work"
    root.mkdir()
    return root


@pytest.fixture
def use(root: Path) -> Use:
    """Calls a tool by name in the working directory, as an agent's loop does."""

    async def call(name: str, input: dict[str, Any], **limits: Any) -> str:
        return await invoke(TOOLS[name], input, ToolContext(root, limits=ToolLimits(**limits)))

    return call
