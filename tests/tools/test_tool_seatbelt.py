"""The sandbox of macOS: what the profile that is made for a cell says, read as the system reads it.

There is no macOS here to run it on. So the profile is read by the rules that Apple's documents give: of the rules that
speak of an operation and a path, the last one holds; and what no rule speaks of is denied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterpoint.tools import jail
from counterpoint.tools.jail import Cell
from counterpoint.tools.jail_child import Order

Words = list[Any]


def read(text: str) -> list[Words]:
    """The profile as lists in lists; texts keep their quotation marks."""
    stack: list[Words] = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    assert len(stack) == 1, "a parenthesis is not closed"
    return stack[0]


class Sandbox:
    """What a profile lets a command do."""

    def __init__(self, cell: Cell) -> None:
        arguments = jail.shut_in(["/bin/sh", "-c", "true"], cell, "seatbelt")
        order = Order(**json.loads(arguments[4]))
        assert not order.jailed
        self.text, self.parameters = order.profile, {**order.parameters, "SCRATCH": "/private/var/folders/x/T/c"}
        self.rules = read(order.profile)

    def allows(self, operation: str, path: Path | str = "") -> bool:
        allowed = False
        for verdict, *words in self.rules[1:]:
            operations = [word for word in words if isinstance(word, str)]
            filters = [word for word in words if not isinstance(word, str)]
            speaks = any(name == "default" or _covers(name, operation) for name in operations)
            if speaks and (not filters or any(self._fits(each, str(path)) for each in filters)):
                allowed = verdict == "allow"
        return allowed

    def _fits(self, words: Words, path: str) -> bool:
        kind, what = words
        value: str = self.parameters[what[1][1:-1]] if isinstance(what, list) else what[1:-1]
        return path == value or (kind == "subpath" and path.startswith(f"{value.rstrip('/')}/"))


def _covers(name: str, operation: str) -> bool:
    return operation.startswith(name[:-1]) if name.endswith("*") else operation == name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work/.git/hooks").mkdir(parents=True)
    return tmp_path / "work"


def test_the_workspace_is_written_and_nothing_else(root: Path) -> None:
    box = Sandbox(Cell(root))
    assert box.text.startswith("(version 1)\n(deny default)\n")
    for operation in ("file-write-create", "file-write-data", "file-write-unlink", "file-read-data"):
        assert box.allows(operation, root / "src/a.py")
        assert box.allows(operation, "/private/var/folders/x/T/c/tmp1")
    for path in (root.parent / "other", f"{root}2/a"):
        assert not box.allows("file-write-create", path)
    for path in ("/etc/hosts", Path.home() / ".zshrc", "/Library/LaunchDaemons/x"):
        assert not box.allows("file-write-create", path)
        assert box.allows("file-read-data", path)
    assert box.allows("file-write-data", "/dev/null")
    assert not box.allows("file-write-unlink", "/dev/null")
    reader = Sandbox(Cell(root, writable=False, more_writable=(root.parent / "git",)))
    assert not reader.allows("file-write-data", root / "src/a.py")
    assert not reader.allows("file-write-data", root.parent / "git/objects/x")
    assert reader.allows("file-read-data", root / "src/a.py")


def test_keys_the_store_and_what_rules_deny_are_hidden_under_every_name(root: Path) -> None:
    store, secret = root / "state", root / "sub/deep/.env"
    box = Sandbox(Cell(root, hidden=(store, secret)))
    for path in (Path.home() / ".ssh/id_rsa", Path.home() / ".netrc", store / "runs/x/journal.db", secret):
        for operation in ("file-read-data", "file-read-metadata", "file-write-data", "file-link", "file-ioctl"):
            assert not box.allows(operation, path), (operation, path)
    assert not box.allows("file-read-data", "/tmp/of-another-program")
    for folder in (root, root / "sub", root / "sub/deep"):  # with another name the rules would not know it again
        assert not box.allows("file-write-unlink", folder)
        assert box.allows("file-write-create", folder / "new")
    assert box.allows("file-read-metadata", root.parent)


def test_a_workspace_inside_of_something_hidden_is_reached(root: Path) -> None:
    box = Sandbox(Cell(root, hidden=(root.parent,)))
    assert box.allows("file-write-data", root / "a")
    assert box.allows("file-read-metadata", root.parent)
    assert not box.allows("file-read-data", root.parent / "journal.db")


def test_version_control_and_what_a_later_run_takes_its_rules_from_stay_also_where_they_are_not_yet(root: Path) -> None:
    box = Sandbox(Cell(root, kept=(root / "lock.json",)))
    for name in (".git/config", ".git/objects/aa", ".claude/settings.json", ".counterpoint", ".mcp.json", "lock.json"):
        for operation in ("file-write-create", "file-write-data", "file-write-unlink", "file-link"):
            assert not box.allows(operation, root / name), name
        assert box.allows("file-read-data", root / name)
    committer = Sandbox(Cell(root, git=True))
    assert committer.allows("file-write-create", root / ".git/objects/aa/bb")
    assert not committer.allows("file-write-create", root / ".git/hooks/pre-commit")
    assert not committer.allows("file-write-data", root / ".git/config")
    assert not committer.allows("file-write-unlink", root / ".git")


def test_the_network_is_there_only_where_it_was_allowed(root: Path) -> None:
    shut, open_ = Sandbox(Cell(root)), Sandbox(Cell(root, network=True))
    for operation in ("network-outbound", "network-bind", "system-socket"):
        assert not shut.allows(operation)
        assert open_.allows(operation)
    for box in (shut, open_):
        assert not any(box.allows(each) for each in ("job-creation", "appleevent-send", "lsopen", "mach-register"))


def test_a_path_is_a_parameter_and_cannot_end_a_rule(tmp_path: Path) -> None:
    root = tmp_path / 'a") (allow file-write*) (literal "'
    root.mkdir()
    box = Sandbox(Cell(root))
    assert 'a")' not in box.text
    assert box.allows("file-write-data", root / "x")
    assert not box.allows("file-write-data", "/etc/hosts")
