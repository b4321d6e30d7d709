"""Blocks of the documentation that say that they run: a comment above the fence says what is to be done with it.

<!-- runs -->  <!-- runs: 4 -->    each line of the `sh` block, the last one ending with that exit code; or the Python
<!-- file: poems.js -->            the block is that file
<!-- prints -->                    each line of the block stands in what the last block has printed
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from counterpoint.cli.failures import report
from counterpoint.cli.main import program

BLOCK = re.compile(r"<!-- (runs|file|prints)(?:: (.+?))? -->\n```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One such block. `line` is where its comment stands."""

    what: str
    given: str
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in its order."""
    text = page.read_text("utf-8")
    return [
        Block(found[1], found[2] or "", found[3], found[4], text.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(text)
    ]


def play(page: Path) -> None:
    """Does what the page says, in the current folder. Raises AssertionError with the page's line."""
    printed = ""
    for block in blocks(page):
        at = f"{page.name}:{block.line}"
        match block.what:
            case "file":
                Path(block.given).write_text(block.text, "utf-8")
            case "prints":
                for line in block.text.splitlines():
                    assert line in printed, f"{at}: {line!r} is not in:\n{printed}"
            case _ if block.language == "python":
                printed = _python(block.text)
            case _:
                printed, code = "", 0
                for line in filter(None, map(str.strip, block.text.splitlines())):
                    said, code = _shell(line)
                    printed += said
                assert code == int(block.given or 0), f"{at}: exit code {code}\n{printed}"


def _shell(line: str) -> tuple[str, int]:
    words = shlex.split(line, comments=True)
    if words[0] not in ("counterpoint", "cpt"):
        ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr, ended.returncode
    done = CliRunner().invoke(program, words[1:], standalone_mode=False)
    code = done.return_value if isinstance(done.return_value, int) else done.exit_code
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            code = report(done.exception)
        return done.output + told.getvalue(), code
    return done.output, code


def _python(text: str) -> str:
    """Runs it, and the tests that stand in it."""
    names: dict[str, Any] = {"__name__": "page"}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(text, "page", "exec"), names)
        for name, test in names.items():
            if name.startswith("test_"):
                with tempfile.TemporaryDirectory() as folder:
                    asyncio.run(test(Path(folder)))
    return said.getvalue()
