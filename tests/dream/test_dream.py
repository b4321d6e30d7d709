"""A dream from runs to notes in force, as its users see it."""

from __future__ import annotations

from pathlib import Path

from tests.dream.lived import Place, item, reader, skeptics

from counterpoint.testing import ScriptedModel

WISH = "Use tabs for indentation in this project, please."


async def test_a_persons_wish_becomes_a_note_and_a_second_dream_changes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("I have indented with tabs.", said=[WISH])
    wanted = item("Indentation in this project is by tabs.", "Use tabs for indentation", kind="preference")
    model = ScriptedModel(reader(wanted), skeptics())
    report = await place.dream(model)
    assert (report.status, report.counts.added, report.readers) == ("published", 1, [1, 1]), report
    (note,) = place.notes()
    assert note.text == "Indentation in this project is by tabs."
    assert note.evidence[0].quote == "Use tabs for indentation"
    assert all(not asked.request.tools for asked in model.asked)
    assert (place.memory.folder / ".gitignore").read_text() == "*\n"
    asked = len(model.asked)
    again = await place.dream(model)
    assert (again.status, again.version, len(model.asked)) == ("nothing", report.version, asked)
