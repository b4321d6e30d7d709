"""The lead's rules that need no model: what is typed, what is told, what is offered, what its prompts are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from counterpoint.events import Recorded, RunCreated, RunEnded, RunStarted, RunStatus, Value
from counterpoint.lead import prompts
from counterpoint.lead.author import script_in
from counterpoint.lead.notice import notice, returned
from counterpoint.lead.record import Record
from counterpoint.lead.session import Typed, typed
from counterpoint.lead.talk import whole
from counterpoint.lead.triage import offers
from counterpoint.models.messages import AssistantTurn, ToolCall, ToolTurn, UserTurn
from counterpoint.script.find import Saved
from counterpoint.view import RunView

PROMPTS = {
    "answer": (1, "858b"),
    "author": (1, "0d63"),
    "chat": (1, "5cbc"),
    "repair": (1, "4851"),
    "small": (1, "bcc4"),
    "triage": (1, "dbd0"),
    "write": (1, "6678"),
}
"""Version and digest of each prompt: a text that changes gets a new version, and its new digest here."""


@pytest.mark.parametrize("name", sorted(PROMPTS))
def test_a_prompt_whose_text_changes_gets_a_new_version(name: str):
    found = prompts.prompt(name)
    assert (found.version, hashlib.sha256(found.text.encode()).hexdigest()[:4]) == PROMPTS[name]


def test_every_prompt_file_is_known_here():
    assert sorted(path.stem for path in prompts.HERE.glob("*.md")) == sorted(PROMPTS)


def test_what_is_put_into_a_prompt_is_not_looked_at_for_holes():
    text = prompts.prompt("write").fill(task="{{scouted}} and {{guide}}", scouted="\nfound\n")
    assert "{{scouted}} and {{guide}}" in text
    assert "found" in text


def test_the_guide_is_a_skill_and_its_example_is_in_it():
    whole_text = prompts.GUIDE.read_text("utf-8")
    assert re.match(r"---\nname: [a-z-]+\ndescription: .+\n---\n", whole_text)
    assert "export const meta" in prompts.guide()
    assert not prompts.guide().startswith("---")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("hello", Typed("hello")),
        ("/review src", Typed("src", "review")),
        ("/quit", Typed("", "quit")),
        ("+500k do it", Typed("do it", "", ("+500k",))),
        ("do it +$5", Typed("do it", "", ("+$5",))),
        ("the note says +900k and more", Typed("the note says +900k and more")),
        ("line one +5\nline two", Typed("line one +5\nline two")),
        ("/ is no command", Typed("/ is no command")),
        ("ultracode workflow now", Typed("ultracode workflow now")),
    ],
)
def test_what_is_typed_is_taken_as_it_is_meant(line: str, meant: Typed):
    assert typed(line) == meant


def ended(result: str) -> RunView:
    value = Value(json=None)  # type: ignore[arg-type]  (the notice is given the value, and does not look here)
    created = RunCreated("wf_1", "n", "d", "s", value, 1, "sim", ".", simulated=True)
    events = [created, RunStarted(1, 1, "h", 1), RunEnded(RunStatus.COMPLETED, value)]
    return RunView.of(Recorded(n + 1, float(n), event) for n, event in enumerate(events))


def test_a_run_that_returned_a_book_is_told_in_few_words_with_a_handle_to_the_rest():
    said = notice(ended(""), {"report": "word " * 200_000})
    assert len(said) < 5000
    assert "Result with run wf_1" in said
    assert "SIMULATED" in said
    assert "no message of the user" in said


def test_the_rest_of_a_result_can_be_read_in_parts():
    text = "".join(f"<{n:04}>" for n in range(3000))
    first, second = returned("wf_1", text, 0, 6000), returned("wf_1", text, 6000, 6000)
    assert "<0999>" in first
    assert "<1000>" not in first
    assert "characters 6,000 to 12,000 of 18,000" in second
    assert "<1000>" in second


def test_control_characters_of_a_result_do_not_reach_the_terminal():
    assert "\x1b" not in returned("wf_1", "a\x1b[31mb")


def test_the_script_is_taken_out_of_what_a_model_says_around_it():
    script = "export const meta = {name: 'a', description: 'b'}\nreturn 1\n"
    assert script_in(f"Sure!\n```js\n{script}```\nDone.") == script
    assert script_in(f"```\n{script}```") == script
    assert script_in(f"Here: {script}") == script
    assert script_in("I cannot do that.") is None


def test_workflows_are_offered_by_the_words_that_they_share_with_the_task():
    saved = [
        Saved("survey", Path("a"), "bundled", "Say what each file of a folder is"),
        Saved("review", Path("b"), "bundled", "Review the files of a folder"),
        Saved("broken", Path("c"), "project", "Review everything", error="it is broken"),
    ]
    assert [offer.saved.name for offer in offers("Please review these files", saved)] == ["review"]
    assert [offer.saved.name for offer in offers("Look at each file in a folder", saved)] == ["survey", "review"]
    assert offers("bake bread", saved) == []


def test_a_conversation_that_a_crash_has_cut_can_go_on():
    cut = [UserTurn("go"), AssistantTurn("", [ToolCall("1", "Start", {"what": "x"})])]
    mended = whole(cut)
    assert isinstance(mended[2], ToolTurn)
    assert mended[2].results[0].error
    assert isinstance(mended[3], AssistantTurn)
    assert whole([UserTurn("a"), AssistantTurn("b")]) == [UserTurn("a"), AssistantTurn("b")]


def test_a_torn_line_of_a_record_is_passed_over(tmp_path: Path):
    record = Record.create(tmp_path, command="chat")
    record.message(UserTurn("hello"))
    with (record.folder / "session.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "kind": "mess')
    again = Record.find(tmp_path, "@last")
    assert again.messages() == [UserTurn("hello")]
    assert [row["begins"] for row in Record.listing(tmp_path)] == ["hello"]
