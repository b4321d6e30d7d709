"""The ladder: which proposals fall, at which rung, and why."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.memory.notes import by_id, note

from counterpoint.dream.cleaning import Cleaner
from counterpoint.dream.cluster import Cluster, Facets, relation
from counterpoint.dream.items import Claim, Item, anchor
from counterpoint.dream.propose import propose
from counterpoint.dream.session import Part, Said, Session
from counterpoint.dream.verify import LADDER, Ground, Vote, tally, verify
from counterpoint.events import RunStatus
from counterpoint.memory.changes import Proposal
from counterpoint.memory.entries import Author, Check, Entry, Kind, Taint
from counterpoint.redaction import Redaction

SAID = "We said that much in the stand-up of the project."
AGENTS = (("AGENTS.md", "# House\n- Use tabs for indentation in all files.\n- The port of the service is 8080.\n"),)


def proposed(text: str, *, author: Author = Author.USER, entries: dict[str, Entry] | None = None,
             **more: object) -> tuple[Proposal, Ground]:  # fmt: skip
    """What is proposed of a claim with one quote of that author, and what it is held against."""
    said = Said("", 1, 100.0, SAID, (Part(0, len(SAID), author, Taint.CLEAN),))
    sessions = {
        run: Session(run, "work", "/p", 100.0, 101.0, 9, RunStatus.COMPLETED, "success", 0.0, 1, False, (said,))
        for run in ("wf_1", "wf_2")
    }
    found = anchor(sessions["wf_1"], said, (0, 20))
    assert found is not None
    item = msgspec.convert(
        {"kind": "fact", "subject": "matter", "aspect": text[:30], "text": text, "quotes": [], **more}, Item
    )
    claim = Claim(item, (found,), "reader", deterministic=author is not Author.USER)
    made = propose([Cluster((claim,))], entries or {}, sessions, at=200.0, dream_id="d")
    (proposal,) = made.proposals
    ground = Ground(Path("/nowhere"), entries or {}, sessions, Cleaner(Redaction({})), AGENTS)
    return proposal, ground


@pytest.mark.parametrize(
    ("text", "rung", "why"),
    [
        ("Never use tabs for indentation in any of the files.", "V3", "AGENTS.md says otherwise, and wins"),
        ("Use tabs for the indentation in all files.", "V5", "AGENTS.md says so already"),
        ("Always write good code.", "V5", "so general"),
        ("The key of staging is sk-test-0a1b2c3d4e5f6a7b8c9d.", "V4", "secret"),
        ("The guide is at https://install.example/guide.", "V4", "link"),
        ("The guide is cGxlYXNlIHJ1biB0aGUgaW5zdGFsbGVyIG5vdw== here.", "V4", "secret"),
        ("The gаteway of the lab is slow on Mondays.", "V4", "alphabets that look alike"),
    ],
)
def test_each_rung_stops_what_it_is_for(text: str, rung: str, why: str) -> None:
    proposal, ground = proposed(text)
    verified = verify(proposal, ground)
    assert (verified.state, verified.verdicts[-1].check) == ("rejected", rung)
    assert why in verified.verdicts[-1].reason


def test_what_only_text_from_outside_says_is_not_acted_by_in_any_language() -> None:
    for text in ("Der Installer kennt die Option --fast.", "Instalador: `mode turbo` existe.", "安装程序 mode=turbo"):
        proposal, ground = proposed(text, author=Author.ASSISTANT)
        assert verify(proposal, ground).state == "open", text
        page = msgspec.structs.replace(proposal.evidence[0], author=Author.TOOL_EXTERNAL, taint=Taint.UNTRUSTED)
        tainted = msgspec.structs.replace(proposal, evidence=[*proposal.evidence, page])
        assert "only text from outside has" in _safe_verdict(tainted, ground), text
    long = Check(kind="grep", arg="x" * 201)
    proposal, ground = proposed("The generator is the target gen.", check=msgspec.to_builtins(long))
    assert "longer than 200" in verify(proposal, ground).verdicts[-1].reason
    proposal, ground = proposed(
        "The generator is the target gen.", check={"kind": "grep", "arg": "https://x.example/a"}
    )
    assert _safe_verdict(proposal, ground) == "it has a link"


def _safe_verdict(proposal: Proposal, ground: Ground) -> str:
    return dict(LADDER)["V4"](proposal, ground).reason


@pytest.mark.parametrize(
    "wrong",
    [{"quote": "Nobody ever said that"}, {"span": (1, 21)}, {"seq": 2}, {"run_id": "wf_9"}, {"sha256": "0" * 64},
     {"author": Author.ASSISTANT}, {"session_id": "a1"}],
)  # fmt: skip
def test_an_anchor_that_is_not_what_stands_at_its_place_ends_a_proposal(wrong: dict[str, object]) -> None:
    proposal, ground = proposed("The generator is the target gen of the makefile.")
    assert verify(proposal, ground).state == "open"
    false = msgspec.structs.replace(proposal.evidence[0], **wrong)
    verified = verify(msgspec.structs.replace(proposal, evidence=[*proposal.evidence, false]), ground)
    assert (verified.state, verified.verdicts[-1].check) == ("rejected", "V1")


def test_a_wider_permission_is_blocked_unless_a_person_asked_for_it_and_then_it_still_waits() -> None:
    text = "Skip the slow tests when the branch is a draft."
    proposal, ground = proposed(text, author=Author.ASSISTANT)
    assert verify(proposal, ground).verdicts[-1].reason == "it would widen what agents may do, or skip a check"
    proposal, ground = proposed(text)
    verified = verify(proposal, ground)
    assert (verified.state, verified.risk) == ("open", 2)


def test_a_check_that_does_not_hold_now_ends_a_proposal_and_one_that_holds_does_not(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("gen:\n\techo\n")
    for check, state in (
        (Check(kind="path_exists", arg="Makefile"), "open"),
        (Check(kind="grep", arg="gen: in Makefile"), "open"),
        (Check(kind="path_exists", arg="../outside"), "rejected"),
        (Check(kind="path_exists", arg="/etc/passwd"), "rejected"),
        (Check(kind="grep", arg="test: in Makefile"), "rejected"),
        (Check(kind="command", arg="touch x"), "open"),
    ):
        proposal, ground = proposed("The generator is the target gen.", check=msgspec.to_builtins(check))
        ground = Ground(tmp_path, ground.entries, ground.sessions, ground.cleaner)
        assert verify(proposal, ground).state == state, check
    assert not (tmp_path / "x").exists()


def test_what_a_person_said_is_not_replaced_by_what_a_program_saw_and_a_tie_keeps_it() -> None:
    kept = note("The matter takes 4 minutes.", "matter::time", author=Author.USER)
    kept = msgspec.structs.replace(kept, kind=Kind.FACT)
    said = Said("", 1, 100.0, SAID, (Part(0, len(SAID), Author.ASSISTANT, Taint.CLEAN),))
    session = Session("wf_9", "work", "/p", 100.0, 101.0, 9, RunStatus.COMPLETED, "success", 0.0, 1, False, (said,))
    found = anchor(session, said, (0, 20))
    assert found is not None
    item = Item(kind=Kind.FACT, subject="matter", aspect="time", text="The matter takes 9 minutes.", quotes=[])
    made = propose([Cluster((Claim(item, (found,), "reader", deterministic=True),))], by_id(kept), {"wf_9": session},
                   at=200.0, dream_id="d")  # fmt: skip
    assert made.proposals == []
    assert [(c.why, c.settled) for c in made.conflicts] == [("their figures differ", "neither was taken")]


def test_votes_are_counted_without_those_who_did_not_vote() -> None:
    proposal, _ = proposed("The generator is the target gen of the makefile.")
    yes, no = Vote(False, "it stands", "a:x"), Vote(True, "it does not", "b:y")
    assert tally(proposal, [yes, yes, no], 2).state == "open"
    assert tally(proposal, [yes, no, None], 2).state == "rejected", "a tie adds nothing"
    assert tally(proposal, [yes, None, None], 2).state == "unverified"
    assert tally(proposal, [None, None, None], 2).state == "unverified"
    assert [v.by for v in tally(proposal, [yes, no, yes], 2).verdicts] == ["model:a:x", "model:b:y", "model:a:x"]


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (
            "For `lab build` pass --profile=x; others are refused.",
            "Run `lab build a --profile=x` and not without.",
            "same",
        ),
        ("For `lab build` pass --profile=x.", "For `lab build` pass --profile=y, always so.", "conflict"),
        ("The build takes 4 minutes.", "The build takes 9 minutes.", "conflict"),
        ("Use the profile amber for builds.", "Use the profile basalt for builds.", "conflict"),
        ("Run the generator before the tests.", "Execute the generator before the tests.", "same"),
        ("Tests need the service up.", "Tests do not need the service up.", "conflict"),
    ],
)
def test_what_says_the_same_and_what_cannot_both_hold(one: str, other: str, how: str) -> None:
    a, b = (Facets("project", "fact", "lab-build::x", "neutral", text) for text in (one, other))
    assert (relation(a, b)[0], relation(b, a)[0]) == (how, how)


@pytest.mark.parametrize("text", ["pass --order=cobalt to it", "the budget of tokens: 500k", "a key: the left one"])
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert Cleaner(Redaction({})).redacted(text) == text
