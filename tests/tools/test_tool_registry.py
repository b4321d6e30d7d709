"""An agent gets the tools that its lists say, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from counterpoint.errors import HookError
from counterpoint.tools.base import ToolError
from counterpoint.tools.registry import TOOLS, missing, restrictions, select

Use = Callable[..., Awaitable[str]]


def names(allowed: list[str] | None, disallowed: list[str] | None = None) -> list[str]:
    return [tool.spec.name for tool in select(allowed, disallowed or [])]


def test_without_a_list_all_tools_are_there() -> None:
    assert names(None) == names(["*"]) == list(TOOLS)


def test_an_empty_list_is_no_tool() -> None:
    assert names([]) == []


def test_names_are_found_in_any_case_and_by_alias() -> None:
    assert names(["read", "GREP", "list"]) == ["Read", "Grep", "LS"]


def test_what_is_disallowed_is_taken_away() -> None:
    assert set(TOOLS) - set(names(None, ["grep", "Write"])) == {"Grep", "Write"}
    assert names(["Read"], ["Read"]) == []
    assert names(None, ["*"]) == []


def test_a_name_that_is_nobodys_is_refused_with_the_nearest() -> None:
    with pytest.raises(HookError, match="no tool 'Reed'; did you mean 'Read'") as refused:
        names(["Reed"])
    assert refused.value.name == "UnknownToolError"


def test_tools_that_exist_elsewhere_are_left_out_and_can_be_told() -> None:
    wanted = ["Read", "NotebookEdit", "mcp__github__search", "Monitor"]
    assert names(wanted) == ["Read"]
    assert missing(wanted) == ["NotebookEdit", "Monitor"]


def test_a_restriction_gives_the_tool_under_a_rule_and_disallowed_it_takes_only_that() -> None:
    assert names(["Read(src/**)", "Grep"]) == ["Read", "Grep"]
    assert restrictions(["read(src/**, lib/*)", "Grep"]) == ["Read(src/**)", "Read(lib/*)"]
    assert restrictions(["Read(src/**)", "Read"]) == restrictions(["Read(src/**)", "*"]) == []
    assert "Edit" in names(None, ["Edit(src/**)"])


def test_what_says_that_it_only_reads_does() -> None:
    assert {tool.spec.name for tool in TOOLS.values() if tool.read_only} >= {"Read", "Grep", "Glob", "LS"}
    assert not TOOLS["Write"].read_only
    assert not TOOLS["Edit"].read_only


@pytest.mark.parametrize(
    ("input", "complaint"),
    [
        ({}, r"\$\.file_path: is required"),
        ({"file_path": 3}, r"\$\.file_path: must be string, not number"),
        ({"file_path": "a", "path": "b"}, r"not allowed: 'path'.* It takes file_path, offset, limit"),
        ({"file_path": "a", "limit": 0}, r"\$\.limit: 0 is less than the minimum of 1"),
    ],
)
async def test_wrong_input_is_explained_to_the_agent(use: Use, input: dict[str, object], complaint: str) -> None:
    with pytest.raises(ToolError, match=complaint):
        await use("Read", input)
