"""The inbox of dreams in a real browser: what waits, what proves it, and a person's word."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dream.lived import Place, item, reader, skeptics
from tests.web.browser import Browser
from tests.web.conftest import Served
from tests.web.conftest import browser as browser
from tests.web.conftest import program as program
from tests.web.conftest import server as server

from counterpoint.testing import ScriptedModel

FACTS = ("The port is 8080.", "The host is lovelace <b>now</b>.", "The queue is drained nightly.")


@pytest.fixture
async def place(server: Served, tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.state = server.program.state
    await place.lived(("Bash", "lab build", "no profile\n[exit code 1]"), ("Bash", "lab build --p=x", "ok"), "Built.",
                      said=FACTS)  # fmt: skip
    model = ScriptedModel(reader(*(item(f"Known: {text}", text, subject=text) for text in FACTS)), skeptics())
    report = await place.dream(model, trust=False)
    assert len(report.proposals) == 4
    return place


def test_proposals_are_shown_with_their_quotes_and_a_word_decides_on_each(
    place: Place, browser: Browser, server: Served
) -> None:
    browser.open(server.url)
    browser.wait("document.querySelector('a[href=\"#/dreams\"]')")
    server.url = server.next_address()
    browser.run("location.hash = '#/dreams'")
    browser.wait("document.querySelectorAll('.proposal').length === 4")
    shown = browser.run("return document.querySelector('.dreams').textContent")
    assert "Known: The host is lovelace <b>now</b>." in shown
    assert "tier 2: tells agents what to do" in shown
    marks = browser.run("return [...document.querySelectorAll('.proposal mark')].map((each) => each.textContent)")
    assert {*FACTS, "lab build --p=x", "no profile"} <= set(marks)
    word = "document.querySelector('#{}').querySelectorAll('button')[{}].click()"
    waiting = place.memory.proposals()
    port, host, queue = (next(p for p in waiting if p.new and p.new.text == f"Known: {text}") for text in FACTS)
    browser.run(word.format(port.id, 0))
    browser.wait("document.querySelectorAll('.proposal').length === 3")
    browser.run(word.format(queue.id, 3))
    browser.wait("document.querySelectorAll('.proposal').length === 2")
    browser.run(word.format(host.id, 1))
    browser.wait("document.querySelector('dialog[open] textarea')")
    browser.run("document.querySelector('dialog textarea').value = 'The host is babbage.'")
    browser.run("document.querySelector('dialog button[type=submit]').click()")
    browser.wait("document.querySelectorAll('.proposal').length === 1")
    assert sorted(entry.text for entry in place.notes()) == [f"Known: {FACTS[0]}", "The host is babbage."]
    browser.run("document.querySelector('.proposal blockquote a').click()")
    browser.wait("location.hash.startsWith('#/run/') && document.querySelector('.inspector, .inspect')")


def test_only_memories_of_runs_of_this_store_can_be_meant(place: Place, server: Served) -> None:
    server.login()
    (memory,) = [m for m in server.get("/api/dreams")["memories"] if m["folder"] == str(place.memory.folder)]
    proposal = memory["waiting"][0]
    word = {"memory": "/etc", "proposal": proposal["id"], "decision": "accept"}
    assert server.request("POST", "/api/dreams", word)[0] == 404
    assert server.request("POST", "/api/dreams", word | {"memory": memory["folder"], "decision": "perhaps"})[0] == 409
    assert server.post("/api/dreams", word | {"memory": memory["folder"]})["applied"] == [proposal["id"]]
