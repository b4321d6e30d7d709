"""Write and Edit: at once, exact, confined, and nobody's work is lost."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from counterpoint.errors import DeniedError, ToolError
from counterpoint.tools.base import Guard, ToolContext
from counterpoint.tools.confine import place, replace
from counterpoint.tools.policy import Permissions, Policy
from counterpoint.tools.registry import TOOLS, invoke


class Agent:
    """An agent with a memory of what it has read."""

    def __init__(self, root: Path, *allow: str, read_only: bool = False) -> None:
        policy = Policy.of(Permissions(allow=list(allow), read_only=read_only))
        self.context = ToolContext(root, guard=Guard(policy))

    async def use(self, name: str, **input: Any) -> str:
        return await invoke(TOOLS[name], input, self.context)


@pytest.fixture
def agent(root: Path) -> Agent:
    return Agent(root, "Edit")


async def test_a_new_file_is_written_with_its_folders(agent: Agent, root: Path) -> None:
    answer = await agent.use("Write", file_path="a/b/c.txt", content="one\ntwo\n")
    assert answer == "Wrote a/b/c.txt: new, 2 lines."
    assert (root / "a/b/c.txt").read_bytes() == b"one\ntwo\n"
    assert [path.name for path in (root / "a/b").iterdir()] == ["c.txt"]


async def test_a_file_that_is_there_is_written_only_after_it_was_read(agent: Agent, root: Path) -> None:
    (root / "a.txt").write_text("old\n")
    with pytest.raises(ToolError, match="you have not read it"):
        await agent.use("Write", file_path="a.txt", content="new\n")
    await agent.use("Read", file_path="a.txt")
    assert "-old\n+new" in await agent.use("Write", file_path="a.txt", content="new\n")
    assert "-new\n+newer" in await agent.use("Write", file_path="a.txt", content="newer\n")


async def test_the_mode_of_a_file_stays(agent: Agent, root: Path) -> None:
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o750)
    await agent.use("Edit", file_path="run.sh", old_string="#!/bin/sh", new_string="#!/bin/bash")
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750


async def test_an_edit_answers_with_the_diff(agent: Agent, root: Path) -> None:
    (root / "a.py").write_text("".join(f"line {n}\n" for n in range(100)))
    answer = await agent.use("Edit", file_path="a.py", old_string="line 50\n", new_string="changed\n")
    assert "-line 50\n+changed\n" in answer
    assert (root / "a.py").read_text().splitlines()[50] == "changed"


async def test_several_edits_are_all_made_or_none(agent: Agent, root: Path) -> None:
    (root / "a").write_text("a b c")
    first = {"old_string": "a", "new_string": "x"}
    with pytest.raises(ToolError, match=r"edit 2 of 2, old_string does not stand"):
        await agent.use("Edit", file_path="a", edits=[first, {"old_string": "z", "new_string": "y"}])
    assert (root / "a").read_text() == "a b c"
    await agent.use("Edit", file_path="a", edits=[first, {"old_string": "x b", "new_string": "y"}])
    assert (root / "a").read_text() == "y c"


@pytest.mark.parametrize(
    ("input", "complaint"),
    [
        ({"old_string": "one", "new_string": "1"}, "stands 2 times"),
        ({"old_string": "three", "new_string": "3"}, "does not stand"),
        ({"old_string": "indented()", "new_string": "x", "edits": []}, "edits: .* less than 1 item"),
        ({"old_string": "two", "new_string": "two"}, "are the same"),
        ({"old_string": "two"}, "Give either"),
        ({"old_string": "", "new_string": "x"}, "shorter than 1"),
    ],
)
async def test_an_edit_that_is_not_exact_changes_nothing(
    agent: Agent, root: Path, input: dict[str, Any], complaint: str
) -> None:
    (root / "a").write_text("one two one\n    indented()\n")
    with pytest.raises(ToolError, match=complaint):
        await agent.use("Edit", file_path="a", **input)
    assert (root / "a").read_text() == "one two one\n    indented()\n"


async def test_a_near_miss_says_where(agent: Agent, root: Path) -> None:
    (root / "a").write_text("x\n    y = 1\n    z = 2\n")
    with pytest.raises(ToolError, match="stands, but for blanks, at line 2"):
        await agent.use("Edit", file_path="a", old_string="y = 1\nz = 2", new_string="w")


async def test_a_file_keeps_its_line_ends(agent: Agent, root: Path) -> None:
    (root / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    await agent.use("Edit", file_path="a", old_string="one\ntwo", new_string="1\n2")
    assert (root / "a").read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n"


async def test_what_is_no_text_is_not_edited(agent: Agent, root: Path) -> None:
    (root / "a").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(ToolError, match="no UTF-8 text"):
        await agent.use("Edit", file_path="a", old_string="x", new_string="y")
    with pytest.raises(ToolError, match="surrogate"):
        await agent.use("Write", file_path="b", content="\ud800")


async def test_whoever_writes_over_a_newer_version_is_told(root: Path) -> None:
    one, two = Agent(root, "Edit"), Agent(root, "Edit")
    (root / "a").write_text("0")
    await one.use("Read", file_path="a")
    await two.use("Read", file_path="a")
    await one.use("Edit", file_path="a", old_string="0", new_string="1")
    for name, input in (("Edit", {"old_string": "1", "new_string": "2"}), ("Write", {"content": "2"})):
        with pytest.raises(ToolError, match="has changed since you read it"):
            await two.use(name, file_path="a", **input)
    await two.use("Read", file_path="a")
    await two.use("Edit", file_path="a", old_string="1", new_string="2")
    assert (root / "a").read_text() == "2"


async def test_a_hundred_agents_that_edit_one_file_lose_nothing(root: Path) -> None:
    (root / "a").write_text("".join(f"<{n}>\n" for n in range(100)))
    agents = [Agent(root, "Edit") for _ in range(100)]
    await asyncio.gather(
        *(agent.use("Edit", file_path="a", old_string=f"<{n}>", new_string=f"[{n}]") for n, agent in enumerate(agents))
    )
    assert (root / "a").read_text() == "".join(f"[{n}]\n" for n in range(100))


@pytest.mark.parametrize("path", ["../out.txt", "/tmp/out.txt", "sub/../../out.txt", "link/out.txt", "dangling", "."])
async def test_nothing_is_written_outside(agent: Agent, root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent)
    (root / "dangling").symlink_to(root.parent / "out.txt")
    with pytest.raises(ToolError, match=r"leads outside|is a folder"):
        await agent.use("Write", file_path=path, content="x")
    assert not (root.parent / "out.txt").exists()


async def test_a_link_inside_is_written_through(agent: Agent, root: Path) -> None:
    (root / "real").write_text("a")
    (root / "link").symlink_to("real")
    await agent.use("Edit", file_path="link", old_string="a", new_string="b")
    assert (root / "link").is_symlink()
    assert (root / "real").read_text() == "b"


async def test_a_folder_that_becomes_a_link_between_check_and_write_is_not_followed(root: Path) -> None:
    (root / "sub").mkdir()
    spot = place("sub/new.txt", ToolContext(root))
    (root / "sub").rmdir()
    (root / "sub").symlink_to(root.parent)
    with pytest.raises(ToolError, match="is no folder, or became a link"):
        replace(spot, b"x", None)
    assert not (root.parent / "new.txt").exists()


async def test_swapping_a_folder_all_the_time_never_lets_a_write_out(agent: Agent, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "real").mkdir()
    (root / "sub").symlink_to("real")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in (outside, "real"):
                (root / "next").symlink_to(target)
                (root / "next").replace(root / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        written = 0
        for n in range(300):
            try:
                await agent.use("Write", file_path=f"sub/{n}", content="x")
                written += 1
            except ToolError:
                pass
    finally:
        stop.set()
        thread.join()
    assert list(outside.iterdir()) == []
    assert len(list((root / "real").iterdir())) == written > 0


async def test_a_hard_link_to_a_file_outside_is_cut_not_written_through(agent: Agent, root: Path) -> None:
    os.link(root.parent / "secret.txt", root / "hard")
    await agent.use("Edit", file_path="hard", old_string="secret", new_string="public")
    assert (root.parent / "secret.txt").read_text() == "the secret\n"


@pytest.mark.parametrize(
    ("name", "input"), [("Write", {"content": "x"}), ("Edit", {"old_string": "a", "new_string": "b"})]
)
async def test_without_a_rule_nothing_is_written(root: Path, name: str, input: dict[str, Any]) -> None:
    (root / "a").write_text("a")
    for agent in (Agent(root), Agent(root, "Edit(src/**)"), Agent(root, "Edit", "*", read_only=True)):
        with pytest.raises(DeniedError, match=rf"Denied: {name}\(a\)"):
            await agent.use(name, file_path="a", **input)
    assert (root / "a").read_text() == "a"


async def test_a_rule_holds_for_where_a_link_leads(root: Path) -> None:
    (root / "src").mkdir()
    (root / "other").mkdir()
    (root / "src/link").symlink_to("../other")
    agent = Agent(root, "Edit(src/**)")
    await agent.use("Write", file_path="src/a", content="x")
    with pytest.raises(DeniedError, match=r"Denied: Write\(other/a\)"):
        await agent.use("Write", file_path="src/link/a", content="x")


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "sub/.git/config", ".claude/settings.json", ".mcp.json"])
async def test_what_would_run_or_loosen_something_later_is_not_written(agent: Agent, path: str) -> None:
    with pytest.raises(DeniedError):
        await agent.use("Write", file_path=path, content="x")


async def test_a_rule_that_names_them_opens_guarded_folders(root: Path) -> None:
    await Agent(root, "Edit(.claude/agents/**)").use("Write", file_path=".claude/agents/a.md", content="x")
    assert (root / ".claude/agents/a.md").exists()


async def test_grep_shows_nothing_of_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "a.txt").write_text("token\n")
    (root / ".env").write_text("token=1\n")
    context = ToolContext(root, guard=Guard(Policy.of(Permissions(deny=["Read(.env)"]))))
    answer = await invoke(TOOLS["Grep"], {"pattern": "token", "output_mode": "content"}, context)
    assert answer == "a.txt:1:token\n[Matches in 1 file are not shown: you may not read them.]"
    with pytest.raises(DeniedError):
        await invoke(TOOLS["Grep"], {"pattern": "token", "path": ".env"}, context)


async def test_a_long_diff_says_how_much_is_left_out(agent: Agent, root: Path) -> None:
    (root / "a").write_text("a\n" * 1000)
    answer = await agent.use("Edit", file_path="a", old_string="a\n", new_string="b\n", replace_all=True)
    assert answer.endswith("[… 1,803 more lines of the diff.]")
    (root / "b").write_text("a\n" * 100_000)
    answer = await agent.use("Edit", file_path="b", old_string="a\n", new_string="b\n", replace_all=True)
    assert answer.endswith("[Lines 1 to 100,000 became 100,000 others.]")
