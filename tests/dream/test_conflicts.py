"""What contradicts is never merged, and nothing vanishes unseen (T1, T3, T7, T13)."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.dream.lived import Place, item, reader, skeptics
from tests.memory.notes import note

from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.cluster import cluster
from counterpoint.dream.inbox import candidate
from counterpoint.dream.items import Claim, Item, anchor
from counterpoint.dream.propose import propose
from counterpoint.dream.session import Part, Said, Session
from counterpoint.dream.verify import Ground, verify
from counterpoint.events import RunStatus
from counterpoint.memory.entries import Author, Entry, Kind, Status, Taint
from counterpoint.memory.places import user_store
from counterpoint.memory.versions import Move
from counterpoint.redaction import Redaction
from counterpoint.testing import ScriptedModel

TABS = item(
    "The user prefers tabs for indentation.", "I prefer tabs", kind="preference", subject="indentation", aspect="style"
)
LOVELACE = "The integration tests need the service lovelace to be up."
NO_TABS = item("The user does not prefer tabs for indentation.", "I do not prefer tabs", kind="preference",
               subject="indentation", aspect="style")  # fmt: skip


async def test_of_two_wishes_that_contradict_the_later_one_stands_and_both_quotes_are_shown(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=["I prefer tabs, as you know."])
    await place.lived("Fine.", said=["I do not prefer tabs any more."])
    model = ScriptedModel(reader(TABS, NO_TABS), skeptics())
    report = await place.dream(model)
    assert [note.text for note in place.notes()] == [NO_TABS["text"]]
    (conflict,) = report.conflicts
    assert set(conflict.quotes) == {"I prefer tabs", "I do not prefer tabs"}
    assert "later word of a person" in conflict.settled
    await place.lived("Fine.", said=["I prefer tabs after all, and that is final."])
    report = await place.dream(model)
    (note,) = place.notes()
    assert (note.text, report.counts.superseded) == (TABS["text"], 1)
    assert note.counter_evidence[0].quote == "I do not prefer tabs"
    assert [c.quotes for c in report.conflicts] == [["I prefer tabs", "I do not prefer tabs"]]


async def test_retiring_more_than_a_tenth_stops_there_and_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.remember(*(note(f"Rule number {n} of the house holds.", f"rule {n}::holds") for n in range(20)))
    gone = [
        item(f"Rule {n} is over.", f"rule {n}: over.", subject=f"rule {n}", aspect="holds", retire=True,
             replaces=entry.id)
        for n, entry in enumerate(sorted(place.notes(), key=lambda each: each.key)[:12])
    ]  # fmt: skip
    for part in (range(6), range(6, 12)):
        await place.lived("Understood.", said=[" ".join(f"rule {n}: over." for n in part)])
    report = await place.dream(ScriptedModel(reader(*gone), skeptics()))
    assert (report.counts.retired, report.counts.kept, len(place.notes())) == (2, 18, 18)
    assert len(report.refused) == 10
    assert all("At most 2 of 20" in row.reason for row in report.refused)
    assert "10 more would have taken away too much at once" in report.message
    waiting = [name for name, fate in report.proposals.items() if fate == "waiting"]
    assert len(waiting) == 10
    assert {proposal.id for proposal in place.memory.proposals()} == set(waiting)


async def test_a_note_that_ten_transcripts_repeat_gains_no_support_and_costs_no_token(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.remember(note(LOVELACE, "tests::needs"))
    for n in range(10):
        told = f'<memory-notes id="0123456789">\n{LOVELACE}\n</memory-notes id="0123456789">'
        await place.lived(
            f"{LOVELACE} Step {n} is done.",
            prompt=f"{told}\nDo the task.",
            name=f"work-{n}",
        )
    again = item(
        "The integration tests need the service lovelace up.",
        {"ref": "q1", "text": "need the service lovelace"},  # known by heart: it is not shown to the reader
        subject="tests",
        aspect="needs",
    )
    model = ScriptedModel(reader(again), skeptics())
    report = await place.dream(model)
    (entry,) = place.notes()
    assert (entry.support_sessions, len(entry.evidence)) == (1, 1)
    assert not any("need the service lovelace" in asked.prompt.split("# The excerpts")[1] for asked in model.asked)
    assert not any(asked.label.startswith("skeptic") for asked in model.asked)
    assert report.counts.revised == 0
    assert {row.reason for row in report.blocked} == {"the quote repeats a note that its author was told"}


async def test_a_retired_note_and_one_of_the_users_memory_do_not_come_back_by_agents_that_repeat_them(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    retired, own = note(LOVELACE, "tests::needs"), note("The nightly queue is drained by cron.", "queue::drained")
    place.remember(retired)
    gone = msgspec.structs.replace(retired, status=Status.TOMBSTONE, reason="it moved", valid_to=20.0)
    place.remember(gone, at=20.0)
    user = user_store(place.state)
    version = user.keep({own.id: own}, parent=None, actor="user", at=1.0)
    user.publish(version.id, None, Move(after=version.id, actor="user", at=1.0))
    for n in range(3):
        said = f"I know: {LOVELACE} And: {own.text} Step {n} is done."
        await place.lived(said, told=[retired.id, own.id], name=f"work-{n}")
    again = [
        item("Integration tests need the service lovelace up.", "need the service lovelace", subject="t", aspect="n"),
        item("Each night cron drains the queue.", "queue is drained by cron", subject="queue", aspect="drained"),
    ]
    report = await place.dream(ScriptedModel(reader(*again), skeptics()))
    assert (place.notes(), report.counts.added, report.proposals) == ([], 0, {})
    for n in range(2):  # agents that were not told of it have found it out
        await place.lived(f"{LOVELACE} Step {n} of others is done.", name=f"other-{n}")
    await place.dream(ScriptedModel(reader(*again), skeptics()))
    assert [entry.key for entry in place.notes()] == ["t::n"]


def test_fifty_facts_survive_ten_dreams_or_are_validly_superseded() -> None:
    entries: dict[str, Entry] = {}
    for night in range(10):
        sessions: dict[str, Session] = {}
        claims: list[Claim] = []
        for n in range(5 * night, 5 * night + 5):
            claims.append(
                _told(sessions, f"Module {n} of the project is built with flag alpha{n}.", f"module {n}", night)
            )
        for n in range(0, 5 * night, 7):  # what was said before is said again, in other words, by agents
            claims.append(
                _told(
                    sessions,
                    f"The project's module {n} is built with the flag alpha{n}.",
                    f"module {n}",
                    night,
                    person=False,
                )
            )
        if night == 5:  # and one of them changes
            claims.append(_told(sessions, "Module 3 of the project is built with flag omega.", "module 3", night))
        clusters, _ = cluster(claims)
        made = propose(clusters, entries, sessions, at=night + 1.0, dream_id="d")
        ground = Ground(Path("/nowhere"), entries, sessions, Cleaner(Redaction({})))
        passed = [p for p in (verify(each, ground) for each in made.proposals) if p.state == "open"]
        done = candidate(entries, passed, night + 1.0)
        assert done.refused == []
        before = sum(entry.active for entry in entries.values())
        counts = done.counts
        assert before == counts.kept + counts.revised + counts.superseded + counts.merged + counts.retired
        entries = done.entries
    active = {entry.text for entry in entries.values() if entry.active}
    lost = [n for n in range(50) if not any(f"odule {n} " in text for text in active)]
    assert (lost, len(active)) == ([], 50)
    (old,) = [entry for entry in entries.values() if not entry.active]
    assert "alpha3" in old.text
    assert old.replaced_by is not None
    assert "omega" in entries[old.replaced_by].text


def _told(sessions: dict[str, Session], text: str, subject: str, night: int, *, person: bool = True) -> Claim:
    """A run in which that was said, and the claim that a reader makes of it."""
    run_id, at = f"wf_{night}_{len(sessions)}", night * 100.0 + len(sessions)
    author = Author.USER if person else Author.ASSISTANT
    said = Said("", 1, at, text, (Part(0, len(text), author, Taint.CLEAN),))
    session = Session(run_id, "work", "/p", at, at, 9, RunStatus.COMPLETED, "success", 0.0, 1, False, (said,))
    sessions[run_id] = session
    found = anchor(session, said, (0, len(text)))
    assert found is not None
    return Claim(Item(kind=Kind.FACT, subject=subject, aspect="flag", text=text, quotes=[]), (found,), "reader")
