"""Counterpoint: dynamic workflows that can be trusted, resumed and run with any model.

    import counterpoint

    result = await counterpoint.run("survey", args={"path": "docs"}, model="sim")

The names here are the public API; they are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from counterpoint.version import VERSION as __version__

if TYPE_CHECKING:
    from counterpoint.api import Result as Result
    from counterpoint.api import Workflow as Workflow
    from counterpoint.api import fork as fork
    from counterpoint.api import result as result
    from counterpoint.api import resume as resume
    from counterpoint.api import run as run
    from counterpoint.api import submit as submit
    from counterpoint.api import watch as watch
    from counterpoint.errors import CounterpointError as CounterpointError
    from counterpoint.errors import ProviderError as ProviderError
    from counterpoint.errors import RunIsLiveError as RunIsLiveError
    from counterpoint.errors import ScriptRefused as ScriptRefused
    from counterpoint.errors import StoreError as StoreError
    from counterpoint.errors import UsageError as UsageError
    from counterpoint.events import Outcome as Outcome
    from counterpoint.events import Recorded as Recorded
    from counterpoint.events import RunStatus as RunStatus
    from counterpoint.events import Usage as Usage
    from counterpoint.models.messages import Answer as Answer
    from counterpoint.models.messages import AssistantTurn as AssistantTurn
    from counterpoint.models.messages import Model as Model
    from counterpoint.models.messages import Request as Request
    from counterpoint.models.messages import ToolCall as ToolCall
    from counterpoint.models.messages import ToolTurn as ToolTurn
    from counterpoint.models.messages import UserTurn as UserTurn
    from counterpoint.tools.own import FunctionTool as FunctionTool
    from counterpoint.view import RunView as RunView

_HOMES = {
    "api": ("Result", "Workflow", "fork", "result", "resume", "run", "submit", "watch"),
    "errors": ("CounterpointError", "ProviderError", "RunIsLiveError", "ScriptRefused", "StoreError", "UsageError"),
    "events": ("Outcome", "Recorded", "RunStatus", "Usage"),
    "models.messages": ("Answer", "AssistantTurn", "Model", "Request", "ToolCall", "ToolTurn", "UserTurn"),
    "tools.own": ("FunctionTool",),
    "view": ("RunView",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]  (computed from the one list)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'counterpoint' has no attribute {name!r}")
    return getattr(import_module(f"counterpoint.{home}"), name)


def __dir__() -> list[str]:
    return __all__
