"""One memory: a folder of content-addressed notes, versions that name them, and ``HEAD``, the version in force.

    HEAD            the id of the version in force; absent: there is none yet
    moves.jsonl     how HEAD came there, line by line
    versions/       <id>.json: what is said of a version, and its tree
    objects/        <ab>/<cdef…>: notes, and statements of people, by the SHA-256 of their bytes
    inbox/          <id>.json: proposals that wait for a person
    entries.jsonl, rendered/    HEAD for people and other programs; made anew whenever HEAD moves
    dreams/<id>/    what a dream leaves of itself

A version is written before HEAD names it, so a crash at any point leaves either the old state or the new one. HEAD
moves by compare-and-swap under a lock: whoever read another version than the one in force is told so. All of it blocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from counterpoint.errors import MemoryConflictError, MemoryStoreError, UnknownMemoryError
from counterpoint.memory import files
from counterpoint.memory.changes import Counts, Proposal
from counterpoint.memory.entries import Entry, Kind, Status, canonical, check_entry, digest
from counterpoint.memory.render import render
from counterpoint.memory.versions import Move, Tree, Version, tree_id

T = TypeVar("T")
VERSION_ID = re.compile(r"[0-9a-f]{64}")
MOVES_BYTES = 64 * 1024 * 1024
STATED = "stated"
"""The `run_id` of an anchor into a person's own words, which the store keeps: see `MemoryStore.state`."""
SHORTEST = 8
"""Characters of a text that is looked for in reports of dreams: shorter ones stand there by chance."""
ERASED = b'{"type":"erased"'
"""How the file of something begins that was erased."""


class Erased(Struct, frozen=True, tag="erased"):
    """What `redact` leaves of a note or a statement: that it was there, and that it was erased."""

    at: float
    by: str
    entry: str = ""
    kind: Kind = Kind.FACT
    scope: str = "project"


class _Kept(Struct, frozen=True):
    """The file of a version."""

    version: Version
    tree: Tree


class MemoryStore:
    """The store in one folder. The folder is made when something is first written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- reading -----------------------------------------------------------------------------------------------------

    def head(self) -> str | None:
        """Id of the version in force. Raises MemoryStoreError."""
        data = files.read(self.folder / "HEAD", 200)
        if data is None:
            return None
        name = data.decode("ascii", "replace").strip()
        if not VERSION_ID.fullmatch(name):
            raise self._damaged("HEAD", "it names no version")
        return name

    def version(self, version_id: str) -> Version:
        """What is said of a version. Raises UnknownMemoryError, MemoryStoreError."""
        return self._kept(version_id).version

    def tree(self, version_id: str | None) -> Tree:
        """The notes of a version by their hashes; of None, nothing."""
        return {} if version_id is None else self._kept(version_id).tree

    def entries(self, version_id: str | None) -> dict[str, Entry]:
        """The notes of a version, tombstones included, by id and in the order of ids."""
        return {name: self.entry(name, hashed) for name, hashed in sorted(self.tree(version_id).items())}

    def entry(self, name: str, hashed: str) -> Entry:
        """One note as that object has it; of an erased one, a tombstone without words."""
        data = self._object(hashed)
        if data.startswith(ERASED):
            erased = self._decode(data, Erased, hashed)
            return Entry(
                id=name, kind=erased.kind, scope=erased.scope, key="erased::erased", text="[erased]",
                status=Status.TOMBSTONE, reason=f"erased by {erased.by}", recorded_at=erased.at,
            )  # fmt: skip
        if digest(data) != hashed:
            raise self._damaged(hashed, "its content has changed")
        entry = self._decode(data, Entry, hashed)
        if entry.id != name:
            raise self._damaged(hashed, f"it is the note {entry.id[:40]}, not {name[:40]}")
        return entry

    def statement(self, hashed: str) -> str | None:
        """A person's own words by their SHA-256; None: erased, or never said here."""
        data = files.read(self._object_path(hashed)) if VERSION_ID.fullmatch(hashed) else None
        return data.decode("utf-8") if data is not None and digest(data) == hashed else None

    def resolve(self, text: str) -> str:
        """The version that `text` names: an id, a unique prefix of six signs or more, ``HEAD``, ``HEAD~2``.

        ``HEAD~1`` is the version that was in force before the last move. Raises UnknownMemoryError.
        """
        back = re.fullmatch(r"(?:HEAD|@)(?:~(\d{1,6}))?", text)
        if back is not None:
            return self._earlier(int(back[1] or 0), text)
        known = self._version_ids()
        found = [name for name in known if re.fullmatch(r"[0-9a-f]{6,64}", text) and name.startswith(text)]
        if len(found) != 1:
            raise UnknownMemoryError(
                f"{len(found) or 'No'} versions have an id that begins with {text[:80]!r}.",
                hint="See them with: counterpoint dream log",
            )
        return found[0]

    def moves(self) -> list[Move]:
        """How HEAD came to be where it is, the oldest first.

        A move is written before HEAD is. So a line that leads nowhere is of a process that died between the two.
        """
        data = files.read(self.folder / "moves.jsonl", MOVES_BYTES) or b""
        found: list[Move] = []
        place = self.head()
        for line in reversed(data.splitlines()):
            try:
                move = msgspec.json.decode(line, type=Move)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # cut off by a crash
            if move.after == place:
                found.append(move)
                place = move.before
        return found[::-1]

    # --- writing -----------------------------------------------------------------------------------------------------

    def keep(
        self,
        entries: Mapping[str, Entry],
        *,
        parent: str | None,
        actor: str,
        at: float,
        dream_id: str = "",
        note: str = "",
        counts: Counts | None = None,
    ) -> Version:
        """Writes a version that consists of these notes. HEAD stays where it is.

        The same notes give the same id; the record of who made them first stays. Notes that are as they were in
        `parent` keep their objects. Raises MemoryRefusedError for a note that breaks a rule.
        """
        old = self.tree(parent)
        tree: Tree = {}
        for name, entry in sorted(entries.items()):
            data = canonical(entry)
            tree[name] = digest(data)
            if old.get(name) == tree[name]:
                continue
            earlier = old.get(name)
            if earlier is not None and self._is_erased(earlier) and entry == self.entry(name, earlier):
                tree[name] = earlier
                continue
            check_entry(entry)
            self._put(tree[name], data)
        version = Version(
            id=tree_id(tree), parents=[parent] if parent else [], dream_id=dream_id, actor=actor, at=at, note=note,
            counts=counts or Counts(active=sum(entry.active for entry in entries.values())),
        )  # fmt: skip
        path = self._version_path(version.id)
        if not path.exists():
            files.write(path, canonical(_Kept(version, tree)))
        return self.version(version.id)

    def state(self, text: str) -> str:
        """Keeps a person's own words, for the note that they are the evidence of; gives their SHA-256."""
        data = text.encode("utf-8", "replace")
        self._put(digest(data), data)
        return digest(data)

    def evaluate(self, version_id: str, result: dict[str, Any]) -> Version:
        """Adds to a version what was measured of it."""
        kept = self._kept(version_id)
        version = msgspec.structs.replace(kept.version, eval=result)
        files.write(self._version_path(version_id), canonical(_Kept(version, kept.tree)))
        return version

    def publish(self, version_id: str, expected: str | None, move: Move) -> Move:
        """Puts a version in force, if the one in force is still `expected`. Raises MemoryConflictError.

        Of `move`, kind, actor, time, dream and note are kept.
        """
        self._kept(version_id)
        with files.locked(self.folder / "lock"):
            head = self.head()
            if head != expected:
                raise MemoryConflictError(
                    f"The memory in {self.folder} has moved on: the version in force is {short(head)}, and this change "
                    f"was made of {short(expected)}.",
                    hint="Nothing is lost: make the change again from the version in force.",
                )
            return self._move(msgspec.structs.replace(move, before=head, after=version_id))

    def redact(self, matches: Callable[[Entry], bool], *, by: str, at: float, secret: str = "") -> int:
        """Erases every form that matching notes ever had, and `secret` wherever it stands; gives how many forms went.

        Versions keep their ids and go on to open: where a note was, they show a tombstone without words. HEAD moves, so
        that no change which was made of the erased notes can be published. What journals hold is not touched.
        """
        with files.locked(self.folder / "lock"):
            found = self._concerned(matches, secret)
            words = sorted(_words(found.values()) | ({secret} if secret else set[str]()), key=len, reverse=True)
            head = self.head()
            tree = self.tree(head)
            for path, entry in found.items():
                if isinstance(entry, Entry) and tree.get(entry.id) == _hash_at(path):
                    data = _erased(entry, by, at)
                    tree[entry.id] = digest(data)
                    files.write(self._object_path(tree[entry.id]), data)
            if head is not None:
                self._supersede_head(head, tree, by, at, len(found))
            for path, entry in found.items():
                files.write(path, _erased(entry, by, at))
            for proposal in self.proposals():
                if _mentions(canonical(proposal), words) or any(map(matches, filter(None, [proposal.new]))):
                    self.drop_proposal(proposal.id)
            self._scrub(words)
            if head is not None:
                self._render()
        return len(found)

    def render(self) -> list[Path]:
        """Makes the files for people anew from HEAD, under the lock; gives those that there are."""
        with files.locked(self.folder / "lock"):
            return self._render()

    def _move(self, move: Move) -> Move:
        """The caller holds the lock, and the version is there."""
        files.append(self.folder / "moves.jsonl", canonical(move))
        files.write(self.folder / "HEAD", f"{move.after}\n".encode())
        self._render()
        return move

    def _render(self) -> list[Path]:
        entries = self.entries(self.head())
        folder = self.folder / "rendered"
        wanted = {folder / name: text.encode() for name, text in render(entries).items()}
        wanted[self.folder / "entries.jsonl"] = b"".join(canonical(entry) + b"\n" for entry in entries.values())
        for path, data in wanted.items():
            if not path.is_file() or path.is_symlink() or path.read_bytes() != data:
                files.write(path, data, durable=False)
        for path in (folder / "topics").glob("*.md"):
            if path not in wanted:
                path.unlink()
        return sorted(wanted)

    def _supersede_head(self, head: str, tree: Tree, by: str, at: float, erased: int) -> None:
        """HEAD without what is to be erased; the move says that it happened, also where HEAD had none of it."""
        note = f"{erased} forms of notes were erased."
        version = Version(id=tree_id(tree), parents=[head], actor=by, at=at, note=note)
        if version.id != head:
            files.write(self._version_path(version.id), canonical(_Kept(version, tree)))
        move = Move(before=head, after=version.id, kind="redact", actor=by, at=at, note=note)
        files.append(self.folder / "moves.jsonl", canonical(move))
        files.write(self.folder / "HEAD", f"{version.id}\n".encode())

    def _concerned(self, matches: Callable[[Entry], bool], secret: str) -> dict[Path, Entry | str]:
        """Notes and statements that are to be erased. What a person said goes with the note that was made of it."""
        every = dict(self._all_objects())
        found = {path: entry for path, entry in every.items() if _concerns(entry, matches, secret)}
        anchors = [anchor for entry in found.values() if isinstance(entry, Entry) for anchor in entry.evidence]
        stated = {self._object_path(anchor.sha256) for anchor in anchors if anchor.run_id == STATED}
        return found | {path: every[path] for path in stated if path in every}

    def _all_objects(self) -> Iterator[tuple[Path, Entry | str]]:
        """Every note and statement that there ever was, and is not erased."""
        for path in sorted((self.folder / "objects").glob("??/*")):
            data = b"" if path.name.startswith(".") else files.read(path) or b""
            if not data or data.startswith(ERASED):
                continue
            try:
                yield path, msgspec.json.decode(data, type=Entry)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield path, data.decode("utf-8", "replace")

    def _scrub(self, words: list[str]) -> None:
        """Takes the words out of what is said of versions, moves and dreams."""
        places = [self.folder / "moves.jsonl", *(self.folder / "versions").glob("*.json")]
        places += [path for path in (self.folder / "dreams").rglob("*") if path.is_file() and not path.is_symlink()]
        for path in places:
            data = files.read(path, MOVES_BYTES) or b""
            text = data.decode("utf-8", "surrogateescape")
            for word in words:
                for form in {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]}:
                    text = re.sub(re.escape(form), "[erased]", text, flags=re.IGNORECASE)
            clean = text.encode("utf-8", "surrogateescape")
            if clean != data:
                files.write(path, clean)

    # --- proposals that wait -----------------------------------------------------------------------------------------

    def proposals(self) -> list[Proposal]:
        """What waits in the inbox, in the order of ids. Raises MemoryStoreError for a file that is no proposal."""
        found: list[Proposal] = []
        for path in sorted((self.folder / "inbox").glob("p-*.json")):
            found.append(self._decode(files.read(path) or b"", Proposal, f"inbox/{path.name}"))
        return found

    def put_proposal(self, proposal: Proposal) -> None:
        """Adds a proposal to the inbox, or replaces it."""
        files.write(self._proposal_path(proposal.id), canonical(proposal))

    def drop_proposal(self, proposal_id: str) -> None:
        self._proposal_path(proposal_id).unlink(missing_ok=True)

    def _proposal_path(self, proposal_id: str) -> Path:
        if not re.fullmatch(r"p-[0-9a-f]{12}", proposal_id):
            raise UnknownMemoryError(f"{proposal_id[:80]!r} is no id of a proposal: p- and twelve hexadecimal digits.")
        return self.folder / "inbox" / f"{proposal_id}.json"

    # --- files -------------------------------------------------------------------------------------------------------

    def _kept(self, version_id: str) -> _Kept:
        data = files.read(self._version_path(version_id)) if VERSION_ID.fullmatch(version_id) else None
        if data is None:
            raise UnknownMemoryError(
                f"There is no version {version_id[:12]!r} in {self.folder}.",
                hint="See them with: counterpoint dream log",
            )
        kept = self._decode(data, _Kept, f"versions/{version_id[:12]}…")
        if tree_id(kept.tree) != version_id or kept.version.id != version_id:
            raise self._damaged(f"versions/{version_id[:12]}…", "its content has changed")
        return kept

    def _version_ids(self) -> list[str]:
        return sorted(
            path.stem for path in (self.folder / "versions").glob("*.json") if VERSION_ID.fullmatch(path.stem)
        )

    def _earlier(self, steps: int, text: str) -> str:
        """Where HEAD was that many moves ago."""
        places = [move.before for move in self.moves()]
        head = self.head()
        found = head if not steps else (places[-steps] if steps <= len(places) else None)
        if found is None:
            raise UnknownMemoryError(f"There is no version {text} in {self.folder}: it has {len(places)} moves.")
        return found

    def _object(self, hashed: str) -> bytes:
        data = files.read(self._object_path(hashed)) if VERSION_ID.fullmatch(hashed) else None
        if data is None:
            raise self._damaged(hashed, "it is missing")
        return data

    def _is_erased(self, hashed: str) -> bool:
        return self._object(hashed).startswith(ERASED)

    def _put(self, hashed: str, data: bytes) -> None:
        path = self._object_path(hashed)
        there = files.read(path)
        if there != data and not (there or b"").startswith(ERASED):
            files.write(path, data)

    def _object_path(self, hashed: str) -> Path:
        return self.folder / "objects" / hashed[:2] / hashed[2:]

    def _version_path(self, version_id: str) -> Path:
        return self.folder / "versions" / f"{version_id}.json"

    def _decode(self, data: bytes, kind: type[T], name: str) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(name, str(error)) from error

    def _damaged(self, name: str, why: str) -> MemoryStoreError:
        return MemoryStoreError(
            f"The memory in {self.folder} is damaged at {name}: {why}.",
            hint="Restore the folder from a copy, or go back to a version that is whole: counterpoint dream rollback",
        )


def _erased(entry: Entry | str, by: str, at: float) -> bytes:
    if isinstance(entry, str):
        return msgspec.json.encode(Erased(at, by))
    return msgspec.json.encode(Erased(at, by, entry.id, entry.kind, entry.scope))


def _hash_at(path: Path) -> str:
    return path.parent.name + path.name


def _concerns(entry: Entry | str, matches: Callable[[Entry], bool], secret: str) -> bool:
    """Whether a note or statement is to be erased: a statement goes with its words."""
    if isinstance(entry, str):
        return bool(secret) and secret.casefold() in entry.casefold()
    return matches(entry) or (bool(secret) and _mentions(canonical(entry), [secret]))


def _mentions(data: bytes, words: Iterable[str]) -> bool:
    text = data.decode("utf-8", "replace").casefold()
    return any(json.dumps(word, ensure_ascii=False)[1:-1].casefold() in text for word in words)


def _words(erased: Iterable[Entry | str]) -> set[str]:
    """What must stand nowhere any more: the texts of erased notes and what they quote, where that is no common word."""
    words: set[str] = set()
    for entry in erased:
        if isinstance(entry, Entry):
            words |= {entry.text, *(anchor.quote for anchor in [*entry.evidence, *entry.counter_evidence])}
        else:
            words.add(entry)
    return {word for word in words if len(word) >= SHORTEST}


def short(version_id: str | None) -> str:
    """A version as people read it."""
    return version_id[:12] if version_id else "none"
