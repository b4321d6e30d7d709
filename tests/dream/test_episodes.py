"""A long run is cut into things that were tried; readers see them whole, and bring few lessons of each."""

from __future__ import annotations

from pathlib import Path

from tests.dream.lived import Place, item, reader, skeptics

from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.episodes import LONG, LONGEST, episodes
from counterpoint.dream.excerpts import CHUNK, chunks
from counterpoint.dream.session import read_session
from counterpoint.models.messages import UserTurn
from counterpoint.redaction import Redaction
from counterpoint.store.runs import Store
from counterpoint.testing import ScriptedModel


async def test_a_run_is_cut_at_each_agent_each_word_of_a_person_and_where_it_goes_on_for_long(tmp_path: Path) -> None:
    place = Place(tmp_path)
    bad, good = ("Bash", "lab build", "no profile\n[exit code 1]"), ("Bash", "lab build --p=x", "ok")
    long = [
        ("Bash", f"lab test {n}", "ok" if n % 7 == 0 else "no such part " * 20 + "\n[exit code 1]") for n in range(LONG)
    ]
    run_id = await place.lived(bad, good, *long, "Done.", args="Build it.", then=("Now the rest.", [bad, "No."]))
    typed = await place.lived(
        good,
        UserTurn("No, build it with y."),
        bad,
        "Hm.",
        name="conversation",
        imported="claude-code",
        prompt="Build it.",
    )
    async with Store(place.state) as store:
        session, talk = await read_session(store, run_id), await read_session(store, typed)
    cut = episodes(session)
    assert sorted(n for each in cut for n in each.places) == list(range(len(session.said)))
    assert [session.said[each.goal].text for each in cut] == ["Build it.", *["Do the task."] * 2, "Now the rest."]
    assert LONG <= len(cut[1].places) <= LONGEST
    assert cut[1].about().endswith("failed; the last one went well")
    assert cut[-1].about() == "1 actions, 1 failed; the last one failed"
    assert [talk.said[each.goal].text for each in episodes(talk)] == ["Build it.", "No, build it with y."]
    pages = chunks([session], [], Cleaner(Redaction({})))
    assert len(pages) > 1
    assert all(len(page.text) < CHUNK + 2000 for page in pages)
    assert "Episode 4 of 4, “Now the rest.”: 1 actions, 1 failed; the last one failed." in pages[-1].text
    assert sum(page.episodes for page in pages) >= 4


async def test_more_than_three_lessons_of_one_thing_that_was_tried_are_not_taken(tmp_path: Path) -> None:
    place = Place(tmp_path)
    text = " ".join(f"Module {n} is built with alpha{n}." for n in range(5))
    for n in range(2):
        await place.lived(f"{text} This was number {n}.", name=f"work-{n}")
    many = [item(f"Module {n} takes alpha{n}.", f"Module {n} is built with", subject=f"module {n}") for n in range(5)]
    report = await place.dream(ScriptedModel(reader(*many), skeptics()))
    assert len(place.notes()) == 3
    assert [row.reason for row in report.blocked] == ["it brings more than 3 lessons for each thing that was tried"] * 4
