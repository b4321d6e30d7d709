"""Agent types: built in, and from Markdown files."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterpoint.agents.frontmatter import FrontMatterError, split
from counterpoint.agents.types import BUILT_IN, load_types, resolve
from counterpoint.errors import HookError
from counterpoint.tools.registry import select

BEANS = """---
name: Bean-Counter
description: Use this when: beans are many
tools: Read, Grep, Bash(git add, git log)
disallowedTools: [Write, 'Edit']
model: inherit
maxTurns: 7
effort: High
permissionMode: plan
hooks:
  PreToolUse:
    - matcher: x
color: blue
---

You count beans.
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    return root


def define(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("general-purpose", "general-purpose"),
        ("Explore", "explore"),
        ("PLAN", "plan"),
        ("code-reviewer", "reviewer"),
        (" reviewer ", "reviewer"),
    ],
)
def test_claude_codes_names_are_known(name: str, expected: str) -> None:
    assert resolve(name, {}).name == expected


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HookError, match="no agent type 'explorer'; did you mean 'explore'") as refused:
        resolve("explorer", {})
    assert refused.value.name == "UnknownAgentTypeError"
    assert all(name in refused.value.message for name in BUILT_IN)


@pytest.mark.parametrize("name", ["explore", "plan", "reviewer"])
def test_types_that_must_not_write_have_only_tools_that_read(name: str) -> None:
    tools = select(BUILT_IN[name].tools)
    assert tools
    assert all(tool.read_only for tool in tools)


def test_a_file_defines_a_type(repository: Path) -> None:
    define(
        repository / ".claude" / "agents",
        "bean-counter.md",
        BEANS,
    )
    known, wrong = load_types(repository, home=repository.parent)
    assert wrong == []
    kind = resolve("bean-counter", known)
    assert kind.name == "Bean-Counter"
    assert kind.description == "Use this when: beans are many"
    assert kind.system == "You count beans."
    assert kind.tools == ["Read", "Grep", "Bash(git add, git log)"]
    assert kind.disallowed == ["Write", "Edit"]
    assert kind.model is None
    assert kind.max_turns == 7
    assert kind.effort == "high"
    assert kind.unsupported == ("hooks",)
    assert kind.read_only


def test_the_nearest_definition_wins_up_to_the_repositorys_root(repository: Path) -> None:
    inner = repository / "packages" / "one"
    text = "---\nname: {name}\ndescription: {where}\n---\nDo."
    define(inner / ".counterpoint/agents", "a.md", text.format(name="a", where="inner, ours"))
    define(inner / ".claude/agents", "a.md", text.format(name="a", where="inner, theirs"))
    define(repository / ".claude/agents", "a.md", text.format(name="a", where="root"))
    define(repository / ".claude/agents", "b.md", text.format(name="b", where="root"))
    define(repository.parent / ".claude/agents", "b.md", text.format(name="b", where="user"))
    define(repository.parent / ".claude/agents", "c.md", text.format(name="c", where="user"))
    define(repository.parent / ".counterpoint/agents", "d.md", text.format(name="d", where="above the repository"))
    known, _ = load_types(inner, home=repository.parent)
    assert {name: kind.description for name, kind in known.items()} == {
        "a": "inner, ours",
        "b": "root",
        "c": "user",
    }


def test_a_project_may_replace_a_built_in_type(repository: Path) -> None:
    define(repository / ".claude/agents", "x.md", "---\nname: code-reviewer\ndescription: ours\n---\nDo.")
    known, _ = load_types(repository, home=repository.parent)
    assert resolve("Code-Reviewer", known).description == "ours"
    assert resolve("reviewer", known).source == "built-in"


def test_files_that_are_no_definition_are_reported_and_the_others_taken(repository: Path) -> None:
    folder = repository / ".claude" / "agents"
    define(folder, "good.md", "---\nname: good\ndescription: d\n---\nDo.")
    define(folder, "README.md", "# Our agents\n")
    define(folder, "open.md", "---\nname: x\n")
    define(folder, "effort.md", "---\nname: y\neffort: extreme\n---\n")
    define(folder, "turns.md", "---\nname: z\nmaxTurns: many\n---\n")
    (folder / "folder.md").mkdir()
    known, wrong = load_types(repository, home=repository.parent)
    assert list(known) == ["good"]
    assert len(wrong) == 5
    assert all(str(folder) in sentence for sentence in wrong)


def test_an_empty_list_of_tools_is_no_tool_and_no_entry_is_all(repository: Path) -> None:
    folder = repository / ".claude" / "agents"
    define(folder, "none.md", "---\nname: none\ntools: []\n---\n")
    define(folder, "all.md", "---\nname: all\ntools:\n---\n")
    known, _ = load_types(repository, home=repository.parent)
    assert known["none"].tools == []
    assert known["all"].tools is None


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("k: plain text", "plain text"),
        ("k: a: b # c", "a: b"),
        ("k: 'it''s # here'", "it's # here"),
        ('k: "a\\nb"', "a\nb"),
        ("k: [a, 'b c']", ["a", "b c"]),
        ("k:\n  - a\n  - b", ["a", "b"]),
        ("k:\n- a", ["a"]),
        ("k: |\n  one\n    two\n", "one\n  two"),
        ("k: >-\n  one\n  two", "one two"),
        ("k: one\n  two", "one two"),
        ("k: one # a comment\n  two", "one two"),
        ("k: [a,\n  b]", ["a", "b"]),
        ("k:", ""),
    ],
)
def test_the_head_of_a_file_is_read(head: str, value: str | list[str]) -> None:
    values, body = split(f"---\n{head}\n---\nbody\n---\n")
    assert values == {"k": value}
    assert body == "body\n---\n"


def test_windows_line_ends_are_fine() -> None:
    assert split("---\r\nname: x\r\n---\r\nbody") == ({"name": "x"}, "body")


@pytest.mark.parametrize("text", ["", "no head", "---\nname: x", "---\n- a list\n---\n"])
def test_what_has_no_head_is_an_error(text: str) -> None:
    with pytest.raises(FrontMatterError):
        split(text)


def test_what_a_definition_can_say_besides(repository: Path) -> None:
    text = """---
name: worker
description: d
isolation: worktree
skills: writing, review
mcpServers: [github]
omitClaudeMd: true
background: true
permissionMode: bypassPermissions
memory: project
initialPrompt: Hello
---
Do."""
    define(repository / ".claude/agents", "w.md", text)
    define(repository / ".claude/agents", "v.md", "---\nname: v\nisolation: remote\n---\n")
    known, wrong = load_types(repository, home=repository.parent)
    kind = known["worker"]
    assert (kind.isolated, kind.skills, kind.servers, kind.instructed) == (
        True,
        ("writing", "review"),
        ["github"],
        False,
    )
    assert not kind.read_only
    assert kind.unsupported == ("initialPrompt", "permissionMode bypassPermissions")
    assert len(wrong) == 1
