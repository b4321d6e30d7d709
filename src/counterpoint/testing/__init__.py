"""Tests for workflows: agents that are scripted or recorded, failures on purpose, and what a run made of them.

    async def test_a_refuted_finding_is_dropped(tmp_path):
        agents = ScriptedModel(
            Step({"findings": [FINDING]}, label="a.py"),
            Step({"stands": False, "reason": "It is caught above."}, prompt="Try to refute", times=2),
        )
        played = await run_script("review", agents, args={"path": "."}, cwd=tmp_path)
        played.expect(status="completed", agents=3, phases={"Read": 1, "Refute": 2})

Nothing here reaches a network. Names are loaded when they are first used: the pytest plugin costs a session nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterpoint.testing.cassette import Cassette as Cassette
    from counterpoint.testing.play import Call as Call
    from counterpoint.testing.play import Played as Played
    from counterpoint.testing.play import run_script as run_script
    from counterpoint.testing.scripted import BAD_JSON as BAD_JSON
    from counterpoint.testing.scripted import NULL as NULL
    from counterpoint.testing.scripted import RATE_LIMITED as RATE_LIMITED
    from counterpoint.testing.scripted import TIMEOUT as TIMEOUT
    from counterpoint.testing.scripted import Asked as Asked
    from counterpoint.testing.scripted import Fault as Fault
    from counterpoint.testing.scripted import ScriptedModel as ScriptedModel
    from counterpoint.testing.scripted import ScriptMismatch as ScriptMismatch
    from counterpoint.testing.scripted import Step as Step
    from counterpoint.testing.scripted import Uses as Uses

_HOMES = {
    "cassette": ("Cassette",),
    "play": ("Call", "Played", "run_script"),
    "scripted": (
        "BAD_JSON", "NULL", "RATE_LIMITED", "TIMEOUT", "Asked", "Fault", "ScriptMismatch", "ScriptedModel", "Step",
        "Uses",
    ),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]  (computed from the one list)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'counterpoint.testing' has no attribute {name!r}")
    return getattr(import_module(f"counterpoint.testing.{home}"), name)


def __dir__() -> list[str]:
    return __all__
