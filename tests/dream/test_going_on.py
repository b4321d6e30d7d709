"""A dream that is cut off goes on, and spends nothing twice (T2, T9, T10, T11, T19)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.dream.killed import FACTS, Fine, answers, dream_and_die, project_tasks
from tests.dream.lived import Place, item, reader, skeptics
from tests.memory.notes import note

from counterpoint.dream.canary import Entries, Outcomes, Try
from counterpoint.dream.lease import dreaming, holder
from counterpoint.dream.prepare import Wish
from counterpoint.dream.record import Dreams, Report
from counterpoint.dreaming import EXIT_CODES, price
from counterpoint.errors import DreamIsLiveError
from counterpoint.models.registry import Models
from counterpoint.settings import load
from counterpoint.store.runs import Store
from counterpoint.testing import NULL, RATE_LIMITED, ScriptedModel, Step


def test_killed_at_any_stage_it_comes_to_the_same_candidate_and_pays_nothing_twice(tmp_path: Path) -> None:
    asyncio.run(_lived(Place(tmp_path / "read")))
    for stage in ("refute", "try", "trial"):
        shutil.copytree(tmp_path / "read" / "state", tmp_path / stage / "state")
    for stage in ("read", "refute", "try", "trial"):
        _killed_at(tmp_path / stage, stage)
    shutil.copytree(tmp_path / "try", tmp_path / "twin")
    ended = asyncio.run(_gone_on([tmp_path / stage for stage in ("read", "refute", "try", "twin", "trial")]))
    asked = [number for _, number in ended]
    assert [report.counts.added for report, _ in ended] == [3, 3, 3, 3, 3]
    assert ended[2][0].version == ended[3][0].version
    assert asked == [1 + 9, 7, 0, 0, 2 * 12 - 2], "nobody whose answer was on disk is asked again"


async def _lived(place: Place) -> None:
    for text in FACTS:
        await place.lived("Fine.", said=[text])


def _killed_at(folder: Path, stage: str) -> None:
    """Dreams in a process of its own, which kills itself (signal 9) at that stage."""
    child = os.fork()
    if not child:
        try:
            asyncio.run(dream_and_die(folder, stage))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, (stage, status)
    assert Place(folder).memory.head() is None


async def _gone_on(folders: list[Path]) -> list[tuple[Report, int]]:
    ended: list[tuple[Report, int]] = []
    for folder in folders:
        model = answers()
        tasks = project_tasks() if folder.name == "trial" else Fine()
        report = await Place(folder).dream(model, tasks=tasks, concurrency=1, anywhere=True)
        ended.append((report, len(model.asked)))
    return ended


async def test_cut_off_between_publishing_and_its_report_it_finds_its_version_in_force(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    report = await place.dream(answers())
    (place.memory.folder / "dreams" / report.id / "report.json").unlink()
    model = answers()
    again = await place.dream(model)
    assert (again.version, again.published, model.asked) == (report.version, True, [])
    assert len(place.memory.moves()) == 1


async def test_skeptics_who_are_rate_limited_have_not_voted_and_nothing_is_published(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    fact = reader(item(f"Known: {FACTS[0]}", FACTS[0]))
    model = ScriptedModel(fact, Step(RATE_LIMITED, label="skeptic*", times=None))
    report = await place.dream(model)
    assert (report.status, place.memory.head()) == ("waiting", None)
    (proposal,) = place.memory.proposals()
    assert (proposal.state, proposal.verdicts[-1].reason) == ("unverified", "0 of 3 skeptics voted")
    assert list(report.proposals.values()) == ["unverified"]
    await place.lived("Nothing new.", said=["Good morning to all of you."])
    report = await place.dream(ScriptedModel(reader(), skeptics()))  # the next dream asks skeptics again
    assert report.published
    assert (place.memory.proposals(), len(place.notes())) == ([], 1)


async def test_a_dream_whose_readers_all_died_has_failed_and_the_next_one_reads_the_runs_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    report = await place.dream(ScriptedModel(Step(NULL, times=None)))
    assert (report.status, EXIT_CODES[report.status], report.readers) == ("failed", 1, [0, 1])
    assert report.message.startswith("No reader answered")
    await place.lived("Fine.", said=[FACTS[1]])
    report = await place.dream(ScriptedModel(Step(NULL, label="reader c1"), reader()))
    assert (report.status, report.readers) == ("nothing", [1, 2])
    assert "1 of 2 readers did not answer" in report.message
    report = await place.dream(answers())
    assert (report.published, report.readers) == (True, [1, 1])


async def test_a_budget_of_one_token_ends_it_with_code_5_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    report = await place.dream(answers(), budget=("1",))
    assert (report.status, EXIT_CODES[report.status], place.memory.head()) == ("budget", 5, None)
    assert Dreams(place.memory.folder).unfinished() is not None
    report = await place.dream(answers(), budget=("100k",))
    assert report.published


async def test_trials_are_within_the_budget_and_time_ends_a_dream_that_a_later_one_goes_on_with(tmp_path: Path) -> None:
    free, place = Place(tmp_path / "free"), Place(tmp_path / "bound")
    for each in (free, place):
        await each.lived("Fine.", said=[FACTS[0]])
    late = await place.dream(answers(), seconds=0.0)
    assert (late.status, EXIT_CODES[late.status], late.message[:8]) == ("budget", 5, "The time")
    needed = (await free.dream(answers(), tasks=Fine())).usage["output_tokens"]
    short = await place.dream(answers(), tasks=project_tasks(), budget=(f"{needed + 1}",), concurrency=1)
    assert (short.status, place.memory.head()) == ("budget", None)
    report = await place.dream(answers(), tasks=project_tasks(), budget=("100k",))
    assert report.published
    assert report.usage["output_tokens"] > needed + 24


async def test_one_dream_at_a_time_and_a_change_meanwhile_loses_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    async with dreaming(place.memory.folder / "dreams"):
        with pytest.raises(DreamIsLiveError):
            await place.dream(answers())
    assert holder(place.memory.folder / "dreams") is None

    class Meanwhile(Fine):
        async def attempt(self, entries: Entries, names: object, seeds: object, run: Try) -> Outcomes:
            if place.memory.head() is None:
                place.remember(note("Somebody wrote this meanwhile.", "meanwhile::x"), actor="user")
            return await super().attempt(entries, self.names, (0, 1), run)

    report = await place.dream(answers(), tasks=Meanwhile())
    assert (report.status, [entry.text for entry in place.notes()]) == ("conflict", ["Somebody wrote this meanwhile."])
    assert [p.new.text for p in place.memory.proposals() if p.new] == [f"Known: {FACTS[0]}"]


async def test_a_price_is_said_before_and_nothing_is_written(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.lived("Fine.", said=[FACTS[0]])
    await place.lived("Fine.", said=["No, not like that: I prefer short reports."], cwd=tmp_path / "elsewhere")
    chosen = load(cwd=place.project, flags={"model": "sim", "state": place.state})
    async with Store(place.state) as store, Models(chosen) as models:
        priced = await price(store, models, chosen, Wish(), folder=place.project, memory=place.memory, now=time.time())
    assert (priced.sessions, priced.readers) == (1, 1)
    assert priced.input_tokens > 0
    assert list(priced.left_out.values()) == ["it belongs to another project"]
    assert not place.memory.folder.exists()
