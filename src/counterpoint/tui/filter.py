"""What a filter means: ``state:failed phase:find cost>0.2 time>30 "some text"``; all must hold. As on the page."""

from __future__ import annotations

import re
from collections.abc import Callable

from counterpoint.attention import state_of
from counterpoint.timeline import Timeline
from counterpoint.view import AgentView, RunView

WORDS = re.compile(r'(?:(\w+)([:<>]))?(?:"([^"]*)"|(\S+))')
Test = Callable[[AgentView], bool]
MEASURES: dict[str, Callable[[AgentView], float]] = {
    "cost": lambda agent: agent.usage.usd or 0.0,
    "time": lambda agent: agent.seconds,
    "tokens": lambda agent: agent.usage.output_tokens,
    "turns": lambda agent: agent.turns,
    "tools": lambda agent: agent.tools,
}


def matcher(text: str, view: RunView, timeline: Timeline) -> Test:
    """Whether an agent fits the filter."""
    tests = [
        _test(key, sign, (quoted or plain).lower(), view, timeline) for key, sign, quoted, plain in WORDS.findall(text)
    ]
    return lambda agent: all(test(agent) for test in tests)


def _test(key: str, sign: str, wanted: str, view: RunView, timeline: Timeline) -> Test:
    if sign in ("<", ">"):
        return _measure(key, sign, wanted)
    match key:
        case "state":
            return lambda agent: (
                wanted in (state_of(view, agent, timeline.doing(agent.id)), agent.state)
                or (wanted == "bad" and agent.outcome is not None and not agent.good)
            )
        case "phase":
            return lambda agent: wanted in (agent.phase or "(no phase)").lower()
        case "model":
            return lambda agent: wanted in (agent.answered_by or agent.model).lower()
        case "line":
            return lambda agent: str(agent.line) == wanted
        case _:
            return lambda agent: (
                agent.id == wanted
                or any(
                    wanted in text.lower()
                    for text in (agent.label, agent.doing, agent.fault.message if agent.fault else "")
                )
            )


def _measure(key: str, sign: str, wanted: str) -> Test:
    measure = MEASURES.get(key)
    try:
        limit = float(wanted)
    except ValueError:
        return lambda agent: False
    if measure is None:
        return lambda agent: False
    return lambda agent: measure(agent) > limit if sign == ">" else measure(agent) < limit
