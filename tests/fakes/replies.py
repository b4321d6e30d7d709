"""What a fake provider can be told to do with a request, free of any protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    """Names in small letters."""
    body: Any
    at: float
    """Seconds of the monotonic clock."""

    @property
    def model(self) -> str:
        """The model that was asked for, in the body or in the path."""
        return (
            self.body.get("model") or self.path.split("/")[-2 if self.path.endswith(("/invoke", "/converse")) else -1]
        )

    @property
    def tools(self) -> list[str]:
        """Names of the tools, in any of the protocols."""
        listed = self.body.get("tools") or self.body.get("toolConfig", {}).get("tools", [])
        named = [tool.get("function") or tool.get("toolSpec") or tool for tool in listed]
        return [one["name"] for tool in named for one in tool.get("functionDeclarations", [tool]) if "name" in one]


@dataclass(frozen=True, slots=True)
class Says:
    """Answers: text, tool calls (a name, and the arguments as an object or as the text to send), thoughts."""

    text: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    thought: str = ""
    stop: str = ""
    """The protocol's own word; empty: what fits."""
    tokens: tuple[int, int, int] | None = (100, 0, 10)
    """Input (cached included), cached, output; None: it does not count."""
    model: str = ""
    """Empty: the one that was asked for."""
    found: Sequence[tuple[str, str]] = ()
    """Address and title of pages: the provider has searched the web, and the text refers to the first."""


@dataclass(frozen=True, slots=True)
class Gives:
    """Answers with a value in the form that was asked for: by the output tool, or as JSON text."""

    value: Any
    tokens: tuple[int, int, int] | None = (100, 0, 10)


@dataclass(frozen=True, slots=True)
class Fails:
    """An error as the protocol has it."""

    status: int
    message: str = "it went wrong"
    kind: str = ""
    """The protocol's type or code; empty: what fits the status."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Sends:
    """Any bytes."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Breaks:
    """The connection breaks: before anything was sent, or in the middle of the answer."""

    midway: bool = False


@dataclass(frozen=True, slots=True)
class Stops:
    """A stream that says so many events of an answer, and then: waits for `until`, sends `tail`, and ends or breaks."""

    says: Says
    events: int
    until: asyncio.Event | None = None
    tail: bytes = b""
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """Does nothing until `until` is set (`Fake.release`); then that. A client that goes away ends the wait."""

    until: asyncio.Event
    then: Reply


Reply: TypeAlias = Says | Gives | Fails | Sends | Breaks | Stops | Waits
