"""TodoWrite: an agent's own list of what is to be done; it touches nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from counterpoint.models.messages import ToolSpec
from counterpoint.tools.base import Access, Action, ToolContext
from counterpoint.tools.files import object_schema

MARKS = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]"}


@dataclass(frozen=True, slots=True)
class TodoWrite:
    """The whole list, each time."""

    read_only: bool = False
    spec: ToolSpec = field(
        default=ToolSpec(
            "TodoWrite",
            "Keeps your list of what is to be done, for work of several steps. Give the whole list each time.",
            object_schema(
                {
                    "todos": {
                        "type": "array",
                        "maxItems": 100,
                        "items": {
                            "type": "object",
                            "properties": {
                                "content": {"type": "string", "minLength": 1, "maxLength": 500},
                                "status": {"enum": list(MARKS)},
                                "activeForm": {"type": "string", "maxLength": 500},
                            },
                            "required": ["content", "status"],
                        },
                    }
                },
                "todos",
            ),
        )
    )

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        async def keep() -> str:
            todos = input["todos"]
            done = sum(todo["status"] == "completed" for todo in todos)
            lines = [f"{MARKS[todo['status']]} {todo['content']}" for todo in todos]
            return "\n".join([f"{done} of {len(todos)} done.", *lines])

        return Action((Access("TodoWrite", "own"),), keep)
