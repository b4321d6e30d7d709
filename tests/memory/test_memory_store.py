"""The store of notes: what is written is there, whole; HEAD moves only from where its mover saw it (T12, T20)."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from tests.memory.notes import SAID, note

from counterpoint.errors import MemoryConflictError, MemoryRefusedError, MemoryStoreError, UnknownMemoryError
from counterpoint.memory.changes import Op, Proposal
from counterpoint.memory.entries import Entry, Status, canonical, new_id, quotes
from counterpoint.memory.erasing import redact
from counterpoint.memory.history import blame, diff
from counterpoint.memory.places import open_recall, project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move, Use


def publish(store: MemoryStore, *notes: Entry, at: float = 10.0) -> str:
    """A version of just these notes, in force."""
    head = store.head()
    version = store.keep({each.id: each for each in notes}, parent=head, actor="user", at=at)
    fewer = bool(store.tree(head).keys() - store.tree(version.id).keys())
    kind = "rollback" if fewer else "publish"
    store.publish(version.id, head, Move(after=version.id, kind=kind, actor="user", at=at))
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


def test_a_version_from_which_notes_have_vanished_is_not_published(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    head = publish(store, note(), note("Other.", "a::b"))
    fewer = store.keep({note().id: note()}, parent=head, actor="dream", at=1.0)

    with pytest.raises(MemoryRefusedError, match="1 notes would vanish"):
        store.publish(fewer.id, head, Move(after=fewer.id, actor="dream"))
    assert store.head() == head


def test_links_in_a_memory_lead_nowhere(tmp_path: Path) -> None:
    other, project = tmp_path / "other", tmp_path / "project"
    publish(project_store(other), note())
    project.mkdir()
    (project / ".git").mkdir()
    (project / ".counterpoint").symlink_to(other / ".counterpoint")
    with pytest.raises(MemoryStoreError, match="leads out of the project"):
        project_store(project)
    recall, wrong = open_recall(project, tmp_path / "state", workflow="w", tokens=500, at=1.0)
    assert (recall.entries, len(wrong)) == ({}, 1)

    (project / ".counterpoint").unlink()
    store = project_store(project)
    (store.folder / "rendered").mkdir(parents=True)
    (store.folder / "rendered" / "topics").symlink_to(tmp_path)
    with pytest.raises(MemoryStoreError, match="link to elsewhere"):
        publish(store, note())
    assert store.head() is None
    (store.folder / "rendered" / "topics").unlink()

    precious = tmp_path / "precious"
    precious.write_text("keep me")
    for name in ("moves.jsonl", "lock", "uses.jsonl"):
        (store.folder / name).unlink(missing_ok=True)
        (store.folder / name).symlink_to(precious)
    with pytest.raises(MemoryStoreError, match="cannot be locked"):
        publish(store, note())
    (store.folder / "lock").unlink()
    with pytest.raises(MemoryStoreError, match="cannot be written"):
        publish(store, note())
    with pytest.raises(MemoryStoreError, match="cannot be written"):
        store.add_use(Use(run_id="wf_1", version="v"))
    assert (store.head(), precious.read_text()) == (None, "keep me")


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


def test_a_process_that_died_between_writing_a_move_and_moving_leaves_the_old_state(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    first = publish(store, note())
    lost = store.keep({}, parent=first, actor="dream", at=2.0)
    with (tmp_path / "moves.jsonl").open("ab") as file:
        file.write(canonical(Move(before=first, after=lost.id)) + b"\n" + b'{"after": "cut o')
    assert [move.after for move in store.moves()] == [first]

    second = publish(store, note(), note("Other.", "a::b"), at=3.0)
    assert [move.after for move in store.moves()] == [first, second]
    assert store.resolve("HEAD~1") == first


def test_a_rollback_restores_byte_identical_files(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    one, two = note(), note("The suite needs 40 s.", "test suite::duration")
    first = publish(store, one, two)
    before = {path: path.read_bytes() for path in store.render()}
    publish(store, one, two, *(note(f"Fact {n}.", f"subject {n}::x") for n in range(30)), at=20.0)
    assert {path: path.read_bytes() for path in store.render()} != before

    store.publish(first, store.head(), Move(after=first, kind="rollback", actor="user", at=30.0))

    rendered = [path for path in (tmp_path / "rendered").rglob("*") if path.is_file()]
    assert {path: path.read_bytes() for path in [tmp_path / "entries.jsonl", *rendered]} == before
    assert [move.kind for move in store.moves()] == ["publish", "publish", "rollback"]


def test_redact_erases_every_form_of_a_note_and_history_still_opens(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    secret = note("Call Ada Lovelace at 555-0199.", "contact::phone")
    revised = msgspec.structs.replace(secret, text="Call Ada Lovelace at 555-0199, after nine.")
    first = publish(store, note(), secret)
    second = publish(store, note(), revised, at=20.0)
    third = publish(store, note(), at=30.0)
    reworded = new_id("project", "a::b", "x", [])
    waiting = Proposal(id=f"p-{reworded[2:]}", op=Op.ADD, new=secret)
    store.put_proposal(waiting)
    (tmp_path / "dreams" / "d1").mkdir(parents=True)
    (tmp_path / "dreams" / "d1" / "report.md").write_text(f"Added: {secret.text} Fine.")
    stale = store.keep({secret.id: secret}, parent=third, actor="dream", at=35.0)

    erased = redact(store, lambda entry: entry.id == secret.id, by="user", at=40.0, secret="Ada Lovelace")

    assert erased == 2
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Lovelace" not in everything
    assert b"555-0199" not in everything
    for version in (first, second):
        shown = store.entries(version)[secret.id]
        assert (shown.status, shown.text) == (Status.TOMBSTONE, "[erased]")
        assert store.entries(version)[note().id] == note()
    assert [difference.what for difference in diff(store.entries(first), store.entries(second))] == []
    assert [step.move.kind for step in blame(store, secret.id)] == ["publish", "publish", "rollback"]
    assert store.moves()[-1].kind == "redact"
    assert store.entries(stale.id)[secret.id].text == "[erased]"
    store.publish(second, store.head(), Move(after=second, kind="rollback"))
    assert "erased" not in (tmp_path / "rendered" / "MEMORY.md").read_text()
    assert redact(store, lambda entry: entry.id == secret.id, by="user", at=50.0, secret="Ada Lovelace") == 0


def test_what_was_made_of_erased_notes_can_no_longer_be_published(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    head = publish(store, note(), note("Secret plan.", "plan::x"))
    candidate = store.keep(store.entries(head) | {}, parent=head, actor="dream", at=1.0)

    redact(store, lambda entry: entry.key == "plan::x", by="user", at=2.0)

    with pytest.raises(MemoryConflictError):
        store.publish(candidate.id, head, Move(after=candidate.id))
    assert [entry.text for entry in store.entries(store.head()).values() if entry.active] == [note().text]


def test_whatever_happens_every_version_opens_and_only_redact_takes_words_away(tmp_path: Path) -> None:
    for seed in range(2):
        dice, store = random.Random(seed), MemoryStore(tmp_path / str(seed))
        rendered: dict[str, dict[str, bytes]] = {}
        said: dict[str, str] = {}
        for step in range(25):
            head = store.head()
            entries = store.entries(head)
            what = dice.choice(["add", "add", "edit", "bury", "rollback", "redact"]) if entries else "add"
            name = dice.choice([*entries, ""])
            if what == "rollback" and store.versions():
                back = dice.choice(store.versions())
                store.publish(back, head, Move(after=back, kind="rollback"))
            elif what == "redact" and step % 3 == 0 and name:
                redact(store, lambda entry, n=name: entry.id == n, by="ada", at=float(step))
                said.pop(name, None)
                rendered.clear()
            else:
                new = note(f"Words of step {step} and seed {seed}.", f"subject {step}::x")
                old = entries.get(name)
                if what == "edit" and old is not None and old.active:
                    new = msgspec.structs.replace(old, text=new.text)
                elif what == "bury" and old is not None and old.active:
                    new = msgspec.structs.replace(old, status=Status.TOMBSTONE, reason="gone")
                version = store.keep({**entries, new.id: new}, parent=head, actor="a", at=float(step))
                store.publish(version.id, head, Move(after=version.id))
                said[new.id] = new.text
            now = {path.name: path.read_bytes() for path in (store.folder / "rendered").rglob("*.md")}
            assert now == rendered.setdefault(store.head() or "", now)
            everything = {version: store.entries(version) for version in store.versions()}
            for n, text in said.items():
                assert any(n in shown and shown[n].text == text for shown in everything.values())
            assert [move.after for move in store.moves()][-1] == store.head()
