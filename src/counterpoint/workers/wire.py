"""What travels between the driver of a run and a worker: the errand there, reports back, notes to the agent.

What a worker sends is untrusted: it is decoded into these types, and what it means for the run the driver decides.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from msgspec import Struct, field

from counterpoint.agents.compact import Compacted
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.errors import HookError
from counterpoint.events import Fault, Usage, Workspace
from counterpoint.models.messages import ToolSpec
from counterpoint.tools.policy import Access

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class Checkout(Struct, frozen=True, omit_defaults=True):
    """The files that an agent works with: a commit, and how a worker comes by it."""

    commit: str
    bundles: list[str]
    """Names of the blobs that have it, in the order in which they are unpacked."""
    inside: str = ""
    """The run's folder within the repository."""


class Errand(Struct, frozen=True, omit_defaults=True):
    """An agent's task, and what else a worker needs for it. Keys are none of it: it has names alone."""

    run_id: str
    task: AgentTask
    rows: list[bytes] = field(default_factory=list[bytes])
    """The conversation that it goes on from."""
    bounded: bool = False
    """Each model request asks for its part of the budget first."""
    base_url: str | None = None
    """Where the run asks its model. A worker sends its keys nowhere but where it was told itself."""
    checkout: Checkout | None = None
    instructions: str = ""
    """What agents with tools are told by project and user."""


def refuse_strayed(errand: Errand) -> None:
    """Whoever writes errands must not reach what else is on a worker's machine by their names. Raises HookError."""
    checkout = errand.checkout or Checkout("0", [])
    names = [errand.run_id, errand.task.id, checkout.commit, *checkout.bundles]
    if not all(NAME.fullmatch(name) for name in names) or not _stays_inside(checkout.inside):
        raise HookError("WorkspaceError", "The errand has a name that leads out of its run's folder.")


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


class Report(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Something that a worker tells of an agent."""


class Begun(Report, frozen=True, tag="begun"):
    worker: str
    time: int
    """1: the first worker that has it."""
    anew: bool = False
    """What another worker has done of it is not gone on from."""


class Waits(Report, frozen=True, tag="waits"):
    what: str


class Turned(Report, frozen=True, tag="turned"):
    n: int
    usage: Usage
    note: str


class Shortened(Report, frozen=True, tag="shortened"):
    mark: Compacted


class Used(Report, frozen=True, tag="used"):
    name: str
    summary: str
    ok: bool
    seconds: float


class Denied(Report, frozen=True, tag="denied"):
    access: Access
    reason: str


class Prompted(Report, frozen=True, tag="prompted"):
    system: str
    tools: list[ToolSpec]


class Opened(Report, frozen=True, tag="opened"):
    path: str
    branch: str
    base: str


class Closed(Report, frozen=True, tag="closed"):
    """What the agent made is committed; the commits are in the parcel of that name, where there are any."""

    workspace: Workspace
    parcel: str = ""


class Retried(Report, frozen=True, tag="retried"):
    fault: Fault
    wait: float


class Said(Report, frozen=True, tag="said"):
    """A row of the transcript."""

    n: int
    row: bytes


class Asked(Report, frozen=True, tag="asked"):
    """A model request wants its part of the budget."""

    number: int
    input_tokens: int
    usual: int


class Settled(Report, frozen=True, tag="settled"):
    number: int
    usage: Usage | None = None


class Heard(Report, frozen=True, tag="heard"):
    """The agent has heard so many more messages."""

    messages: int


class Ended(Report, frozen=True, tag="ended"):
    result: AgentResult


AnyReport = (
    Begun | Waits | Turned | Shortened | Used | Denied | Prompted | Opened | Closed | Retried | Said | Asked | Settled
    | Heard | Ended
)  # fmt: skip


class Note(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Something that the driver tells an agent."""


class Message(Note, frozen=True, tag="message"):
    """What a person says to it."""

    text: str


class Granted(Note, frozen=True, tag="granted"):
    """The answer to `Asked`: what the request may use, or why it may not be made."""

    number: int
    max_tokens: int | None = None
    fault: Fault | None = None


AnyNote = Message | Granted

encode = msgspec.json.Encoder().encode
errand_of = msgspec.json.Decoder(Errand).decode
reports_of = msgspec.json.Decoder(list[AnyReport]).decode
"""Those that were posted together."""
note_of = msgspec.json.Decoder(AnyNote).decode


def digest_of(task: AgentTask) -> str:
    """What tells a task from another one."""
    return hashlib.sha256(encode(task)).hexdigest()
