"""Texts of scripts, written to files and checked by the program as a user has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.e2e.conftest import Program

META = "export const meta = { name: 'x', description: 'y' }\n"
MARK = "▶"
"""In a text of these tests: the place where something is to be found; taken out before the text is written."""


class Checked:
    """What `check --json` says of many texts, asked once."""

    def __init__(self, document: dict[str, Any], paths: dict[str, str]) -> None:
        self._document = document
        self._paths = paths

    def rows(self, text: str, kind: str) -> list[dict[str, Any]]:
        """The errors or warnings of one text."""
        return [row for row in self._document[kind] if row["file"] == self._paths[text]]


class Check(Protocol):
    """Checks many marked texts with one call of the program."""

    def __call__(self, texts: Iterable[str], *flags: str) -> Checked: ...


def place(marked: str) -> tuple[int, int]:
    """Line and column, in UTF-16 units, of the mark in a text."""
    before = marked[: marked.index(MARK)]
    return before.count("\n") + 1, len(before.rpartition("\n")[2].encode("utf-16-le")) // 2 + 1


def whole(body: str) -> str:
    """A script of this body; a text that has a meta of its own is one."""
    return body if body.startswith("export const meta = {") else META + body


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Checks many marked texts with one call of the program; flags may follow."""

    def run(texts: Iterable[str], *flags: str) -> Checked:
        cpt = Program(tmp_path_factory.mktemp("scripts"))
        folder = cpt.folder / "texts"
        folder.mkdir()
        paths: dict[str, str] = {}
        for n, text in enumerate(texts):
            path = folder / f"{n:03}.js"
            path.write_bytes(text.replace(MARK, "").encode())
            paths[text] = str(Path("texts") / path.name)
        ended = cpt("check", "texts", "--json", *flags)
        assert ended.code in (0, 2), ended.err
        return Checked(ended.json, paths)

    return run


@pytest.fixture
def cpt(tmp_path: Path) -> Program:
    return Program(tmp_path)
