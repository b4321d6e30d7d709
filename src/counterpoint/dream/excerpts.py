"""S3b: what readers are shown: a few pieces of each run, with who said them. Most text is never sent. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.detect import Hit
from counterpoint.dream.episodes import episodes
from counterpoint.dream.items import Ref
from counterpoint.dream.session import Part, Session
from counterpoint.memory.entries import Author

CHUNK = 12_000
"""Characters that one reader is shown."""
PIECE = 1_500
"""Characters of one text; of a longer one, its beginning and its end."""
CHARS_PER_TOKEN = 4
GOAL = 200
"""Characters of what an episode was for."""

_Piece = tuple[int, Part, int, int]
"""A place, a part of the text there, and where the piece begins and ends."""


class Chunk(Struct, frozen=True):
    """What one reader gets."""

    id: str
    run_id: str
    text: str
    refs: dict[str, Ref] = field(default_factory=dict[str, Ref])
    episodes: int = 0
    """So many things that were tried are in it; 0: a plan of an earlier release, which did not count them."""


def chunks(sessions: Iterable[Session], hits: Sequence[Hit], cleaner: Cleaner) -> list[Chunk]:
    """One chunk a run, several for a long one: episode by episode."""
    found: list[Chunk] = []
    for session in sessions:
        wanted = {hit.said for hit in hits if hit.run_id == session.run_id}
        notes = [f"({hit.detector}: {cleaner.shown(hit.summary)})" for hit in hits if hit.run_id == session.run_id]
        found += _chunks_of(session, wanted, notes, cleaner, len(found))
    return found


def tokens(chunks: Iterable[Chunk]) -> int:
    """About how many input tokens the readers need."""
    return sum(len(chunk.text) // CHARS_PER_TOKEN + 900 for chunk in chunks)


def _chunks_of(session: Session, wanted: set[int], notes: list[str], cleaner: Cleaner, before: int) -> list[Chunk]:
    """The chunks of one run: its episodes in their order, whole as far as they fit."""
    page = _Page(session, cleaner, before, notes[:20])
    pieces: dict[int, list[_Piece]] = defaultdict(list)
    for piece in _pieces(session, wanted):
        pieces[piece[0]].append(piece)
    cut = episodes(session)
    for number, episode in enumerate(cut, 1):
        mine = [piece for place in episode.places for piece in pieces.get(place, ())]
        lines = [(piece, text) for piece in mine if (text := page.text_of(*piece))]
        if lines:
            about = episode.about() if len(cut) > 1 else ""
            page.begin(f"Episode {number} of {len(cut)}, {page.goal(episode.goal)}: {about}." if about else "", lines)
    return page.chunks()


class _Page:
    """The chunks of a run as they are filled."""

    def __init__(self, session: Session, cleaner: Cleaner, before: int, notes: list[str]) -> None:
        name = cleaner.shown(session.name)[:80]
        self._head = f"A run named {name}; it ended as {session.status.value} ({session.outcome})."
        self._session, self._cleaner, self._before = session, cleaner, before
        self._found: list[Chunk] = []
        self._lines = [self._head, *notes]
        self._refs: dict[str, Ref] = {}
        self._episodes = 0
        self._lived: dict[tuple[int, bool], str] = {}

    def text_of(self, place: int, part: Part, start: int, end: int) -> str:
        """What is shown of a piece; empty: nothing."""
        said, person = self._session.said[place], part.author is Author.USER
        if (place, person) not in self._lived:
            self._lived[place, person] = self._cleaner.lived(said.text, by_person=person)
        text = self._cleaner.shown(self._lived[place, person][start:end], echoes=person).strip()
        return "" if text == "[memory cut]" else text

    def goal(self, place: int) -> str:
        """What an episode was for, in a line."""
        text = self._cleaner.shown(self._cleaner.lived(self._session.said[place].text)[:GOAL])
        return f"“{' '.join(text.split())}”"

    def begin(self, about: str, lines: Sequence[tuple[_Piece, str]]) -> None:
        """Adds an episode, on a new page where it does not fit whole."""
        if self._refs and self._size() + sum(len(text) for _, text in lines) > CHUNK:
            self._turn()
        for n, ((place, part, start, end), text) in enumerate(lines):
            if self._refs and self._size() + len(text) > CHUNK:
                self._turn()
            if n == 0 or not self._refs:
                self._episodes += 1
                self._lines += [about] if about else []
            said = self._session.said[place]
            name = f"q{len(self._refs) + 1}"
            self._refs[name] = Ref(self._session.run_id, said.session_id, said.seq, start, end)
            self._lines.append(f"[{name}] {_who(part)}: {text}")

    def chunks(self) -> list[Chunk]:
        if self._refs:
            self._turn()
        return self._found

    def _size(self) -> int:
        return sum(map(len, self._lines))

    def _turn(self) -> None:
        name = f"c{self._before + len(self._found) + 1}"
        text = "\n".join(self._lines)
        self._found.append(Chunk(name, self._session.run_id, text, self._refs, self._episodes))
        self._lines, self._refs, self._episodes = [self._head], {}, 0


def _pieces(session: Session, wanted: set[int]) -> list[_Piece]:
    """Places that are worth reading: people, hits with what is around them, what failed, how each agent ended."""
    failed = {(step.said, step.part) for step in session.steps if not step.ok}
    near = {place + n for place in [*wanted, *(said for said, _ in failed)] for n in (-1, 0, 1, 2)}
    last = {said.session_id: place for place, said in enumerate(session.said) if said.session_id}
    found: list[_Piece] = []
    for place, said in enumerate(session.said):
        for n, part in enumerate(said.parts):
            worth = (
                part.author is Author.USER
                or place in near
                or (place, n) in failed
                or place == last.get(said.session_id)
            )
            if worth:
                found += [(place, part, start, end) for start, end in _cut(part)]
    return found


def _cut(part: Part) -> list[tuple[int, int]]:
    """A short part whole; of a long one, beginning and end."""
    if part.end - part.start <= PIECE:
        return [(part.start, part.end)]
    return [(part.start, part.start + PIECE // 2), (part.end - PIECE // 2, part.end)]


def _who(part: Part) -> str:
    names = {
        Author.USER: "a person", Author.ASSISTANT: "the agent", Author.AGENT: "the task as a program wrote it",
        Author.TOOL_LOCAL: f"the tool {part.tool}", Author.TOOL_EXTERNAL: f"TEXT FROM OUTSIDE ({part.tool})",
        Author.TEST: "a test",
    }  # fmt: skip
    return names[part.author]
