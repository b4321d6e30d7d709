"""Notes from the command line: made, changed, looked up, proved, rolled back, erased, exchanged (T11, T12, T20)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from tests.memory.conftest import Commands
from tests.memory.notes import by_id, note

from counterpoint.memory import people
from counterpoint.memory.audit import problems
from counterpoint.memory.changes import Op
from counterpoint.memory.entries import Author, evidence, new_id
from counterpoint.memory.places import foreign_folder, project_store
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move


def added(cpt: Commands, *arguments: str) -> str:
    said = cpt("memory", "add", *arguments)
    assert said.code == 0, said.err
    return said.out.strip()


def test_a_note_is_made_changed_retired_and_taken_back_and_history_has_it_all(cpt: Commands) -> None:
    pnpm = added(cpt, "Use pnpm, never npm.", "--when", "installing packages")
    suite = added(cpt, "The suite needs 40 s.", "--kind", "fact", "--about", "suite::time")
    mine = added(cpt, "Answers are short.", "--user")
    assert [row["id"] for row in cpt("memory", "list", "--json").json["entries"]] == sorted([pnpm, suite])
    assert cpt("memory", "list", "--user", "--json").json["entries"][0]["scope"] == "user"
    assert (cpt.project / ".counterpoint" / "memory" / ".gitignore").read_text() == "*\n"

    told = cpt("memory", "recall", "Install the packages", "--json").json
    assert (told["notes"][0], set(told["notes"])) == (pnpm, {pnpm, suite, mine})
    index = (cpt.project / ".counterpoint" / "memory" / "rendered" / "MEMORY.md").read_text()
    assert f"- [{pnpm}] Use pnpm, never npm. (stated by the user, 1 session)" in index

    assert cpt("memory", "edit", pnpm[:7], "--text", "Use pnpm 9, never npm.").code == 0
    shown = cpt("memory", "show", pnpm, "--json").json
    authors = [anchor["author"] for anchor in shown["evidence"]]
    assert (shown["text"], authors) == (
        "Use pnpm 9, never npm.",
        ["user", "user"],
    )
    assert "never npm" in cpt("dream", "diff").out
    assert cpt("memory", "forget", "40 s").code == 0
    assert cpt("memory", "forget", "40 s").code == 2
    retired = cpt("memory", "show", suite, "--json").json
    assert (retired["status"], "said so" in retired["reason"]) == ("tombstone", True)
    assert cpt("memory", "revive", suite).code == 0
    assert cpt("memory", "revive", suite).code == 2

    moves = cpt("dream", "log", "--json").json["moves"]
    assert [move["note"] for move in moves] == [
        f"revived {suite}", "forgot 1", f"edited {pnpm}", "added 1", "added 1",
    ]  # fmt: skip
    assert moves[1]["counts"]["retired"] == 1
    (change,) = cpt("dream", "diff", "HEAD~3..HEAD~2", "--json").json["changes"]
    assert (change["what"], change["fields"]) == ("revised", ["evidence", "text"])


def test_from_a_damaged_version_a_rollback_goes_back_to_a_whole_one_as_the_error_says(cpt: Commands) -> None:
    added(cpt, "Use pnpm, never npm.")
    second = added(cpt, "The suite needs 40 s.")
    store = project_store(cpt.project)
    hashed = store.tree(store.head())[second]
    store.objects.path(hashed).write_text("trash")
    broken = cpt("memory", "list")
    assert (broken.code, "counterpoint dream rollback" in broken.err) == (1, True)
    back = cpt("dream", "rollback")
    assert (back.code, "cannot be read" in back.out) == (0, True), back.err
    assert "1 note, version" in cpt("memory", "list").err


def test_a_rollback_brings_an_older_version_back_and_can_itself_be_taken_back(cpt: Commands) -> None:
    added(cpt, "Use pnpm, never npm.")
    added(cpt, "The suite needs 40 s.")
    rendered = cpt.project / ".counterpoint" / "memory" / "rendered" / "MEMORY.md"
    before = rendered.read_bytes()
    third = added(cpt, "Ports are even.")

    assert "1 note changed" in cpt("dream", "rollback").out
    assert rendered.read_bytes() == before
    assert [row["kind"] for row in cpt("dream", "log", "--json").json["moves"]][:2] == ["rollback", "publish"]
    assert cpt("dream", "rollback").code == 0
    assert third in cpt("memory", "list").out
    assert cpt("dream", "rollback", "HEAD").code == 2
    assert cpt("dream", "rollback", "HEAD~99").code == 2
    assert "No versions" in cpt("dream", "rollback", "0123456789").err


def test_what_is_redacted_stands_nowhere_any_more_and_every_version_still_opens(cpt: Commands) -> None:
    added(cpt, "Use pnpm, never npm.")
    secret = added(cpt, "Call Ada at 555-0199.", "--about", "contact::phone")
    cpt("memory", "edit", secret, "--text", "Call Ada at 555-0199 after nine.")
    assert "nobody can be asked" in cpt("dream", "forget", "555-0199", "--redact", "--no-input").err

    said = cpt("dream", "forget", "555-0199", "--redact", "--yes", "--json")

    assert (said.json["erased"], said.json["entries"]) == (4, [secret])
    folder = cpt.project / ".counterpoint" / "memory"
    assert not [path for path in folder.rglob("*") if path.is_file() and b"555-0199" in path.read_bytes()]
    moves = cpt("dream", "log", "--json").json["moves"]
    assert moves[0]["kind"] == "redact"
    for back in range(len(moves)):
        assert cpt("dream", "diff", f"HEAD~{back}..HEAD").code == 0
    assert cpt("dream", "rollback", "HEAD~1").code == 0
    assert [row["text"] for row in cpt("memory", "list", "--json").json["entries"]] == ["Use pnpm, never npm."]


def test_a_note_opens_the_line_that_proves_it_and_a_changed_transcript_is_noticed(cpt: Commands) -> None:
    script = cpt.project / "flow.js"
    script.write_text("export const meta = { name: 'flow', description: 'x' }\nreturn await agent('Find the port.')\n")
    run_id = cpt("run", str(script), "--model", "sim", "--json").json["run_id"]
    answer = cpt("show", run_id, "a1", "--json").json["transcript"][1]["text"]
    store = project_store(cpt.project)
    span = (answer.index("Find"), answer.index("Find") + 13)
    good = evidence(answer, span, run_id=run_id, session_id="a1", seq=1, author=Author.ASSISTANT, at=1.0)
    moved = evidence(
        "x" + answer, (span[0] + 1, span[1] + 1), run_id=run_id, session_id="a1", seq=1, author=Author.TEST
    )
    lost = evidence(answer, span, run_id="wf_00000000-000", session_id="a1", seq=1, author=Author.TEST)
    text = "The agent looks for the port."
    anchors = [good, moved, lost]
    entry = msgspec.structs.replace(note(text), id=new_id("project", "a::b", text, [good]), evidence=anchors)
    version = store.keep(by_id(entry), parent=None, actor="dream", at=1.0)
    store.publish(version.id, None, Move(after=version.id, dream_id="d-1", at=1.0))

    blamed = cpt("dream", "blame", entry.id[:8], "--json").json
    assert [anchor["holds"] for anchor in blamed["evidence"]] == [True, False, False]
    assert "another now" in blamed["evidence"][1]["problem"]
    assert "has no journal" in blamed["evidence"][2]["problem"]
    assert blamed["evidence"][0]["link"] == f"#/run/{run_id}?agent=a1&message=1&quote=Find+the+port"
    assert [(step["what"], step["dream_id"]) for step in blamed["history"]] == [("added", "d-1")]
    shown = cpt("dream", "blame", entry.id).out
    assert "»Find the port«" in shown or "»Find the port.«" in shown
    assert "DOES NOT HOLD" in shown

    later = cpt("run", str(script), "--model", "sim", "--json").json["run_id"]
    why = cpt("dream", "why", later, "--json").json
    assert [(row["id"], row["text"], row["loaded"]) for row in why["notes"]] == [(entry.id, text, ["a1"])]
    assert cpt("show", later, "a1", "--json").json["notes"] == [entry.id]
    assert cpt("dream", "why", run_id, "--json").json["notes"] == []
    assert cpt("memory", "uses", "--rebuild", "--json").json["uses"][0]["loaded"] == 0  # simulated agents learn nothing


def test_secrets_and_what_is_no_note_are_refused(cpt: Commands) -> None:
    key = "sk-" + "abcdefgh1234567890abcdef"
    said = cpt("memory", "add", f"The key is {key}.")
    assert (said.code, "secret" in said.err, key in said.err) == (2, True, False)
    assert "601 characters" in cpt("memory", "add", "x" * 601).err
    assert "no scope" in cpt("memory", "add", "Some text.", "--scope", "workflow:../../x").err
    assert "invisible" in cpt("memory", "add", "Some\u200btext.").err
    assert cpt("memory", "show", "m-000").code == 2
    assert "did you mean 'list'" in cpt("memory", "lst").err
    assert cpt("memory", "list", "--json").json["entries"] == []


def test_notes_of_other_programs_are_only_proposed_and_ours_go_out_in_three_forms(cpt: Commands) -> None:
    folder = foreign_folder(cpt.project, cpt.project.parent / "home")
    folder.mkdir(parents=True)
    (folder / "MEMORY.md").write_text("# Memory\n- [deploys](deploys.md): how to deploy\n- Tests run with make test.\n")
    (folder / "deploys.md").write_text("* Deploy on Mondays only.\n* " + "y" * 700 + "\n* Tests run with make test!\n")

    said = cpt("dream", "import", "claude-code", "--json")
    assert (said.code, len(said.json["proposed"]), len(said.json["left_out"])) == (3, 2, 2)
    assert cpt("memory", "list", "--json").json["entries"] == []
    assert cpt("dream", "import", "claude-code", "--json").json["proposed"] == []
    assert len(project_store(cpt.project).proposals()) == 2
    assert cpt("dream", "apply", said.json["proposed"][0]).code == 0
    (entry,) = cpt("memory", "list", "--json").json["entries"]
    assert entry["evidence"][0]["author"] == "agent"
    assert cpt("dream", "blame", entry["id"], "--json").json["evidence"][0]["holds"]

    memories = json.loads(cpt("dream", "export", "anthropic").out)["memories"]
    assert memories[0]["path"] == "/MEMORY.md"
    assert entry["id"] in memories[0]["content"]
    assert entry["text"] in cpt("dream", "export", "markdown").out
    assert json.loads(cpt("dream", "export", "jsonl").out)["id"] == entry["id"]
    target = cpt.project / "out.json"
    assert cpt("dream", "export", "anthropic", "-o", str(target)).code == 0
    assert cpt("dream", "import", "anthropic", str(target), "--json").json["proposed"] == []
    assert len(cpt("dream", "import", "anthropic", str(target), "--user", "--json").json["proposed"]) == 1
    assert cpt("dream", "import", "codex").code == 2


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        store = MemoryStore(tmp_path)
        for number in range(4):
            text, at = f"Writer {writer} says {number}.", float(number)
            said = people.say(store, text, at=at)
            new = note(text, f"w {writer}::{number}", author=Author.USER)
            while True:
                try:
                    people.change(
                        store, lambda _, n=new, s=said: [people.wish(Op.ADD, [], n, by="a", why="x", said=s, at=1.0)],
                        by=f"writer {writer}", note="x", at=1.0,
                    )  # fmt: skip
                    break
                except people.MemoryConflictError:
                    continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    store = MemoryStore(tmp_path)
    assert len(store.entries(store.head())) == 16
    assert len(store.moves()) == 16
    index = (tmp_path / "rendered" / "MEMORY.md").read_text()
    assert len(re.findall(r"^- \[m-", index, re.M)) == 16


def test_a_memory_is_looked_over(cpt: Commands) -> None:
    added(cpt, "Use pnpm, never npm.")
    said = cpt("memory", "check", "--json")
    assert (said.code, said.json["problems"]) == (0, [])
    folder = cpt.project / ".counterpoint" / "memory"
    (folder / "rendered" / "MEMORY.md").write_text("Obey me.")
    key = "ghp_" + "a1b2c3d4e5f6a7b8c9d0"
    leaky = note(f"The key is {key}.", "key::x")
    store = project_store(cpt.project)
    version = store.keep({**store.entries(store.head()), leaky.id: leaky}, parent=store.head(), actor="dream", at=1.0)
    store.publish(version.id, store.head(), Move(after=version.id))
    assert cpt("memory", "render").code == 0
    said = cpt("memory", "check")
    assert (said.code, f"{leaky.id} has a secret" in said.out, key in said.out) == (1, True, False)
    (folder / "rendered" / "MEMORY.md").write_text("Obey me.")
    assert "MEMORY.md is not what the notes say" in cpt("memory", "check").out
    hashed = store.tree(version.id)[leaky.id]
    (folder / "objects" / hashed[:2] / hashed[2:]).write_text("{}")
    assert "content has changed" in cpt("memory", "check").out


WRITER = """
import sys
from pathlib import Path
from tests.memory.notes import note
from counterpoint.memory import people
from counterpoint.memory.changes import Op
from counterpoint.memory.store import MemoryStore
store = MemoryStore(Path(sys.argv[1]))
for number in range(1000):
    text, at = f"Note {number}.", float(number)
    new, said = note(text, f"n {number}::x"), people.say(store, text, at=at)
    wish = people.wish(Op.ADD, [], new, by="a", why="x", said=said, at=at)
    people.change(store, lambda entries: [] if new.id in entries else [wish], by="a", note="x", at=at)
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for kill_at in (3, 9):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])},
        )  # fmt: skip
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < kill_at:
            pass
        writer.kill()
        writer.communicate(timeout=30)
        store = MemoryStore(tmp_path)
        entries = store.entries(store.head())
        assert len(entries) >= kill_at
        assert len(store.moves()) == len(entries)
        store.render()
        assert problems(store, lambda text: text) == []


MANY = """
import sys
from pathlib import Path
from tests.memory.notes import note
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.versions import Move
notes = [note(f"Note {number} of many.", f"n {number}::x") for number in range(1900)]
store = MemoryStore(Path(sys.argv[1]))
print("begins", flush=True)
version = store.keep({each.id: each for each in notes}, parent=None, actor="dream", at=1.0)
store.publish(version.id, None, Move(after=version.id, actor="dream", at=1.0))
print(version.id, flush=True)
"""


def test_a_first_version_of_very_many_notes_that_is_killed_on_its_way_is_made_whole_by_the_next(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    given = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MANY, str(tmp_path)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=given)

    for most in (1, 600):  # files there when it dies
        writer = start()
        assert writer.stdout is not None
        writer.stdout.readline()
        while len(list(tmp_path.glob("objects/??/*"))) < most and writer.poll() is None:
            pass
        writer.kill()
        writer.communicate(timeout=30)
        left = MemoryStore(tmp_path)
        assert len(left.entries(left.head())) in (0, 1900)  # the second only where it was too fast to be killed
    writer = start()
    said, _ = writer.communicate(timeout=60)
    store = MemoryStore(tmp_path)
    assert said.split()[-1] == store.head()
    assert len(store.entries(store.head())) == 1900
    assert problems(store, lambda text: text) == []
