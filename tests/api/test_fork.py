"""A run that goes its own way from a point of another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

import counterpoint
from counterpoint import Answer, Request, Usage, Workflow, daemon, settings
from counterpoint.client import Client, Otherwise
from counterpoint.errors import UsageError
from counterpoint.events import AgentFinished, PhaseEntered, Recorded, RunStatus
from counterpoint.models.registry import Models
from counterpoint.script.parse import parse
from counterpoint.store.runs import Store
from counterpoint.timeline import Timeline
from counterpoint.view import RunView

LONG = "x" * 100_000
FLOW = """
export const meta = { name: 'forked', description: 'a test', phases: [{ title: 'One' }, { title: 'Two' }] }
phase('One')
const found = await parallel([0, 1, 2].map((n) => () => agent(`find ${n} ${args.what}`, { label: `find ${n}` })))
log(`found ${found.length}, spent ${budget.spent()}`)
phase('Two')
return await parallel(found.map((text, n) => () => agent(`doubt ${n} at ${Date.now()}: ${text.length}`)))
"""


class Counting:
    """A model that costs something and says how often it was asked; its answers are long."""

    spec = "counting:1"
    output: Literal["native", "tool"] = "native"
    tools = False
    simulated = False

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def cost(self, usage: Usage) -> float | None:
        return usage.output_tokens * 0.01

    async def request(self, request: Request) -> Answer:
        self.prompts.append(str(request.messages[0].text))  # pyright: ignore[reportAttributeAccessIssue]  (the prompt)
        return Answer(f"{len(self.prompts)}{LONG}", [], Usage(input_tokens=3, output_tokens=2, requests=1), self.spec)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "state") as opened:
        yield opened


async def a_run(store: Store, model: Counting) -> str:
    return await a_run_in(store.folder, model)


async def a_run_in(state: Path, model: Counting) -> str:
    result = await counterpoint.run(Workflow(FLOW), args={"what": "bugs"}, model=model, state=state)
    assert result.status is RunStatus.COMPLETED
    return result.run_id


async def executed(store: Store, run_id: str, model: Counting) -> tuple[RunView, list[Recorded]]:
    chosen = settings.load(cwd=Path.cwd(), flags={"state": store.folder})
    async with Models(chosen, own={model.spec: model}) as models:
        await daemon.execute(store, run_id, models)
    events = await Client(store).events(run_id)
    return RunView.of(events), events


def seq_of(events: list[Recorded], phase: str) -> int:
    return next(recorded.seq for recorded in events if recorded.event == PhaseEntered(phase))


async def fork(store: Store, run_id: str, seq: int | None, **otherwise: Any) -> str:
    return await Client(store).fork(run_id, seq, otherwise=Otherwise(**otherwise), by="me@test", version="0")


async def test_a_fork_reuses_what_was_recorded_before_its_point_and_runs_the_rest_anew(store: Store) -> None:
    client, model = Client(store), Counting()
    parent = await a_run(store, model)
    before = await client.events(parent)
    run_id = await fork(store, parent, seq_of(before, "Two"))
    model.prompts.clear()
    view, events = await executed(store, run_id, model)

    # what had been found is not asked for again; the doubts are, with the very same prompts, clock and all
    assert [prompt.partition(":")[0] for prompt in model.prompts] == [
        (await client.value(parent, agent.prompt)).partition(":")[0]
        for agent in RunView.of(before).agents.values()
        if agent.phase == "Two"
    ]
    assert (view.status, view.reused, view.counts()["ok"], view.coverage()) == (RunStatus.COMPLETED, 3, 3, (6, 6))
    assert len(await client.value(run_id, view.result)) == 3
    # it pays, and takes, only what is its own
    assert view.usage().output_tokens == 6
    assert view.duration_s() < before[-1].at - before[0].at + 60
    assert Timeline.of(events).begin == events[seq_of(before, "Two")].at
    assert view.log_texts() == RunView.of(before).log_texts()
    # each knows of the other, and the parent is as it was
    document = await client.run_document(view)
    assert document["parent"] == {"run_id": parent, "seq": seq_of(before, "Two")}
    assert (await client.run_document(await client.view(parent)))["forks"] == [
        {"run_id": run_id, "seq": seq_of(before, "Two")}
    ]
    assert await client.events(parent) == before
    # it stands alone: the parent can go, and a resume asks nothing again
    async with store.held(parent):
        await store.remove(parent)
    model.prompts.clear()
    again, _ = await executed(store, run_id, model)
    assert (model.prompts, again.status, again.reused) == ([], RunStatus.COMPLETED, 6)
    said = await client.transcript(run_id, "a1")
    assert [message["type"] for message in said] == ["user", "assistant"]


async def test_a_fork_may_have_other_arguments_another_script_and_bounds(store: Store) -> None:
    client, model = Client(store), Counting()
    parent = await a_run(store, model)
    seq = seq_of(await client.events(parent), "Two")
    text = FLOW.replace("name: 'forked'", "name: 'edited'").replace("doubt ${n}", "believe ${n}")
    other = await fork(store, parent, seq, script=parse(text, "edited.js"), bounds={"budget_tokens": 5000})
    model.prompts.clear()
    view, _ = await executed(store, other, model)
    assert [prompt[:9] for prompt in model.prompts] == ["believe 0", "believe 1", "believe 2"]
    assert (view.name, view.script, view.bounds["budget_tokens"], view.reused) == ("edited", "edited.js", 5000, 3)
    assert await client.value(other, view.source) == text

    elsewhere = await fork(store, parent, None, args=msgspec.json.encode({"what": LONG}))
    assert (await client.view(elsewhere)).counted() == []
    view, _ = await executed(store, elsewhere, model)
    assert (view.reused, len(view.counted())) == (0, 6)
    assert await client.value(elsewhere, view.args) == {"what": LONG}


async def test_what_was_under_way_at_the_point_of_a_fork_begins_anew(store: Store) -> None:
    client, model = Client(store), Counting()
    parent = await a_run(store, model)
    events = await client.events(parent)
    first = next(recorded.seq for recorded in events if isinstance(recorded.event, AgentFinished))
    run_id = await fork(store, parent, first)
    assert (await client.transcript(run_id, "a2"), len(await client.transcript(run_id, "a1"))) == ([], 2)
    model.prompts.clear()
    view, _ = await executed(store, run_id, model)
    assert (view.reused, len(model.prompts)) == (1, 5)


async def test_a_fork_that_cannot_be_is_refused(store: Store) -> None:
    parent = (await counterpoint.run(Workflow(FLOW), args={"what": 1}, model="sim", state=store.folder)).run_id
    with pytest.raises(UsageError, match="has no event 999"):
        await fork(store, parent, 999)
    with pytest.raises(UsageError, match="is simulated"):
        await fork(store, parent, 5, model="local")


async def test_python_forks_a_run_with_other_arguments_and_a_model_of_its_own(tmp_path: Path) -> None:
    model, other = Counting(), Counting()
    other.spec = "counting:2"
    parent = await a_run_in(tmp_path, model)
    at = [recorded async for recorded in counterpoint.watch(parent, state=tmp_path)]
    forked = await counterpoint.fork(parent, at=seq_of(at, "Two"), model=other, budget="5k", state=tmp_path)

    assert (forked.status, forked.coverage, len(other.prompts)) == (RunStatus.COMPLETED, (6, 6), 3)
    assert forked.document["parent"] == {"run_id": parent, "seq": seq_of(at, "Two")}
    assert forked.usage["output_tokens"] == 6
    elsewhere = await counterpoint.fork(parent, args={"what": "ends"}, model=model, state=tmp_path)
    assert (elsewhere.coverage, elsewhere.document["resumed_from"]) == ((6, 6), 0)
    with pytest.raises(UsageError, match="has no event 999"):
        await counterpoint.fork(parent, at=999, state=tmp_path)


async def test_tags_are_journaled_and_find_runs(store: Store) -> None:
    client = Client(store)
    parent = (await counterpoint.run(Workflow(FLOW), args={"what": 1}, model="sim", state=store.folder)).run_id
    assert await client.tag(parent, add=["nightly", "b"], by="me") is None
    await client.tag(parent, remove=["b"], by="me")
    await fork(store, parent, 5)
    assert [run.tags for run in await client.runs()] == [(), ("nightly",)]
    assert await client.find_all(["tag:nightly"]) == [parent]
    assert (await client.run_document(await client.view(parent)))["tags"] == ["nightly"]
    with pytest.raises(UsageError, match="can be no tag"):
        await client.tag(parent, add=["a b"], by="me")
