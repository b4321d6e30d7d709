"""The pytest plugin, there wherever Counterpoint is installed. What it needs is imported when a test asks for it."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from counterpoint.testing import Cassette, Played

OPTION = "--counterpoint-record"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that records cassettes."""
    group = parser.getgroup("counterpoint", "workflows of agents")
    group.addoption(OPTION, metavar="PROVIDER:NAME", help="Ask this model, and write the cassettes of all tests anew.")


@pytest.fixture
def counterpoint_cassette(request: pytest.FixtureRequest) -> Cassette:
    """The recorded agents of this test: ``cassettes/FILE.TEST.json`` beside its file."""
    from counterpoint.testing import Cassette

    item = cast("pytest.Item", request.node)  # pyright: ignore[reportUnknownMemberType]  (pytest leaves it untyped)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{request.path.stem}.{item.name}")
    return Cassette(request.path.parent / "cassettes" / f"{name}.json", record=request.config.getoption(OPTION))


@pytest.fixture
def counterpoint_play(tmp_path: Path) -> Callable[..., Played]:
    """`run_script` for tests that are no coroutines; the workflow works in the test's own folder."""
    from counterpoint.testing import run_script

    def play(*arguments: Any, **options: Any) -> Played:
        return asyncio.run(functools.partial(run_script, cwd=tmp_path)(*arguments, **options))

    return play
