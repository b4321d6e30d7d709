"""One agent as lines: exact prompt, what was said, result, usage."""

from __future__ import annotations

import json
from typing import Any

from rich.text import Text

from counterpoint.tui.layout import fit, padded, rule, wrapped
from counterpoint.tui.panes.agent import agent_lines
from counterpoint.tui.panes.head import footer
from counterpoint.tui.scene import CHOSEN, DIM, Scene

TABS = ("transcript", "prompt", "result", "diff", "usage")
SHOWN = 200_000
"""Characters of one text that are shown; `show --json` has the rest."""
KEYS = "Tab next part  j k PgUp PgDn g G  s steer  r retry  x skip  Esc back"
ROLES = {
    "user": ("asked", "bold"),
    "assistant": ("model", "bold bright_blue"),
    "tools": ("tools", "bold magenta"),
    "compacted": ("made room", "bold yellow"),
}


class AgentText:
    """The texts of an agent's document; each is wrapped once for a width."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._wrapped: dict[tuple[str, int], list[Text]] = {}

    def lines(self, tab: str, width: int) -> list[Text]:
        found = self._wrapped.get((tab, width))
        if found is None:
            parts = self._parts(tab)
            found = [Text(line, style) for text, style in parts for line in wrapped(_cut(text), width)]
            self._wrapped[tab, width] = found
        return found

    def _parts(self, tab: str) -> list[tuple[str, str]]:
        document = self._document
        match tab:
            case "prompt":
                return [(str(document["prompt"]), ""), ("", ""), (_json(document["options"]), DIM)]
            case "result":
                said = [("", ""), ("What the agent said", "bold"), (_json(document["raw"]), "")]
                value = [("What the script received", "bold"), (_json(document["value"]), "")]
                return value + (said if document["raw"] is not None else [])
            case "diff":
                return _diff(document.get("workspace"))
            case "usage":
                names = ("usage", "seconds", "turns", "attempt", "model", "line")
                return [(f"{name}: {_json(document[name])}", "") for name in names]
            case _:
                return [part for message in document["transcript"] for part in _message(message)]


def agent_screen(scene: Scene, texts: AgentText, tab: str) -> list[Text]:
    """A head, the tabs, and the stretch of the text that begins at `scene.offset`."""
    head = agent_lines(scene, scene.width, 4)
    tabs = Text(" ")
    for name in TABS:
        tabs.append(f" {name} ", CHOSEN if name == tab else DIM)
    room = scene.height - len(head) - 3
    body = texts.lines(tab, scene.width - 2)
    shown = [Text(" ").append_text(line) for line in body[scene.offset : scene.offset + room]]
    place = Text(f" line {min(scene.offset + 1, len(body))} of {len(body)}   {KEYS}", DIM)
    last = footer(scene) if scene.note else place
    return fit([*head, tabs, rule("", scene.width), *padded(shown, room), last], scene)


DIFF = {"+": "green", "-": "red", "@": "magenta", "d": "bold"}


def _diff(made: dict[str, Any] | None) -> list[tuple[str, str]]:
    if made is None:
        return [("It has left nothing in a worktree.", DIM)]
    patch = made["patch"] or f"git diff {made['base']}..{made['commit']}"
    head = f"{made['branch']}  +{made.get('insertions', 0)} -{made.get('deletions', 0)}  {made.get('path', '')}"
    return [(head, "bold"), *((line, DIFF.get(line[:1], "")) for line in _cut(patch).split("\n"))]


def _message(message: dict[str, Any]) -> list[tuple[str, str]]:
    parts = [ROLES.get(str(message.get("type")), ("?", "bold"))]
    if message.get("note"):
        parts.append((str(message["note"]), "italic"))
    if message.get("text"):
        parts.append((str(message["text"]), ""))
    parts += [(f"⚙ {call['name']} {_json(call.get('input'))}", "magenta") for call in message.get("calls", [])]
    parts += [(f"↳ {result['name']}: {result['content']}", DIM) for result in message.get("results", [])]
    return [*parts, ("", "")]


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text) - SHOWN:,} more characters)"
