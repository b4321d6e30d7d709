"""Saved workflows: where they are looked for, what wins, and how they get there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program


def write(path: Path, name: str, result: str = "1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"export const meta = {{ name: '{name}', description: 'of {path.stem}' }}\nreturn {result}\n")
    return path


def repository(folder: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def listed(cpt: Program, **environment: str) -> dict[str, Any]:
    ended = cpt("workflows", "list", "--json", timeout=60, **environment)
    assert ended.code == 0, ended.err
    return {row["name"]: row for row in ended.json["workflows"]}


def inside(cpt: Program, folder: Path) -> Program:
    """The same program, called in a folder further down."""
    folder.mkdir(parents=True, exist_ok=True)
    deeper = Program(folder)
    deeper.environment = cpt.environment
    return deeper


def test_the_nearest_of_a_name_wins_and_the_list_shows_what_it_shadows(cpt: Program):
    root = repository(cpt.folder)
    home = cpt.folder / "home"
    places = [
        write(root / "a/b/.counterpoint/workflows/x1.js", "x"),
        write(root / "a/b/.claude/workflows/x2.js", "x"),
        write(root / "a/b/.agents/workflows/x3.mjs", "x"),
        write(root / "a/.claude/workflows/x4.js", "x"),
        write(root / ".counterpoint/workflows/x5.js", "x"),
        write(home / "config/counterpoint/workflows/x6.js", "x"),
        write(home / ".claude/workflows/x7.js", "x"),
    ]
    row = listed(inside(cpt, root / "a/b"))["x"]
    assert [row["path"], *row["shadows"]] == [str(path) for path in places]
    assert (row["origin"], row["description"]) == ("project", "of x1")


def test_folders_above_the_repository_are_not_looked_at(cpt: Program):
    write(cpt.folder / ".claude/workflows/above.js", "above")
    repository(cpt.folder / "repo")
    assert "above" not in listed(inside(cpt, cpt.folder / "repo/sub"))
    assert "above" in listed(cpt)


def test_outside_of_a_repository_only_the_folder_itself_is_looked_at(cpt: Program):
    write(cpt.folder / ".claude/workflows/above.js", "above")
    assert "above" not in listed(inside(cpt, cpt.folder / "sub"))


def test_the_folder_of_claude_code_may_be_elsewhere(cpt: Program):
    write(cpt.folder / "elsewhere/workflows/x.js", "mine")
    row = listed(cpt, CLAUDE_CONFIG_DIR=str(cpt.folder / "elsewhere"))["mine"]
    assert row["origin"] == "user"
    assert "mine" not in listed(cpt)


def test_a_project_may_replace_a_bundled_workflow(cpt: Program):
    write(cpt.folder / ".counterpoint/workflows/mine.js", "survey", "'mine'")
    row = listed(cpt)["survey"]
    assert (row["origin"], len(row["shadows"])) == ("project", 1)
    assert cpt("run", "survey", "--model", "sim", "--json").json["result"] == "mine"


@pytest.mark.parametrize("name", ["the-name", "stem", "plugin:the-name", "plugin:stem"])
def test_a_workflow_is_found_by_its_name_else_by_its_file(cpt: Program, name: str):
    write(cpt.folder / ".claude/workflows/stem.js", "the-name", "'found'")
    assert cpt("run", name, "--model", "sim", "--json").json["result"] == "found"
    assert cpt.run(f"return await workflow('{name}')").json["result"] == "found"


def test_a_name_in_meta_counts_more_than_the_name_of_a_file(cpt: Program):
    write(cpt.folder / ".claude/workflows/zz.js", "aa", "'by file'")
    write(cpt.folder / ".claude/workflows/aa.js", "zz", "'by name'")
    assert cpt("run", "zz", "--model", "sim", "--json").json["result"] == "by name"


def test_a_name_with_a_colon_may_be_the_whole_name(cpt: Program):
    write(cpt.folder / ".claude/workflows/a.js", "plugin:x", "'whole'")
    write(cpt.folder / ".claude/workflows/b.js", "x", "'part'")
    assert cpt("run", "plugin:x", "--model", "sim", "--json").json["result"] == "whole"


def test_a_folder_of_the_same_name_does_not_hide_a_workflow(cpt: Program):
    write(cpt.folder / ".claude/workflows/docs.js", "docs", "'found'")
    (cpt.folder / "docs").mkdir()
    assert cpt("run", "docs", "--model", "sim", "--json").json["result"] == "found"


def test_an_unknown_name_is_answered_with_the_known_ones(cpt: Program):
    write(cpt.folder / ".claude/workflows/x.js", "release-notes")
    ended = cpt("run", "release-note", "--model", "sim")
    assert ended.code == 2
    assert "did you mean 'release-notes'" in ended.err
    assert "survey" in ended.err


def test_a_link_out_of_its_folder_is_listed_and_not_followed(cpt: Program):
    outside = write(cpt.folder / "outside.js", "secret")
    folder = cpt.folder / ".claude/workflows"
    write(folder / "inner.js", "inner")
    (folder / "link.js").symlink_to(outside)
    (folder / "alias.js").symlink_to(folder / "inner.js")
    (folder / "broken.js").symlink_to(folder / "nowhere.js")
    rows = listed(cpt)
    assert "secret" not in rows
    assert "is a link out of its folder" in str(rows["link"]["error"])
    assert "There is no file" in str(rows["broken"]["error"])
    assert rows["inner"]["error"] is None
    ended = cpt("run", "link", "--model", "sim")
    assert (ended.code, "is a link out of its folder" in ended.err) == (2, True)


def test_a_broken_workflow_is_listed_with_what_is_wrong(cpt: Program):
    folder = cpt.folder / ".claude/workflows"
    write(folder / "syntax.js", "bad-body", "]")
    folder.joinpath("nometa.js").write_text("return 1")
    folder.joinpath("binary.js").write_bytes(b"\xff\x00")
    folder.joinpath("folder.js").mkdir()
    rows = listed(cpt)
    assert str(rows["bad-body"]["error"]).endswith("syntax.js:2:8: Nothing is open here that `]` could close.")
    assert "does not begin with its meta" in str(rows["nometa"]["error"])
    assert "not UTF-8" in str(rows["binary"]["error"])
    assert "folder" not in rows
    assert "bad-body" in cpt("workflows").out


def test_show_prints_the_text_of_any_workflow(cpt: Program):
    path = write(cpt.folder / ".claude/workflows/x.js", "x", "]")
    shown = cpt("workflows", "show", "x", "--json").json
    assert (shown["path"], shown["source"], shown["meta"]["name"]) == (str(path), path.read_text(), "x")
    assert cpt("workflows", "show", "survey").out.startswith("export const meta")
    ran = cpt.run("return 'of a run'").json["run_id"]
    assert "return 'of a run'" in cpt("workflows", "show", ran).out


def test_new_writes_a_script_that_passes_check_and_runs(cpt: Program):
    repository(cpt.folder)
    made = inside(cpt, cpt.folder / "sub")("workflows", "new", "first-flow", "--json")
    path = cpt.folder / ".counterpoint/workflows/first-flow.js"
    assert made.json == {"name": "first-flow", "path": str(path)}
    checked = cpt("check", str(path), "--portable", "--json").json
    assert (checked["errors"], checked["warnings"]) == ([], [])
    ran = cpt("run", "first-flow", "--model", "sim", "--json", "--args", '{"topics": ["a", "b", "c"]}').json
    assert (ran["status"], ran["agents"]["ok"], ran["result"]["missing"]) == ("completed", 6, 0)


def test_new_replaces_nothing_and_takes_only_names(cpt: Program):
    assert cpt("workflows", "new", "one").code == 0
    again = cpt("workflows", "new", "one")
    assert (again.code, "is there already" in again.err) == (2, True)
    for name in ("../up", "a b", "", "x/y"):
        assert cpt("workflows", "new", name).code == 2
    assert [path.name for path in (cpt.folder / ".counterpoint/workflows").iterdir()] == ["one.js"]


def test_save_copies_a_script_under_its_name(cpt: Program):
    source = write(cpt.folder / "draft.js", "my flow", "'saved'")
    saved = cpt("workflows", "save", "draft.js", "--json").json
    path = cpt.folder / ".counterpoint/workflows/my-flow.js"
    assert (saved["path"], path.read_text()) == (str(path), source.read_text())
    assert cpt("run", "my flow", "--model", "sim", "--json").json["result"] == "saved"


def test_save_takes_the_script_of_a_run(cpt: Program):
    ran = cpt.run("return 'from a run'", name="flow")
    (cpt.folder / "flow.js").unlink()
    for run in (ran.json["run_id"], "@last"):
        assert cpt("workflows", "save", run, "--force").code == 0
    assert cpt("run", "flow", "--model", "sim", "--json").json["result"] == "from a run"


def test_save_can_save_for_the_user(cpt: Program):
    write(cpt.folder / "draft.js", "mine")
    assert cpt("workflows", "save", "draft.js", "--user").code == 0
    assert listed(inside(cpt, cpt.folder / "other"))["mine"]["origin"] == "user"


def test_save_copies_a_saved_workflow_so_that_it_can_be_changed(cpt: Program):
    assert cpt("workflows", "save", "survey").code == 0
    assert listed(cpt)["survey"]["origin"] == "project"


def test_save_replaces_only_when_it_is_told_to(cpt: Program):
    write(cpt.folder / ".counterpoint/workflows/other-file.js", "x", "'old'")
    write(cpt.folder / "draft.js", "x", "'new'")
    refused = cpt("workflows", "save", "draft.js")
    assert (refused.code, "other-file.js is there already" in refused.err) == (2, True)
    assert cpt("workflows", "save", "draft.js", "--force").code == 0
    assert cpt("run", "x", "--model", "sim", "--json").json["result"] == "new"


def test_save_refuses_what_run_would_refuse(cpt: Program):
    (cpt.folder / "draft.js").write_text("const a: string = 'x'")
    ended = cpt("workflows", "save", "draft.js", "--json")
    assert (ended.code, ended.json["status"]) == (2, "rejected")
    assert not (cpt.folder / ".counterpoint").exists()


@pytest.mark.parametrize("link", [".counterpoint", ".counterpoint/workflows", ".counterpoint/workflows/x.js"])
def test_save_writes_through_no_links(cpt: Program, link: str):
    write(cpt.folder / "draft.js", "x")
    elsewhere = cpt.folder / "elsewhere"
    write(elsewhere / "workflows/x.js", "other") if not link.endswith("workflows") else elsewhere.mkdir()
    path = cpt.folder / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere / "workflows/x.js" if link.endswith(".js") else elsewhere)
    ended = cpt("workflows", "save", "draft.js", "--force")
    assert (ended.code, "is a link; nothing is saved through links" in ended.err) == (2, True)
    assert "name: 'x'" not in "".join(file.read_text() for file in elsewhere.rglob("*.js"))


def test_a_child_workflow_that_is_broken_or_unknown_or_gets_the_wrong_arguments_rejects(cpt: Program):
    write(cpt.folder / ".claude/workflows/syntax.js", "bad-body", ";const b = ;")
    (cpt.folder / "nometa.js").write_text("return 1")
    body = """
      const told = []
      const given = { rounds: 'many' }, refs = ['nobody', 'bad-body', { scriptPath: 'nometa.js' }]
      for (const ref of [...refs, { scriptPath: 'nowhere.js' }, 7, 'bug-hunt'])
        try { await workflow(ref, given) } catch (e) { told.push([e.name, e.message]) }
      return told
    """
    told = cpt.run(body).json["result"]
    assert {name for name, _ in told} == {"WorkflowError"}
    for (_, message), part in zip(
        told,
        [
            "no workflow 'nobody'",
            "bad-body:2:19 does not compile",
            "does not begin",
            "no file",
            "{scriptPath",
            "bug-hunt do not fit: $.rounds: must be integer",
        ],
        strict=True,
    ):
        assert part.lower() in json.dumps(message).lower()
