"""Who decides whether a tool call may go ahead: the rules first, and people where the rules say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from counterpoint.errors import DeniedError
from counterpoint.tools.policy import Access, Policy, suggestion

Ask = Callable[[str, str], Awaitable[bool]]
"""Asks people whether what a rule speaks of may be done; gets the rule and a question. True: yes, for the whole run."""
Denied = Callable[[Access, str], None]
"""Is told what was denied, and why."""


class Guard:
    """Stands before every tool call of one agent, or of the script."""

    def __init__(self, policy: Policy | None = None, *, ask: Ask | None = None, denied: Denied | None = None) -> None:
        self.policy = policy or Policy()
        self._ask = ask
        self._denied = denied

    async def admit(self, accesses: Sequence[Access]) -> None:
        """Returns when all of it may be done. Raises DeniedError, whose message tells the agent why not."""
        for access in accesses:
            why = await self._objection(access)
            if why is not None:
                self.refuse(access, why)

    def refuse(self, access: Access, why: str) -> NoReturn:
        """Denies, whatever the rules say. Raises DeniedError."""
        if self._denied is not None:
            self._denied(access, why)
        raise DeniedError(
            f"Denied: {access}: {why}. Nothing was done. Go on without it, and say in your answer what could not be "
            "done; do not look for a way around.",
            hint=f"--allow '{suggestion(access)}'",
        )

    async def _objection(self, access: Access) -> str | None:
        verdict = self.policy.judge(access)
        if verdict.decision == "allow":
            return None
        if verdict.decision == "deny":
            return verdict.reason
        if self._ask is None:
            return f"{verdict.reason}, and there is nobody to ask"
        if await self._ask(suggestion(access), f"May agents use {access}? {verdict.reason}."):
            return None
        return "a person said no"

    def hides(self, path: str, absolute: str) -> bool:
        """Whether the content of a file that a search comes upon is not for this agent."""
        return self.policy.masks and self.policy.hides(Access("Read", "read", path, absolute))
