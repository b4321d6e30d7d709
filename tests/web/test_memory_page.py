"""Notes in the page: from a note to the line of the transcript that proves it, in a real browser."""

from __future__ import annotations

import msgspec
import pytest
from tests.e2e.conftest import Program
from tests.memory.notes import by_id, note
from tests.web.browser import Browser
from tests.web.conftest import Served

from counterpoint.memory.entries import Author, evidence
from counterpoint.memory.places import project_store
from counterpoint.memory.versions import Move


@pytest.fixture(scope="module")
def run_id(program: Program) -> str:
    """A run, and two notes: one that its transcript proves, one whose quote is not there any more."""
    flow = program.script("return await agent('Find the port.')", "port")
    run_id: str = program("run", flow, "--model", "sim", "--json").json["run_id"]
    answer = program("show", run_id, "a1", "--json").json["transcript"][1]["text"]
    start = answer.index("Find the port")
    good = evidence(answer, (start, start + 13), run_id=run_id, session_id="a1", seq=1, author=Author.ASSISTANT, at=1.0)
    proved = msgspec.structs.replace(note("The port is looked for. <b>bold</b>"), evidence=[good])
    lost = note("This was never said.", "x::y", run=run_id)
    store = project_store(program.folder)
    version = store.keep(by_id(proved, lost), parent=None, actor="dream", at=1.0)
    store.publish(version.id, None, Move(after=version.id, actor="dream", dream_id="d-1", at=1.0))
    return run_id


def test_a_note_opens_the_line_that_proves_it(browser: Browser, server: Served, program: Program, run_id: str) -> None:
    browser.open(server.url)
    browser.wait("document.querySelector('.brand')")
    browser.click("a", "Memory")
    browser.wait("document.querySelectorAll('.memory-note').length === 2")
    assert "<b>bold</b>" in browser.text(".notes")

    browser.click(".memory-note summary", "This was never said")
    browser.wait("document.querySelector('.proof.lost')")
    assert "does not hold" in browser.text(".proof.lost")
    browser.click(".memory-note summary", "The port is looked for")
    assert browser.wait("document.querySelector('.proof.holds mark')?.textContent") == "Find the port"

    browser.click(".proof.holds a", run_id)
    assert browser.wait("document.querySelector('.proved mark')?.textContent") == "Find the port"

    later = program("run", str(program.folder / "port.js"), "--model", "sim", "--json").json["run_id"]
    browser.open("about:blank")
    browser.open(f"{server.base}/#/run/{later}?agent=a1")
    browser.wait("document.querySelector('[data-tab=prompt]')")
    browser.click("[data-tab=prompt]")
    browser.wait("document.querySelector('a[href^=\"#/memory?note=m-\"]')")
    browser.click('a[href^="#/memory?note=m-"]')
    assert browser.wait("document.querySelector('.memory-note details[open] .proof')")
