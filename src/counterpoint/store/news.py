"""How whoever follows a run hears that there is more to read: by looking again, or by being told."""

from __future__ import annotations

import asyncio
from typing import Protocol


class News(Protocol):
    """Use it as a context manager around reading: what came since the last `wait` is not missed."""

    def __enter__(self) -> News: ...
    def __exit__(self, *_: object) -> None: ...

    async def wait(self) -> None:
        """Returns when something may have happened since it returned last, or since the block began."""
        ...


class Polled:
    """Files tell nothing: look again and again."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s

    def __enter__(self) -> Polled:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def wait(self) -> None:
        await asyncio.sleep(self._every_s)
