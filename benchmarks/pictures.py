"""The pictures of docs/images, of simulated runs: `make pictures`.

Needs Chromium with its driver, and the extras `tui` and `web`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.web.browser import Browser

from counterpoint.client import Client
from counterpoint.store.runs import Store
from counterpoint.tui.app import Top
from counterpoint.tui.feed import Feed
from counterpoint.tui.scene import Signs
from counterpoint.tui.screens.door import Door

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDE, NARROW = (1440, 900), (420, 860)
TERMINAL = (132, 40)


def program(folder: Path, *arguments: str) -> str:
    """What a command prints that is given in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "counterpoint", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


async def terminal(state: Path, run_id: str) -> str:
    """The screen of a run while it goes on, as SVG."""
    async with Store(state) as store:
        client = Client(store)
        app = Top(Door(client, "me", Signs(), _nothing), Feed(client, run_id))
        async with app.run_test(size=TERMINAL) as pilot:
            await _until(pilot.pause, lambda: len(app.screen.feed.view.agents) > 150)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType, reportUnknownLambdaType]  (any screen, says Textual)
            await pilot.press("c", *["down"] * 2, *["right"] * 9)
            await pilot.pause(1)
            return app.export_screenshot(title=f"counterpoint top {run_id}")


async def _nothing(arguments: list[str]) -> None:
    raise AssertionError(arguments)


async def _until(pause: Callable[[float], Awaitable[None]], condition: Callable[[], bool]) -> None:
    while not condition():
        await pause(0.1)


def page(browser: Browser, base: str, place: str, ready: str, size: tuple[int, int], name: str) -> None:
    browser.resize(*size)
    browser.open("about:blank")
    browser.open(f"{base}/#/{place}")
    browser.wait(f"window.counterpoint?.ready && ({ready})", seconds=120)
    browser.screenshot(IMAGES / name)


def main() -> None:
    os.environ.pop("NO_COLOR", None)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        os.environ |= {"COUNTERPOINT_STATE": str(state), "HOME": folder}
        server = subprocess.Popen(
            [sys.executable, "-m", "counterpoint", "serve", "--port", "0", "--quiet"], stdout=subprocess.PIPE, text=True
        )
        browser = Browser(Path(folder), *WIDE)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            base = address.partition("/login")[0]
            browser.open(address)
            browser.wait("document.querySelector('.brand')")
            _pictures(browser, base, state, Path(folder))
        finally:
            browser.close()
            server.terminate()
            server.wait()


def _pictures(browser: Browser, base: str, state: Path, folder: Path) -> None:
    project = folder / "project"
    project.mkdir()
    run_id = json.loads(program(project, "demo", "--agents", "300", "--json"))["run_id"]
    drawn = folder / "terminal.svg"
    drawn.write_text(asyncio.run(terminal(state, run_id)), "utf-8")
    shown = "document.querySelectorAll('.inspector .message, .inspector pre').length"
    page(browser, base, f"run/{run_id}?agent=a120", shown, WIDE, "page-live.png")
    page(browser, base, f"run/{run_id}", "document.querySelector('.phases')", NARROW, "page-phone.png")
    page(browser, base, f"run/{run_id}?tab=tree", "document.querySelector('.branch')", WIDE, "page-tree.png")
    asks = json.loads(program(project, "demo", "--agents", "60", "--ask", "--speed", "20", "--json"))["run_id"]
    page(browser, base, f"run/{asks}?tab=verdicts", "document.querySelector('.gate')", WIDE, "page-verdicts.png")
    for each in (run_id, asks):
        program(project, "stop", each)
    browser.resize(1140, 860)
    browser.open(f"file://{drawn}")
    browser.screenshot(IMAGES / "terminal.png")


if __name__ == "__main__":
    main()
