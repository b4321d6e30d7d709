"""Read, LS and Glob say what is there, how much was left out, and how to get the rest."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from counterpoint.tools.base import ToolError
from counterpoint.tools.walk import matcher

Use = Callable[..., Awaitable[str]]


async def test_lines_come_numbered(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("one\ntwo\r\n\nfour")
    assert await use("Read", {"file_path": "a.txt"}) == "     1\tone\n     2\ttwo\n     3\t\n     4\tfour"


async def test_a_part_is_read_by_offset_and_limit(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    answer = await use("Read", {"file_path": "a.txt", "offset": 4, "limit": 2})
    assert answer == "     4\tline 4\n     5\tline 5\n[Lines 4 to 5 of 10. Go on with offset=6.]"
    assert await use("Read", {"file_path": "a.txt", "offset": 10}) == "    10\tline 10"


async def test_reading_on_from_each_note_gives_the_whole_file(use: Use, root: Path) -> None:
    text = "".join(f"{n} {'x' * (n % 90)}\n" for n in range(2500))
    (root / "a.txt").write_text(text)
    lines: list[str] = []
    offset = 1
    while True:
        answer = await use("Read", {"file_path": "a.txt", "offset": offset}, bytes=20_000)
        shown = [row.partition("\t")[2] for row in answer.split("\n") if "\t" in row]
        lines += shown
        offset += len(shown)
        if "Go on with" not in answer:
            break
        assert f"offset={offset}.]" in answer
    assert "\n".join(lines) + "\n" == text


async def test_an_offset_beyond_the_end_says_how_long_the_file_is(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(ToolError, match="has 2 lines; offset 9 is beyond its end"):
        await use("Read", {"file_path": "a.txt", "offset": 9})


async def test_an_empty_file_is_said_to_be_empty(use: Use, root: Path) -> None:
    (root / "a.txt").touch()
    assert await use("Read", {"file_path": "a.txt"}) == "[a.txt is empty.]"


async def test_a_long_line_is_cut_with_a_note(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("é" * 3000 + "\nnext\n")
    answer = await use("Read", {"file_path": "a.txt"})
    assert "é [… 1,000 more characters of this line]\n     2\tnext" in answer
    assert "[1 line longer than 2,000 characters cut; use Grep" in answer


async def test_a_huge_file_of_one_line_is_read_without_holding_it(use: Use, root: Path) -> None:
    with (root / "big.txt").open("wb") as file:
        file.write(b"a" * 10_000)
        file.truncate(10_000)
        for _ in range(40):
            file.write(b"b" * 1_000_000)
    answer = await use("Read", {"file_path": "big.txt"})
    assert len(answer) < 3000
    assert "more characters of this line" in answer


async def test_a_file_longer_than_what_is_looked_through_says_so(use: Use, root: Path) -> None:
    (root / "big.txt").write_text("0123456789\n" * 200_000)
    answer = await use("Read", {"file_path": "big.txt", "limit": 1}, scan_bytes=1_000_000)
    assert "[Lines 1 to 1 of more than" in answer


async def test_a_binary_file_is_named_as_such(use: Use, root: Path) -> None:
    (root / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (root / "b.bin").write_bytes(b"text\0more")
    with pytest.raises(ToolError, match=r"binary file \(PNG image\) of 108 bytes"):
        await use("Read", {"file_path": "a.png"})
    with pytest.raises(ToolError, match="binary file of 9 bytes"):
        await use("Read", {"file_path": "b.bin"})


async def test_bytes_that_are_no_utf8_are_replaced_and_it_is_said(use: Use, root: Path) -> None:
    (root / "a.txt").write_bytes(b"caf\xe9\n")
    answer = await use("Read", {"file_path": "a.txt"})
    assert answer == "     1\tcaf\ufffd\n[Some bytes are not UTF-8; they are shown as \ufffd.]"


async def test_a_replacement_character_in_the_file_itself_is_no_fault(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("\ufeffcaf\ufffd\n", encoding="utf-8")
    assert await use("Read", {"file_path": "a.txt"}) == "     1\tcaf\ufffd"


async def test_a_folder_and_a_missing_file_are_told_apart(use: Use, root: Path) -> None:
    (root / "sub").mkdir()
    with pytest.raises(ToolError, match=r"is a folder\. Use LS"):
        await use("Read", {"file_path": "sub"})
    with pytest.raises(ToolError, match="does not exist"):
        await use("Read", {"file_path": "nope.txt"})
    (root / "a.txt").touch()
    with pytest.raises(ToolError, match="is no folder"):
        await use("LS", {"path": "a.txt"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_without_permission_is_an_error_for_the_agent(use: Use, root: Path) -> None:
    (root / "a.txt").touch(mode=0)
    with pytest.raises(ToolError, match="cannot be opened"):
        await use("Read", {"file_path": "a.txt"})


async def test_a_folder_is_listed_folders_first(use: Use, root: Path) -> None:
    (root / "z").mkdir()
    (root / "a.txt").write_text("1234")
    assert await use("LS", {}) == "z/\na.txt (4)"
    assert await use("LS", {"path": "z"}) == "[z is an empty folder.]"


async def test_a_long_list_says_how_much_of_it_is_shown(use: Use, root: Path) -> None:
    for n in range(12):
        (root / f"{n:02}.txt").touch()
    assert (await use("LS", {}, entries=5)).endswith("04.txt (0)\n[5 of 12 entries; use Glob for a choice of them.]")
    assert (await use("Glob", {"pattern": "*"}, entries=5)).endswith(
        "04.txt\n[5 of 12 files; narrow the pattern or the path.]"
    )


async def test_glob_finds_files_sorted_and_leaves_version_control_out(use: Use, root: Path) -> None:
    for name in ("src/b.py", "src/a.py", "src/deep/c.py", ".git/d.py", "top.py", ".hidden/e.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert await use("Glob", {"pattern": "**/*.py"}) == ".hidden/e.py\nsrc/a.py\nsrc/b.py\nsrc/deep/c.py\ntop.py"
    assert await use("Glob", {"pattern": "src/*.py"}) == "src/a.py\nsrc/b.py"
    assert await use("Glob", {"pattern": "deep/*.py", "path": "src"}) == "src/deep/c.py"
    assert await use("Glob", {"pattern": "src/a.py"}) == "src/a.py"
    assert await use("Glob", {"pattern": "none/*.py"}) == "[No file matches.]"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", "a/b/c.py", True),
        ("/*.py", "a/b/c.py", False),
        ("a/*.py", "a/b/c.py", False),
        ("a/**/*.py", "a/c.py", True),
        ("a/**/*.py", "a/b/b2/c.py", True),
        ("a/**", "a", False),
        ("a/**", "a/b", True),
        ("**/b/**/c.py", "a/b/x/b/c.py", True),
        ("a/a/*.py", "a/x.py", False),
        ("*.{ts,tsx}", "x/y.tsx", True),
        ("{a,b/{c,d}}/x", "b/d/x", True),
        ("[ab]?.txt", "b1.txt", True),
        ("!*.py", "a.py", False),
        ("!*.py", "a.js", True),
        ("**", "a/b", True),
        ("a", "A", False),
    ],
)
def test_globs_match_as_expected(pattern: str, path: str, expected: bool) -> None:
    assert matcher(pattern)(path) is expected


def test_a_glob_of_many_stars_takes_no_time() -> None:
    assert not matcher("*a" * 60 + "b")("a" * 250)
    assert not matcher("**/a/" * 40 + "b")("/".join("a" * 120))


def test_a_glob_of_too_many_alternatives_is_refused() -> None:
    with pytest.raises(ToolError, match="alternatives"):
        matcher("{a,b}" * 20)
