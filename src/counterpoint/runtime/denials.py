"""A denial is an event, and the first of its kind a line of the log: nobody should have to look for it."""

from __future__ import annotations

from counterpoint.events import ToolDenied
from counterpoint.runtime.attempt import Attempt
from counterpoint.tools.policy import Access, remedy, suggestion

SUBJECT = 2000
"""Characters of a command that an event keeps."""


def report_denial(attempt: Attempt, agent: str, access: Access, reason: str) -> None:
    """Writes down that `agent` (empty: the script) was not allowed to do something."""
    rule = suggestion(access)
    first = all(denial.hint != rule for denial in attempt.view.denials)
    attempt.emit(ToolDenied(agent, access.tool, access.subject[:SUBJECT], reason, rule))
    if first:
        who = f"agent {agent}" if agent else "the script"
        attempt.log(f"Denied to {who}: {access}: {reason}. To allow it: {remedy(access)}", "warning")
