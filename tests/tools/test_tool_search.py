"""Grep answers alike with ripgrep and without, keeps its limits, and can be stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from counterpoint.tools.base import ToolContext, ToolError, ToolLimits
from counterpoint.tools.registry import invoke
from counterpoint.tools.search import Grep, ripgrep

PROGRAMS = [
    pytest.param(None, id="python"),
    pytest.param(
        shutil.which("rg"), id="ripgrep", marks=pytest.mark.skipif(not shutil.which("rg"), reason="rg is not installed")
    ),
]


class Search:
    """Grep in one folder with one of the two programs."""

    def __init__(self, root: Path, program: str | None) -> None:
        self.root = root
        self.program = program

    async def __call__(self, pattern: str, /, *, limits: ToolLimits | None = None, **input: Any) -> str:
        given = {"pattern": pattern, **{name.replace("_", "-", 1): value for name, value in input.items()}}
        given = {
            name.replace("output-mode", "output_mode").replace("head-limit", "head_limit"): v
            for name, v in given.items()
        }
        return await invoke(Grep(self.program), given, ToolContext(self.root, limits=limits or ToolLimits()))


@pytest.fixture(params=PROGRAMS)
def search(request: pytest.FixtureRequest, root: Path) -> Search:
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text("import os\n\ndef alpha():\n    return os\n\ndef beta():\n    pass\n")
    (root / "src" / "b.js").write_text("function Alpha() {}\n")
    (root / ".git").mkdir()
    (root / ".git" / "alpha.py").write_text("def alpha(): pass\n")
    return Search(root, request.param)


async def test_files_that_match_are_named(search: Search) -> None:
    assert await search("lpha") == "src/a.py\nsrc/b.js"


async def test_a_glob_and_a_path_narrow_the_search(search: Search) -> None:
    assert await search("lpha", glob="*.js") == "src/b.js"
    assert await search("lpha", glob="!*.js", path="src") == "src/a.py"
    assert await search("lpha", path="src/b.js") == "src/b.js"


async def test_lines_are_shown_with_their_numbers(search: Search) -> None:
    assert await search("def", output_mode="content") == "src/a.py:3:def alpha():\nsrc/a.py:6:def beta():"
    assert await search("beta", output_mode="content", path="src/a.py", _n=False) == "src/a.py:def beta():"


async def test_lines_around_are_shown(search: Search) -> None:
    answer = await search("def", output_mode="content", _A=1)
    assert answer == (
        "src/a.py:3:def alpha():\nsrc/a.py-4-    return os\n--\nsrc/a.py:6:def beta():\nsrc/a.py-7-    pass"
    )
    assert (await search("beta", output_mode="content", _C=1)).count("\n") == 2


async def test_matches_are_counted(search: Search) -> None:
    assert await search("def", output_mode="count") == "src/a.py:2"
    assert await search("def", output_mode="count", path="src/a.py") == "src/a.py:2"


async def test_case_can_be_ignored(search: Search) -> None:
    assert await search("ALPHA", _i=True) == "src/a.py\nsrc/b.js"
    assert await search("ALPHA") == "[Nothing matches.]"


async def test_a_pattern_that_looks_like_an_option_is_a_pattern(search: Search) -> None:
    (search.root / "c.txt").write_text("--files\n")
    assert await search("--files") == "c.txt"
    assert await search("-e") == "[Nothing matches.]"


async def test_a_bad_pattern_is_an_error_for_the_agent(search: Search) -> None:
    with pytest.raises(ToolError, match=r"unclosed group|unterminated subpattern"):
        await search("(")
    with pytest.raises(ToolError, match=r"unclosed group|unterminated subpattern"):
        await search("(", path="src/a.py")


async def test_the_first_lines_are_shown_and_the_rest_counted(search: Search) -> None:
    (search.root / "many.txt").write_text("needle\n" * 100)
    answer = await search("needle", output_mode="content", head_limit=2)
    assert answer == (
        "many.txt:1:needle\nmany.txt:2:needle\n[The first 2 of 100 lines; narrow the search, or raise head_limit.]"
    )


async def test_very_many_matches_are_not_all_counted(search: Search) -> None:
    (search.root / "many.txt").write_text("needle\n" * 60_000)
    assert (await search("needle", output_mode="content", head_limit=1)).endswith(
        "[The first 1 of more than 20,000 lines; narrow the search, or raise head_limit.]"
    )


async def test_long_lines_are_cut_and_binary_files_left_out(search: Search) -> None:
    (search.root / "long.txt").write_text("needle" + "x" * 5_000_000 + "\n")
    (search.root / "bin").write_bytes(b"\0\0needle\n")
    answer = await search("needle", output_mode="content")
    assert len(answer) < 1000
    assert answer.startswith("long.txt:1:needlexxx")
    assert answer.endswith("]")
    assert await search("needle") == "long.txt"


async def test_text_that_is_no_utf8_is_found(search: Search) -> None:
    (search.root / "latin.txt").write_bytes(b"caf\xe9 needle\n")
    assert await search("needle", output_mode="content") == "latin.txt:1:caf\ufffd needle"


async def test_names_with_colons_and_digits_are_kept(search: Search) -> None:
    (search.root / "a:1:b-2-.txt").write_text("needle: 7\n")
    assert await search("needle", output_mode="content") == "a:1:b-2-.txt:1:needle: 7"


async def test_a_pattern_that_takes_for_ever_is_stopped(root: Path) -> None:
    (root / "a.txt").write_text("a" * 60 + "!\n")
    with pytest.raises(ToolError, match=r"took longer than 0\.5 seconds"):
        await Search(root, None)("^(a+)+$", limits=ToolLimits(seconds=0.5))
    assert not _searching()


async def test_a_cancelled_search_leaves_no_process(root: Path) -> None:
    (root / "a.txt").write_text("a" * 60 + "!\n")
    task = asyncio.ensure_future(Search(root, None)("^(a+)+$"))
    while not _searching():  # noqa: ASYNC110 (the process table has no event)
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _searching()


def _searching() -> list[psutil.Process]:
    """Our processes that search; others of this worker serve other tests."""
    return [child for child in psutil.Process().children() if _searches(child)]


def _searches(child: psutil.Process) -> bool:
    try:
        return child.status() != "zombie" and any("grep_child" in word for word in child.cmdline())
    except psutil.NoSuchProcess:
        return False


async def test_the_search_program_sees_no_keys(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = root.parent / "rg"
    program.write_text("#!/bin/sh\nenv >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    with pytest.raises(ToolError) as failed:
        await Search(root, str(program))("x")
    assert "PATH=" in failed.value.message
    assert "sk-secret" not in failed.value.message


def test_a_program_from_the_working_directory_is_never_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "rg").write_text("#!/bin/sh\n")
    (root / "rg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}{os.pathsep}/nowhere")
    assert ripgrep((root,)) is None
    assert ripgrep((Path("/elsewhere"),)) == str((root / "rg").resolve())
