"""S3b: what readers are shown: a few pieces of each run, with who said them. Most text is never sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.detect import Hit
from counterpoint.dream.items import Ref
from counterpoint.dream.session import Part, Session
from counterpoint.memory.entries import Author

CHUNK = 12_000
"""Characters that one reader is shown."""
PIECE = 1_500
"""Characters of one text; of a longer one, its beginning and its end."""
CHARS_PER_TOKEN = 4


class Chunk(Struct, frozen=True):
    """What one reader gets."""

    id: str
    run_id: str
    text: str
    refs: dict[str, Ref] = field(default_factory=dict[str, Ref])


def chunks(sessions: Iterable[Session], hits: Sequence[Hit], cleaner: Cleaner) -> list[Chunk]:
    """One chunk a run, several for a long one."""
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
    head = f"A run named {cleaner.shown(session.name)[:80]}; it ended as {session.status.value} ({session.outcome})."
    found: list[Chunk] = []
    lines: list[str] = [head, *notes[:20]]
    refs: dict[str, Ref] = {}
    empty = len(lines)
    lived: dict[tuple[int, bool], str] = {}
    for place, part, start, end in _pieces(session, wanted):
        said, person = session.said[place], part.author is Author.USER
        if (place, person) not in lived:
            lived[place, person] = cleaner.lived(said.text, by_person=person)
        text = cleaner.shown(lived[place, person][start:end], echoes=person).strip()
        if not text or text == "[memory cut]":
            continue
        if len(lines) > empty and sum(map(len, lines)) + len(text) > CHUNK:
            found.append(Chunk(f"c{before + len(found) + 1}", session.run_id, "\n".join(lines), refs))
            lines, refs, empty = [head], {}, 1
        name = f"q{len(refs) + 1}"
        refs[name] = Ref(session.run_id, said.session_id, said.seq, start, end)
        lines.append(f"[{name}] {_who(part)}: {text}")
    if refs:
        found.append(Chunk(f"c{before + len(found) + 1}", session.run_id, "\n".join(lines), refs))
    return found


def _pieces(session: Session, wanted: set[int]) -> list[tuple[int, Part, int, int]]:
    """Places that are worth reading: people, hits with what is around them, what failed, how each agent ended."""
    failed = {(step.said, step.part) for step in session.steps if not step.ok}
    near = {place + n for place in [*wanted, *(said for said, _ in failed)] for n in (-1, 0, 1, 2)}
    last = {said.session_id: place for place, said in enumerate(session.said) if said.session_id}
    found: list[tuple[int, Part, int, int]] = []
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
