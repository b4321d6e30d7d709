"""S6: the ladder that a proposal climbs. V0 to V5 are code, the cheapest first; the first that fails is the end of it.

V6 are skeptics, in ``dream.js``; here their votes are counted. A skeptic that did not answer has not voted: it neither
refutes nor confirms, and with too few votes a proposal is `unverified`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from counterpoint.dream.cleaning import Cleaner, imperative, levers
from counterpoint.dream.cluster import facets, relation
from counterpoint.dream.items import part_of, trusted
from counterpoint.dream.session import Session
from counterpoint.errors import MemoryRefusedError
from counterpoint.memory.changes import Op, Proposal, ProposalState, Verdict
from counterpoint.memory.entries import Author, Check, Entry, Evidence, Taint, check_entry, quotes
from counterpoint.memory.likeness import contradiction, likeness, words

INSTRUCTION_BYTES = 512 * 1024
GREP_BYTES = 2 * 1024 * 1024
GREP_FILES = 2_000
FEWEST_WORDS = 3
VAGUE = frozenset(
    (
        "careful",
        "carefully",
        "always",
        "code",
        "good",
        "best",
        "practice",
        "practices",
        "quality",
        "sure",
        "test",
        "tests",
        "important",
        "write",
        "properly",
        "correctly",
    )
)


class Vote(Struct, frozen=True):
    """What one skeptic said."""

    refuted: bool
    reason: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What proposals are held against."""

    folder: Path
    """The project; it is only read."""
    entries: Mapping[str, Entry]
    sessions: Mapping[str, Session]
    cleaner: Cleaner
    instructions: tuple[tuple[str, str], ...] = ()
    """Name and text of AGENTS.md, CLAUDE.md and the like: what they say wins."""


def verify(proposal: Proposal, ground: Ground) -> Proposal:
    """The proposal with the verdicts of V0 to V5, up to the first that fails; then it is rejected."""
    verdicts: list[Verdict] = []
    for name, check in LADDER:
        verdict = check(proposal, ground)
        verdicts.append(msgspec.structs.replace(verdict, check=name))
        if verdict.result == "fail":
            return msgspec.structs.replace(proposal, verdicts=verdicts, state="rejected")
    return msgspec.structs.replace(proposal, verdicts=verdicts)


def _well_formed(proposal: Proposal, ground: Ground) -> Verdict:
    needs_new = proposal.op in (Op.ADD, Op.REVISE, Op.SUPERSEDE, Op.MERGE)
    if needs_new and proposal.new is None:
        return _fail(f"{proposal.op} brings no note")
    if not proposal.evidence:
        return _fail("it has no evidence")
    missing = [name for name in proposal.target if name not in ground.entries]
    if missing:
        return _fail(f"there is no note {missing[0][:40]}")
    try:
        if proposal.new is not None:
            check_entry(proposal.new)
    except MemoryRefusedError as error:
        return _fail(error.message)
    return PASS


def _quoted(proposal: Proposal, ground: Ground) -> Verdict:
    """Each anchor of a run that was read stands where it says, in the words of the author that it names."""
    for anchor in proposal.evidence:
        session = ground.sessions.get(anchor.run_id)
        if session is None and any(anchor in entry.evidence for entry in ground.entries.values()):
            continue  # an old anchor of a note in force: it was checked when it came
        said = session.find(anchor.session_id, anchor.seq) if session is not None else None
        if said is None or not quotes(anchor, said.text):
            return _fail(f"“{anchor.quote[:80]}” does not stand where it should ({anchor.run_id})")
        part = part_of(said, anchor.span)
        if part is None or (part.author is not anchor.author and anchor.author is not Author.TEST):
            return _fail(f"“{anchor.quote[:80]}” is not of {anchor.author.value}")
        if ground.cleaner.redacted(anchor.quote) != anchor.quote:
            return _fail("a quote has a secret, or an address of a person, in it")
    return PASS


def _fresh(proposal: Proposal, ground: Ground) -> Verdict:
    check = proposal.new.check if proposal.new is not None else None
    if check is None:
        return PASS
    holds = look(check, ground.folder)
    if holds is None:
        return Verdict(by="rule", check="", result="unsure", reason=f"a dream does not run {check.kind} checks")
    return PASS if holds else _fail(f"{check.kind} {check.arg[:100]} does not hold in the project now")


def look(check: Check, folder: Path) -> bool | None:
    """Whether what a note claims can be seen in the project; None: a dream cannot see it. Only reads. Blocking."""
    match check.kind:
        case "path_exists":
            return _inside(folder, check.arg) is not None
        case "grep":
            pattern, separator, place = check.arg.rpartition(" in ")
            return _grep(pattern if separator else check.arg, place if separator else "", folder)
        case "version" | "command":
            return None


def _inside(folder: Path, name: str) -> Path | None:
    """The file or folder of that name, if it lies in the project."""
    root = folder.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) and path.exists() else None


def _grep(text: str, place: str, folder: Path) -> bool | None:
    """Whether the literal text stands in a file of the project, or in that one."""
    if place:
        path = _inside(folder, place)
        return path is not None and path.is_file() and text in _read(path, GREP_BYTES)
    for n, path in enumerate(sorted(folder.glob("**/*"))):
        if n > GREP_FILES:
            return None
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts and text in _read(path, GREP_BYTES):
            return True
    return False


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md", "CLAUDE.local.md", ".claude/CLAUDE.md")


def read_instructions(folder: Path, names: Iterable[str] = INSTRUCTION_FILES) -> tuple[tuple[str, str], ...]:
    """Files of the user's that a dream never edits, and whose word wins. Blocking."""
    found = ((name, _read(folder / name, INSTRUCTION_BYTES)) for name in names if (folder / name).is_file())
    return tuple((name, text) for name, text in found if text)


def _consistent(proposal: Proposal, ground: Ground) -> Verdict:
    new = proposal.new
    if new is None:
        return PASS
    for entry in ground.entries.values():
        if entry.active and entry.id not in {new.id, *proposal.target}:
            kind, why = relation(facets(new), facets(entry))
            if kind == "conflict":
                return _fail(f"it contradicts {entry.id} ({why}): {entry.text[:100]}")
    for name, text in ground.instructions:
        for line in _lines(text):
            why = contradiction(line, new.text)
            if why and _shared(line, new.text) >= (0.6 if "negates" in why else 0.75):
                return _fail(f"{name} says otherwise, and wins: {line[:120]}")
    return PASS


def _shared(line: str, text: str) -> float:
    """Share of the words of the shorter one that the other has as well."""
    mine, theirs = set(words(line)), set(words(text))
    return len(mine & theirs) / max(2, min(len(mine), len(theirs)))


def _lines(text: str) -> list[str]:
    return [line.strip(" #*->`\t") for line in text.splitlines() if len(line.strip()) > 8]


def _safe(proposal: Proposal, ground: Ground) -> Verdict:
    """Nothing of it may carry an order from outside, a wider permission, a secret, a link, or something hidden."""
    person = any(anchor.author is Author.USER for anchor in proposal.evidence)
    texts = [proposal.why, proposal.would_disprove]
    if proposal.new is not None and proposal.op is not Op.MERGE:
        texts += [proposal.new.text, proposal.new.trigger, proposal.new.key]
        texts += [proposal.new.check.arg] if proposal.new.check is not None else []
    for text in texts:
        faults = ground.cleaner.faults(text)
        excused = [fault for fault in faults if "widen" in fault] if person else []
        serious = [fault for fault in faults if fault not in excused]
        if serious:
            return _fail(serious[0])
    body = " ".join(texts)
    if not trusted(proposal.evidence) and imperative(body):
        return _fail("it is an order, and only text from outside, of files or of other agents says so")
    ordered = any(anchor.author is Author.TOOL_EXTERNAL and imperative(anchor.quote) for anchor in proposal.evidence)
    if ordered and not person:
        return _fail("a text from outside gives orders, and the proposal rests on it")
    if not person and proposal.new is not None and (unproven := _from_outside_alone(proposal.evidence, proposal.new)):
        return _fail(f"only text from outside has `{unproven[:60]}`, and an agent could act by it")
    return PASS


def _from_outside_alone(anchors: Sequence[Evidence], new: Entry) -> str:
    """An option, a piece of code or a setting of the note that no quote has but those of text from outside; empty:
    there is none. It is the same in every language."""
    if not any(anchor.taint is Taint.UNTRUSTED for anchor in anchors):
        return ""
    clean = " ".join(anchor.quote for anchor in anchors if anchor.taint is not Taint.UNTRUSTED)
    return next((piece for piece in levers(f"{new.text} {new.trigger}") if piece not in clean), "")


def _useful(proposal: Proposal, ground: Ground) -> Verdict:
    new = proposal.new
    if new is None or proposal.op is Op.REVISE or proposal.op is Op.MERGE:
        return PASS
    meaning = [word for word in words(new.text) if word not in VAGUE]
    if len(meaning) < FEWEST_WORDS:
        return _fail("it is so general that it would change nothing")
    for name, text in ground.instructions:
        for line in _lines(text):
            if likeness(line, new.text) >= 0.7 and not contradiction(line, new.text):
                return _fail(f"{name} says so already")
    for entry in ground.entries.values():
        if entry.active and entry.id not in proposal.target and relation(facets(new), facets(entry))[0] == "same":
            return _fail(f"{entry.id} says so already")
    return PASS


LADDER: Sequence[tuple[str, Callable[[Proposal, Ground], Verdict]]] = (
    ("V0", _well_formed), ("V1", _quoted), ("V2", _fresh), ("V3", _consistent), ("V4", _safe), ("V5", _useful),
)  # fmt: skip
PASS = Verdict(by="rule", check="", result="pass")


def _fail(reason: str) -> Verdict:
    return Verdict(by="rule", check="", result="fail", reason=reason)


# --- V6 --------------------------------------------------------------------------------------------------------------


def needs_skeptics(proposal: Proposal) -> bool:
    """More evidence for what is there is a matter of counting; everything else is attacked."""
    return proposal.state == "open" and proposal.risk > 0


def tally(proposal: Proposal, votes: Sequence[Vote | None], quorum: int) -> Proposal:
    """The proposal after its skeptics: majority of the votes cast; a tie adds nothing and takes nothing away."""
    cast = [vote for vote in votes if vote is not None]
    verdicts = [
        *proposal.verdicts,
        *(
            Verdict(by=f"model:{vote.model or 'unknown'}", check="V6", result="fail" if vote.refuted else "pass",
                    reason=vote.reason[:500])
            for vote in cast
        ),
    ]  # fmt: skip
    against = sum(vote.refuted for vote in cast)
    state: ProposalState = "open"
    if len(cast) < quorum:
        verdicts.append(
            Verdict(by="rule", check="V6", result="unsure", reason=f"{len(cast)} of {len(votes)} skeptics voted")
        )
        state = "unverified"
    elif 2 * against >= len(cast):
        state = "rejected"
    return msgspec.structs.replace(proposal, verdicts=verdicts, state=state)


def stale(entries: Iterable[Entry], folder: Path) -> list[Entry]:
    """Notes in force whose check no longer holds: they are flagged, and go only when a person says so. Blocking."""
    return [
        entry for entry in entries if entry.active and entry.check is not None and look(entry.check, folder) is False
    ]
