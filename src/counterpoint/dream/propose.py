"""S5: what claims come to: typed proposals with floors, each with what would disprove it. Pure.

A floor is what must be there at least: the word of a person, or two independent sessions, or one thing that a program
saw. A procedure or preference needs words that may instruct (I3); text from outside proves a fact only beside others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Literal

import msgspec

from counterpoint.dream.cleaning import imperative
from counterpoint.dream.cluster import Cluster, Conflict, conflict, facets, relation
from counterpoint.dream.items import Blocked, trusted, witnesses
from counterpoint.dream.select import DAY_S
from counterpoint.dream.session import Session
from counterpoint.memory.changes import Op, Proposal, new_proposal_id
from counterpoint.memory.entries import (
    MAX_EVIDENCE,
    MAX_LINKS,
    MAX_TRIGGER,
    Author,
    Confidence,
    Entry,
    Evidence,
    Kind,
    Taint,
    new_id,
)

MOST = 30
"""Proposals of one dream: a person must be able to read them all."""
ENOUGH = 5
"""Sessions that support a note, from which another one adds nothing."""
ANCHORS = 12
"""Anchors that a proposal brings."""
INSTRUCTIONS = frozenset({Kind.PREFERENCE, Kind.PROCEDURE, Kind.PITFALL})
REVIEW_DAYS = 180
MOST_LINKS = 5
"""Notes that get links in one dream."""
NEIGHBOURS = 3
"""Links that dreams give to a note."""
SHORTEST_SUBJECT = 5
"""Signs of a subject that a text is searched for: shorter ones stand in texts by chance."""


@dataclass(slots=True)
class Proposed:
    """What a dream proposes, and what it does not."""

    proposals: list[Proposal] = field(default_factory=list[Proposal])
    blocked: list[Blocked] = field(default_factory=list[Blocked])
    conflicts: list[Conflict] = field(default_factory=list[Conflict])
    kept_back: int = 0
    """Proposals above the most that one dream makes: made again when a later run shows them too, or when their runs are
    named to a dream."""


def propose(
    clusters: Sequence[Cluster],
    entries: Mapping[str, Entry],
    sessions: Mapping[str, Session],
    *,
    at: float,
    dream_id: str,
    most: int = MOST,
) -> Proposed:
    """Makes proposals of clusters, against the notes that are in force."""
    active = [entry for entry in entries.values() if entry.active]
    maker = _Maker(active, sessions, at, dream_id)
    for each in clusters:
        maker.take(each)
    maker.merge_twins()
    maker.link_neighbours()
    found = sorted(maker.result.proposals, key=_worth)
    maker.result.proposals, maker.result.kept_back = found[:most], max(0, len(found) - most)
    return maker.result


def floor(cluster: Cluster, anchors: Sequence[Evidence]) -> str:
    """What a cluster lacks; empty: it may become a proposal."""
    item, person = cluster.head.item, any(a.author is Author.USER for a in anchors)
    may_instruct = trusted(anchors)
    instructs = item.kind in INSTRUCTIONS or imperative(item.text)
    if instructs and not may_instruct:
        return "text from outside, of files or of other agents cannot tell agents what to do"
    if all(anchor.taint is Taint.UNTRUSTED for anchor in anchors):
        return "text from outside proves nothing by itself"
    if person or cluster.deterministic:
        return ""
    if all(_by_hearsay(anchor) for anchor in anchors):
        return "what tools and other agents say proves nothing by itself, in however many runs they say it"
    counted = may_instruct if instructs else [a for a in anchors if a.taint is not Taint.UNTRUSTED]
    if item.kind is Kind.PROCEDURE:
        good = [anchor for anchor in counted if anchor.outcome == "success"]
        contrast = any(anchor.outcome == "failure" for anchor in counted)
        enough = witnesses(good) >= 2 or (bool(good) and contrast)
        return "" if enough else "a procedure needs two runs where it went well, or one against a failure"
    return "" if witnesses(counted) >= 2 else "one run says so, and nothing a program saw"


def _by_hearsay(anchor: Evidence) -> bool:
    """Whether it is of a tool or another agent, and no file of the project."""
    own = anchor.author is Author.TOOL_LOCAL and anchor.taint is Taint.CLEAN
    return anchor.author in (Author.TOOL_LOCAL, Author.TOOL_EXTERNAL, Author.AGENT) and not own


def confidence(anchors: Iterable[Evidence]) -> Confidence:
    anchors = list(anchors)
    strong = any(anchor.author in (Author.USER, Author.TEST) for anchor in anchors)
    several = witnesses(anchors) >= 2
    return "high" if strong and several else "medium" if strong or several else "low"


def risk_of(op: Op, new: Entry | None, targets: Iterable[Entry], anchors: Iterable[Evidence]) -> Literal[0, 1, 2, 3]:
    """0 more evidence for what is there; 1 a fact that a program proves; 2 what tells agents what to do; 3 what takes
    away something that a person said, or holds for a team."""
    targets = list(targets)
    if (new is not None and new.scope == "team") or (
        op in (Op.RETIRE, Op.SUPERSEDE, Op.MERGE) and any(entry.user_stated for entry in targets)
    ):
        return 3
    if op is Op.LINK or (op is Op.REVISE and new is not None and all(new.text == entry.text for entry in targets)):
        return 0
    proven = any(anchor.author is Author.TEST for anchor in anchors)
    return 1 if new is not None and proven and new.kind in (Kind.FACT, Kind.POINTER, Kind.PITFALL) else 2


class _Maker:
    def __init__(self, active: list[Entry], sessions: Mapping[str, Session], at: float, dream_id: str) -> None:
        self.result = Proposed()
        self._active = active
        self._facets = [(entry, facets(entry)) for entry in active]
        self._sessions = sessions
        self._at = at
        self._dream_id = dream_id
        self._touched: set[str] = set()

    def take(self, cluster: Cluster) -> None:
        """Makes of a cluster what it comes to."""
        item = cluster.head.item
        named = next((entry for entry in self._active if entry.id == item.replaces), None)
        if item.replaces is not None and named is None:
            self._block("V0", cluster, f"there is no active note {item.replaces[:40]}")
            return
        same, against, why = self._relatives(cluster)
        anchors = self._fresh(cluster, same[0] if same else named)
        if not anchors:
            return  # it says what a note says, in runs that had been given the note
        lacks = floor(cluster, anchors)
        if lacks:
            self._block("floor", cluster, lacks)
        elif item.retire and named is not None:
            self._retire(cluster, named, anchors)
        elif same and named is None:
            self._support(cluster, same[0], anchors)
        elif named is not None or against:
            self._supersede(cluster, named or against[0], why or "it takes the place of a note", anchors)
        else:
            new = self._entry(cluster, anchors)
            self._add(Op.ADD, [], new, anchors, self._why(cluster, anchors), item.would_disprove)

    def _relatives(self, cluster: Cluster) -> tuple[list[Entry], list[Entry], str]:
        """Notes that say the same, notes that contradict, and why."""
        same: list[Entry] = []
        against: list[Entry] = []
        reason = ""
        mine = facets(cluster.head)
        for entry, theirs in self._facets:
            kind, why = relation(mine, theirs)
            if kind == "same":
                same.append(entry)
            elif kind == "conflict":
                against.append(entry)
                reason = reason or why
        return same, against, reason

    def _fresh(self, cluster: Cluster, entry: Entry | None) -> list[Evidence]:
        """Anchors that are no echo: a run that was given the note proves it only by the words of a person."""
        if entry is None:
            return cluster.anchors
        told = {name for name, session in self._sessions.items() if entry.id in session.recalled}
        return [a for a in cluster.anchors if a.run_id not in told or a.author is Author.USER]

    def _entry(self, cluster: Cluster, anchors: list[Evidence], earlier: Entry | None = None) -> Entry:
        item, key = cluster.head.item, cluster.head.key
        anchors = _few(anchors)
        days = item.review_days or REVIEW_DAYS
        return Entry(
            id=earlier.id if earlier else new_id(item.scope, key, item.text, anchors), kind=item.kind,
            scope=item.scope, key=key, text=item.text.strip(), trigger=item.trigger.strip()[:MAX_TRIGGER],
            polarity=item.polarity, evidence=anchors, support_sessions=witnesses(anchors),
            confidence=confidence(anchors), valid_from=min(anchor.at for anchor in anchors), recorded_at=self._at,
            review_after=self._at + days * DAY_S, check=item.check,
        )  # fmt: skip

    def _support(self, cluster: Cluster, entry: Entry, anchors: list[Evidence]) -> None:
        """More evidence for a note that is there: only where it adds an independent witness."""
        known = {anchor.session for anchor in entry.evidence}
        new = [anchor for anchor in anchors if anchor.session not in known]
        all_anchors = [*entry.evidence, *_few(new)]
        if not new or entry.support_sessions >= ENOUGH or witnesses(all_anchors) <= witnesses(entry.evidence):
            return
        if len(all_anchors) + len(entry.counter_evidence) > MAX_EVIDENCE:
            return
        revised = msgspec.structs.replace(
            entry, evidence=all_anchors, support_sessions=max(witnesses(all_anchors), entry.support_sessions),
            confidence=confidence(all_anchors), review_after=self._at + REVIEW_DAYS * DAY_S,
        )  # fmt: skip
        self._add(Op.REVISE, [entry], revised, _few(new), "another run confirms it", cluster.head.item.would_disprove)

    def _supersede(self, cluster: Cluster, old: Entry, why: str, anchors: list[Evidence]) -> None:
        """The note no longer holds: only later evidence says so, and against a person's word only a person's."""
        person = any(anchor.author is Author.USER for anchor in anchors)
        later = max(a.at for a in anchors) > max((a.at for a in old.evidence), default=0.0)
        proven = any(anchor.author is Author.TEST for anchor in old.evidence)
        weaker = (old.user_stated and not person) or (proven and not person and not cluster.deterministic)
        if not later or weaker:
            self.result.conflicts.append(conflict(cluster.head, old, why, ""))
            return
        new = self._entry(cluster, anchors)
        room = MAX_EVIDENCE - len(new.evidence)
        new = msgspec.structs.replace(new, counter_evidence=old.evidence[-min(3, room) :], links=old.links)
        self.result.conflicts.append(conflict(cluster.head, old, why, new.text if person else ""))
        self._add(
            Op.SUPERSEDE, [old], new, anchors, f"{why}; it is later than {old.id}", cluster.head.item.would_disprove
        )

    def _retire(self, cluster: Cluster, old: Entry, anchors: list[Evidence]) -> None:
        if max(a.at for a in anchors) <= max((a.at for a in old.evidence), default=0.0):
            self._block("floor", cluster, f"what speaks against {old.id} is no later than what speaks for it")
            return
        self._add(Op.RETIRE, [old], None, anchors, cluster.head.item.text, cluster.head.item.would_disprove)

    def merge_twins(self) -> None:
        """Notes in force that say the same become one."""
        by_key: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self._active:
            by_key[entry.key, entry.kind].append(entry)
        for one, other in chain.from_iterable(combinations(entries, 2) for entries in by_key.values()):
            if {one.id, other.id} & self._touched or relation(facets(one), facets(other))[0] != "same":
                continue
            first, second = sorted((one, other), key=lambda entry: (-len(entry.text), entry.id))
            anchors = _few([*first.evidence, *second.evidence])
            if len(anchors) + len(first.counter_evidence) > MAX_EVIDENCE:
                continue
            new = msgspec.structs.replace(
                first, id=new_id(first.scope, first.key, first.text, anchors), evidence=anchors,
                support_sessions=witnesses(anchors), confidence=confidence(anchors), recorded_at=self._at,
                links=[name for name in dict.fromkeys([*first.links, *second.links])
                       if name not in (one.id, other.id)][:MAX_LINKS],
            )  # fmt: skip
            if new.id not in (one.id, other.id):
                self._add(Op.MERGE, [one, other], new, anchors, "they say the same", "one of them says more")

    def link_neighbours(self) -> None:
        """Notes in force that belong together name each other: of one subject, out of one run, or where the text of one
        names the subject of the other. Agents who look one up are told of the others."""
        made, settled = 0, set(self._touched)
        linked: set[tuple[str, str]] = set()
        for entry in sorted(self._active, key=lambda each: each.id):
            if made == MOST_LINKS or entry.id in self._touched or len(entry.links) >= NEIGHBOURS:
                continue
            near = [
                other
                for other in self._active
                if _belongs(entry, other) and other.id not in settled and (other.id, entry.id) not in linked
            ]
            near = sorted(near, key=lambda other: other.id)[: NEIGHBOURS - len(entry.links)]
            if near:
                anchors = [each.evidence[-1] for each in (entry, *near)]
                linked |= {(entry.id, other.id) for other in near}
                self._add(Op.LINK, [entry, *near], None, anchors, "they are about one thing", "One of them is gone.")
                made += 1

    def _add(
        self, op: Op, targets: list[Entry], new: Entry | None, anchors: list[Evidence], why: str, disprove: str
    ) -> None:
        names = [entry.id for entry in targets]
        changed = set(names[:1] if op is Op.LINK else names)
        if self._touched & changed:
            return  # one change a note and dream; the evidence is there for the next
        self._touched |= changed
        self.result.proposals.append(
            Proposal(
                id=new_proposal_id(op, names, new, anchors),
                op=op,
                target=names,
                new=new,
                why=why,
                would_disprove=disprove or "A later run in which it does not hold.",
                risk=risk_of(op, new, targets, anchors),
                evidence=_few(anchors),
                dream_id=self._dream_id,
                at=self._at,
            )
        )

    def _block(self, check: str, cluster: Cluster, reason: str) -> None:
        self.result.blocked.append(Blocked(check, cluster.head.item.text, reason))

    @staticmethod
    def _why(cluster: Cluster, anchors: list[Evidence]) -> str:
        by = sorted({"a reader" if claim.by == "reader" else f"the detector {claim.by}" for claim in cluster.claims})
        number = witnesses(anchors)
        return f"seen by {', '.join(by)} in {number} independent {'run' if number == 1 else 'runs'}"


def _few(anchors: Iterable[Evidence]) -> list[Evidence]:
    """The anchors that count most: of people and programs first, of as many runs as there are, the rest left out."""
    first: dict[str, Evidence] = {}
    ranked = sorted(anchors, key=lambda a: (a.author not in (Author.USER, Author.TEST), a.at, a.id))
    for anchor in ranked:
        first.setdefault(anchor.run_id, anchor)
    chosen = [*first.values(), *(a for a in ranked if a not in first.values())][:ANCHORS]
    return sorted(chosen, key=lambda anchor: (anchor.at, anchor.id))


def _belongs(entry: Entry, other: Entry) -> bool:
    """Whether a note should name another one, and does not yet: only one of two names the other."""
    if entry.id == other.id or entry.scope != other.scope or other.id in entry.links or entry.id in other.links:
        return False
    mine, theirs = (each.key.partition("::")[0] for each in (entry, other))
    if mine == theirs:
        return bool({a.run_id for a in entry.evidence} & {a.run_id for a in other.evidence})
    subject = [word for word in theirs.split("-") if word]
    said = re.findall(r"[^\W_]+", entry.text.casefold())
    named = any(said[n : n + len(subject)] == subject for n in range(len(said)))
    return len("".join(subject)) >= SHORTEST_SUBJECT and named


def _worth(proposal: Proposal) -> tuple[int, int, int, int, str]:
    """What a reviewer should see first: people's words, then what many runs support, links last."""
    person = any(anchor.author is Author.USER for anchor in proposal.evidence)
    proven = any(anchor.author is Author.TEST for anchor in proposal.evidence)
    return proposal.op is Op.LINK, not person, not proven, -witnesses(proposal.evidence), proposal.id
