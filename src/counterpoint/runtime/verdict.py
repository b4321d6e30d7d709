"""How an attempt ended: one rule from the events and the script's last word. Pure."""

from __future__ import annotations

from collections.abc import Callable

from counterpoint.errors import ScriptFault
from counterpoint.events import Fault, RunEnded, RunStatus, Value
from counterpoint.runtime.budget import BUDGET_EXCEEDED
from counterpoint.sandbox.frames import Done
from counterpoint.view import RunView


def verdict(view: RunView, done: Done | None, fault: ScriptFault | None, value: Callable[[bytes], Value]) -> RunEnded:
    """The end of an attempt that nobody stopped. `value` makes of JSON what the journal keeps."""
    if fault is not None:
        return _failed(Fault(fault.name, fault.message, fault.line, fault.column, fault.stack))
    if done is None:
        return _failed(Fault("ScriptCrashedError", "The script ended without a result."))
    if not done.ok:
        return _failed(done.error or Fault("Error", "The script failed without an error."))
    status, message = _status(view)
    return RunEnded(status, value(bytes(done.value)), message=message)


def _failed(fault: Fault) -> RunEnded:
    return RunEnded(RunStatus.FAILED, error=fault, message=f"{fault.name}: {fault.message}")


def _status(view: RunView) -> tuple[RunStatus, str]:
    bad = view.not_ok()
    good, of = view.coverage()
    cut = sum(agent.fault is not None and agent.fault.name == BUDGET_EXCEEDED for agent in bad)
    if cut:
        return RunStatus.BUDGET_EXCEEDED, f"The budget ended {cut} of {of} agents; {good} are ok."
    if bad:
        return RunStatus.PARTIAL, f"{good} of {of} agents ended ok."
    if view.script_errors:
        return RunStatus.PARTIAL, f"The script has {len(view.script_errors)} errors of its own."
    return RunStatus.COMPLETED, ""
