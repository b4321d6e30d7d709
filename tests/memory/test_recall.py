"""What agents are told of earlier sessions: which notes, of which version, in which project (T16)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from tests.memory.notes import by_id, note

import counterpoint
from counterpoint import Answer, Request, RunView, Usage, Workflow
from counterpoint.errors import ProviderError
from counterpoint.memory.entries import Author, Entry
from counterpoint.memory.marks import marked, noted, recalled, without_notes
from counterpoint.memory.places import foreign_folder, open_recall, project_root, project_store, user_store
from counterpoint.memory.recall import Recall, Source
from counterpoint.memory.store import MemoryStore
from counterpoint.memory.utility import utilities
from counterpoint.memory.versions import Move, Use
from counterpoint.models.messages import ToolCall, UserTurn
from counterpoint.tools import jail

META = "export const meta = { name: 'flow', description: 'a test' }\n"


class Says:
    """A model that answers by what it was asked."""

    spec = "says:1"
    output: Literal["native", "tool"] = "native"
    tools = True
    simulated = False

    def __init__(
        self, answer: Callable[[str], str | None], calls: Callable[[Request], list[ToolCall]] | None = None
    ) -> None:
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self._answer, self._calls = answer, calls

    def cost(self, usage: Usage) -> float | None:
        return 0.0

    async def request(self, request: Request) -> Answer:
        first = request.messages[0]
        assert isinstance(first, UserTurn)
        self.asked.append(first.text)
        self.requests.append(request)
        calls = self._calls(request) if self._calls else []
        text = self._answer(first.text)
        if text is None:
            raise ProviderError("rejected", "No.")
        return Answer(
            text, calls, Usage(input_tokens=3, output_tokens=2, requests=1), self.spec, "tools" if calls else "end"
        )


def publish(store: MemoryStore, *notes: Entry) -> str:
    head = store.head()
    version = store.keep(store.entries(head) | by_id(*notes), parent=head, actor="user", at=1.0)
    store.publish(version.id, head, Move(after=version.id, actor="user", at=1.0))
    return version.id


async def view_of(run_id: str, state: Path) -> RunView:
    return RunView.of([event async for event in counterpoint.watch(run_id, state=state)])


async def run(body: str, model: Says, cwd: Path, state: Path, **options: Any) -> RunView:
    result = await counterpoint.run(Workflow(META + body), model=model, cwd=cwd, state=state, **options)
    return await view_of(result.run_id, state)


async def test_agents_are_told_what_applies_and_the_journal_says_which_notes_of_which_version(tmp_path: Path) -> None:
    state, project = tmp_path / "state", tmp_path / "project"
    project.mkdir()
    mine = note("Answers are short.", "style::length", "user")
    pnpm, other = note(trigger="installing packages"), note("Only for nightly.", "a::b", "workflow:nightly")
    version = publish(project_store(project), pnpm, other)
    publish(user_store(state), mine)
    model = Says(lambda prompt: f"As [{pnpm.id}] says. Wrong note: {mine.id}!")

    view = await run("return await agent('Install the packages of this project.')", model, project, state)

    told = model.asked[0]
    assert without_notes(told) == "Install the packages of this project."
    assert set(noted(told)) == {pnpm.id, mine.id}
    assert "permit nothing" in told
    agent = view.agents["a1"]
    assert (agent.notes, agent.cited, agent.contradicted) == (sorted([pnpm.id, mine.id]), [pnpm.id], [mine.id])
    assert {source["scope"]: source["entries"] for source in view.memory} == {"user": 1, "project": 2}
    assert version in {source["version"] for source in view.memory}
    (use,) = project_store(project).uses()
    assert (use.run_id, use.version, use.loaded, use.cited, use.outcome) == (
        view.run_id, version, [pnpm.id], [pnpm.id], "success",
    )  # fmt: skip
    assert utilities([use])[pnpm.id].mean == 2 / 3
    assert user_store(state).uses()[0].contradicted == [mine.id]


async def test_a_resume_keeps_to_the_version_the_run_began_with_and_runs_nothing_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = note("Ports are even.", "ports::parity")
    publish(project_store(tmp_path), first)
    broken = Says(lambda prompt: None if "second" in prompt else "done")
    text = Workflow(META + "return [await agent('first port'), await agent('second port')]")
    begun = await counterpoint.run(text, model=broken, cwd=tmp_path, state=state)
    assert begun.coverage == (1, 2)
    later = note("Ports are odd now.", "ports::now")
    publish(project_store(tmp_path), later)

    mended = Says(lambda prompt: "mended")
    ended = await counterpoint.resume(begun.run_id, state=state, models={"says:1": mended})

    view = await view_of(begun.run_id, state)
    assert (ended.value, len(mended.asked)) == (["done", "mended"], 1)
    assert noted(mended.asked[0]) == [first.id]
    assert [agent.notes for agent in view.agents.values()] == [[first.id], [first.id]]
    fresh = Says(lambda prompt: "new")
    assert set((await run("return await agent('third port')", fresh, tmp_path, state)).agents["a1"].notes) == {
        first.id,
        later.id,
    }


async def test_a_note_of_one_project_is_never_told_in_another(tmp_path: Path) -> None:
    state, a, b = tmp_path / "state", tmp_path / "a", tmp_path / "b"
    for folder in (a, b, a / "inside"):
        folder.mkdir()
        (folder / ".git").mkdir()
    model = Says(lambda prompt: "ok")
    publish(project_store(a), note())
    for cwd in (b, a / "inside"):
        view = await run("return await agent('Use pnpm, not npm: package manager choice?')", model, cwd, state)
        assert (view.memory, view.agents["a1"].notes) == ([], [])
    assert all("memory-notes" not in told for told in model.asked)

    (a / "deep").mkdir()
    assert (await run("return await agent('pnpm?')", model, a / "deep", state)).agents["a1"].notes == [note().id]
    assert (await run("return await agent('pnpm?')", model, a, state, memory=False)).agents["a1"].notes == []


def test_a_project_keeps_its_memory_when_it_moves_and_its_worktrees_share_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(old)]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "tree")], check=True, capture_output=True)
    version = publish(project_store(old), note())

    assert project_root(tmp_path / "tree") == old.resolve()
    assert project_store(tmp_path / "tree").head() == version
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / ".git").write_text(f"gitdir: {old}/.git/worktrees/tree\n")
    assert project_root(foreign) == foreign.resolve()
    old.rename(new)
    assert project_store(new).entries(project_store(new).head()) == by_id(note())


def test_the_share_of_the_prompt_goes_to_what_fits_and_the_same_task_gets_the_same(tmp_path: Path) -> None:
    fitting = note("The flaky test test_upload passes when COLUMNS=80.", "flaky test::fix", trigger="test_upload fails")
    noise = [
        note(f"Colour {n} is used for state {n} of the board.", f"colours {n}::x", trigger="painting")
        for n in range(300)
    ]
    general = [note(f"Rule {n} of the house.", f"house {n}::x") for n in range(50)]
    recall = Recall([Source("project", "p", "v", by_id(fitting, *noise, *general))], tokens=500)

    told = recall.notes("Why does test_upload fail on CI?", salt="k")
    again = Recall([Source("project", "p", "v", by_id(*reversed([fitting, *noise, *general])))], tokens=500)

    assert told == again.notes("Why does test_upload fail on CI?", salt="k")
    assert told.ids[0] == fitting.id
    assert not set(told.ids) & {each.id for each in noise}
    assert 0 < len(set(told.ids) & {each.id for each in general}) < 20
    assert len(told.text) < 500 * 4 + 200
    useful = {
        general[7].id: utilities([Use(run_id="r", version="v", cited=[general[7].id], outcome="success")])[
            general[7].id
        ]
    }
    by_worth = Recall([Source("project", "p", "v", by_id(*general))], tokens=200, known=useful)
    assert by_worth.notes("Nothing in common").ids[0] == general[7].id
    assert not Recall([], tokens=500).notes("anything").text
    few = Recall([Source("project", "p", "v", by_id(note(trigger="installing packages")))], tokens=1500)
    assert few.notes("Add zod.").ids == (note().id,)
    over = Recall([Source("project", "p", "v", by_id(note(valid_to=50.0)))], tokens=500, at=50.0)
    assert not over.notes("Use pnpm, not npm.").ids


def test_scopes_of_agent_types_and_their_memory_setting() -> None:
    ours, mine = note("Ours.", "a::x", "agent:checker"), note("Mine.", "b::x", "agent:Checker")
    recall = Recall([Source("project", "p", "v", by_id(ours)), Source("user", "u", "v", by_id(mine))], tokens=500)

    assert recall.notes("x", kind="other").ids == ()
    assert set(recall.notes("x", kind="checker").ids) == {ours.id, mine.id}
    assert recall.notes("x", kind="checker", wants="user").ids == (mine.id,)
    assert recall.notes("x", kind="checker", wants="local").ids == (ours.id,)


def test_what_was_recalled_is_found_again_in_a_text_and_hostile_marks_cost_nothing() -> None:
    text = note().text
    block = marked(f"- [{note().id}] (fact) {text}", "salt")
    said = f"Do it.\n\n{block}\n\nThe notes say: use pnpm,\n NOT npm! But bun is fine."

    assert without_notes(said) == "Do it.\n\nThe notes say: use pnpm,\n NOT npm! But bun is fine."
    spans = recalled(said, [text, "ok"])
    assert [said[start:end] for start, end in spans] == [block, "use pnpm,\n NOT npm"]
    forged = '<memory-notes id="0123456789">' * 50_000
    assert without_notes(forged) == forged
    assert without_notes(f'{forged}x</memory-notes id="0123456789">y') == "y"


async def test_an_agent_looks_notes_up_and_reads_pages_of_another_program(tmp_path: Path) -> None:
    folder = foreign_folder(tmp_path, tmp_path / "home")
    folder.mkdir(parents=True)
    (folder / "MEMORY.md").write_text("- [deploys](deploys.md): how to deploy\n" + "x\n" * 400)
    (folder / "deploys.md").write_text("Deploy on Mondays.")
    publish(project_store(tmp_path), note(trigger="packages"))
    recall, wrong = open_recall(tmp_path, tmp_path / "state", workflow="w", tokens=500, at=1.0, home=tmp_path / "home")
    assert wrong == []
    assert "[deploys](deploys.md)" in recall.notes("anything").text
    assert [source["kind"] for source in recall.opened()] == ["store", "file"]

    queries = ["package manager", "deploys.md", "../secret.md", "zebra", note().id]

    def look_up(request: Request) -> list[ToolCall]:
        asked = [ToolCall(f"c{n}", "Memory", {"query": query}) for n, query in enumerate(queries)]
        return asked if len(request.messages) == 1 else []

    model = Says(lambda prompt: "done", look_up)
    await run("return await agent('x', {tools: ['Memory', 'Read']})", model, tmp_path, tmp_path / "state")

    results = msgspec.to_builtins(model.requests[-1].messages[-1])["results"]
    assert [result["error"] for result in results if "error" in result] == [True, True, True]
    assert note().text in results[0]["content"]
    assert "evidence: wf_1/a1#0" in results[4]["content"]
    assert "memory-notes" in results[0]["content"]


async def test_the_files_of_a_memory_are_not_read_as_files(tmp_path: Path) -> None:
    publish(project_store(tmp_path), note(trigger="packages"))
    (tmp_path / "own.md").write_text("pnpm it is")

    def look(request: Request) -> list[ToolCall]:
        path = ".counterpoint/memory/rendered/MEMORY.md"
        asked = [ToolCall("a", "Read", {"file_path": path}), ToolCall("b", "Grep", {"pattern": "pnpm"})]
        return asked if len(request.messages) == 1 else []

    model = Says(lambda prompt: "done", look)
    await run("return await agent('x')", model, tmp_path, tmp_path / "state")

    read, found = msgspec.to_builtins(model.requests[-1].messages[-1])["results"]
    assert (read["error"], "the tool Memory has more" in read["content"]) == (True, True)
    assert "own.md" in found["content"]
    assert "pnpm, not npm" not in found["content"]


@pytest.mark.skipif(jail.found() == "none", reason="this machine has no sandbox")
async def test_commands_of_agents_do_not_see_the_files_of_a_memory_either(tmp_path: Path) -> None:
    publish(project_store(tmp_path), note(trigger="packages"))
    folder = ".counterpoint/memory"
    tried = (
        f"cat {folder}/entries.jsonl {folder}/rendered/MEMORY.md; ls {folder}; grep -r pnpm . ; echo x > {folder}/HEAD"
    )

    def look(request: Request) -> list[ToolCall]:
        return [ToolCall("a", "Bash", {"command": tried})] if len(request.messages) == 1 else []

    model = Says(lambda prompt: "done", look)
    await run("return await agent('x')", model, tmp_path, tmp_path / "state", allow=["Bash"])

    (answer,) = msgspec.to_builtins(model.requests[-1].messages[-1])["results"]
    assert "No such file" in answer["content"], answer
    assert not any(told in answer["content"] for told in ("not npm", "objects", "m-"))
    assert len(project_store(tmp_path).entries(project_store(tmp_path).head())) == 1


@pytest.mark.skipif(jail.found() == "none", reason="this machine has no sandbox")
@pytest.mark.parametrize("link", [".counterpoint", ".counterpoint/memory"])
async def test_links_in_the_place_of_a_memory_do_not_keep_agents_from_their_commands(tmp_path: Path, link: str) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere" / "memory"
    elsewhere.mkdir(parents=True)
    (project / link).parent.mkdir(parents=True)
    (project / link).symlink_to(elsewhere if link.endswith("memory") else elsewhere.parent)

    def look(request: Request) -> list[ToolCall]:
        return [ToolCall("a", "Bash", {"command": "echo works"})] if len(request.messages) == 1 else []

    model = Says(lambda prompt: "done", look)
    await run("return await agent('x')", model, project, tmp_path / "state", allow=["Bash"])

    (answer,) = msgspec.to_builtins(model.requests[-1].messages[-1])["results"]
    assert "works" in answer["content"], answer


async def test_a_damaged_memory_is_told_and_the_run_goes_on_without_it(tmp_path: Path) -> None:
    publish(project_store(tmp_path), note())
    (project_store(tmp_path).folder / "HEAD").write_text("nonsense")

    view = await run("return await agent('pnpm')", Says(lambda prompt: "ok"), tmp_path, tmp_path / "state")

    assert (view.status.value, view.memory) == ("completed", [])
    assert "damaged at HEAD" in view.log[0].text


async def test_an_empty_memory_leaves_no_trace(tmp_path: Path) -> None:
    model = Says(lambda prompt: "ok")
    view = await run("return await agent('hello')", model, tmp_path, tmp_path / "state")

    assert model.asked == ["hello"]
    assert view.memory == []
    assert "Memory" not in {spec.name for spec in model.requests[0].tools}
    assert not (tmp_path / ".counterpoint").exists()
    assert Author.USER not in {anchor.author for anchor in note().evidence}
