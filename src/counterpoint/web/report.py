"""A run as one file that a browser opens from disk: the page's own code, with the journal in place of a server."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from counterpoint.client import Client
from counterpoint.view import RunView
from counterpoint.web import slim

MODULES = (
    "text.js", "dom.js", "fold.js", "timeline.js", "attention.js", "source.js", "form.js", "filter.js", "history.js",
    "lanes.js", "script.js", "panels.js", "tree.js", "inspector.js", "scrubber.js", "steering.js", "run.js", "runs.js",
    "memory.js", "dreams.js", "app.js",
)  # fmt: skip
"""The page's modules, each behind those that it imports."""
MAX_AGENT = 200_000
"""Characters of one text of an agent that the file keeps."""
IMPORT = re.compile(r"^import .*\n", re.M)
EXPORT = re.compile(r"^export ", re.M)


async def report(client: Client, run_id: str) -> bytes:
    """The HTML file."""
    view = await client.view(run_id)
    events = await client.events(run_id)
    details = {agent.id: await _agent(client, view, agent.id) for agent in view.agents.values()}
    data = json.dumps(
        {
            "run_id": run_id,
            "live": False,
            "document": _cut(await client.run_document(view)),
            "script": {"path": view.script, "source": await client.value(run_id, view.source)},
            "agents": details,
        },
        ensure_ascii=False,
    ).encode("utf-8", "replace")
    lines = b",".join(slim.line(recorded) for recorded in events)
    packed = gzip.compress(b'{"events":[' + lines + b'],"data":' + data + b"}", 6, mtime=0)
    return _html(view, base64.b64encode(packed).decode())


async def _agent(client: Client, view: RunView, agent: str) -> Any:
    return _cut(await client.agent_document(view, view.agents[agent]))


def _cut(value: Any) -> Any:
    match value:
        case str():
            return slim.cut(value, MAX_AGENT)
        case list():
            return [_cut(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  (untyped JSON)
        case dict():
            return {name: _cut(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]  (untyped JSON)
        case _:
            return value


def _html(view: RunView, packed: str) -> bytes:
    folder = files("counterpoint.web") / "page"
    style = (folder / "style.css").read_text(encoding="utf-8")
    code = "\n".join(_plain((folder / name).read_text(encoding="utf-8")) for name in MODULES)
    policy = (
        f"default-src 'none'; script-src '{_digest(code)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace(
        '<link rel="stylesheet" href="/static/style.css">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>',
    )
    name = re.sub(r"[^\w .-]", "", view.name)[:80]
    page = page.replace("<title>Counterpoint</title>", f"<title>{name} · Counterpoint</title>")
    return page.replace(
        '<script type="module" src="/static/app.js"></script>',
        f'<script type="application/octet-stream" id="packed">{packed}</script>\n<script type="module">{code}</script>',
    ).encode()


def _plain(module: str) -> str:
    """A module's text as a part of one script."""
    return EXPORT.sub("", IMPORT.sub("", module))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
