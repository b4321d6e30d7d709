"""A real browser for tests: headless Chromium, spoken to in the W3C WebDriver protocol through its own driver."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Left": "\ue012", "Right": "\ue014"}


class WebDriverError(Exception):
    """The driver said no."""


class Browser:
    """One window. Waiting is by condition, with a deadline; never for a length of time."""

    def __init__(self, profile: Path, width: int = 1440, height: int = 900) -> None:
        self._process = subprocess.Popen(
            [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "HOME": str(profile)},
        )  # fmt: skip
        self._base = f"http://127.0.0.1:{self._port()}"
        options = {
            "binary": CHROMIUM,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={width},{height}", f"--user-data-dir={profile}/chromium"],
        }  # fmt: skip
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{session['sessionId']}"

    def _port(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"successfully on port (\d+)", line):
                return int(found[1])
        raise WebDriverError("chromedriver did not start")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise WebDriverError(json.load(error)["value"]["message"]) from error

    def close(self) -> None:
        try:
            self._call("DELETE", self._session)
        finally:
            self._process.terminate()
            self._process.communicate(timeout=20)

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs JavaScript; `arguments` are there as `arguments[0]` and on."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: str, *arguments: Any, seconds: float = 30) -> Any:
        """Waits until a JavaScript expression is true, and gives its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(f"return ({condition})", *arguments)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {seconds} s: {condition}\n{self.run('return document.body.innerText')[:2000]}"
                )
            time.sleep(0.05)

    def click(self, selector: str, text: str = "") -> None:
        """Clicks the first element in sight that fits, as a person would."""
        find = (
            "[...document.querySelectorAll(arguments[0])]"
            ".find(e => e.offsetParent !== null && e.textContent.includes(arguments[1]))"
        )
        element = self.wait(find, selector, text)
        self._call("POST", f"{self._session}/element/{next(iter(element.values()))}/click", {})

    def type(self, selector: str, text: str) -> None:
        element = self.wait("document.querySelector(arguments[0])", selector)
        self._call("POST", f"{self._session}/element/{next(iter(element.values()))}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._call(
            "POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        )

    def text(self, selector: str = "body") -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def resize(self, width: int, height: int) -> None:
        self._call("POST", f"{self._session}/window/rect", {"width": width, "height": height})

    def complaints(self) -> list[str]:
        """What the page's console said since the last time: errors, and what the content policy refused."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))
