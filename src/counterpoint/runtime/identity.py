"""Who a call is, across resumes: the hash of what decides its answer, and how many calls had that hash before. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import msgspec

BEHAVIOUR = ("schema", "model", "effort", "isolation", "agentType", "tools", "disallowedTools", "cwd", "from")
"""The options of `agent()` that are part of its identity. Label and phase are not."""

_encoder = msgspec.json.Encoder(order="sorted")


class Identities:
    """Gives each call of one attempt its key. Call it in program order, once a call."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def agent(self, prompt: str, options: dict[str, Any]) -> str:
        """Key of an ``agent()`` call: with ``options.key``, that stands in for the prompt."""
        behaviour = {name: options[name] for name in BEHAVIOUR if name in options}
        return self.call("agent", options.get("key", prompt), behaviour)

    def call(self, op: str, *what: Any) -> str:
        """Key of any other call, from all that makes it what it is."""
        digest = hashlib.blake2b(_encoder.encode((op, *what)), digest_size=16).hexdigest()
        earlier = self._seen[digest]
        self._seen[digest] = earlier + 1
        return f"{digest}:{earlier}"
