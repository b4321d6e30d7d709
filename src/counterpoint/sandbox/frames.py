"""What the script's process and ours say to each other: one JSON object a line. What comes from there is untrusted."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, UnsetType

from counterpoint.errors import ScriptFault
from counterpoint.events import Fault

NOTHING = Raw(b"null")


class Call(Struct, frozen=True):
    """A hook is called (`id` over 0: it waits for the `Delivery` of that number), or something is told (0)."""

    id: int
    op: str
    arg: Raw = NOTHING
    w: int = 0
    """The child workflow that it comes from: the number of its `workflow` call; 0: the script itself."""
    line: int | None = None
    column: int | None = None


class Done(Struct, frozen=True):
    """The script's last word: a JSON value, or the error that it threw."""

    ok: bool
    value: Raw = NOTHING
    error: Fault | None = None


class Turn(Struct, frozen=True):
    """What the script said between two of our lines."""

    calls: list[Call]
    done: Done | None = None
    fault: ScriptFault | None = None
    """The limit that it broke: this is its last turn."""


class End(Struct, frozen=True):
    """The last line of a turn. `fault`: the process ended the script because it broke a limit."""

    done: Done | None = None
    fault: Fault | None = None


class Line(Struct, frozen=True):
    """Any line of the child: a call, or, with `end`, the end of a turn."""

    id: int = 0
    op: str = ""
    arg: Raw = NOTHING
    w: int = 0
    line: int | None = None
    column: int | None = None
    end: End | None = None


class Delivery(Struct, frozen=True):
    """The answer to a call. From then on the script's clock is `at` (milliseconds), so much is spent, of so much."""

    id: int
    ok: bool
    value: Raw
    at: float
    spent: int
    usd: float = 0.0
    budget_total: int | None = None
    usd_total: float | None = None
    load: bool = False
    """The value is ``{script, name, args?}``: a child workflow to run; the call itself waits on."""


class Init(Struct, frozen=True):
    """How a script starts. `args` is UNSET where none were given; `at` is its clock in milliseconds."""

    script: str
    args: Raw | UnsetType
    seed: int
    at: float
    budget_total: int | None
    usd_total: float | None
    shares: dict[str, float]
    """Phase → the part of both totals that its agents may use up (see `runtime.budget`)."""
    portable: bool
    strict: bool
    max_items: int
    max_log_lines: int
    run: dict[str, Any]


line_decoder = msgspec.json.Decoder(Line)
encoder = msgspec.json.Encoder()
