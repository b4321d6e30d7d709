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

import contextlib
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from counterpoint.errors import MemoryConflictError, MemoryRefusedError, UnknownMemoryError
from counterpoint.memory import files
from counterpoint.memory.changes import Counts, Proposal
from counterpoint.memory.entries import Entry, canonical, check_entry, digest
from counterpoint.memory.objects import HASH, Objects, stated
from counterpoint.memory.render import render
from counterpoint.memory.versions import Move, Tree, Use, Version, tree_id

STATED = "stated"
"""The `run_id` of an anchor into a person's own words, which the store keeps: see `MemoryStore.state`."""
MOVES_BYTES = 64 * 1024 * 1024
USES_BYTES = 8 * 1024 * 1024
USES_KEPT = 5000
"""Runs that are remembered when the list of uses has grown to `USES_BYTES`."""


class _Kept(Struct, frozen=True):
    """The file of a version."""

    version: Version
    tree: Tree


class MemoryStore:
    """The store in one folder. The folder is made when something is first written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = Objects(folder / "objects")

    # --- reading -----------------------------------------------------------------------------------------------------

    def head(self) -> str | None:
        """Id of the version in force. Raises MemoryStoreError."""
        data = files.read(self.folder / "HEAD", 200)
        if data is None:
            return None
        name = data.decode("ascii", "replace").strip()
        if not HASH.fullmatch(name):
            hint = "The last line of moves.jsonl has in `after` the version that was in force: write its id into HEAD."
            raise self.objects.damaged("HEAD", "it names no version", hint=hint)
        return name

    def version(self, version_id: str) -> Version:
        """What is said of a version. Raises UnknownMemoryError, MemoryStoreError."""
        return self._kept(version_id).version

    def versions(self) -> list[str]:
        """Ids of all versions that there are."""
        return sorted(path.stem for path in (self.folder / "versions").glob("*.json") if HASH.fullmatch(path.stem))

    def tree(self, version_id: str | None) -> Tree:
        """The notes of a version by their hashes; of None, nothing."""
        return {} if version_id is None else self._kept(version_id).tree

    def has(self, version_id: str) -> bool:
        """Whether this store has that version."""
        return HASH.fullmatch(version_id) is not None and self._version_path(version_id).is_file()

    def entries(self, version_id: str | None) -> dict[str, Entry]:
        """The notes of a version, tombstones included, by id and in the order of ids."""
        return {name: self.objects.entry(name, hashed) for name, hashed in sorted(self.tree(version_id).items())}

    def resolve(self, text: str) -> str:
        """The version that `text` names: an id, a unique prefix of six signs or more, ``HEAD``, ``HEAD~2``.

        ``HEAD~1`` is the version that was in force before the last move. Raises UnknownMemoryError.
        """
        back = re.fullmatch(r"(?:HEAD|@)(?:~(\d{1,6}))?", text)
        if back is not None:
            return self._earlier(int(back[1] or 0), text)
        known = self.versions()
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
        self._refuse_links()
        old = self.tree(parent)
        tree: Tree = {}
        new: dict[str, bytes] = {}
        for name, entry in sorted(entries.items()):
            earlier = old.get(name)
            if earlier is not None and entry == self.objects.entry(name, earlier):
                tree[name] = earlier
                continue
            check_entry(entry)
            new[name] = canonical(entry)
            tree[name] = digest(new[name])
        self.objects.put_all(new.values())
        version = Version(
            id=tree_id(tree), parents=[parent] if parent else [], dream_id=dream_id, actor=actor, at=at, note=note,
            counts=counts or Counts(active=sum(entry.active for entry in entries.values())),
        )  # fmt: skip
        path = self._version_path(version.id)
        self.keep_private()
        if not path.exists():
            files.write(path, canonical(_Kept(version, tree)))
        return self.version(version.id)

    def _refuse_links(self) -> None:
        for name in ("objects", "versions", "rendered", "rendered/topics", "inbox", "dreams"):
            if (self.folder / name).is_symlink():
                raise self.objects.damaged(name, "it is a link to elsewhere")

    def keep_private(self) -> None:
        """A new memory stays out of its project's repository, and out of agents' worktrees: until a person takes this
        file away, to share it. Blocking."""
        if not (self.folder / "versions").exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write(self.folder / ".gitignore", b"*\n")

    def state(self, text: str) -> str:
        """Keeps a person's own words, for the note that they are the evidence of; gives their SHA-256."""
        self._refuse_links()
        return self.objects.put(stated(text))

    def evaluate(self, version_id: str, result: dict[str, Any]) -> Version:
        """Adds to a version what was measured of it."""
        kept = self._kept(version_id)
        version = msgspec.structs.replace(kept.version, eval=result)
        files.write(self._version_path(version_id), canonical(_Kept(version, kept.tree)))
        return version

    def publish(self, version_id: str, expected: str | None, move: Move) -> Move:
        """Puts a version in force, if the one in force is still `expected`. Raises MemoryConflictError.

        Of `move`, kind, actor, time, dream and note are kept. But for a rollback, every note of the version in force is
        in the new one, be it as a tombstone: raises MemoryRefusedError where one would vanish.
        """
        tree = self.tree(version_id)
        with self.locked():
            head = self.head()
            if head != expected:
                raise MemoryConflictError(
                    f"The memory in {self.folder} has moved on: the version in force is {short(head)}, and this change "
                    f"was made of {short(expected)}.",
                    hint="Nothing is lost: make the change again from the version in force.",
                )
            lost = [] if move.kind == "rollback" else sorted(self.tree(head).keys() - tree.keys())
            if lost:
                raise MemoryRefusedError(f"{len(lost)} notes would vanish without a trace, {lost[0]} among them.")
            return self._move(msgspec.structs.replace(move, before=head, after=version_id))

    def erased(self, head: str, tree: Tree, *, by: str, at: float, note: str) -> None:
        """HEAD goes on to a tree from which notes were erased, and the history says so. The caller holds the lock."""
        version = Version(id=tree_id(tree), parents=[head], actor=by, at=at, note=note)
        if version.id != head:
            files.write(self._version_path(version.id), canonical(_Kept(version, tree)))
        move = Move(before=head, after=version.id, kind="redact", actor=by, at=at, note=note)
        files.append(self.folder / "moves.jsonl", canonical(move))
        files.write(self.folder / "HEAD", f"{version.id}\n".encode())

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Nobody else writes to the store for the length of the body. Raises MemoryStoreError, also for a store with
        links in it: whoever made them would have us write elsewhere."""
        with files.locked(self.folder / "lock"):
            self._refuse_links()
            yield

    def render(self) -> list[Path]:
        """Makes the files for people anew from HEAD; gives those that there are."""
        with self.locked():
            return self.rendered()

    def rendered(self) -> list[Path]:
        """The same, for a caller that holds the lock."""
        entries = self.entries(self.head())
        folder = self.folder / "rendered"
        wanted = {folder / name: text.encode() for name, text in render(entries).items()}
        wanted[self.folder / "entries.jsonl"] = b"".join(canonical(entry) + b"\n" for entry in entries.values())
        for path, data in wanted.items():
            if path.is_symlink() or files.read(path) != data:
                files.write(path, data, durable=False)
        for path in (folder / "topics").glob("*.md"):
            if path not in wanted and not path.is_dir():
                path.unlink()
        return sorted(wanted)

    def _move(self, move: Move) -> Move:
        files.append(self.folder / "moves.jsonl", canonical(move))
        files.write(self.folder / "HEAD", f"{move.after}\n".encode())
        self.rendered()
        return move

    # --- how the notes fared -----------------------------------------------------------------------------------------

    def uses(self) -> list[Use]:
        """What is known of runs that had these notes, one of each run. Made of their journals, and can be again."""
        data = files.read(self.folder / "uses.jsonl", 2 * USES_BYTES) or b""
        found: dict[str, Use] = {}
        for line in data.splitlines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # cut off by a crash
                use = msgspec.json.decode(line, type=Use)
                found.pop(use.run_id, None)
                found[use.run_id] = use
        return list(found.values())

    def add_use(self, use: Use) -> None:
        """Adds a run, or what it is known of it now."""
        path = self.folder / "uses.jsonl"
        with self.locked():
            if path.is_file() and path.stat().st_size > USES_BYTES:
                files.write(path, b"".join(canonical(each) + b"\n" for each in self.uses()[-USES_KEPT:]))
            files.append(path, canonical(use))

    # --- proposals that wait -----------------------------------------------------------------------------------------

    def proposals(self) -> list[Proposal]:
        """What waits in the inbox, in the order of ids. Raises MemoryStoreError for a file that is no proposal."""
        found: list[Proposal] = []
        for path in sorted((self.folder / "inbox").glob("p-*.json")):
            found.append(self.objects.decode(files.read(path) or b"", Proposal, f"inbox/{path.name}"))
        return found

    def put_proposal(self, proposal: Proposal) -> None:
        """Adds a proposal to the inbox, or replaces it."""
        self._refuse_links()
        files.write(self._proposal_path(proposal.id), canonical(proposal))

    def drop_proposal(self, proposal_id: str) -> None:
        self._proposal_path(proposal_id).unlink(missing_ok=True)

    def _proposal_path(self, proposal_id: str) -> Path:
        if not re.fullmatch(r"p-[0-9a-f]{12}", proposal_id):
            raise UnknownMemoryError(f"{proposal_id[:80]!r} is no id of a proposal: p- and twelve hexadecimal digits.")
        return self.folder / "inbox" / f"{proposal_id}.json"

    # --- files -------------------------------------------------------------------------------------------------------

    def _kept(self, version_id: str) -> _Kept:
        data = files.read(self._version_path(version_id)) if HASH.fullmatch(version_id) else None
        if data is None:
            raise UnknownMemoryError(
                f"There is no version {version_id[:12]!r} in {self.folder}.",
                hint="See them with: counterpoint dream log",
            )
        kept = self.objects.decode(data, _Kept, f"versions/{version_id[:12]}…")
        if tree_id(kept.tree) != version_id or kept.version.id != version_id:
            raise self.objects.damaged(f"versions/{version_id[:12]}…", "its content has changed")
        return kept

    def _earlier(self, steps: int, text: str) -> str:
        """Where HEAD was that many moves ago."""
        places = [move.before for move in self.moves()]
        head = self.head()
        found = head if not steps else (places[-steps] if steps <= len(places) else None)
        if found is None:
            raise UnknownMemoryError(f"There is no version {text} in {self.folder}: it has {len(places)} moves.")
        return found

    def _version_path(self, version_id: str) -> Path:
        return self.folder / "versions" / f"{version_id}.json"


def short(version_id: str | None) -> str:
    """A version as people read it."""
    return version_id[:12] if version_id else "none"
