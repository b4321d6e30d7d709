"""Who decides whether a tool call may go ahead: the rules first, and people where the rules say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

from counterpoint.errors import DeniedError
from counterpoint.tools.policy import Access, Policy, remedy, suggestion

Ask = Callable[[str, str], Awaitable[bool]]
"""Asks people whether what a rule speaks of may be done; gets the rule and a question. True: yes, for the whole run."""
AskUnjailed = Callable[[], Awaitable[bool]]
"""Asks people, once a run, whether commands may run on a machine that has no sandbox for them. True: yes."""
Denied = Callable[[Access, str], None]
"""Is told what was denied, and why."""
PING_S = 5.0
NO_SANDBOX = "there is no sandbox for commands on this machine (bubblewrap, Landlock, sandbox-exec)"


async def patiently(
    work: Coroutine[Any, Any, None], alive: Callable[[], None], waits: Callable[[str], None] = lambda _: None
) -> None:
    """Waits for people, where it comes to that: says so, and meanwhile that this is no stall of the agent."""
    asking = asyncio.ensure_future(work)
    try:
        await asyncio.sleep(0)
        if not asking.done():
            waits("a person")
        while not asking.done():
            alive()
            await asyncio.wait([asking], timeout=PING_S)
    finally:
        asking.cancel()
    return asking.result()


class Guard:
    """Stands before every tool call of one agent, or of the script."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        ask: Ask | None = None,
        ask_unjailed: AskUnjailed | None = None,
        denied: Denied | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self._ask = ask
        self._ask_unjailed = ask_unjailed
        self._denied = denied

    async def admit(self, accesses: Sequence[Access]) -> None:
        """Returns when all of it may be done. Raises DeniedError, whose message tells the agent why not."""
        for access in accesses:
            why = await self._objection(access)
            if why is not None:
                self.refuse(access, why)

    async def admit_unjailed(self, tool: str, command: str) -> None:
        """Returns when a command may run without a sandbox, where there is none. Raises DeniedError."""
        access = Access(tool, "unjailed", command)
        if self.policy.read_only:
            self.refuse(access, "this agent may only read, and there is no sandbox here that would see to it")
        if self._ask_unjailed is None or not await self._ask_unjailed():
            self.refuse(access, f"{NO_SANDBOX}, and nobody has allowed commands without one")

    def refuse(self, access: Access, why: str) -> NoReturn:
        """Denies, whatever the rules say. Raises DeniedError."""
        if self._denied is not None:
            self._denied(access, why)
        raise DeniedError(
            f"Denied: {access}: {why}. Nothing was done. Go on without it, and say in your answer what could not be "
            "done; do not look for a way around.",
            hint=remedy(access),
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
