"""The store of notes: what is written is there, whole; HEAD moves only from where its mover saw it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from counterpoint.errors import MemoryConflictError, MemoryRefusedError, MemoryStoreError, UnknownMemoryError
from counterpoint.memory.entries import Author, Entry, Kind, evidence, new_id, quotes
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move

SAID = "We use pnpm here, never npm."


def note(text: str = "Use pnpm, not npm.", key: str = "package manager::choice", scope: str = "project") -> Entry:
    anchor = evidence(SAID, (0, 16), run_id="wf_1", session_id="a1", seq=0, author=Author.USER, at=5.0)
    return Entry(
        id=new_id(scope, key, text, [anchor]), kind=Kind.PREFERENCE, scope=scope, key=key, text=text,
        evidence=[anchor], support_sessions=1, recorded_at=10.0,
    )  # fmt: skip


def publish(store: MemoryStore, *notes: Entry, at: float = 10.0) -> str:
    """A version of just these notes, in force."""
    head = store.head()
    version = store.keep({each.id: each for each in notes}, parent=head, actor="user", at=at)
    store.publish(version.id, head, Move(after=version.id, actor="user", at=at))
    return version.id


def test_a_store_that_nobody_wrote_to_is_empty_and_makes_no_folder(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "memory")

    assert store.head() is None
    assert store.entries(store.head()) == {}
    assert store.moves() == []
    assert not (tmp_path / "memory").exists()


def test_what_was_published_is_read_back_and_named_by_its_content(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    one, two = note(), note("The suite needs 40 s.", "test suite::duration")
    first = publish(store, one)
    second = publish(store, one, two, at=20.0)

    assert MemoryStore(tmp_path).entries(second) == {each.id: each for each in (one, two)}
    assert store.entries(store.resolve("HEAD~1")) == {one.id: one}
    assert store.resolve(first[:8]) == first
    assert store.version(second).parents == [first]
    assert [(move.before, move.after) for move in store.moves()] == [(None, first), (first, second)]
    assert publish(store, one) == first
    with pytest.raises(UnknownMemoryError, match="No versions"):
        store.resolve("0123456789")


def test_a_change_made_of_a_version_that_is_no_longer_in_force_is_a_conflict_and_loses_nothing(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    first = publish(store, note())
    mine = store.keep({}, parent=first, actor="dream", at=1.0)
    theirs = publish(store, note(), note("Other.", "a::b"))

    with pytest.raises(MemoryConflictError, match="moved on"):
        store.publish(mine.id, first, Move(after=mine.id))
    assert store.head() == theirs
    assert store.entries(mine.id) == {}


def test_a_quote_holds_only_where_it_stands_and_in_the_text_that_was_meant() -> None:
    anchor = note().evidence[0]

    assert quotes(anchor, SAID)
    assert not quotes(anchor, SAID + " Really.")
    assert not quotes(anchor, " " + SAID)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "x" * 601}, "601 characters"),
        ({"text": "bell\x07"}, "control"),
        ({"text": "hidden\u200b"}, "invisible"),
        ({"text": "two\nlines"}, "control"),
        ({"key": "no aspect"}, "subject::aspect"),
        ({"scope": "workflow:../x"}, "no scope"),
        ({"evidence": []}, "no evidence"),
        ({"id": "../../etc/passwd"}, "its id"),
        ({"links": ["m-1"]}, "no id"),
    ],
)
def test_a_note_that_breaks_a_rule_is_refused_with_the_reason(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    wrong = msgspec.structs.replace(note(), **change)
    with pytest.raises(MemoryRefusedError, match=reason):
        MemoryStore(tmp_path).keep({wrong.id: wrong}, parent=None, actor="user", at=0.0)


def test_damaged_and_hostile_files_are_told_and_never_believed(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    version = publish(store, note())
    hashed = next(iter(store.tree(version).values()))
    thing = tmp_path / "objects" / hashed[:2] / hashed[2:]
    whole = thing.read_bytes()

    thing.write_bytes(whole.replace(b"pnpm", b"evil"))
    with pytest.raises(MemoryStoreError, match="content has changed"):
        store.entries(version)
    thing.unlink()
    with pytest.raises(MemoryStoreError, match="missing"):
        store.entries(version)
    thing.symlink_to("/etc/hostname")
    with pytest.raises(MemoryStoreError, match="no regular file"):
        store.entries(version)
    (tmp_path / "HEAD").write_text("../../etc/passwd")
    with pytest.raises(MemoryStoreError, match="no version"):
        store.head()
    (tmp_path / "versions" / f"{version}.json").write_text("[" * 100_000)
    with pytest.raises(MemoryStoreError, match="damaged"):
        store.tree(version)
