"""Texts that nobody would write: `check` answers every one of them with places in the text, and never breaks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Program

SHAPES = sorted(Path(__file__).parent.parent.joinpath("e2e", "scripts").glob("*.js"))
PIECES = [
    "{", "}", "(", ")", "[", "]", "`", "'", "\"", "${", "/*", "*/", "//", "\n", "\r", "\u2028", "\x00", "é",
    "😀", "\ufeff", "\u202e", "=>", "async ", "await ", "class ", "export ", "import ", "import(", ": string",
    " as any", "<T>", "enum X {}", "interface Y {}", "#", "@", "\\", "\\u{110000}", "/(/", "...", "agent(",
    "parallel(", "meta", "return ", ";", "0", "while(true)", "budget.remaining()", "counterpoint.", "typeof ",
    "phase(", "schema:", "yield ", "let ", "static ", "break ", "<", ">", "new ", "super", "this",
]  # fmt: skip


def mutated(text: str, dice: random.Random) -> str:
    """The text after some accidents."""
    for _ in range(dice.choice([1, 2, 5, 30])):
        at = dice.randrange(len(text) + 1)
        to = min(len(text), at + dice.choice([1, 5, 50, 500]))
        match dice.randrange(4):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:at] + text[at:to] * dice.choice([2, 20]) + text[to:]
            case 2:
                text = text[:at] + dice.choice(PIECES) * dice.choice([1, 1, 1, 300]) + text[at:]
            case _:
                text = text[:at] + dice.choice(PIECES) + text[to:]
    return text


def test_every_accident_is_answered_with_places_in_the_text(cpt: Program):
    dice = random.Random(7)
    texts = [mutated(dice.choice(SHAPES).read_text(encoding="utf-8"), dice) for _ in range(120)]
    folder = cpt.folder / "texts"
    folder.mkdir()
    for n, text in enumerate(texts):
        (folder / f"{n:03}.js").write_bytes(text.encode())
    ended = cpt("check", "texts", "--json", "--portable")
    assert ended.code == 2, ended.err
    assert ended.json["files"] == len(texts)
    rows: list[dict[str, Any]] = [*ended.json["errors"], *ended.json["warnings"]]
    for row in rows:
        lines: list[str] = texts[int(Path(row["file"]).stem)].removeprefix("\ufeff").split("\n")
        assert 1 <= row["line"] <= len(lines), row
        assert 1 <= row["column"] <= len(lines[int(row["line"]) - 1].encode("utf-16-le")) // 2 + 1, row


def test_what_is_shown_of_them_cannot_act_on_a_terminal(cpt: Program):
    (cpt.folder / "odd.js").write_bytes(b"const a = '\x1b[31m\xe2\x80\xae' 1\n\x9b")
    (cpt.folder / "odd2.js").write_bytes("const a = '\x1b[31m\u202e' 1\n\x9b".encode())
    ended = cpt("check", "odd.js", "odd2.js")
    assert ended.code == 2
    assert not {"\x1b", "\u202e", "\x9b"} & set(ended.out)
