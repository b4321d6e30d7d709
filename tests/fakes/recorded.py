"""A model for the workflow `port` whose answers are files: what each agent reads, writes and answers."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fakes.replies import Asked, Fails, Gives, Reply, Says

ROLES = {
    r"Read ": "contract",
    r"Port one file": "port",
    r"Review [\s\S]*\nResults: ": "results",
    r"Review [\s\S]*\nEdges: ": "edges",
    r"Fix the port": "fix",
    r"The branch .* conflicts with": "merge",
    r"The build of a port fails": "build fix",
    r"The test of a port fails": "test fix",
}
"""How a prompt of the workflow begins, and what its agent is for."""
FILE = re.compile(r"\b(?:ledger|port)/(\w+)\.\w+")


class Recorded:
    """Answers as `FOLDER/NAME.json` says for the file that a prompt names first; an agent without a record fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps: dict[str, dict[str, Any] | None] = {}
        self._given: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def reply(self, asked: Asked) -> Reply:
        messages = asked.body["messages"]
        step = self._step(text_of(messages[0]))
        if step is None:
            return Fails(400, "There is no recorded answer for this.")
        reads = [("Read", {"file_path": path}) for path in step.get("read", [])]
        writes = [("Write", {"file_path": path, "content": self._text(name)}) for path, name in _writes(step)]
        turns = [Says("", calls) for calls in (reads, writes) if calls]
        done = sum(message["role"] == "assistant" for message in messages)
        if done < len(turns):
            return turns[done]
        answer = step["answer"]
        return Says(answer) if isinstance(answer, str) else Gives(answer)

    def _step(self, prompt: str) -> dict[str, Any] | None:
        """The record for a conversation: the next of its kind, when it begins."""
        with self._lock:
            if prompt not in self._steps:
                self._steps[prompt] = self._next(prompt)
            return self._steps[prompt]

    def _next(self, prompt: str) -> dict[str, Any] | None:
        role = next((role for pattern, role in ROLES.items() if re.match(pattern, prompt)), "")
        named = FILE.search(prompt)
        path = self._folder / f"{named[1] if named else ''}.json"
        if not path.exists():
            return None
        steps = json.loads(path.read_text("utf-8")).get(role, [])
        n = self._given[path.stem, role]
        self._given[path.stem, role] += 1
        return steps[n] if n < len(steps) else None

    def _text(self, name: str) -> str:
        return (self._folder / name).read_text("utf-8")


def _writes(step: dict[str, Any]) -> list[tuple[str, str]]:
    return list(step.get("write", {}).items())


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
