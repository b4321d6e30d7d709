"""Nothing outside the working directory can be reached, whatever the path looks like."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoint.tools.base import ToolContext, ToolError
from counterpoint.tools.confine import Place, opened, place
from counterpoint.tools.registry import TOOLS, invoke
from counterpoint.tools.search import Grep

Use = Callable[..., Awaitable[str]]

TOOL_NAMES = ("Read", "LS", "Glob", "Grep")


def about(tool: str, path: str) -> dict[str, Any]:
    """An input that sends the tool to `path`."""
    match tool:
        case "Read":
            return {"file_path": path}
        case "LS":
            return {"path": path}
        case _:
            return {"pattern": "secret" if tool == "Grep" else "*", "path": path}


@pytest.mark.parametrize("tool", TOOL_NAMES)
@pytest.mark.parametrize(
    "path", ["..", "../secret.txt", "/etc/passwd", "/", "sub/../../secret.txt", "/proc/self/environ"]
)
async def test_a_path_that_leads_out_is_refused(use: Use, root: Path, tool: str, path: str) -> None:
    (root / "sub").mkdir()
    with pytest.raises(ToolError, match="leads outside of the working directory"):
        await use(tool, about(tool, path))


@pytest.mark.parametrize("tool", TOOL_NAMES)
async def test_a_link_that_leads_out_is_refused(use: Use, root: Path, tool: str) -> None:
    (root / "file").symlink_to(root.parent / "secret.txt")
    (root / "folder").symlink_to(root.parent)
    for path in ("file", "folder", "folder/secret.txt", "folder/work/../secret.txt"):
        with pytest.raises(ToolError, match="leads outside"):
            await use(tool, about(tool, path))


async def test_a_chain_of_links_that_leads_out_is_refused(use: Use, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("../secret.txt")
    with pytest.raises(ToolError, match="leads outside"):
        await use("Read", {"file_path": "a"})


async def test_a_link_within_the_directory_is_followed(use: Use, root: Path) -> None:
    (root / "real").mkdir()
    (root / "real" / "a.txt").write_text("inside\n")
    (root / "alias").symlink_to("real")
    assert "inside" in await use("Read", {"file_path": "alias/a.txt"})


async def test_a_link_that_goes_in_circles_is_an_error_for_the_agent(use: Use, root: Path) -> None:
    (root / "round").symlink_to("round")
    with pytest.raises(ToolError):
        await use("Read", {"file_path": "round"})


async def test_searching_and_listing_never_follow_links(use: Use, root: Path) -> None:
    (root / "folder").symlink_to(root.parent)
    (root / "file.txt").symlink_to(root.parent / "secret.txt")
    assert await use("Glob", {"pattern": "**/*"}) == "[No file matches.]"
    assert await use("Grep", {"pattern": "secret"}) == "[Nothing matches.]"
    assert await use("LS", {}) == "file.txt (link)\nfolder (link)"


async def test_a_pattern_of_glob_cannot_climb_out(use: Use) -> None:
    for pattern in ("../*", "/etc/*", "../../**/passwd"):
        with pytest.raises(ToolError, match="leads outside"):
            await use("Glob", {"pattern": pattern})


async def test_an_absolute_path_within_the_directory_is_fine(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("inside\n")
    assert "inside" in await use("Read", {"file_path": str(root / "a.txt")})
    assert await use("Glob", {"pattern": f"{root}/*.txt"}) == "a.txt"


async def test_a_root_that_is_itself_reached_by_a_link_works(root: Path) -> None:
    (root / "a.txt").write_text("inside\n")
    alias = root.parent / "alias"
    alias.symlink_to(root)
    context = ToolContext(alias)
    assert "inside" in await invoke(TOOLS["Read"], {"file_path": "a.txt"}, context)
    assert "inside" in await invoke(TOOLS["Read"], {"file_path": str(alias / "a.txt")}, context)


async def test_more_roots_can_be_reached_too(root: Path) -> None:
    other = root.parent / "other"
    other.mkdir()
    (other / "b.txt").write_text("over there\n")
    context = ToolContext(root, more_roots=(other,))
    assert "over there" in await invoke(TOOLS["Read"], {"file_path": str(other / "b.txt")}, context)
    assert await invoke(TOOLS["Glob"], {"pattern": "*", "path": str(other)}, context) == str(other / "b.txt")
    found = await invoke(Grep(None), {"pattern": "over", "path": str(other)}, context)
    assert await invoke(TOOLS["Read"], {"file_path": found}, context)


def test_a_folder_swapped_for_a_link_after_the_check_is_not_followed(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "secret.txt").write_text("harmless\n")
    spot = place("sub/secret.txt", ToolContext(root))
    (root / "sub" / "secret.txt").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(root.parent)
    with pytest.raises(ToolError), opened(spot):
        pass


def test_a_file_swapped_for_a_link_after_the_check_is_not_followed(root: Path) -> None:
    (root / "a.txt").write_text("harmless\n")
    spot = place("a.txt", ToolContext(root))
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to(root.parent / "secret.txt")
    with pytest.raises(ToolError, match="link"), opened(spot):
        pass


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/1/status", "/sys/kernel", "/dev/null", "/dev/fd/0"])
async def test_kernel_folders_are_refused_even_below_the_root_folder(path: str) -> None:
    with pytest.raises(ToolError, match="leads outside"):
        await invoke(TOOLS["Read"], {"file_path": path}, ToolContext(Path("/")))


async def test_pipes_sockets_and_devices_are_refused_at_once(use: Use, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # a socket's path is limited to some hundred characters
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        for name in ("pipe", "socket"):
            for tool in ("Read", "Grep"):
                with pytest.raises(ToolError, match="not a regular file"):
                    await use(tool, about(tool, name))
    assert "pipe (special file)" in await use("LS", {})


def test_a_pipe_swapped_in_after_the_check_does_not_hang(root: Path) -> None:
    (root / "a.txt").write_text("harmless\n")
    spot = place("a.txt", ToolContext(root))
    (root / "a.txt").unlink()
    os.mkfifo(root / "a.txt")
    with pytest.raises(ToolError, match="named pipe"), opened(spot):
        pass


@pytest.mark.parametrize("program", [None, ""])
async def test_a_search_passes_pipes_by(root: Path, program: str | None) -> None:
    os.mkfifo(root / "pipe")
    (root / "a.txt").write_text("found\n")
    assert await invoke(Grep(program), {"pattern": "found"}, ToolContext(root)) == "a.txt"


def test_a_nul_in_a_path_is_an_error_for_the_agent(root: Path) -> None:
    with pytest.raises(ToolError, match="NUL"):
        place("a\0b", ToolContext(root))


async def test_a_path_that_is_far_too_long_is_an_error_for_the_agent(use: Use) -> None:
    with pytest.raises(ToolError):
        await use("Read", {"file_path": "x" * 5000})


def test_a_name_that_only_starts_like_the_root_is_outside(root: Path) -> None:
    (root.parent / "workshop").mkdir()
    with pytest.raises(ToolError, match="leads outside"):
        place(str(root.parent / "workshop"), ToolContext(root))


def test_open_files_do_not_pile_up(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c").write_text("x")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for path in ("a/b/c", "a/b/none", "a/b/c/d", "a"):
        try:
            with opened(Place(root.resolve(), root.resolve() / path, path)):
                pass
        except ToolError:
            pass
    assert len(list(descriptors.iterdir())) == before
