"""ToolSearch: tools of servers that a model gets to know when it looks for them.

A server may have hundreds of tools, and their schemas would fill the prompt of each of hundreds of agents. So where
there are more than a few, an agent is told names and a line about each; the schema of one goes with its requests from
the moment that it asks. What it has asked for is read from the conversation: nothing else has to be kept or resumed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from counterpoint.errors import nearest
from counterpoint.models.messages import AssistantTurn, Message, ToolSpec
from counterpoint.tools.base import Access, Action, Tool, ToolContext, ToolError
from counterpoint.tools.files import object_schema
from counterpoint.tools.mcp import McpTool

NAME = "ToolSearch"
FEW = 12
"""Tools of servers that an agent gets whole, as long as they are short."""
FEW_BYTES = 16_000
"""Of their descriptions and schemas together."""
LINE = 100
"""Characters that are told of each tool."""
LIST = 16_000
"""Characters of the whole list; what is beyond it can still be searched."""
FOUND = 5
MOST = 20
"""Tools of one answer: usually, and at most."""


def on_demand(tools: Sequence[McpTool], named: Iterable[str]) -> list[Tool]:
    """The tools of servers as an agent gets them: whole where they are few, or where it was given one by `named`."""
    asked = set(named)
    rest = [tool for tool in tools if tool.spec.name not in asked]
    size = sum(len(msgspec.json.encode(tool.spec)) for tool in rest)
    if len(rest) <= FEW and size <= FEW_BYTES:
        return [*tools]
    shelf = [dataclasses.replace(tool, on_demand=True) for tool in rest]
    return [*(tool for tool in tools if tool.spec.name in asked), ToolSearch(shelf), *shelf]


@dataclass(frozen=True, slots=True)
class ToolSearch:
    """Finds tools by name or by words."""

    shelf: Sequence[McpTool]
    read_only: bool = True
    spec: ToolSpec = field(init=False)

    def __post_init__(self) -> None:
        description = (
            "Finds tools of servers. Those below can be called only after this has shown you their input: query "
            "'select:NAME,NAME' shows just these, any other text is looked for in names and descriptions.\n"
        )
        words = {"type": "string", "minLength": 1, "description": "select:NAME,NAME, or words."}
        most = {"type": "integer", "minimum": 1, "maximum": MOST, "description": f"Tools to show; {FOUND} by default."}
        schema = object_schema({"query": words, "max_results": most}, "query")
        object.__setattr__(self, "spec", ToolSpec(NAME, description + _listed(self.shelf), schema))

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        async def show() -> str:
            found = self.found(input)
            if not found:
                names = [tool.spec.name for tool in self.shelf]
                raise ToolError(f"No tool fits {input['query'][:200]!r}{nearest(input['query'], names)}")
            shown = [
                {"name": tool.spec.name, "description": tool.spec.description, "input_schema": tool.spec.schema}
                for tool in found
            ]
            lines = [msgspec.json.encode(each).decode() for each in shown]
            return "\n".join([*lines, f"[{len(lines)} tools; from now on you can call them by these names.]"])

        return Action((Access(NAME, "own"),), show)

    def found(self, input: dict[str, Any]) -> list[McpTool]:
        """What a call with this input shows: those named, or those that the words fit best."""
        query, most = str(input.get("query", "")), input.get("max_results", FOUND)
        limit = min(most, MOST) if isinstance(most, int) else FOUND
        if query.startswith("select:"):
            wanted = {name.strip() for name in query.removeprefix("select:").split(",")}
            return [tool for tool in self.shelf if tool.spec.name in wanted][:MOST]
        words = [word for word in re.split(r"[\W_]+", query.lower()) if word]
        ranked = [(_fits(words, tool), -place, tool) for place, tool in enumerate(self.shelf)]
        best = max((fit for fit, _, _ in ranked), default=0)
        near = sorted((each for each in ranked if 2 * each[0] > best), key=lambda each: each[:2], reverse=True)
        return [tool for _, _, tool in near[:limit]]

    def asked_for(self, messages: Sequence[Message]) -> list[ToolSpec]:
        """The tools that an agent has looked for in this conversation, in their order on the shelf."""
        calls = [call for turn in messages if isinstance(turn, AssistantTurn) for call in turn.calls]
        names = {tool.spec.name for call in calls if call.name == NAME for tool in self.found(call.input or {})}
        return [tool.spec for tool in self.shelf if tool.spec.name in names]


def _fits(words: list[str], tool: McpTool) -> int:
    """How well: a word of the name counts more than one of the description."""
    name, description = tool.spec.name.lower(), tool.spec.description.lower()
    return sum(10 * (word in name) + (word in description) for word in words)


def _listed(shelf: Sequence[McpTool]) -> str:
    lines: list[str] = []
    room = LIST
    for tool in shelf:
        about = " ".join(tool.spec.description.split())
        line = f"- {tool.spec.name}: {about if len(about) <= LINE else f'{about[:LINE]}…'}"
        room -= len(line) + 1
        if room < 0:
            lines.append(f"- and {len(shelf) - len(lines)} more, which can be searched")
            break
        lines.append(line)
    return "\n".join(lines)
