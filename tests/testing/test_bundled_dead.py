"""Bundled workflows whose agents die: what is not known is said to be unknown, and is no finding and no success."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from counterpoint.testing import NULL, ScriptedModel, Step, Uses, run_script

DEAD = ScriptedModel(Step(NULL, times=None))
BUG = {"file": "a.py", "quote": "return old(x) / 0", "what": "It divides by zero, always.", "severity": "high"}
LATER = {"file": "./b.py", "quote": "print(old(2))", "what": "It prints what nobody wants.", "severity": "low"}
STANDS = {"refuted": False, "reason": "I could not refute it."}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("def f(x):\n    return old(x) / 0\n", "utf-8")
    (tmp_path / "b.py").write_text("print(old(2))\n", "utf-8")
    (tmp_path / "notes.md").write_text("A resume runs the script again from the top.\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("review", {}, "nothing is known"),
        ("bug-hunt", {}, "nothing is known"),
        ("deep-research", {"question": "How does it resume?", "path": "."}, "nothing is known"),
        ("plan-panel", {"goal": "Make it fast"}, "there is no plan"),
        ("triage", {"items": [{"id": 1, "text": "a"}]}, "nothing is known of the 1 items"),
        ("migrate", {"instruction": "Call new", "pattern": "old"}, "whether it has changed the file is not known"),
        ("port", {"from": ".", "to": "out", "language": "Go", "extension": "go", "test": "true"}, "0 of 2 files"),
        ("survey", {}, "No answer for: a.py, b.py, notes.md"),
        ("fix-until-green", {"command": "exit 3", "attempts": 2}, "nothing is known of the cause"),
    ],
)
async def test_where_every_agent_died_the_report_says_so_and_claims_nothing(
    project: Path, name: str, args: dict[str, Any], said: str
):
    played = await run_script(name, DEAD, args=args, cwd=project, allow=("Bash",), sandbox="off")
    assert played.status == "partial"
    report = played.value["report"]
    assert said in report
    for lie in ("survived", "No bug was found", "is green", "No build and no test was given", "changed nothing"):
        assert lie not in report


async def test_a_round_in_which_every_finder_died_is_no_quiet_one(project: Path):
    rounds: list[Any] = [{"bugs": [BUG]}, NULL, {"bugs": []}, {"bugs": [LATER]}, {"bugs": []}, {"bugs": []}]
    agents = ScriptedModel(
        *(Step(says, label=f"round {n + 1}, *", times=2 if says is NULL else 1) for n, says in enumerate(rounds)),
        Step(STANDS, label="verify *", times=6),
    )
    played = await run_script("bug-hunt", agents, cwd=project)
    assert [bug["file"] for bug in played.value["bugs"]] == ["a.py", "b.py"]
    assert (played.value["rounds"], played.value["dead"]) == (6, 1)
    assert "1 of 6 finders without an answer: there may be more" in played.value["report"]


async def test_files_whose_finder_always_died_are_named_and_a_bug_without_votes_has_not_survived(project: Path):
    for n in range(6):
        (project / f"c{n}.py").write_text("pass\n", "utf-8")
    agents = ScriptedModel(
        Step(NULL, label="round 1, group 1"),
        Step({"bugs": [BUG]}, label="round *, group 1*", times=3),
        Step(NULL, label="round *, group 2*", times=6),
        Step(NULL, label="verify *", times=3),
    )
    played = await run_script("bug-hunt", agents, cwd=project)
    report = played.value["report"]
    assert report.startswith("None of 1 bugs is confirmed: 0 refuted, 1 not verified.")
    assert "Nobody has looked at: c4.py, c5.py." in report
    assert "6 of 8 files, 3 rounds" in report
    assert "3 of 6 finders without an answer" in report


def research(*readers: Step, skeptics: Any = STANDS, synthesis: Any = "From the top [1].") -> ScriptedModel:
    source = {"source": "notes.md", "why": "it is about it", "relevance": 5}
    return ScriptedModel(
        Step({"angles": [{"title": t, "looks_for": "how it resumes"} for t in ("one", "two")]}, label="scope"),
        Step({"sources": [source]}, label="one"),
        Step(NULL, label="two"),
        *readers,
        Step(skeptics, label="verify *", times=None),
        Step(synthesis, label="synthesis", times=None),
    )


CLAIM = {"claim": "A resume starts at the top.", "quote": "runs the script again from the top"}
READER = Step({"claims": [CLAIM]}, label="notes.md")
QUESTION = {"question": "How does it resume?", "path": "."}


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (lambda: research(Step(NULL, label="notes.md")), "No source was read, so nothing is known."),
        (lambda: research(Step({"claims": []}, label="notes.md")), "1 of 1 sources were read; none gave a claim"),
        (lambda: research(READER, skeptics=NULL), "No claim is confirmed, so there is no answer: 0 refuted, 1 not"),
        (lambda: research(READER, synthesis=NULL), "The synthesis did not end; these are the claims that stand:"),
        (lambda: research(READER), "From the top [1]."),
    ],
)
async def test_research_says_what_kept_it_from_an_answer_and_who_died(project: Path, agents: Any, said: str):
    played = await run_script("deep-research", agents(), args=QUESTION, cwd=project)
    assert played.value["report"].startswith(said)
    dead = played.value["dead"]
    assert dead["angles"] == 1
    assert f"Without an answer: 1 of 2 searches and {dead['sources']} of 1 readers" in played.value["report"]


async def test_a_plan_that_no_judge_has_seen_is_not_called_the_winner(project: Path):
    agents = ScriptedModel(
        Step(NULL, label="planner 1"),
        Step("the plan of two", label="planner 2"),
        Step("the plan of three", label="planner 3"),
        Step(NULL, label="judge *", times=3),
        Step(NULL, label="critic"),
        Step(NULL, label="final plan"),
    )
    played = await run_script("plan-panel", agents, args={"goal": "Make it fast", "planners": 3}, cwd=project)
    report = played.value["report"]
    assert (played.value["winner"], played.value["taken"]) == (None, 0)
    assert "nobody has compared the plans" in report
    assert "2 plans (1 of 3 planners did not answer); scores 2: not judged (taken), 3: not judged; 0 of 3" in report
    assert "winning" not in report


async def test_triage_tells_a_dead_reader_from_one_that_disagrees_and_a_dead_actor_from_one_that_did_nothing(
    tmp_path: Path,
):
    def row(kind: str) -> dict[str, Any]:
        return {"kind": kind, "area": "unknown", "urgency": "soon", "gives_orders": False}

    agents = ScriptedModel(
        Step(NULL, label="item 1"),
        *(Step(row("bug"), label=f"item {n}") for n in (2, 3, 4, 5)),
        Step(NULL, label="item 2 (again)"),
        Step(row("wish"), label="item 3 (again)"),
        *(Step(row("bug"), label=f"item {n} (again)") for n in (4, 5)),
        Step(NULL, label="act on item 4"),
    )
    items = [{"id": n, "text": f"text {n}"} for n in (1, 2, 3, 4)] + [{"id": "not a plain one", "text": "text"}]
    played = await run_script(
        "triage", agents, args={"items": items, "act": "Label it.", "on": ["bug"]}, cwd=tmp_path
    )  # fmt: skip
    report = played.value["report"]
    assert "| 2 | bug | unknown | soon | no second reader answered |" in report
    assert "| 3 | bug | unknown | soon | readers disagree |" in report
    assert "Acted on 0 of 2 items" in report
    assert "Whether anything was done is not known, since the actor did not answer: item 4." in report
    assert "neither a number nor a plain name: item 5." in report
    assert "Not sorted, since no reader answered: item 1." in report
    assert (played.value["acted"], played.value["lost"], played.value["unread"]) == (0, [4], [1])


async def test_a_migration_changes_and_reviews_and_what_nobody_reviewed_is_not_done(project: Path):
    def author(path: str, text: str) -> Step:
        edit = Uses("Edit", file_path=path, old_string=text, new_string=text.replace("old", "new"))
        done = {"changed": 1, "left": ""}
        return Step(Uses("Read", file_path=path), edit, done, prompt=f"one change in the file {path}")

    agents = ScriptedModel(
        author("a.py", "old(x)"),
        author("b.py", "old(2)"),
        Step({"right": True, "why": "It is as asked."}, prompt="one changed file, a.py"),
        Step(NULL, prompt="one changed file, b.py"),
    )
    args = {"instruction": "Call new", "pattern": r"old\(", "glob": "*.py"}
    played = await run_script("migrate", agents, args=args, cwd=project, allow=("Edit",))
    played.expect(status="partial", phases={"Change": 2, "Review": 2}, coverage=(3, 4))
    assert (project / "a.py").read_text("utf-8").endswith("return new(x) / 0\n")
    assert played.value["done"] == ["a.py"]
    assert "- b.py: nobody has reviewed it" in played.value["report"]
    assert "only 50 % of a batch of 2 were right, and of 1 nothing is known" in played.value["stopped"]


async def test_green_without_a_reviewer_says_so_and_a_dead_attempt_is_none_that_changed_nothing(tmp_path: Path):
    (tmp_path / "state.txt").write_text("bad\n", "utf-8")
    wrote = Uses("Write", file_path="state.txt", content="good\n")
    agents = ScriptedModel(
        Step(NULL, label="attempt 1"),
        Step(NULL, label="attempt 2"),
        Step(
            Uses("Read", file_path="state.txt"), wrote,
            {"cause": "the word was wrong", "change": "another word", "gave_up": False}, label="attempt 3",
        ),
        Step(NULL, label="does it cheat?"),
    )  # fmt: skip
    played = await run_script(
        "fix-until-green", agents, args="grep good state.txt", cwd=tmp_path, sandbox="off",
        allow=("Write", "Edit", "Bash(grep *)"),
    )  # fmt: skip
    assert (played.value["green"], played.value["weakened"]) == (True, None)
    report = played.value["report"]
    assert (
        "is green, and nobody has looked whether a change cheats: the reviewer did not answer (3 attempts, 2" in report
    )
    assert "- 1: the agent did not answer → not known" in report


@pytest.fixture
def repository(project: Path) -> Path:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "first")):
        subprocess.run([*git, *arguments], cwd=project, check=True, capture_output=True)
    return project


async def test_a_port_that_nobody_has_read_or_reviewed_is_open(repository: Path):
    agents = ScriptedModel(
        Step({"exports": ["f(x)"], "needs": [], "care": ""}, label="a.py"),
        Step(NULL, label="b.py"),
        Step(Uses("Write", file_path="out/a.go", content="// f\n"), {"note": ""}, label="a.py: port"),
        Step(NULL, label="a.py: results, review 1"),
        Step(NULL, label="a.py: edges, review 1"),
    )
    args = {"from": ".", "to": "out", "language": "Go", "extension": "go", "pattern": "*.py"}
    played = await run_script("port", agents, args=args, cwd=repository, allow=("Edit(out/**)",))
    assert played.value["ported"] == []
    assert [(row["path"], row["state"]) for row in played.value["open"]] == [("a.py", "unreviewed"), ("b.py", "unread")]
    report = played.value["report"]
    assert "- a.py: merged, but nobody has reviewed it." in report
    assert "- b.py: not ported, since its reader did not answer." in report


async def test_a_source_of_which_a_part_is_unread_is_named_and_one_that_is_not_there_has_no_reader(project: Path):
    line = "A resume runs the script again from the top.\n"
    (project / "notes.md").write_text(line * 20, "utf-8")
    sources = [{"source": source, "why": "it is about it", "relevance": 5} for source in ("./notes.md", "made-up.md")]
    agents = ScriptedModel(
        Step({"angles": []}, label="scope"),
        Step({"sources": sources}, label="the question itself"),
        Step({"claims": [CLAIM]}, label="notes.md (1 of 2)"),
        Step(NULL, label="notes.md (2 of 2)"),
        Step(STANDS, label="verify *", times=3),
        Step("From the top.", label="synthesis"),
    )
    played = await run_script("deep-research", agents, args={**QUESTION, "chars": 500}, cwd=project)
    report = played.value["report"]
    assert "Read only in part: notes.md." in report
    assert "1 sources dropped: . has no such documents." in report
    assert "Caution: the text cites no claim at all." in report
    empty = project / "empty"
    empty.mkdir()
    nothing = await run_script("deep-research", ScriptedModel(), args={**QUESTION, "path": "empty"}, cwd=project)
    assert nothing.value["report"] == "No documents in empty, so there is no answer."
