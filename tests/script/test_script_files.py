"""What is given as a script and is none, or is one in an unusual form: each told clearly, by `check` and by `run`."""

from __future__ import annotations

import os

import pytest
from tests.e2e.conftest import Program
from tests.script.conftest import META


def test_a_file_that_is_not_there_is_named(cpt: Program):
    for command in ("check", "run"):
        ended = cpt(command, "nowhere.js")
        assert (ended.code, ended.out) == (2, "")
        assert "There is no file" in ended.err
        assert "nowhere.js" in ended.err


def test_a_folder_given_to_run_is_no_script(cpt: Program):
    cpt.folder.joinpath("inner").mkdir()
    ended = cpt("run", "inner")
    assert ended.code == 2
    assert "inner is a folder, not a script." in ended.err


def test_a_folder_given_to_check_means_all_scripts_in_it(cpt: Program):
    inner = cpt.folder / "inner" / ".claude" / "workflows"
    inner.mkdir(parents=True)
    (inner / "good.js").write_text(META)
    (inner / "bad.mjs").write_text("const a = 1")
    (inner / "notes.txt").write_text("no script")
    (cpt.folder / "inner" / "node_modules").mkdir()
    (cpt.folder / "inner" / "node_modules" / "other.js").write_text("module.exports = 1")
    ended = cpt("check", "inner", "--json")
    assert (ended.code, ended.json["files"]) == (2, 2)
    assert [row["file"] for row in ended.json["errors"]] == ["inner/.claude/workflows/bad.mjs"]


def test_a_folder_without_scripts_is_told(cpt: Program):
    cpt.folder.joinpath("inner").mkdir()
    ended = cpt("check", "inner")
    assert (ended.code, ended.err) == (2, "error: inner has no .js files.\n")


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"", 1, 1, "The script does not begin with its meta."),
        (b"\xef\xbb\xbf", 1, 1, "The script does not begin with its meta."),
        (b"// caf\xc3\xa9 caf\xe9\n", 1, 12, "This is no text: the byte 0xe9 is not UTF-8."),
        (b"\n\xff\xfee\x00x\x00", 2, 1, "This is no text: the byte 0xff is not UTF-8."),
        (b"\x7fELF\x02\x01\x01\x00\x00", 1, 1, "The control character U+007F is not allowed."),
        (b"\x89PNG\r\n\x1a\n", 1, 1, "This is no text: the byte 0x89 is not UTF-8."),
        (b"// " + b"x" * 4_000_000, 1, 1, "The script is longer than 524,288 UTF-16 units."),
        (b"// " + "€".encode() * 700_000, 1, 1, "The script is longer than 524,288 UTF-16 units."),
    ],
    ids=["empty", "mark", "latin-1", "utf-16", "elf", "png", "long", "long and wide"],
)
def test_a_file_that_is_no_script_is_refused_where_it_stops_being_one(
    cpt: Program, data: bytes, line: int, column: int, message: str
):
    (cpt.folder / "odd.js").write_bytes(data)
    for command in (("check", "odd.js"), ("run", "odd.js", "--model", "sim")):
        ended = cpt(*command, "--json")
        first = ended.json["errors"][0]
        assert (ended.code, ended.json["status"]) == (2, "rejected")
        assert (first["line"], first["column"], first["message"]) == (line, column, message)


def test_one_unreadable_file_does_not_hide_the_others(cpt: Program):
    (cpt.folder / "a.js").write_bytes(b"\xff")
    (cpt.folder / "b.js").write_text(META + "const a: string = 'x'")
    rows = cpt("check", "a.js", "b.js", "--json").json["errors"]
    assert [(row["file"], row["rule"]) for row in rows] == [("a.js", "encoding"), ("b.js", "typescript")]


def test_many_control_characters_are_not_all_listed(cpt: Program):
    (cpt.folder / "odd.js").write_bytes(b"\x00" * 500_000)
    rows = cpt("check", "odd.js", "--json").json["errors"]
    told = [row["message"] for row in rows if row["rule"] == "control-character"]
    assert (len(told), told[-1]) == (101, "There are more control characters.")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + META + "return 7",
        META.replace("\n", "\r\n") + "const a = `x\r\ny`\r\nreturn a.length + 4\r\n",
        "#!/usr/bin/env -S counterpoint run\n" + META + "return 7",
        "// a comment\n\n/* another\n * one */ // and one more\n" + META + "return 7",
        META + "return 7 // the last line is a comment",
        META + "return 7;;;\n\n\n",
        META + "// a line separator in a comment: \u2028\nreturn 'a\u2028b'.length + 4",
        "export const meta={name:'x',description:'y'};return 7",
        "export const meta = {\n  'name': \"x\",\n  description:\n    `y`,\n  z: [-2, { a: 1 }],\n}\nreturn 7",
    ],
)
def test_unusual_forms_of_a_script_run(cpt: Program, text: str):
    (cpt.folder / "flow.js").write_bytes(text.encode())
    ended = cpt("run", "flow.js", "--model", "sim", "--json")
    assert (ended.code, ended.json.get("result")) == (0, 7)
    assert cpt("check", "flow.js").code == 0


def test_lines_and_columns_of_errors_are_those_of_the_file_in_every_form(cpt: Program):
    for text, column in [("\ufeff{m}  nope()", 3), ("#!x\n{m}  nope()", 3), ("{m}'é😀'; nope()", 8)]:
        (cpt.folder / "flow.js").write_bytes(text.replace("{m}", META.replace("\n", "\r\n")).encode())
        error = cpt("run", "flow.js", "--model", "sim", "--json").json["error"]
        assert (error["name"], error["line"], error["column"]) == (
            "ReferenceError",
            text.count("\n") + 2,
            column,
        )


def test_what_is_no_file_is_not_read_for_ever(cpt: Program):
    os.mkfifo(cpt.folder / "pipe.js")
    for path in ("pipe.js", "/dev/zero"):
        ended = cpt("check", path)
        assert (ended.code, ended.err.splitlines()[0]) == (2, f"error: {path} is no file.")


def test_names_with_blanks_umlauts_and_line_feeds_are_shown_as_they_are(cpt: Program):
    (cpt.folder / "größe 1.js").write_text("nope")
    (cpt.folder / "a\nb\x1b.js").write_text("nope")
    ended = cpt("check", "größe 1.js", "a\nb\x1b.js")
    assert "größe 1.js:1:1: " in ended.out
    assert "\x1b" not in ended.out
