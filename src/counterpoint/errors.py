"""Every exception of Counterpoint, drawn as a tree.

CounterpointError
├── UsageError                    the caller asked for something that cannot be (exit code 2)
│   ├── ClusterWithoutDatabaseError  agents are to go to workers, which cannot reach the run's files
│   ├── ScriptRefused             the script breaks the contract; carries every Finding
│   ├── SettingsError             a setting, flag or variable is wrong
│   ├── UnknownModelError         no such provider or model; names the nearest
│   ├── MissingKeyError           the provider needs a key; names the variable
│   ├── UnknownRunError           no run with this id or prefix
│   ├── RunIsLiveError            another process is executing this run
│   ├── SessionIsOpenError        another process holds this session with the lead
│   ├── WorkflowNotFoundError     no saved workflow of this name; lists the known
│   ├── DreamIsLiveError          another process dreams in this memory
│   ├── ImportRefusedError        a file of another system is not what it should be; names file and line
│   ├── UnknownMemoryError        no note, version or proposal of this name
│   └── MemoryRefusedError        a note, or a change of notes, breaks a rule of the memory
├── StoreError                    the journal could not be read or written
│   ├── JournalFullError          disk full or quota: the run stops and can be resumed
│   ├── DatabaseAwayError         the database of the runs cannot be reached just now
│   ├── LeaseLostError            another process took the run over; this one must stop
│   └── JournalFormatError        written by a newer release, or damaged
├── ProcessEndedError             the process that was to execute a run ended before it began
├── MemoryStoreError              a memory could not be read or written, or is damaged
│   └── MemoryConflictError       it has moved on since it was read; nothing is lost
├── DreamFailedError              a run that a dream needs ended badly
├── ScriptFault                   the script, or the process that runs it, ended badly
│   └── (name says which: ScriptTimeoutError, ScriptMemoryError, ScriptOutputError,
│        ScriptCrashedError, DeadlockError, or what the script itself threw)
├── ToolError                     a tool could not do what was asked; the message is for the agent
│   └── DeniedError               the rules, or a person, say no
├── HookError                     what a hook rejects with, inside the script (``name`` is ``err.name`` there)
└── ProviderError                 a model request failed; ``kind`` says how, and decides what happens next
    └── WeightsError              the file of a local model is not here, and cannot be had
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: ``"; did you mean 'x'?"`` for the nearest of `known`, or ``"."`` where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else "."


def first_error(error: BaseException) -> BaseException:
    """The first error of a task group that is no group itself."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


class CounterpointError(Exception):
    """Base of all. The message is a full sentence for a person; `hint` says what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CounterpointError):
    """The caller asked for something that cannot be done as asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or doubtful, in a script. Lines and columns count from 1, columns in UTF-16 units."""

    line: int
    column: int
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    rule: str = "syntax"
    """Stable short name of the check, such as ``missing-await``."""


class ScriptRefused(UsageError):
    """The script was refused before anything started. Carries every error that was found, not the first only."""

    def __init__(self, path: str, source: str, findings: list[Finding]) -> None:
        first = findings[0]
        super().__init__(f"{path}:{first.line}:{first.column}: {first.message}", hint=first.hint)
        self.path = path
        self.source = source
        self.findings = findings


class SettingsError(UsageError):
    """A setting, flag or environment variable has a value that cannot be used."""


class UnknownModelError(UsageError):
    """No such provider or model."""


class MissingKeyError(UsageError):
    """The provider needs a key that is not in the environment."""


class UnknownRunError(UsageError):
    """No run, or more than one, matches this id or prefix."""


class RunIsLiveError(UsageError):
    """Another process is executing this run right now."""


class SessionIsOpenError(UsageError):
    """Another process holds this session with the lead right now."""


class WorkflowNotFoundError(UsageError):
    """No saved workflow, and no file, of this name."""


class DreamIsLiveError(UsageError):
    """Another process dreams in this memory right now."""


class ImportRefusedError(UsageError):
    """A file that another system has left is not what it should be; nothing was imported. `line` counts from 1."""

    def __init__(self, path: object, line: int, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}{f':{line}' if line else ''}: {why}.", hint=hint)
        self.path = path
        self.line = line


class UnknownMemoryError(UsageError):
    """No note, version or proposal of a memory, or more than one, has this name."""


class MemoryRefusedError(UsageError):
    """A note, or a change of notes, breaks a rule of the memory; nothing was changed."""


class ClusterWithoutDatabaseError(UsageError):
    """Agents are to go to a cluster, and their run is in files, which its workers cannot reach."""

    def __init__(self) -> None:
        super().__init__(
            "Agents on a cluster need runs in a database: that is where their workers report.",
            hint="Set COUNTERPOINT_DATABASE=postgresql://…",
        )


class ProcessEndedError(CounterpointError):
    """The process that was to execute a run in the background ended before it held it."""

    def __init__(self, run_id: str, log: object) -> None:
        super().__init__(
            f"The process that was to execute run {run_id} ended before it began.",
            hint=f"What it said is in {log}; the run is recorded: counterpoint resume {run_id}",
        )


class MemoryStoreError(CounterpointError):
    """A memory could not be read or written, or its files are not what they were."""


class MemoryConflictError(MemoryStoreError):
    """The memory has moved on since the version that a change was made of."""


class DreamFailedError(CounterpointError):
    """A run that a dream, or a trial of notes, needs did not come to its end."""


class StoreError(CounterpointError):
    """The journal could not be read or written."""


class JournalFullError(StoreError):
    """The disk is full, or a quota is reached. What was acknowledged is safe; the run stops and can be resumed."""


class DatabaseAwayError(StoreError):
    """The database of the runs cannot be reached just now, or the connection to it broke."""


class LeaseLostError(StoreError):
    """Another process took this run over; nothing more may be written here."""


class JournalFormatError(StoreError):
    """The journal was written by a newer release, or is damaged."""


class ScriptFault(CounterpointError):
    """The script threw, or its process broke a limit. `name`, `line` and `column` are those of the script."""

    def __init__(
        self, name: str, message: str, *, line: int | None = None, column: int | None = None, stack: str = ""
    ) -> None:
        super().__init__(message)
        self.name = name
        self.line = line
        self.column = column
        self.stack = stack


class HookError(CounterpointError):
    """A hook rejects inside the script: ``err.name`` is `name`, `detail` becomes further properties of the error."""

    def __init__(self, name: str, message: str, **detail: object) -> None:
        super().__init__(message)
        self.name = name
        self.detail = detail


class ToolError(CounterpointError):
    """The tool could not do what was asked. For the agent: the message says what to do instead."""


class DeniedError(ToolError):
    """The rules, or a person, do not allow what the tool would do; nothing was done."""


ProviderErrorKind = Literal[
    "rate_limited",  # 429 with a short wait: retried, holds back the whole provider
    "quota",  # 429 that means "no more for now": the run pauses
    "overloaded",  # 529, 5xx, 408, 409: retried
    "unreachable",  # refused, DNS, TLS
    "dropped",  # the connection broke or the answer was cut off: retried
    "malformed",  # the answer was not what the protocol says: retried
    "timeout",  # no byte for too long: retried
    "auth",  # 401, 403: the key is refused; never retried
    "rejected",  # any other 4xx: never retried
    "too_long",  # the conversation is longer than the model's context: shortened once, else the agent ends
    "refusal",  # the model declined, or a content filter stopped it: never retried
]
RETRYABLE: frozenset[str] = frozenset({"rate_limited", "overloaded", "unreachable", "dropped", "malformed", "timeout"})


class ProviderError(CounterpointError):
    """A model request failed. For the engine: `kind` says whether to retry, to pause the run, or to end the agent."""

    def __init__(
        self,
        kind: ProviderErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind: ProviderErrorKind = kind
        self.status = status
        self.retry_after = retry_after
        """Seconds that the provider asked us to wait; None when it did not say."""


class WeightsError(ProviderError):
    """The file of a local model is not here: no source has it as it must be, or there is no room for it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__("unreachable", message, hint=hint)
