"""Notes that belong together name each other: proposed by dreams, with tier 0, and followed by agents."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.dream.lived import Place, item, reader, skeptics
from tests.memory.notes import by_id, note

from counterpoint.dream.inbox import Policy
from counterpoint.dream.prepare import Wish
from counterpoint.dreaming import dream_of
from counterpoint.memory.entries import Status
from counterpoint.memory.recall import described
from counterpoint.memory.render import render
from counterpoint.testing import ScriptedModel

SAID = ("The gateway listens on port 8080.", "The gateway restarts each night.", "Logs of the gateway lie in var.")


async def test_notes_of_one_subject_and_one_run_name_each_other_and_once_only(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=list(SAID))
    items = [item(f"Known: {text}", text, subject="gateway", aspect=text.split()[2]) for text in SAID]
    model = ScriptedModel(reader(*items), skeptics())
    await place.dream(model)
    assert len(place.notes()) == 3
    assert not any(entry.links for entry in place.notes())
    await place.lived("Fine.", said=["The weather is bright today."])
    only_links = Wish(policy=Policy(auto=[0], unproven=True))
    report = await dream_of(state=place.state, folder=place.project, model=model, wish=only_links)
    assert (report.published, report.counts.revised, report.counts.active) == (True, 2, 3)
    linked = {entry.id: entry.links for entry in place.notes()}
    assert sorted(map(len, linked.values())) == [0, 1, 2], linked
    assert (
        sum(
            "; see m-" in text
            for text in place.memory.folder.joinpath("rendered/topics/gateway.md").read_text().split("##")
        )
        == 2
    )
    await place.lived("Fine.", said=["The weather is dull today."])
    report = await dream_of(state=place.state, folder=place.project, model=model, wish=only_links)
    assert (report.published, report.proposals) == (False, {})


def test_a_link_leads_to_what_took_a_notes_place_and_never_to_what_is_gone() -> None:
    heir, gone = note("The heir.", "a::b"), note("The gone one.", "a::c")
    old = msgspec.structs.replace(note("The old.", "a::d"), status=Status.TOMBSTONE, replaced_by=heir.id)
    dead = msgspec.structs.replace(gone, status=Status.TOMBSTONE)
    linked = note("The linked.", "x::y", links=[old.id, dead.id])
    text = render(by_id(heir, old, dead, linked))["topics/x.md"]
    assert f"see {heir.id};" in text
    assert dead.id not in text
    assert described(linked, by_id(linked)).endswith("#0")
    assert described(msgspec.structs.replace(linked, links=[heir.id]), by_id(heir)).endswith(f"; see also {heir.id}")
