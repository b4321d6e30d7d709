"""S3a: what can be seen in runs without a model. Each detector gives claims with places, or places for readers. Pure.

Claims of detectors are worded by us around what a program did; the words of tools are quoted, and never become an
instruction.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from counterpoint.dream.cleaning import imperative
from counterpoint.dream.items import Claim, Item, anchor
from counterpoint.dream.session import SHELLS, Session, Step, Worker
from counterpoint.events import Outcome
from counterpoint.memory.entries import Evidence, Kind, Taint
from counterpoint.memory.likeness import likeness, words

LOOKUPS = 3
"""Runs in which a file was looked up, from which it is worth a pointer."""
ILL_SHARE = 0.5
ILL_LEAST = 4
LINE = 160
RETRIES = 3
_ERROR = re.compile(
    r"(?i)error|fail|cannot|not found|no such|denied|refused|unknown|invalid|traceback|exception|missing"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that a detector has seen. Readers are shown the places of those without a claim."""

    detector: str
    summary: str
    run_id: str
    said: int
    """Place in the run's texts."""
    claim: Claim | None = None


def detect(sessions: Sequence[Session]) -> list[Hit]:
    """What all detectors see, in a fixed order."""
    return [
        *fixes(sessions),
        *repeated_corrections(sessions),
        *looked_up(sessions),
        *ill_kinds(sessions),
        *costly(sessions),
        *refuted(sessions),
        *broken_commands(sessions),
    ]


def fixes(sessions: Iterable[Session]) -> list[Hit]:
    """A command failed, and a changed form of it then went well in the same run; the one that fixed it is known.

    The same change of the same program, with whatever other arguments, is one lesson; each place of it is a hit.
    """
    groups: dict[tuple[str, ...], list[_Fix]] = defaultdict(list)
    for session in sessions:
        for failed, fixed, between in _recoveries(session):
            fix = _Fix(session, failed, fixed, between)
            if not (_heard_outside(session, failed) or _heard_outside(session, between or fixed)):
                groups[fix.lesson].append(fix)
    hits: list[Hit] = []
    for _, fixes_ in sorted(groups.items()):
        claim = _lesson(fixes_)
        for n, fix in enumerate(fixes_):
            hits.append(Hit("fixes", fix.text(), fix.session.run_id, fix.failed.said, None if n else claim))
    return hits


@dataclass(frozen=True, slots=True)
class _Fix:
    """A command that failed, and what went well then: another form of it, or the same after `between`."""

    session: Session
    failed: Step
    fixed: Step
    between: Step | None

    @property
    def lesson(self) -> tuple[str, ...]:
        """What it teaches, without the accidents of the one call."""
        if self.between is not None:
            return (_program(self.failed.what), "before", self.between.what)
        gone, come = self.change()
        return (_program(self.failed.what), "form", " ".join(gone), " ".join(come))

    def change(self) -> tuple[list[str], list[str]]:
        """The words of the command that went, and those that came."""
        wrong, right = _split(self.failed.what), _split(self.fixed.what)
        return [word for word in wrong if word not in right], [word for word in right if word not in wrong]

    def aspect(self) -> str:
        """Which property of the program it is about: what comes before it, its options, or the form of this call."""
        if self.between is not None:
            return "needs before"
        gone, come = self.change()
        options = [word.partition("=")[0].strip("-") for word in come if word.startswith("-")]
        return " ".join(["form", *options]) if options and not gone else f"{_rest(self.failed.what)} form"

    def text(self, *, also: bool = False) -> str:
        """In words. `also`: it was seen with other arguments as well."""
        more = ", with other arguments as well" if also else ""
        if self.between is not None:
            first = _short(self.between.what)
            said = f"Before `{_short(self.failed.what)}` run `{first}`: without it the command fails{more}."
        else:
            said = f"Instead of `{_short(self.failed.what)}`, which fails here, run `{_short(self.fixed.what)}`{more}."
        error = _error_line(self.session, self.failed)
        return f'{said} It fails with "{_short(error)}".' if error else said

    def anchors(self) -> list[Evidence]:
        session, good = self.session, self.between or self.fixed
        found = (
            _result(session, self.failed, _error_line(session, self.failed)),
            _command(session, self.failed),
            _command(session, good),
        )
        return [anchor for anchor in found if anchor is not None]


def _lesson(fixes_: Sequence[_Fix]) -> Claim | None:
    """What all of them teach."""
    first = fixes_[0]
    anchors = {anchor.id: anchor for fix in fixes_ for anchor in fix.anchors()}
    program = _program(first.failed.what)
    item = Item(
        kind=Kind.PITFALL, subject=program, aspect=first.aspect(),
        text=first.text(also=len({fix.failed.what for fix in fixes_}) > 1), quotes=[],
        trigger=f"when {program} is run", would_disprove=f"`{_short(first.failed.what)}` goes well as it is.",
        review_days=90,
    )  # fmt: skip
    return Claim(item, tuple(anchors.values()), "fixes", deterministic=True) if anchors else None


def _recoveries(session: Session) -> list[tuple[Step, Step, Step | None]]:
    """Failed commands with what went well instead: another form, or the same one after one other command."""
    found: list[tuple[Step, Step, Step | None]] = []
    by_agent: dict[str, list[Step]] = defaultdict(list)
    for step in session.steps:
        if step.tool in SHELLS and step.what:
            by_agent[step.agent].append(step)
    for steps in by_agent.values():
        mended: list[Step] = []
        for n, failed in enumerate(steps):
            if failed.ok:
                continue
            later = next((s for s in steps[n + 1 : n + 9] if s.ok and _same_program(s.what, failed.what)), None)
            if later is None or later in mended:
                continue  # what was tried on the way to what went well is no lesson of its own
            mended.append(later)
            between = [s for s in steps[n + 1 : steps.index(later)] if s.ok]
            if later.what != failed.what:
                found.append((failed, later, None))
            elif len(between) == 1:
                found.append((failed, later, between[0]))
    return found


def repeated_corrections(sessions: Iterable[Session]) -> list[Hit]:
    """A person has said about the same in several runs."""
    said = [(session, place) for session in sessions for place in session.corrections]
    spoken = [frozenset(words(session.said[place].text)) for session, place in said]
    hits: list[Hit] = []
    for n, (session, place) in enumerate(said):
        text = session.said[place].text
        twins = [
            other
            for k, (other, there) in enumerate(said[:n])
            if other is not session
            and 2 * len(spoken[k] & spoken[n]) > min(len(spoken[k]), len(spoken[n]))
            and likeness(other.said[there].text, text) > 0.5
        ]
        if twins:
            hits.append(Hit("repeated correction", f"said before: {_short(text)}", session.run_id, place))
    return hits


def looked_up(sessions: Iterable[Session]) -> list[Hit]:
    """A file was read in many runs."""
    seen: dict[str, list[tuple[Session, Step]]] = defaultdict(list)
    for session in sessions:
        paths: set[str] = set()
        for step in session.steps:
            path = _relative(step.what, session.cwd)
            elsewhere = path.startswith(("/", "..", "~")) or path[1:2] == ":"
            if step.tool == "Read" and step.ok and path and path not in paths and not elsewhere:
                paths.add(path)
                seen[path].append((session, step))
    hits: list[Hit] = []
    for path, places in sorted(seen.items()):
        if len(places) < LOOKUPS:
            continue
        anchors = [a for session, step in places if (a := _command(session, step)) is not None]
        text = f"`{path}` was looked up in {LOOKUPS} or more runs: read it early."
        item = Item(
            kind=Kind.POINTER, subject=path, aspect="looked up", text=text, quotes=[],
            trigger="at the start of a task in this project", would_disprove=f"{path} is gone or no longer read.",
            check=None,
        )  # fmt: skip
        claim = Claim(item, tuple(anchors), "looked up", deterministic=True) if anchors else None
        hits.append(Hit("looked up", f"{text} ({len(places)})", places[0][0].run_id, places[0][1].said, claim))
    return hits


def ill_kinds(sessions: Iterable[Session]) -> list[Hit]:
    """Types of agents that often end without a result."""
    ends: dict[str, list[tuple[Session, Worker]]] = defaultdict(list)
    for session in sessions:
        for worker in session.workers:
            if worker.outcome is not None and worker.outcome not in (Outcome.SKIPPED, Outcome.CANCELLED):
                ends[worker.kind or re.sub(r"[\d#:].*", "", worker.label).strip() or "agent"].append((session, worker))
    hits: list[Hit] = []
    for kind, seen in sorted(ends.items()):
        ill = [(session, worker) for session, worker in seen if worker.outcome not in (Outcome.OK, Outcome.REUSED)]
        if len(seen) >= ILL_LEAST and len(ill) >= ILL_SHARE * len(seen):
            session, worker = ill[0]
            summary = f"{len(ill)} of {len(seen)} agents of the kind {_short(kind)} ended without a result"
            hits.append(Hit("failing kind", summary, session.run_id, _first_of(session, worker.id)))
    return hits


def costly(sessions: Iterable[Session]) -> list[Hit]:
    """Prompts whose agents had to be repeated or mended often."""
    return [
        Hit(
            "costly prompt", f"{worker.retries} repeats: {_short(worker.prompt)}", session.run_id,
            _first_of(session, worker.id),
        )
        for session in sessions
        for worker in session.workers
        if worker.retries >= RETRIES
    ]  # fmt: skip


def refuted(sessions: Iterable[Session]) -> list[Hit]:
    """Claims that skeptics have refuted in more than one run."""
    seen: list[tuple[Session, Worker]] = [
        (session, worker)
        for session in sessions
        for worker in session.workers
        if re.search(r"(?i)\b(?:refuted|stands)\b[\"']?\s*:\s*\"?(?:true|false|refuted)", worker.value)
        and not re.search(r"(?i)stands[\"']?: ?true|refuted[\"']?: ?false", worker.value)
    ]
    hits: list[Hit] = []
    for n, (session, worker) in enumerate(seen):
        if any(other is not session and likeness(there.prompt, worker.prompt) > 0.6 for other, there in seen[:n]):
            summary = f"refuted again: {_short(worker.prompt)}"
            hits.append(Hit("refuted again", summary, session.run_id, _first_of(session, worker.id)))
    return hits


def broken_commands(sessions: Sequence[Session]) -> list[Hit]:
    """Commands that have failed in several runs and gone well in none."""
    good = {step.what for session in sessions for step in session.steps if step.ok}
    repaired = {failed.what for session in sessions for failed, _, _ in _recoveries(session)}
    seen: dict[str, dict[str, tuple[Session, Step]]] = defaultdict(dict)
    for session in sessions:
        for step in session.steps:
            fails = step.tool in SHELLS and step.what and not step.ok and step.what not in good | repaired
            if fails and not _heard_outside(session, step):
                seen[step.what].setdefault(session.run_id, (session, step))
    hits: list[Hit] = []
    for command, places in sorted(seen.items()):
        if len(places) < 2:
            continue
        session, step = next(iter(places.values()))
        error = _error_line(session, step)
        found = [_command(s, bad) for s, bad in places.values()] + [
            _result(s, bad, _error_line(s, bad)) for s, bad in places.values()
        ]
        anchors = {a.id: a for a in found if a is not None}
        text = f"`{_short(command)}` fails on this machine" + (f' with "{_short(error)}".' if error else ".")
        item = Item(
            kind=Kind.PITFALL, subject=_program(command), aspect=_rest(command) + " fails", text=text, quotes=[],
            trigger=f"before {_program(command)} is run", polarity="negative",
            would_disprove=f"`{_short(command)}` goes well.", review_days=30,
        )  # fmt: skip
        claim = Claim(item, tuple(anchors.values()), "broken command", deterministic=True) if anchors else None
        hits.append(Hit("broken command", text, session.run_id, step.said, claim))
    return hits


# --- places ----------------------------------------------------------------------------------------------------------


def _result(session: Session, step: Step, line: str) -> Evidence | None:
    """The line of a result that says how it ended."""
    said = session.said[step.said]
    part = said.parts[step.part]
    at = said.text.find(line, part.start, part.end) if line else -1
    return anchor(session, said, (at, at + len(line)), by_program=True) if at >= 0 else None


def _command(session: Session, step: Step) -> Evidence | None:
    """Where the agent called the command: in the message before its result."""
    for said in reversed(session.said[: step.said]):
        if said.session_id == step.agent:
            at = said.text.find(step.what) if step.what else -1
            wanted = step.what[:300]
            return anchor(session, said, (at, at + len(wanted)), by_program=True) if at >= 0 else None
    return None


def _heard_outside(session: Session, step: Step) -> bool:
    """Whether text from outside had come in before the agent called that: it may have been talked into anything."""
    called = _command(session, step)
    return called is None or called.taint is Taint.UNTRUSTED


def _error_line(session: Session, step: Step) -> str:
    """The line of a result that says what went wrong; none that tells somebody what to do: it goes into a note."""
    said = session.said[step.said]
    part = said.parts[step.part]
    lines = [line.strip() for line in said.text[part.start : part.end].splitlines()[1:]]
    lines = [line for line in lines if line and not line.startswith(("<tool-output", "</tool-output", "[exit code"))]
    lines = [line[:LINE] for line in lines if not imperative(line)]
    return next((line for line in lines if _ERROR.search(line)), lines[-1] if lines else "")


def _first_of(session: Session, agent: str) -> int:
    return next((n for n, said in enumerate(session.said) if said.session_id == agent), 0)


# --- words -----------------------------------------------------------------------------------------------------------


def _program(command: str) -> str:
    """What a command calls: its first word, and the second where that is a verb of it."""
    parts = _split(command)
    return " ".join(parts[:2]) if len(parts) > 1 and re.fullmatch(r"[a-z][\w-]*", parts[1]) else (parts or [""])[0]


def _rest(command: str) -> str:
    parts = [part for part in _split(command) if not part.startswith("-")]
    return " ".join(parts[1:4]) or "call"


def _same_program(one: str, other: str) -> bool:
    return _program(one) == _program(other)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _relative(path: str, cwd: str) -> str:
    return path.removeprefix(f"{cwd.rstrip('/')}/")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LINE else line[: LINE - 1] + "…"
