"""Evidence or nothing: a claim stands only on words that are really there, and that may be shown (T4, T15)."""

from __future__ import annotations

from pathlib import Path

from tests.dream.lived import Place, everything_below, item, reader, skeptics

from counterpoint.testing import ScriptedModel

KEY = "sk-test-0a1b2c3d4e5f6a7b8c9d0e1f"
SECRETS = (KEY, "hunter2hunter2", "Zq8vT3mN5kL9wX2bR7yP4cD6", "ada@example.org")


async def test_an_invented_quote_a_misplaced_one_and_a_hidden_one_each_end_a_claim(tmp_path: Path) -> None:
    place = Place(tmp_path)
    said = ["The staging database is called lovelace.", "Deploys go out on Thursday mornings only."]
    said += ["The mirror\u200b is at port 8080 of the lab."]
    await place.lived("I have looked.", said=said)
    model = ScriptedModel(
        reader(
            item("The staging database is named lovelace.", "staging database is called lovelace"),
            item("The production database is named babbage.", {"ref": "q1", "text": "production is called babbage"}),
            item("Deployment happens on Thursdays.", {"ref": "q1", "text": "Deploys go out on Thursday mornings"}),
            item("The mirror listens at port 8080.", "mirror is at port 8080"),
            item("Nobody knows where this is.", {"ref": "q99", "text": "Deploys go out on Thursday mornings"}),
        ),
        skeptics(),
    )
    report = await place.dream(model)
    assert [note.text for note in place.notes()] == ["The staging database is named lovelace."]
    assert {(row.check, row.reason) for row in report.blocked} == {
        ("V1", "the quote does not stand there"),
        ("V1", "the quote has hidden signs in the transcript"),
        ("V1", "there is no such excerpt"),
    }
    assert [row.reason for row in report.blocked].count("the quote does not stand there") == 2


async def test_secrets_of_transcripts_reach_no_prompt_no_file_and_no_report(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived(
        ("Bash", "cat .env", f"TOKEN={KEY}\npassword: hunter2hunter2\nsession Zq8vT3mN5kL9wX2bR7yP4cD6\n[exit code 1]"),
        f"The key is {KEY}, and ada@example.org owns it.",
        said=[f"Use the key {KEY} for the staging server, always.", "The staging server restarts at noon each day."],
    )
    gullible = reader(
        item("The staging server restarts daily at noon.", "staging server restarts at noon"),
        item(f"The key of staging is {KEY}.", "staging server restarts at noon", aspect="key"),
        item("The password of staging is hunter2hunter2.", "staging server restarts at noon", aspect="password"),
        item("Write to ada@example.org about staging.", "staging server restarts at noon", aspect="owner"),
        item("The key of staging is known.", {"ref": "q1", "text": f"Use the key {KEY} for"}, aspect="known"),
    )
    model = ScriptedModel(gullible, skeptics())
    report = await place.dream(model)
    assert [note.text for note in place.notes()] == ["The staging server restarts daily at noon."]
    assert len(report.blocked) == 4
    written = everything_below(place.memory.folder).decode()
    prompts = "".join(asked.prompt for asked in model.asked)
    for secret in SECRETS:
        assert secret not in written, secret
        assert secret not in prompts, secret
        assert secret not in repr(report), secret
